"""Watching a folder: photos are done as they come, whole ones only, each once."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def watcher(tmp_path):
    """start(*options): `clickaway watch inbox --out done` as a process, which says JSON lines."""
    (tmp_path / "inbox").mkdir()
    started = []

    def start(*options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "pipeline", "watch", "inbox", "--out", "done", "--json-lines"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [*command, "--inpainter", "telea", "--workers", "1", *options],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Started in the background by a shell, these tests would hand on that Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _next(process: subprocess.Popen) -> dict:
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return json.loads(line)


def _stop(process: subprocess.Popen, how: int) -> int:
    process.send_signal(how)
    process.communicate(timeout=60)
    return process.returncode


def test_photos_are_done_as_they_come_and_once(watcher, tmp_path, draw):
    draw(tmp_path / "inbox" / "early.png", (1, 2, 200))
    process = watcher("--box", "20,20,44,44")
    assert _next(process)["output"] == "done/early.png"
    draw(tmp_path / "inbox" / "trip" / "late.png", (3, 4, 200))
    assert _next(process)["output"] == "done/trip/late.png"
    (tmp_path / "inbox" / "bad.png").write_bytes(b"no photo")
    assert _next(process)["status"] == "failed"
    assert _stop(process, signal.SIGINT) == 1  # one has failed
    rows = (tmp_path / "done" / "report.csv").read_text().splitlines()[1:]
    assert {row.split(",")[0]: row.split(",")[1] for row in rows} == {
        "inbox/early.png": "done",
        "inbox/trip/late.png": "done",
        "inbox/bad.png": "failed",
    }

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "done").rglob("*.png")}
    draw(tmp_path / "inbox" / "bad.png")
    process = watcher("--box", "20,20,44,44")
    line = _next(process)  # what was done is not done again
    assert (line["output"], line["status"]) == ("done/bad.png", "done")
    assert _stop(process, signal.SIGTERM) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_photo_that_is_still_being_copied_is_waited_for(watcher, tmp_path, draw):
    content = draw(tmp_path / "whole.png", size=600).read_bytes()
    process = watcher("--box", "20,20,44,44")
    with (tmp_path / "inbox" / "slow.png").open("wb") as file:
        for start in range(0, len(content), len(content) // 6 + 1):
            file.write(content[start : start + len(content) // 6 + 1])
            file.flush()
            time.sleep(0.4)
    assert _next(process)["status"] == "done"
    assert _stop(process, signal.SIGINT) == 0


def test_a_list_may_name_photos_that_come_later(watcher, tmp_path, draw):
    (tmp_path / "boxes.csv").write_text("file,x0,y0,x1,y1\n")
    draw(tmp_path / "inbox" / "a.png")
    process = watcher("--boxes", "boxes.csv")
    time.sleep(3)
    assert not (tmp_path / "done" / "a.png").exists()
    (tmp_path / "boxes.csv").write_text("file,x0,y0,x1,y1\na.png,20,20,44,44\n")
    assert _next(process)["output"] == "done/a.png"
    assert _stop(process, signal.SIGINT) == 0


@pytest.fixture
def watched(tmp_path, monkeypatch, capsys):
    """run(between, *argv): watches ./inbox, and calls between(round) after each round until it says False.

    Returns the exit code, the JSON lines and what was said besides.
    """
    from pipeline.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "inbox").mkdir()

    def run(between, *argv: str) -> tuple[int, list[dict], str]:
        rounds = itertools.count(1)

        def slept(_: float) -> None:
            if between(next(rounds)) is False:
                raise KeyboardInterrupt

        monkeypatch.setattr("pipeline.watch.time.sleep", slept)
        box = [] if "--boxes" in argv else ["--box", "20,20,44,44"]
        code = main([*argv, "inbox", "--watch", *box, "--workers", "0", "--json-lines"])
        said = capsys.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    return run


def test_a_result_in_the_photos_own_place_is_no_new_photo(watched, tmp_path, draw):
    for name in ("a.jpg", "trip/b.png"):
        draw(tmp_path / "inbox" / name)
    in_place = ["blur", "--out", str(tmp_path / "inbox"), "--overwrite"]  # spelled otherwise than the folder of photos
    code, lines, _ = watched(lambda number: number < 8, *in_place)
    assert code == 0
    assert [line["file"] for line in lines] == ["inbox/a.jpg", "inbox/trip/b.png"]
    assert watched(lambda number: number < 8, *in_place)[1] == []  # nor for the next watcher

    def changed(number: int) -> bool:
        if number == 4:
            draw(tmp_path / "inbox" / "a.jpg", (200, 10, 10))
        return number < 8

    assert [line["file"] for line in watched(changed, *in_place)[1]] == ["inbox/a.jpg"]


def test_a_result_beside_its_photo_is_no_new_photo(watched, tmp_path, draw):
    draw(tmp_path / "inbox" / "a.jpg")
    code, lines, _ = watched(lambda number: number < 8, "cutout", "--out", "inbox")
    assert code == 0
    assert [line["output"] for line in lines] == ["inbox/a.png"]


def test_what_passes_is_said_once_and_waited_for(watched, tmp_path, draw):
    draw(tmp_path / "inbox" / "a.png")
    boxes, whole = tmp_path / "boxes.csv", "file,x0,y0,x1,y1\na.png,20,20,44,44\nb.png,20,20,44,44\n"
    boxes.write_text(whole)

    def between(number: int) -> bool:
        if number == 3:
            draw(tmp_path / "inbox" / "b.png")
            boxes.write_text(whole[:40])  # caught half written
        elif number == 6:
            boxes.write_text(whole)
        elif number == 9:
            (tmp_path / "inbox").rename(tmp_path / "away")
        elif number == 12:
            (tmp_path / "away").rename(tmp_path / "inbox")
            draw(tmp_path / "inbox" / "a.png", (5, 5, 5))
        return number < 16

    code, lines, err = watched(between, "erase", "--out", "done", "--overwrite", "--boxes", "boxes.csv")
    assert code == 0
    assert [line["output"] for line in lines] == ["done/a.png", "done/b.png", "done/a.png"]
    first, second = err.splitlines()
    assert first.startswith("clickaway erase: boxes.csv, line 3: ") and first.endswith("; trying again")
    assert second == "clickaway erase: there is no file or folder inbox; trying again"


def test_a_photo_that_changes_is_done_again_only_with_overwrite(watched, tmp_path, draw):
    draw(tmp_path / "inbox" / "a.png")

    def between(number: int) -> bool:
        if number == 3:
            draw(tmp_path / "inbox" / "a.png", (number, 5, 5))
        return number < 7

    _, (done, failed), _ = watched(between, "blur", "--out", "done")
    assert done["status"] == "done" and "done/a.png exists already" in failed["error"]
    result = (tmp_path / "done" / "a.png").read_bytes()
    _, (again,), _ = watched(lambda number: number < 4, "blur", "--out", "done", "--overwrite")
    assert again["status"] == "done" and (tmp_path / "done" / "a.png").read_bytes() != result


def test_what_cannot_be_watched_is_one_line(tmp_path, draw, monkeypatch, capsys):
    from pipeline.__main__ import main

    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "a.png")
    assert main(["watch", "a.png", "--out", "done", "--box", "1,1,3,3"]) == 2
    assert capsys.readouterr().err == "clickaway erase: --watch needs a folder to watch\n"
    assert main(["watch", ".", "--box", "1,1,3,3"]) == 2
    assert "--watch needs --out DIR" in capsys.readouterr().err
