"""Same photo, options and weights, same bytes: in another process, with one thread or with many."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

ROOT = Path(__file__).parents[2]
COMMANDS = {  # name of the result -> words after the photo
    "telea.png": "erase --box 300,60,380,140 --inpainter telea",
    "patch_match.png": "erase --box 300,60,380,140 --inpainter patch_match",
    "clicknet.png": "erase --at 222,110 --segmenter clicknet --inpainter telea",
    "clicknet.webp": "cutout --at 222,110 --segmenter clicknet",
}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
TENSORFLOW = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
# One process for all of them: loading the libraries takes longer than the work.
SCRIPT = """
import sys
from pipeline.__main__ import main
photo, out, *commands = sys.argv[1:]
for command in commands:
    name, words = command.split("=", 1)
    first, *rest = words.split()
    assert main([first, photo, *rest, "-o", f"{out}/{name}", "--offline", "-q"]) == 0, command
"""


def _digests(photo: Path, out: Path, threads: int) -> dict[str, str]:
    out.mkdir()
    environment = {**os.environ, **dict.fromkeys((*THREADS, *TENSORFLOW), str(threads))}
    words = [f"{name}={command}" for name, command in COMMANDS.items()]
    subprocess.run([sys.executable, "-c", SCRIPT, str(photo), str(out), *words], cwd=ROOT, env=environment, check=True)
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in COMMANDS}


@pytest.mark.slow
@pytest.mark.timeout(1800)  # on a machine that is busy with something else
def test_one_thread_or_many_give_the_same_bytes(tmp_path):
    photo = tmp_path / "photo.png"
    Image.fromarray(skimage.data.astronaut()).save(photo)
    assert _digests(photo, tmp_path / "many", 2) == _digests(photo, tmp_path / "one", 1)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_ten_runs_with_any_number_of_threads_give_the_same_bytes(tmp_path, bounded):
    photo = tmp_path / "photo.png"
    Image.fromarray(skimage.data.astronaut()).save(photo)
    first = _digests(photo, tmp_path / "first", 1)
    for number in bounded.within(range(1, 10)):
        assert _digests(photo, tmp_path / f"run-{number}", 1 + number % 8) == first
    bounded.say("more runs with 1 to 8 threads")
