"""The README's commands and its Python example, run as they stand."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.fixture
def folder(tmp_path):
    """A folder with the photos and the film that the README names, from scikit-image."""
    Image.fromarray(skimage.data.rocket()).save(tmp_path / "rocket.jpg", quality=92)
    Image.fromarray(skimage.data.coffee()).save(tmp_path / "coffee.png")
    Image.fromarray(skimage.data.chelsea()).save(tmp_path / "cat.png")
    Image.fromarray(skimage.data.coffee()).save(tmp_path / "beach.jpg")
    film = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 120))
    for number in range(4):
        frame = np.full((120, 160, 3), 40, np.uint8)
        frame[40:90, 50 + number : 110 + number] = 220
        film.write(frame)
    film.release()
    (tmp_path / "photos" / "2026").mkdir(parents=True)
    shutil.copy(tmp_path / "rocket.jpg", tmp_path / "photos" / "2026")
    return tmp_path


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_every_command_of_the_readme_works(folder):
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 8
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "clickaway"
        command = [sys.executable, "-m", "pipeline", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    for made in (
        "rocket-erased.jpg",
        "gone.png",
        "coffee-cutout.png",
        "cat-blurred.png",
        "sky.png",
        "out.mp4",
        "alone.png",
    ):
        assert (folder / made).is_file()
    assert (folder / "done" / "2026" / "rocket.jpg").is_file()
    assert list((folder / "masks").rglob("*.json"))


def test_the_python_example_works(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(blocks("python")[0], names)
    photo, filled, mask = names["photo"].rgb, names["filled"], names["best"].mask
    assert filled.shape == photo.shape
    assert (filled[mask] != photo[mask]).any()
    far = np.s_[:, :200]  # the rocket and its grown mask are right of this
    assert (filled[far] == photo[far]).all()


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)`", README)) | {"demo"} <= targets


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "CLICKAWAY_OFFLINE": "1"}
