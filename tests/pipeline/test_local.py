"""Worker processes: the same results as without them, faults that cost one photo, a bound on memory."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipeline import local
from pipeline.__main__ import main
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
CYAN, YELLOW, ORANGE = (0, 255, 255), (255, 255, 0), (255, 128, 0)

_BOUND = "import resource as r, numpy; r.setrlimit(r.RLIMIT_DATA, (2**30, 2**30)); numpy.empty(2**31, numpy.uint8)"
_IS_BOUND = subprocess.run([sys.executable, "-c", _BOUND], capture_output=True, check=False).returncode != 0
needs_bounds = pytest.mark.skipif(
    sys.platform != "linux" or not _IS_BOUND, reason="this system holds no process to a bound of memory"
)


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


def test_a_worker_edits_as_many_photos_at_a_time_as_it_is_asked_to(draw, tmp_path, crashing):
    tasks = _tasks(draw, tmp_path, _colors(9))
    with Workers(Job(Erase(), crashing.MeetingModels()), PICK, count=1, memory_bytes=GIB, together=3) as workers:
        outcomes = list(workers.run(tasks))
    assert [outcome.error for outcome in outcomes] == [None] * 9
    assert all(task.target.exists() for task in tasks)


def test_a_photo_that_a_worker_overwrote_before_it_died_is_not_edited_again(draw, tmp_path, crashing):
    """Nobody else is to be blamed here: the state of what it had overwritten is all that tells."""
    draws = [task.source for task in _tasks(draw, tmp_path, _colors(4))]
    expected = [Task(photo, tmp_path / "once" / photo.name, pick=PICK) for photo in draws]
    with Here(Job(Erase(), Models(inpainter="telea")), PICK) as runner:
        list(runner.run(expected))
    tasks = [Task(photo, photo, pick=PICK, overwrite=True) for photo in draws]
    with Workers(Job(Erase(), crashing.KilledAfterSavingModels()), PICK, count=1, memory_bytes=GIB) as workers:
        outcomes = list(workers.run(tasks))
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert sum("taken as done" in " ".join(outcome.notes) for outcome in outcomes) == 1
    for task in expected:  # what is erased twice says so in its metadata
        assert task.source.read_bytes() == task.target.read_bytes()


ALONE = "there is not enough memory for this photo, even alone: photos may take 1.0 GiB; raise that with --memory"


def _run_with(bad, draw, folder: Path, crashing) -> dict[str, str]:
    """The errors of a folder with that photo among others; whatever is done must be whole, and nothing else there."""
    tasks = _tasks(draw, folder, [*_colors(4), bad, *_colors(4)])
    with Workers(Job(Erase(), crashing.CrashingModels()), PICK, count=2, memory_bytes=GIB) as workers:
        outcomes = {outcome.source.name: outcome for outcome in workers.run(tasks)}
    assert len(outcomes) == len(tasks)
    written = {path.name for path in (folder / "out").iterdir()}
    assert written == {outcome.target.name for outcome in outcomes.values() if not outcome.error}
    for path in (folder / "out").iterdir():
        with Image.open(path) as image:
            image.load()
    return {name: outcome.error for name, outcome in outcomes.items() if outcome.error}


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        pytest.param(RED, "its worker process was killed, as the system does when memory runs out, twice", id="killed"),
        pytest.param(GREEN, ALONE, id="a MemoryError"),
        pytest.param(YELLOW, ALONE, id="an error of TensorFlow's"),
        pytest.param(CYAN, ALONE, id="the system's bound", marks=needs_bounds),
    ],
)
def test_a_photo_for_which_memory_runs_out_fails_alone_in_one_line(draw, tmp_path, crashing, bad, error):
    assert _run_with(bad, draw, tmp_path, crashing) == {"4.png": f"{tmp_path / '4.png'}: {error}"}


def test_a_photo_that_ran_out_of_memory_beside_others_is_tried_again_alone(draw, tmp_path, crashing):
    assert _run_with(ORANGE, draw, tmp_path, crashing) == {}


@needs_bounds
def test_a_folder_with_a_photo_that_takes_all_memory_is_done_but_for_it(draw, tmp_path, crashing, capsys, monkeypatch):
    """The whole command, in its own words: exit code 1, a line, a report with the failure, nothing half-written."""
    monkeypatch.setattr("pipeline.commands.Models", lambda **_: crashing.CrashingModels())
    for number, color in enumerate([*_colors(4), CYAN]):
        draw(tmp_path / "photos" / f"{number}.png", color)
    command = ["erase", str(tmp_path / "photos"), "--box", "20,20,44,44", "--out", str(tmp_path / "out")]
    assert main([*command, "--workers", "2", "--together", "2", "--memory", "1"]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"clickaway erase: {tmp_path}/photos/4.png: {ALONE}\n"
    assert captured.out.splitlines()[-1].startswith("4 done, 1 failed")
    rows = list(csv.DictReader((tmp_path / "out" / "report.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["done"] * 4 + ["failed"] and rows[4]["error"].endswith(ALONE)
    names = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert names == {"0.png", "1.png", "2.png", "3.png", "report.csv"}


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
            sent.append(sum(cost for worker in self._workers for _, cost, _ in worker.flying.values()))

    one_photo = 64 * 64 * local.BYTES_PER_PIXEL
    with Watched(Job(Erase(), Models(inpainter="telea")), PICK, count=2, memory_bytes=2 * one_photo) as workers:
        outcomes = {outcome.source.name: outcome.error for outcome in workers.run(tasks)}
    assert set(sent) == {one_photo, 2 * one_photo}
    error = outcomes.pop("large.png")
    assert error == (
        f"{tmp_path / 'large.png'}: it needs about 0.00061 GiB of memory and photos may take 0.000305: "
        "raise that with --memory"
    )
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
            assert len(taken) <= done + 1 + local._BESIDE + 1
    assert len(taken) == 12
