"""Worker processes: the same results as without them, faults that cost one photo, a bound on memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import local
from pipeline.batch import Here
from pipeline.effects import Erase
from pipeline.inputs import Task
from pipeline.job import Job
from pipeline.local import Workers
from pipeline.models import Models
from pipeline.selection import Pick
from weights import WeightsError

PICK = Pick(boxes=((20, 20, 44, 44),))
GIB = 2**30
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def _tasks(draw, folder: Path, colors, out: str = "out") -> list[Task]:
    return [
        Task(draw(folder / f"{number}.png", color), folder / out / f"{number}.png", pick=PICK)
        for number, color in enumerate(colors)
    ]


def _colors(number: int) -> list[tuple[int, int, int]]:
    return [(10 * index, 200, 90) for index in range(number)]


def test_workers_write_the_same_bytes_as_this_process(draw, tmp_path):
    job = Job(Erase(), Models(inpainter="telea"))
    here, there = (_tasks(draw, tmp_path, _colors(7), out) for out in ("here", "there"))
    with Here(job, PICK) as runner:
        expected = list(runner.run(here))
    with Workers(job, PICK, count=2, memory_bytes=GIB) as workers:
        outcomes = sorted(workers.run(there), key=lambda outcome: outcome.target)
    assert [outcome.error for outcome in outcomes] == [None] * 7
    assert [outcome.area_px for outcome in outcomes] == [outcome.area_px for outcome in expected]
    assert all(outcome.seconds > 0 for outcome in outcomes)
    for one, other in zip(here, there, strict=True):
        assert one.target.read_bytes() == other.target.read_bytes()


def test_a_photo_that_kills_its_worker_fails_alone_and_so_does_one_that_takes_all_memory(draw, tmp_path, crashing):
    job = Job(Erase(), crashing.CrashingModels())
    tasks = _tasks(draw, tmp_path, [*_colors(3), RED, *_colors(3), GREEN, *_colors(3)])
    with Workers(job, PICK, count=2, memory_bytes=GIB) as workers:
        outcomes = {outcome.source.name: outcome for outcome in workers.run(tasks)}
    assert len(outcomes) == len(tasks)
    failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
    assert set(failed) == {"3.png", "7.png"}
    assert "its worker process was killed, as the system does when memory runs out, twice" in failed["3.png"]
    assert failed["7.png"] == f"{tmp_path / '7.png'}: there is not enough memory for this photo"
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {outcome.target.name for outcome in outcomes.values() if not outcome.error}


def test_models_that_are_not_there_are_known_before_the_first_photo(crashing):
    with pytest.raises(WeightsError, match="the weights are not here"):
        Workers(Job(Erase(), crashing.MissingModels()), PICK, count=1, memory_bytes=GIB)


def test_weights_found_missing_in_the_middle_end_the_run(draw, tmp_path, crashing):
    tasks = _tasks(draw, tmp_path, [BLUE])
    with (
        pytest.raises(WeightsError, match="the weights are not here"),
        Workers(Job(Erase(), crashing.CrashingModels()), PICK, count=1, memory_bytes=GIB) as workers,
    ):
        list(workers.run(tasks))


def test_no_more_photos_are_in_the_workers_than_memory_allows_and_a_larger_one_fails(draw, tmp_path, monkeypatch):
    tasks = _tasks(draw, tmp_path, _colors(6))
    tasks.insert(2, Task(draw(tmp_path / "large.png", size=128), tmp_path / "out" / "large.png", pick=PICK))
    sent: list[int] = []

    class Watched(Workers):
        def _send(self, worker, task, cost):
            super()._send(worker, task, cost)
            sent.append(sum(cost for worker in self._workers for _, cost in worker.flying.values()))

    one_photo = 64 * 64 * local.BYTES_PER_PIXEL
    with Watched(Job(Erase(), Models(inpainter="telea")), PICK, count=2, memory_bytes=2 * one_photo) as workers:
        outcomes = {outcome.source.name: outcome.error for outcome in workers.run(tasks)}
    assert set(sent) == {one_photo, 2 * one_photo}
    error = outcomes.pop("large.png")
    assert error.startswith(f"{tmp_path / 'large.png'}: it needs about") and error.endswith("raise that with --memory")
    assert set(outcomes.values()) == {None}


def test_tasks_are_taken_only_when_there_is_room(draw, tmp_path):
    tasks = _tasks(draw, tmp_path, _colors(12))
    taken = []

    def source():
        for task in tasks:
            taken.append(task)
            yield task

    with Workers(Job(Erase(), Models(inpainter="telea")), PICK, count=1, memory_bytes=GIB) as workers:
        for done, _ in enumerate(workers.run(source()), start=1):
            assert len(taken) <= done + local._AT_ONCE + 1
    assert len(taken) == 12
