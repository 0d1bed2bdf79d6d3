"""Films: every frame edited, masks that follow movement, files whole or not at all."""

from __future__ import annotations

import os
import signal
import sys
import time
import types
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import segment
from pipeline.__main__ import main
from pipeline.effects import Blur, CutOut, Erase, Replace
from pipeline.models import Models
from pipeline.selection import Pick
from pipeline.video import VideoError, edited_frame, film_models, follow, process_video
from segment.base import NoObjectError, Selection
from segment.metrics import iou

HW = (72, 96)


def scene(x: int, hw=HW):
    """A bright ball at column x on a dark, finely patterned ground, and its mask."""
    rows, columns = np.mgrid[: hw[0], : hw[1]]
    mask = (rows - hw[0] // 2) ** 2 + (columns - x) ** 2 < 16**2
    ground = 40 + 30 * ((rows // 2 + columns // 2) % 2)
    frame = np.where(mask[..., None], (230, 210, 120), ground[..., None] * np.ones(3))
    return frame.astype(np.uint8), mask


class BallSegmenter:
    """A test double that knows classes: what is bright is a ball, what is dark the ground."""

    classes = ("ball", "ground")

    def encode(self, image):
        return image[..., 0] > 150

    def select(self, encoding, clicks=()):
        return self.instances(encoding)

    def instances(self, encoding):
        return [Selection(encoding, "ball", 0.9), Selection(~encoding, "ground", 0.8)]


class BrightSegmenter:
    """A test double: what is bright is the subject."""

    def encode(self, image):
        return image[..., 0] > 150

    def select(self, encoding, clicks=()):
        if not encoding.any():
            raise NoObjectError("all is dark")
        return [Selection(encoding, None, 1.0)]


@pytest.fixture(autouse=True)
def bright(monkeypatch):
    module = types.ModuleType("clickaway_test_films")
    module.BrightSegmenter, module.BallSegmenter = BrightSegmenter, BallSegmenter
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(segment.SEGMENTERS, "bright", f"{module.__name__}:BrightSegmenter")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12, HW[::-1])
    for number in range(8):
        writer.write(np.ascontiguousarray(scene(30 + 3 * number)[0][..., ::-1]))
    writer.release()
    return path


def read(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            capture.release()
            return frames
        frames.append(frame[..., ::-1])


def test_a_mask_that_flickers_is_steadied():
    frame, mask = scene(48)
    followed = None
    shown = []
    for number in range(12):
        bad = number in (5, 9)  # the net loses the ball for a frame
        followed = follow(followed, frame, np.zeros_like(mask) if bad else mask)
        shown.append(iou(followed.mask(frame), mask))
    assert min(shown) > 0.85


def test_the_mask_moves_with_the_picture():
    followed = None
    for x in range(20, 76, 4):
        frame, mask = scene(x)
        followed = follow(followed, frame, mask, memory=0.9)
    lagging = 0.0  # what the same memory without movement would give
    opacity = None
    for x in range(20, 76, 4):
        mask = scene(x)[1].astype(float)
        opacity = mask if opacity is None else 0.9 * opacity + 0.1 * mask
    lagging = iou(opacity >= 0.5, mask > 0.5)
    assert iou(followed.mask(frame), mask > 0.5) > max(0.75, lagging + 0.2)


def test_nothing_of_another_shot_stays():
    first, mask = scene(30)
    bright = np.full_like(first, 220)
    followed = follow(follow(None, first, mask), bright, np.zeros_like(mask))
    assert followed.opacity.max() == 0
    assert follow(followed, first[:40], mask[:40]).opacity.max() == 1  # another size begins anew too


def test_a_film_is_written_frame_for_frame(clip, tmp_path):
    seen = []
    filmed = process_video(
        clip, tmp_path / "out.avi", Pick(), Replace((0, 200, 0)), Models(segmenter="bright"),
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    frames = read(tmp_path / "out.avi")
    assert filmed.frames == len(frames) == 8
    assert filmed.frames_per_second > 0
    assert seen[-1] == (8, 8)
    for number, frame in enumerate(frames):
        assert np.abs(frame[5, 5].astype(int) - (0, 200, 0)).max() < 25
        assert np.abs(frame[36, 30 + 3 * number].astype(int) - (230, 210, 120)).max() < 40
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mov"])
def test_the_extension_says_the_format(clip, tmp_path, suffix):
    target = tmp_path / f"out{suffix}"
    process_video(clip, target, Pick(), Blur(), Models(segmenter="bright"))
    assert len(read(target)) == 8


def test_without_a_subject_everything_is_background(clip):
    frame, _ = scene(40)
    nothing = np.zeros(HW, bool)
    assert edited_frame(frame, nothing, Blur(3.0))[:10].std() < 0.2 * frame[:10].std()
    assert (edited_frame(frame, nothing, Replace((1, 2, 3))) == (1, 2, 3)).all()


@pytest.mark.parametrize(
    ("effect", "target", "message"),
    [
        (CutOut(), "out.mp4", "transparency"),
        (Erase(), "out.mp4", "not made of films"),
        (Blur(), "out.gif", "films are .mp4"),
    ],
)
def test_what_cannot_be_a_film_is_said_in_a_line(clip, tmp_path, effect, target, message):
    with pytest.raises(VideoError, match=message):
        process_video(clip, tmp_path / target, Pick(), effect, Models())


def test_a_file_that_is_no_film_leaves_nothing_behind(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no film at all")
    with pytest.raises(VideoError, match="no film"):
        process_video(tmp_path / "bad.mp4", tmp_path / "out.mp4", Pick(), Blur(), Models())
    assert [path.name for path in tmp_path.iterdir()] == ["bad.mp4"]


def test_the_command_writes_beside_the_film_and_says_how_fast(clip, capsys):
    command = ["blur", str(clip), "--segmenter", "bright"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "clip-blurred.avi: 8 frames" in out
    assert "frames/s" in out
    assert main(command) != 0
    assert "exists already" in capsys.readouterr().err
    assert main(["blur", str(clip), "--at", "3,3", "-o", str(clip.with_name("x.avi"))]) != 0
    assert "a click, a box or a mask is of one picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extension", "codec"), [(".mts", "mpeg2video"), (".FLV", "flv1"), (".wmv", "msmpeg4v3"), (".mpg", "mpeg2video")]
)
def test_films_of_formats_that_are_only_read_become_mp4(tmp_path, capsys, extension, codec):
    clip = tmp_path / f"clip{extension}"
    with av.open(str(clip), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = HW[1], HW[0], "yuv420p"
        for number in range(8):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(scene(30 + 3 * number)[0], format="rgb24")))
        out.mux(stream.encode(None))
    assert main(["blur", str(clip), "--segmenter", "bright"]) == 0
    assert len(read(tmp_path / "clip-blurred.mp4")) == 8
    assert main(["blur", str(clip), "--segmenter", "bright", "-o", str(tmp_path / f"out{extension}")]) == 2
    assert "films are .mp4" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--dry-run"],
        ["--watch", "--out", "done"],
        ["--skip-existing"],
        ["--quality", "5"],
        ["--workers", "2"],
        ["--together", "2"],
        ["--memory", "1"],
        ["--engine", "ray"],
        ["--json-lines"],
        ["--points", "gone.csv"],
        ["--boxes", "gone.csv"],
        ["--masks", "gone"],
        ["--coco", "gone.json", "--class", "person"],
    ],
)
def test_options_of_photos_are_refused_for_films_and_nothing_is_written(clip, capsys, words):
    before = sorted(clip.parent.rglob("*"))
    assert main(["blur", str(clip), *words]) == 2
    assert f"{words[0]} is for photos" in capsys.readouterr().err
    assert sorted(clip.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "kept"), [(["--class", "ball"], (36, 30)), (["--class", "ground"], (5, 90)), (["--all"], (36, 30))]
)
def test_objects_of_classes_are_found_by_the_net_that_knows_them(clip, monkeypatch, options, kept):
    monkeypatch.setitem(segment.SEGMENTERS, "auto", "clickaway_test_films:BallSegmenter")
    target = clip.with_name("out.avi")
    assert main(["replace", str(clip), *options, "--with", "#0000ff", "-o", str(target), "-q"]) == 0
    (before, *_), (after, *_) = read(clip), read(target)
    assert np.abs(after[kept].astype(int) - before[kept]).max() < 40
    other = (5, 90) if options[-1] == "ball" else (36, 30)
    is_blue = np.abs(after[other].astype(int) - (0, 0, 255)).max() < 40
    assert is_blue == (options != ["--all"])


def test_sigterm_leaves_nothing_behind(clip, capsys, monkeypatch):
    def ended(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr("pipeline.video.follow", ended)
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nobody was told"))  # or it would end these tests
    try:
        assert main(["blur", str(clip), "--segmenter", "bright", "-o", str(clip.with_name("out.mp4"))]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [path.name for path in clip.parent.iterdir()] == ["clip.avi"]


def test_a_film_with_larger_frames_than_are_allowed_is_refused_before_it_is_decoded(clip, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.film._pixels", lambda frame: pytest.fail("a frame was decoded"))
    assert main(["blur", str(clip), "--segmenter", "bright", "--max-megapixels", "0.006"]) == 2
    assert "its frames have 96x72 pixels, 0.006912 MP; the limit is 0.006 MP" in capsys.readouterr().err
    assert sorted(path.name for path in clip.parent.iterdir()) == ["clip.avi"]


def test_what_is_no_file_is_not_replaced_by_a_film(clip, capsys):
    pipe, folder = clip.with_name("pipe.mp4"), clip.with_name("folder.mp4")
    os.mkfifo(pipe)
    folder.mkdir()
    for target in (pipe, folder):
        assert main(["blur", str(clip), "--segmenter", "bright", "-o", str(target), "--overwrite"]) == 2
        assert capsys.readouterr().err.rstrip().endswith(("of that name that is no file", "give it with --out"))
    assert pipe.is_fifo() and folder.is_dir()
    assert len(list(clip.parent.iterdir())) == 3


def test_the_bundled_net_looks_at_a_frame_once(monkeypatch, tmp_path):
    monkeypatch.setattr("segment.prominent.bundled_subject", lambda: tmp_path)
    models = film_models(Models())
    assert (models.segmenter, dict(models.segmenter_options)) == ("subject", {"flip": False})
    assert film_models(Models(segmenter="grabcut")).segmenter == "grabcut"
