"""A sheet of small pictures that shows what is selected on each photo, before anything is done to them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.job import Outcome
from pipeline.report import described
from segment.base import Image, Mask

PREVIEW_PX = 240  # longer side of a small picture
MOST_PHOTOS = 96

_COLUMNS = 6
_GAP_PX, _TEXT_PX = 8, 34
_TINT = np.array([255, 64, 64], np.float32)  # stands out on skin, grass, sky and stone alike
_PAPER, _INK, _FAILED = (250, 250, 250), (40, 40, 40), (190, 20, 20)


def marked(image: Image, masks: Sequence[Mask], *, longer_px: int) -> Image:
    """The photo made small, the masks tinted and outlined. A new (h, w, 3) uint8 array."""
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, longer_px / max(height, width))
    small_wh = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, small_wh, interpolation=cv2.INTER_AREA)
    for mask in masks:
        cover = cv2.resize(mask.astype(np.uint8) * 255, small_wh, interpolation=cv2.INTER_AREA)
        opacity = (cover / 255 * 0.45)[..., np.newaxis]
        small = np.rint(small * (1 - opacity) + _TINT * opacity).astype(np.uint8)
        # Black within white: one of them is seen on any photo.
        edges, _ = cv2.findContours((cover > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        small = cv2.drawContours(np.ascontiguousarray(small), edges, -1, (255, 255, 255), 2)
        small = cv2.drawContours(small, edges, -1, (0, 0, 0), 1)
    return np.asarray(small, np.uint8)


def sheet(outcomes: Sequence[Outcome]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a small picture for each outcome, its name and what is selected below it, or why nothing is."""
    from PIL import Image as Pictures
    from PIL import ImageDraw, ImageFont

    columns = min(_COLUMNS, max(1, len(outcomes)))
    rows = math.ceil(len(outcomes) / columns)
    cell_w, cell_h = PREVIEW_PX + _GAP_PX, PREVIEW_PX + _TEXT_PX + _GAP_PX
    page = Pictures.new("RGB", (columns * cell_w + _GAP_PX, max(1, rows) * cell_h + _GAP_PX), _PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for number, outcome in enumerate(outcomes):
        left, top = _GAP_PX + number % columns * cell_w, _GAP_PX + number // columns * cell_h
        if outcome.preview is not None:
            height, width = outcome.preview.shape[:2]
            place = left + (PREVIEW_PX - width) // 2, top + (PREVIEW_PX - height) // 2
            page.paste(Pictures.fromarray(outcome.preview), place)
        else:
            pen.rectangle((left, top, left + PREVIEW_PX, top + PREVIEW_PX), outline=_FAILED)
        trouble = outcome.error or outcome.skipped
        what = trouble or described(outcome)
        for line, text in enumerate((outcome.source.name, what)):
            place = left, top + PREVIEW_PX + 2 + line * _TEXT_PX // 2
            pen.text(place, _fitting(text, pen, font), fill=_FAILED if trouble and line else _INK, font=font)
    return np.asarray(page)


def spread(number: int) -> list[int]:
    """Which of so many photos are on the sheet: all, or MOST_PHOTOS of them evenly spread."""
    if number <= MOST_PHOTOS:
        return list(range(number))
    return [round(index * (number - 1) / (MOST_PHOTOS - 1)) for index in range(MOST_PHOTOS)]


def _fitting(text: str, pen: object, font: object) -> str:
    """The text, its middle left out until it fits below a picture."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    kept = text
    while len(kept) > 8 and pen.textlength(kept, font=font) > PREVIEW_PX:  # type: ignore[attr-defined]
        half = (len(kept) - 4) // 2
        kept = f"{text[:half]}...{text[-half:]}"
    return kept
