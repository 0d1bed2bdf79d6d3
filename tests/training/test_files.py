"""Data sets with things in them that are no photos: each is one broken sample, none is waited for or ends the run."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from train_pconv.photos import Folder, Photos
from train_pconv.shapes import HoleFiles
from train_segment.data import BrokenSampleError, open_data


def _bomb(path: Path) -> None:
    """A PNG whose header promises 900 million pixels."""
    chunks = [
        (b"IHDR", struct.pack(">LLBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    packed = (
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def _odd(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    else:
        _bomb(path)


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["pipe", "loop", "bomb"])
@pytest.mark.parametrize("which", ["images", "masks"])
def test_an_odd_photo_or_mask_is_one_broken_sample(tmp_path, kind, which):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        PillowImage.fromarray(np.ones((8, 9), np.uint8)).save(tmp_path / name / "a.png")
    (tmp_path / which / "a.png").unlink()
    _odd(tmp_path / which / "a.png", kind)
    data = open_data([tmp_path])
    with pytest.raises(BrokenSampleError, match=r"images/a\.png: "):
        data.get(0)
    assert len(data.broken) == 1


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["pipe", "loop", "bomb"])
def test_an_odd_photo_or_hole_of_the_inpainters_trainer_is_broken(tmp_path, kind):
    _odd(tmp_path / "a.png", kind)
    photos = Photos(Folder(tmp_path))
    with pytest.raises(ValueError, match=r"a\.png|exceeds limit"):
        photos.get(0)
    assert len(photos.broken) == 1
    holes = HoleFiles([tmp_path])
    assert holes.draw(np.random.default_rng(0)).any()  # a drawn blob in its place
    assert len(holes.broken) == 1
