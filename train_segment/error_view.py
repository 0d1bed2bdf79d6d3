"""A photo, its truth, an answer and where they differ, side by side."""

from __future__ import annotations

import numpy as np

from segment.base import Image, Mask
from segment.metrics import iou
from train_segment.sheet import panel

MISSED, TOO_MUCH, RIGHT, UNCLEAR = (235, 60, 50), (60, 110, 255), (90, 200, 110), (128, 128, 128)


def four_panels(
    image: Image, truth: Mask | None, answer: Mask, ignore: Mask | None = None, *, width_px: int | None = None
) -> list[Image]:
    """The photo, the truth, the answer with its IoU, and the error; without a truth the photo and the answer.

    image: (H, W, 3) uint8 RGB. truth, answer, ignore: (H, W) bool.
    """
    width_px = width_px or image.shape[1]
    plain = panel(image, width_px=width_px)
    if truth is None:
        return [plain, panel(image, width_px=width_px, answer=answer)]
    value = iou(answer, truth, ignore)
    return [
        plain,
        panel(image, width_px=width_px, answer=truth),
        panel(image, width_px=width_px, answer=answer, text=f"{value:.3f}"),
        panel(error(image, truth, answer, ignore), width_px=width_px),
    ]


def error(image: Image, truth: Mask, answer: Mask, ignore: Mask | None = None) -> Image:
    """The photo in grey: green where truth and answer hold the subject, red where it was missed, blue where the answer
    is too much, grey where nobody knows. A new (H, W, 3) uint8 array."""
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    picture = 0.45 * grey
    for colour, where in ((RIGHT, truth & answer), (MISSED, truth & ~answer), (TOO_MUCH, ~truth & answer)):
        picture[where] = 0.4 * grey[where] + 0.6 * np.array(colour)
    if ignore is not None:
        picture[ignore] = 0.3 * grey[ignore] + 0.7 * np.array(UNCLEAR)
    return np.rint(picture).astype(np.uint8)
