"""A batch that is killed at random moments, as a process with worker processes, and started again until it is done.

CLICKAWAY_KILLS says how often (3); CLICKAWAY_SEED which moments.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("CLICKAWAY_KILLS", "3"))
SEED = int(os.environ.get("CLICKAWAY_SEED", "0"))
PHOTOS = 24
COMMAND = [sys.executable, "-m", "pipeline", "erase", "photos", "--box", "20,20,90,90", "--inpainter", "telea"]

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for child processes in /proc"),
    pytest.mark.timeout(300 + 60 * KILLS),
]


@pytest.fixture
def folder(tmp_path, draw):
    for number in range(PHOTOS):
        place = tmp_path / "photos" / ("trip" if number % 3 else ".") / f"{number}.png"
        draw(place, (number % 256, 140, 200), size=400)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no photo")
    return tmp_path


def _start(folder: Path, out: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*COMMAND, "--out", out, "--workers", "2", "--json-lines"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def _finished(process: subprocess.Popen) -> int:
    process.communicate()
    return process.returncode


def _report(folder: Path) -> list[dict[str, str]]:
    with (folder / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{**row, "seconds": "", "output": row["output"].removeprefix(folder.name)} for row in rows]


def _results(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def _children(process: int) -> list[int]:
    try:
        found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in found] + [deeper for child in found for deeper in _children(int(child))]


def _is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_batch_killed_again_and_again_ends_with_the_files_and_the_report_of_an_undisturbed_one(folder):
    assert _finished(_start(folder, "undisturbed")) == 1  # bad.jpg
    moments = random.Random(SEED)
    kills = 0
    while kills < KILLS:
        process = _start(folder, "killed")
        # At any point of its start, or of the work on a photo, after some that are done.
        photos = moments.randrange(4)
        for _ in range(photos):
            process.stdout.readline()
        time.sleep(moments.uniform(0, 0.1 if photos else 1.5))
        children = _children(process.pid)
        was_done = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        _finished(process)
        if was_done:  # too late: everything from the beginning
            shutil.rmtree(folder / "killed")
            continue
        kills += 1
        while any(_is_alive(child) for child in children):  # nobody stays behind who still writes
            time.sleep(0.02)
        for name, content in _results(folder / "killed").items():  # whole files, whenever one looks
            assert content == (folder / "undisturbed" / name).read_bytes()
    assert _finished(_start(folder, "killed")) == 1
    assert _results(folder / "killed") == _results(folder / "undisturbed")
    assert _report(folder / "killed") == _report(folder / "undisturbed")
    assert not list((folder / "killed").rglob("*.partial"))
    assert not (folder / "killed" / ".clickaway-journal.sqlite-wal").exists()
