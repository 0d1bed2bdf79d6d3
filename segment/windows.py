"""Square windows of a photo, and clicks as they see them: nets see the same squares in training and afterwards."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Image

Pixels = NDArray[np.uint8]

BORDER = 128  # what a net sees beyond the photo's border


def resized_to(image: Image, side_px: int) -> Image:
    """The photo at that longer side."""
    height, width = image.shape[:2]
    factor = side_px / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def middle_corner(picture_hw: tuple[int, int], side_px: int) -> tuple[int, int]:
    """The corner (x, y) of the square of that side in whose middle the picture lies: negative where it is smaller."""
    return (picture_hw[1] - side_px) // 2, (picture_hw[0] - side_px) // 2


def scaled_click(click: Click, image_hw: tuple[int, int], size_hw: tuple[int, int]) -> Click:
    """The click when the picture that it lies on is brought to another size."""
    x, y = (click.x + 0.5) * size_hw[1] / image_hw[1], (click.y + 0.5) * size_hw[0] / image_hw[0]
    return Click(math.floor(x), math.floor(y), click.positive)


def moved_click(click: Click, corner_xy: tuple[int, int]) -> Click:
    """The click as a crop with that corner sees it; it may lie outside."""
    return Click(click.x - corner_xy[0], click.y - corner_xy[1], click.positive)


def cut_square(picture: Pixels, corner_xy: tuple[int, int], side_px: int, *, border: int = BORDER) -> Pixels:
    """The square of the picture, (H, W) or (H, W, 3), with that corner; border where there is no picture."""
    height, width = picture.shape[:2]
    (x, y), square = corner_xy, np.full((side_px, side_px, *picture.shape[2:]), border, np.uint8)
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + side_px), min(height, y + side_px)
    if x0 < x1 and y0 < y1:
        square[y0 - y : y1 - y, x0 - x : x1 - x] = picture[y0:y1, x0:x1]
    return square
