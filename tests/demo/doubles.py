"""Drawn photos, models that answer at once, and a running page, for the tests of this room."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from demo.studio import Studio
from segment import Click, NoObjectError, Selection

GRADIOS_WARNINGS = [  # its own use of pandas
    pytest.mark.filterwarnings("ignore:.*no_silent_downcasting"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]
RED, BLUE = (225, 25, 40), (30, 60, 225)


def draw_photo(
    width: int = 320, height: int = 240, *, disk: tuple[int, int, int] = (200, 90, 30), color=RED, seed: int = 0
) -> np.ndarray:
    """(H, W, 3) RGB: green texture without a pixel of the object's colour, and a disk (x, y, radius) of it."""
    random = np.random.default_rng(seed)
    coarse = random.integers(60, 120, (height // 16 + 2, width // 16 + 2)).astype(np.float32)
    light = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + random.normal(0, 6, (height, width))
    image = np.stack([0.5 * light, light + 40, 0.5 * light], axis=-1).clip(0, 255).astype(np.uint8)
    x, y, radius = disk
    cv2.circle(image, (x, y), radius, color, -1)
    return image


def files_below(folder: Path, ending: str = "") -> list[Path]:
    """os.walk, for Path.rglob fails where a folder vanishes under it: a running demo removes visitors' own."""
    return [Path(inside, name) for inside, _, names in os.walk(folder) for name in names if name.endswith(ending)]


def like(image: np.ndarray, color: tuple[int, int, int], tolerance: int = 60) -> np.ndarray:
    """(H, W) bool: the pixels of about that colour."""
    return (np.abs(image.astype(int) - color) <= tolerance).all(axis=-1)


class ColorSegmenter:
    """A test double: the regions of the clicked pixels' colours; first the region, then everything of that colour."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, image):
        self.encoded += 1
        return image.copy()

    def select(self, encoding, clicks: Sequence[Click]) -> list[Selection]:
        region, everywhere = (np.zeros(encoding.shape[:2], bool) for _ in range(2))
        for click in clicks:
            color = encoding[click.y, click.x]
            if color[1] > 90:
                raise NoObjectError("nothing but grass at that place: click an object")
            same = like(encoding, tuple(int(value) for value in color), 40)
            _, labels = cv2.connectedComponents(same.astype(np.uint8))
            part = labels == labels[click.y, click.x]
            region = region | part if click.positive else region & ~part
            everywhere = everywhere | same if click.positive else everywhere & ~same
        return [Selection(region, "ball", 0.9), Selection(everywhere, None, 0.5)]


class FlatInpainter:
    """A test double: the mean colour of what is known."""

    name, max_size_px = "flat", None

    def inpaint(self, image, hole):
        filled = image.copy()
        filled[hole] = image[~hole].mean(axis=0).round()
        return filled


@contextmanager
def running(studio: Studio, folder: Path, **limits: Any) -> Iterator[str]:
    """The page on a free port of this machine, with its files in that folder; gives the address."""
    with running_demo(studio, folder, **limits) as (url, _):
        yield url


@contextmanager
def running_demo(
    studio: Studio, folder: Path, *, login: Sequence[tuple[str, str]] = (), **limits: Any
) -> Iterator[tuple[str, Any]]:
    """The same, and the demo.app.Demo. limits: fields of demo.limits.Limits that are not the usual ones."""
    from demo.app import build_app
    from demo.limits import Limits

    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # read when the components are made
    try:
        # All visitors of a test come from one address.
        allowed = Limits(**{"requests_a_minute": 0, "queue_of_one": 64, "file_bytes": 20 * 2**20, **limits})
        demo = build_app(studio, limits=allowed)
        url = demo.launch(host="127.0.0.1", port=None, open_browser=False, login=login)
        try:
            yield url, demo
        finally:
            demo.close()
    finally:
        os.environ.pop("GRADIO_TEMP_DIR") if before is None else os.environ.update(GRADIO_TEMP_DIR=before)
