from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import atomic, image_io
from pipeline.photo import Encoding, Photo, PhotoError


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole(tmp_path):
    atomic.write_bytes(tmp_path / "a.bin", b"whole")
    assert (tmp_path / "a.bin").read_bytes() == b"whole"
    assert _names(tmp_path) == ["a.bin"]


def test_a_file_in_the_way_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError, match=r"a\.bin exists already: choose another name, or allow overwriting"):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    atomic.write_bytes(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    assert _names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    "name",
    ["\u732b" * 78 + ".png", "e" * 99 + "\u00e9" * 70 + ".png", "a" * 251 + ".png"],
    ids=["3 bytes", "2 bytes", "1 byte"],
)
def test_any_name_that_the_file_system_takes_can_be_written(tmp_path, name):
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    atomic.write_bytes(tmp_path / name, b"whole", overwrite=True)
    assert (tmp_path / name).read_bytes() == b"whole"
    (tmp_path / f".{atomic.shortened(name)}.0123abcd.partial").touch()
    atomic.remove_partials(tmp_path / name)
    assert _names(tmp_path) == [name]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("step", ["fsync", "write"])
def test_a_write_that_fails_leaves_the_old_state(tmp_path, monkeypatch, overwrite, step):
    path = tmp_path / "a.bin"
    if overwrite:
        path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_bytes(path, b"new", overwrite=overwrite)
    assert _names(tmp_path) == (["a.bin"] if overwrite else [])
    if overwrite:
        assert path.read_bytes() == b"old"


def test_an_encoder_that_dies_leaves_no_file(tmp_path, monkeypatch):
    photo = Photo(np.zeros((4, 4, 3), np.uint8), encoding=Encoding("PNG"))

    def dies(self, file, *_, **__):
        file.write(b"half of a")
        raise OSError("encoder error -2 when writing image file")

    monkeypatch.setattr(Image.Image, "save", dies)
    with pytest.raises(PhotoError, match=r"a\.png cannot be written: .*encoder error -2"):
        image_io.save(photo, tmp_path / "a.png")
    assert _names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_are_those_of_any_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        atomic.write_bytes(tmp_path / "a.bin", b"x")
        (tmp_path / "b.bin").write_bytes(b"x")
    finally:
        os.umask(old)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.bin", "b.bin")]
    assert modes == [0o640, 0o640]


def test_a_folder_that_is_not_there_is_said_of_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        atomic.write_bytes(tmp_path / "gone" / "a.bin", b"x")
    assert caught.value.filename == str(tmp_path / "gone" / "a.bin")


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.bin").write_bytes(b"old")
    (tmp_path / "link.bin").symlink_to("real.bin")
    atomic.write_bytes(tmp_path / "link.bin", b"new", overwrite=True)
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real.bin").read_bytes() == b"new"


def test_two_writers_of_one_name_cannot_both_win(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    fsync = os.fsync

    def other_writer_comes_first(descriptor):
        path.write_bytes(b"the other's")
        return fsync(descriptor)

    monkeypatch.setattr(os, "fsync", other_writer_comes_first)
    with pytest.raises(FileExistsError):
        atomic.write_bytes(path, b"mine")
    assert path.read_bytes() == b"the other's"


def test_a_file_system_without_hard_links_works_too(tmp_path, monkeypatch):
    def no_links(self, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    atomic.write_bytes(tmp_path / "a.bin", b"x")
    assert (tmp_path / "a.bin").read_bytes() == b"x"
    with pytest.raises(FileExistsError):
        atomic.write_bytes(tmp_path / "a.bin", b"y")
    assert _names(tmp_path) == ["a.bin"]


def test_saving_checks_the_name_before_it_encodes(tmp_path):
    photo = Photo(np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        image_io.save(photo, tmp_path / "a.png")
    with pytest.raises(PhotoError, match=r"a\.xyz cannot be written: \.xyz is no photo format; use one of \.jpg"):
        image_io.save(photo, tmp_path / "a.xyz")
    with pytest.raises(PhotoError, match="no extension is no photo format"):
        image_io.save(photo, tmp_path / "a")
