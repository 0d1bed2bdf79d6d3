"""What a batch meets in the world: a full disk, folders that cannot be read or written. One line each, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main

ERASE = ["--box", "20,20,44,44", "--inpainter", "telea", "--workers"]
NOBODY = 65534


@pytest.fixture
def mounted(tmp_path):
    """mount(options): a tmpfs at tmp_path/disk with these mount options. Skips where that is not allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounts = []

    def mount(options: str) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("no tmpfs can be mounted here")
        mounts.append(disk)
        return disk

    try:
        yield mount
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    finally:
        for place in mounts:
            subprocess.run(["umount", "--lazy", place], check=False)


def _noise(folder: Path, number: int) -> None:
    """Photos that do not compress: 120 KB each."""
    folder.mkdir(exist_ok=True)
    for index in range(number):
        picture = np.random.default_rng(index).integers(0, 256, (200, 200, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{index}.png")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_full_disk_fails_photos_and_loses_none_and_the_same_command_goes_on(mounted, tmp_path, capsys, workers):
    disk = mounted("size=600k")
    _noise(tmp_path / "photos", 8)
    command = ["erase", str(tmp_path / "photos"), "--out", str(disk / "done"), *ERASE, workers]
    assert main(command) in (1, 2)  # 2 where the journal itself finds no room
    err = capsys.readouterr().err
    assert "No space left on device" in err or "the journal" in err
    assert "fault in Clickaway" not in err and "Traceback" not in err
    for path in (disk / "done").glob("*.png"):
        with Image.open(path) as image:
            image.load()  # whole
    subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
    assert main(command) == 0
    assert "8 done (" in capsys.readouterr().out
    assert len(list((disk / "done").glob("*.png"))) == 8
    assert not list((disk / "done").glob("*.partial"))


def test_a_read_only_disk_is_one_line(mounted, tmp_path, capsys):
    disk = mounted("size=1m")
    (disk / "done").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    _noise(tmp_path / "photos", 2)
    for out in (disk / "done", disk / "new"):
        assert main(["erase", str(tmp_path / "photos"), "--out", str(out), *ERASE, "0"]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "Read-only file system" in err and "fault in Clickaway" not in err


@pytest.fixture
def nobody(draw, capsys):
    """A folder of a user who may not read and write everything; root becomes that user for the test."""
    folder = Path(tempfile.mkdtemp())
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has no such users")
    draw(folder / "a.png")
    main(["erase", str(folder / "a.png"), "-o", str(folder / "b.png"), *ERASE, "0"])  # imports, which root may read
    capsys.readouterr()
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield folder
    if is_root:
        os.seteuid(0)
    for path in folder.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_photo_that_may_not_be_read_fails_alone(nobody, draw, capsys):
    for name in ("a.png", "b.png"):
        draw(nobody / "photos" / name)
    (nobody / "photos" / "b.png").chmod(0)
    assert main(["erase", str(nobody / "photos"), "--out", str(nobody / "done"), *ERASE, "0"]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"clickaway erase: {nobody}/photos/b.png: Permission denied\n"
    assert captured.out.splitlines()[-1].startswith("1 done, 1 failed")


def test_folders_that_may_not_be_read_or_written_are_one_line(nobody, draw, capsys):
    draw(nobody / "photos" / "a.png")
    draw(nobody / "photos" / "deep" / "b.png")
    (nobody / "locked").mkdir()
    (nobody / "locked").chmod(0o555)
    erase = ["erase", str(nobody / "photos"), *ERASE, "0", "--out"]
    assert main([*erase, str(nobody / "locked")]) == 2
    assert "locked" in (err := capsys.readouterr().err) and "Permission denied" in err
    (nobody / "photos" / "deep").chmod(0)
    assert main([*erase, str(nobody / "done")]) == 2  # else b.png would be left out in silence
    assert capsys.readouterr().err == f"clickaway erase: {nobody}/photos/deep: Permission denied\n"


def test_a_batch_needs_no_right_to_write_beside_the_photos(mounted, tmp_path, draw, capsys):
    disk = mounted("size=1m")
    draw(disk / "photos" / "a.png")
    draw(disk / "photos" / "b.png")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert main(["erase", str(disk / "photos"), "--out", str(tmp_path / "done"), *ERASE, "0"]) == 0
    capsys.readouterr()


def test_a_result_folder_that_vanishes_in_the_middle_fails_what_is_left(tmp_path, draw, capsys, monkeypatch):
    for name in ("trip/a.png", "trip/b.png"):
        draw(tmp_path / "photos" / name)
    from pipeline import job

    real = job.save

    def saved(edited, task, job):
        if task.source.name == "b.png":
            (tmp_path / "done" / "trip" / "a.png").unlink()
            (tmp_path / "done" / "trip").rmdir()
            (tmp_path / "done" / "trip").write_bytes(b"a file now")
        return real(edited, task, job)

    monkeypatch.setattr("pipeline.job.save", saved)
    assert main(["erase", str(tmp_path / "photos"), "--out", str(tmp_path / "done"), *ERASE, "0"]) == 1
    captured = capsys.readouterr()
    assert "File exists" in captured.err and captured.err.count("\n") == 1
    assert captured.out.splitlines()[-1].startswith("1 done, 1 failed")
