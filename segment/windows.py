"""Square windows of a photo, and clicks as they see them: nets see the same squares in training and afterwards."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Image
from segment.working_size import working_wh

Pixels = NDArray[np.uint8]

BORDER = 128  # what a net sees beyond the photo's border
_SHARP = 3  # a square is read at so many times the size that is wanted: half a pixel there is a sixth of one wanted


class Scales:
    """A photo at its own size, at a half, a quarter and so on: what is looked at small is read where it is small."""

    def __init__(self, image: Image, smallest_px: int) -> None:
        """image: (H, W, 3) uint8 RGB, kept, not copied. No size has a longer side below smallest_px but for its own."""
        self._sizes = [image]
        while max(self._sizes[-1].shape[:2]) >= 2 * smallest_px and min(self._sizes[-1].shape[:2]) > 1:
            self._sizes.append(_halved(self._sizes[-1]))

    @property
    def image(self) -> Image:
        return self._sizes[0]

    def square(self, corner_xy: tuple[int, int], side_px: int, size_px: int) -> Image:
        """(size_px, size_px, 3): the square of the photo with that corner and side, grey where there is no photo."""
        level = self._level(side_px, _SHARP * size_px)
        x, y = (round(start / 2**level) for start in corner_xy)
        side = round(side_px / 2**level)
        how = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
        return np.asarray(
            cv2.resize(cut_square(self._sizes[level], (x, y), side), (size_px, size_px), interpolation=how), np.uint8
        )

    def crop(self, box_xyxy: tuple[int, int, int, int], size_px: int) -> tuple[Image, tuple[int, int, int, int]]:
        """What the box shows, its longer side at most size_px, and the box grown to what that truly shows.

        At the right and below that may be a few pixels more than the photo has, its last ones repeated.
        """
        x0, y0, x1, y1 = box_xyxy
        level = self._level(max(x1 - x0, y1 - y0), size_px)
        x0, y0, x1, y1 = x0 >> level, y0 >> level, -(-x1 >> level), -(-y1 >> level)
        seen = self._sizes[level][y0:y1, x0:x1]
        size = working_wh(seen.shape[:2], size_px)
        if size != seen.shape[1::-1]:
            # Less than twice too long, or the next size would do: areas say no more, and take seven times as long.
            seen = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        return seen, (x0 << level, y0 << level, x1 << level, y1 << level)

    def _level(self, side_px: int, least_px: int) -> int:
        """How often the photo may be halved for a part of it with that side to keep least_px."""
        fitting = [level for level in range(len(self._sizes)) if side_px >> level >= least_px]
        return max(fitting, default=0)


def _halved(image: Image) -> Image:
    """The photo at half its size; the last row and column of odd sizes count twice, so that nothing is moved."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.asarray(cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
    size = image.shape[1] // 2, image.shape[0] // 2
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


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
