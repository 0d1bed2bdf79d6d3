"""Every kind of file: the right picture, or one clear line. Never a traceback, never more memory than is stated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import image_io
from pipeline.decode import decode
from pipeline.encode import encode
from pipeline.note import noted
from pipeline.photo import PhotoError
from pipeline.private import without_private
from tests.files import corpus

ROOT = Path(__file__).parents[2]
MIB = 2**20
# The bound on reading a file: measured 6 to 23 bytes a pixel beside the file itself, on 12 MP files of 22 kinds.
BYTES_PER_PIXEL, REST = 32, 64 * MIB
WHOLE = {whole.name: whole for whole in corpus.photos()}
needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux's /proc")

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, about what is odd in a file


def _load(path: Path, data: bytes):
    path.write_bytes(data)
    try:
        return image_io.load(path, max_pixels=2_000_000)
    except PhotoError as error:
        text = str(error)
        assert text.isprintable() and 20 < len(text) < 400, text
        assert "cannot be read: it" in text or "cannot be read: there is not enough memory" in text
        return text


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_photo_is_seen_as_it_was_made(tmp_path, name):
    photo = _load(tmp_path / name, WHOLE[name].data)
    assert not isinstance(photo, str), photo
    assert photo.rgb.shape == WHOLE[name].upright.shape
    assert np.abs(photo.rgb.astype(int) - WHOLE[name].upright).mean() <= WHOLE[name].tolerance


@pytest.mark.parametrize("name", [name for name in WHOLE if "20000" not in name])
def test_a_whole_photo_is_written_again_in_its_own_format_and_under_a_wrong_name(tmp_path, name):
    photo = _load(tmp_path / "wrong.gif", WHOLE[name].data)
    image_io.save(photo, tmp_path / name, strip_metadata=True)
    again = _load(tmp_path / "wrong.bmp", (tmp_path / name).read_bytes())
    assert (again.hw, again.encoding.format) == (photo.hw, photo.encoding.format)
    assert np.abs(again.rgb.astype(int) - photo.rgb).mean() <= WHOLE[name].tolerance


@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_photo_is_a_picture_or_one_line(tmp_path, name):
    data = WHOLE[name].data
    for share in (0.03, 0.2, 0.5, 0.8, 0.97):
        _load(tmp_path / "cut.jpg", corpus.cut(data, share))
    assert isinstance(_load(tmp_path / "cut.jpg", data[:1]), str)


@pytest.mark.parametrize("name", [name for name in WHOLE if "turned" not in name])
def test_a_photo_with_flipped_bits_is_a_picture_or_one_line_and_no_library_prints_any(tmp_path, name, capfd):
    for seed in range(8):
        _flip(tmp_path, name, seed)
    assert capfd.readouterr() == ("", "")


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", WHOLE)
def test_a_photo_with_any_bits_flipped_is_a_picture_or_one_line(tmp_path, name, bounded):
    for seed in bounded.within(range(8, 408)):
        _flip(tmp_path, name, seed)
    bounded.say("files with flipped bits")


def _flip(folder: Path, name: str, seed: int) -> None:
    photo = _load(folder / "flipped.png", corpus.flipped(WHOLE[name].data, seed, bits=1 + seed % 5))
    if not isinstance(photo, str):  # what can be read can be written
        image_io.save(photo, folder / "written.png", overwrite=True)


WITH_EXIF = ("full.jpg", "turned-6.jpg", "full.png", "lossy.webp", "full.tif")


@pytest.mark.parametrize("name", WITH_EXIF)
def test_damaged_metadata_never_keeps_a_photo_from_being_written(name):
    for seed in range(10):
        _damage_metadata(name, seed)


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", WITH_EXIF)
def test_metadata_damaged_in_any_way_never_keeps_a_photo_from_being_written(name, bounded):
    for seed in bounded.within(range(10, 2000)):
        _damage_metadata(name, seed)
    bounded.say("files with damaged metadata, each written in six ways")


def _damage_metadata(name: str, seed: int) -> None:
    data = WHOLE[name].data
    start = max(data.find(b"Exif\0\0"), data.find(b"MM\0*"), data.find(b"II*\0"))
    block = corpus.flipped(data[start : start + 420], seed, bits=1 + seed % 4)
    try:
        photo = decode(data[:start] + block + data[start + 420 :], max_pixels=2_000_000)
    except PhotoError:
        return
    for kept in (noted(photo.metadata, ("object erased",), "TIFF"), without_private(photo.metadata)):
        for kind in ("TIFF", "PNG", "JPEG"):
            encode(replace(photo, metadata=kept), kind)


@needs_proc
def test_no_trap_costs_more_than_a_photo_of_its_size_may(tmp_path):
    """In a process of its own, which prints nothing but the outcomes: libraries have their own ways to complain."""
    files = [tmp_path / "first.png"]
    files[0].write_bytes(WHOLE["wide.png"].data)
    for name, data in (*corpus.traps().items(), *((name, whole.data) for name, whole in WHOLE.items())):
        files.append(tmp_path / name)
        files[-1].write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-m", "tests.files.watched", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    outcomes = {Path(outcome["file"]).name: outcome for outcome in map(json.loads, done.stdout.splitlines())}
    assert len(outcomes) == len(files)
    assert done.stderr == ""
    for path in files:
        outcome = outcomes[path.name]
        assert "trace" not in outcome, outcome
        # A bomb's pixels are refused: it may take no more than what is there.
        hollow = 6000 * 5000 if path.name.startswith("hollow") else 0
        pixels = max(int(np.prod(outcome.get("picture", (0, 0)))), hollow)
        bound = pixels * BYTES_PER_PIXEL + 2 * path.stat().st_size + REST
        assert outcome["kib"] * 1024 <= bound, outcome
        if path.name.startswith(("bomb", "widest")):
            assert "the limit is 200 MP" in outcome["line"]
        assert path.name not in WHOLE or "picture" in outcome


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for read in (image_io.load, image_io.size_of):
        with pytest.raises(PhotoError, match="it is not an ordinary file"):
            read(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("read", [image_io.load, image_io.size_of])
def test_what_is_no_file_is_named(tmp_path, read):
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    for name, message in (("loop.jpg", "it is a link that leads nowhere"), (".", "a folder"), ("gone", "not there")):
        with pytest.raises(PhotoError, match=message):
            read(tmp_path / name)
    with pytest.raises(PhotoError, match="it is not an ordinary file"):
        read(Path("/dev/zero"))


def test_a_file_that_is_longer_than_any_photo_is_not_read(tmp_path):
    for name, first, message in (
        ("huge.jpg", b"\xff\xd8\xff\xe0", r"it is 50\.0 GB long; for 200 MP, the limit, a photo needs at most 1\.9 GB"),
        ("film.jpg", b"\0\0\0\x20ftypisom", "it is not a photo"),
    ):
        with (tmp_path / name).open("wb") as file:
            file.write(first)
            file.truncate(50_000_000_000)  # a hole: it takes no place on the disk
        for read in (image_io.load, image_io.size_of):
            with pytest.raises(PhotoError, match=message):
                read(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["写真 été.png", "two\nlines.png", "\x1b[31mred.png", os.fsdecode(b"no text \xff.png"), "-o"]
)
def test_odd_names_are_read_written_and_said_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(WHOLE["plain.png"].data)
    photo = image_io.load(path)
    image_io.save(photo, tmp_path / f"new {name}.png")
    assert image_io.load(tmp_path / f"new {name}.png").hw == photo.hw
    assert isinstance(_load(path, b"broken"), str)
