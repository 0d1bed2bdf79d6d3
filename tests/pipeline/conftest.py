"""What the pipeline's tests share: a small picture, an object on it, metadata, and models that need no weights."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageCms

from segment.base import Click, NoObjectError, Selection

HEIGHT, WIDTH = 24, 38


@pytest.fixture
def noise():
    """(24, 38, 4) uint8: no two rows, columns or channels alike, so that nothing can be swapped unseen."""
    return np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)


@pytest.fixture
def mask():
    """(24, 38) bool: an object in the upper left part, not symmetric in any way."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:11, 4:14] = True
    mask[11:13, 4:7] = True
    return mask


@pytest.fixture
def icc():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def make_exif():
    """EXIF bytes, beginning with "Exif", with a maker, a date, a place, the sides and an orientation."""

    def make(orientation: int = 1) -> bytes:
        exif = Image.Exif()
        exif[0x010F] = "Clickaway Cameras"
        exif[0x0112] = orientation
        exif.get_ifd(0x8769).update({0x9003: "2020:02:03 04:05:06", 0xA002: WIDTH, 0xA003: HEIGHT})
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 30.0)})
        return exif.tobytes()

    return make


class PaintInpainter:
    """Fills every hole with one colour, and remembers the holes that it was given."""

    color = (10, 200, 30)

    def __init__(self) -> None:
        self.holes: list[np.ndarray] = []

    def inpaint(self, image, hole):
        self.holes.append(hole.copy())
        result = image.copy()
        result[hole] = self.color
        return result


class SquaresSegmenter:
    """Knows every 8x8 square of the photo's grid as an object: "cat" and "dog" in turn."""

    classes = ("cat", "dog", "horse")

    def __init__(self, *, score_threshold: float = 0.0, device: str = "cpu") -> None:
        self.score_threshold, self.device = score_threshold, device

    def encode(self, image):
        return image.shape[:2]

    def instances(self, encoding):
        found = []
        for number, (y, x) in enumerate((y, x) for y in range(0, encoding[0], 8) for x in range(0, encoding[1], 8)):
            square = np.zeros(encoding, bool)
            square[y : y + 8, x : x + 8] = True
            found.append(Selection(square, ("cat", "dog")[number % 2], 0.9 - 0.01 * number))
        return [one for one in found if one.score >= self.score_threshold]

    def select(self, encoding, clicks: Sequence[Click]):
        if not clicks:
            return self.instances(encoding)
        for click in clicks:
            if not (0 <= click.x < encoding[1] and 0 <= click.y < encoding[0]):
                raise ValueError(f"click ({click.x}, {click.y}) is outside the photo")
        first = clicks[0]
        if first.y < 8 and first.x < 8:
            raise NoObjectError("no object was found at that place; nearest: cat at (12, 4)")
        held = [one for one in self.instances(encoding) if one.mask[first.y, first.x]]
        whole = Selection(np.ones(encoding, bool), None, 0.1)
        return [*held, whole]


@pytest.fixture
def inpainter():
    return PaintInpainter()


@pytest.fixture
def fake_models(monkeypatch):
    """Registers the segmenter "squares" and the inpainter "paint", which need no weights."""
    import inpaint
    import segment

    module = types.ModuleType("clickaway_test_models")
    module.SquaresSegmenter, module.PaintInpainter = SquaresSegmenter, PaintInpainter
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(segment.SEGMENTERS, "squares", f"{module.__name__}:SquaresSegmenter")
    monkeypatch.setitem(inpaint.INPAINTERS, "paint", f"{module.__name__}:PaintInpainter")
    return module


CRASHING = '''
"""Models for tests in other processes: an inpainter that a colour brings down. Found by its name on sys.path."""

import os
import signal
import threading
from pathlib import Path

import numpy as np

import pipeline.job
from inpaint import load_inpainter
from pipeline.models import Models
from weights import WeightsError


class CrashingModels(Models):
    """Fills as Telea does; but red photos kill their process, green ones say that memory ran out, blue miss weights.

    Purple ones kill it the first time that one is tried, orange ones take too much memory then. Cyan ones take memory
    until the system gives no more, yellow ones run out of it as TensorFlow does.
    """

    @property
    def filler(self):
        return _CrashingInpainter()


class KilledAfterSavingModels(Models):
    """Fills as Telea does; the process that saves first is killed before it can say so."""

    @property
    def filler(self):
        real = pipeline.job.save

        def save(*given):
            outcome = real(*given)
            if _first("killed-after-saving"):
                os.kill(os.getpid(), signal.SIGKILL)
            return outcome

        pipeline.job.save = save  # in a worker, which loads the models before it begins
        return load_inpainter("telea")


class MissingModels(Models):
    @property
    def filler(self):
        raise WeightsError("the weights are not here: fetch them")


class MeetingModels(Models):
    """Fills as Telea does, but only when three photos are being filled at a time in one process."""

    @property
    def filler(self):
        return _MeetingInpainter()


class _MeetingInpainter:
    max_size_px = None
    three = threading.Barrier(3)

    def inpaint(self, image, hole):
        self.three.wait(30)
        return load_inpainter("telea").inpaint(image, hole)


class _CrashingInpainter:
    max_size_px = None

    def inpaint(self, image, hole):
        color = tuple(image[~hole][0].tolist())
        if color == (255, 0, 0):
            os.kill(os.getpid(), signal.SIGKILL)
        if color == (255, 0, 255) and _first("killed-once"):
            os.kill(os.getpid(), signal.SIGKILL)
        if color == (255, 128, 0) and _first("exhausted-once"):
            raise MemoryError
        if color == (0, 255, 0):
            raise MemoryError
        if color == (0, 255, 255):
            taken = [np.empty(2**28, np.uint8) for _ in range(400)]  # 100 GiB; never written, so no memory is used
            raise AssertionError(f"{len(taken)} pieces of memory, and nobody stopped it")
        if color == (255, 255, 0):
            import tensorflow as tf

            tf.zeros([2**44])
        if color == (0, 0, 255):
            raise WeightsError("the weights are not here: fetch them")
        return load_inpainter("telea").inpaint(image, hole)


def _first(name):
    mark = Path(__file__).with_name(name)
    is_first = not mark.exists()
    mark.touch()
    return is_first
'''


@pytest.fixture
def crashing(tmp_path, monkeypatch):
    """The module above, importable here and in processes that are started from here."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "clickaway_crashing.py").write_text(CRASHING)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("clickaway_crashing")
    del sys.modules["clickaway_crashing"]


@pytest.fixture
def draw():
    """draw(path, color): a small photo of that colour with a dark disk on it; no two colours give the same file."""

    def drawn(path, color=(90, 140, 200), size=64):
        picture = np.full((size, size, 3), color, np.uint8)
        y, x = np.ogrid[:size, :size]
        picture[(y - size // 2) ** 2 + (x - size // 2) ** 2 < (size // 6) ** 2] = 20
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        return path

    return drawn
