"""The photo as the browser shows it: how large, and the way back to the photo's own pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from segment.base import Image, Mask

LONGEST_PX = 1600  # twice what a screen gives the photo: sharp on dense screens, a tenth of the bytes of 12 megapixels
SMALLEST_PX = 1000  # the page never enlarges a picture, so that small photos are enlarged here


@dataclass(frozen=True)
class View:
    """A photo's size and the size at which it is shown. Both axes have their own scale, so that no click drifts."""

    photo_hw: tuple[int, int]
    view_hw: tuple[int, int]

    @classmethod
    def of(cls, photo_hw: tuple[int, int]) -> View:
        """The view of a photo of that size: its longer side within SMALLEST_PX..LONGEST_PX."""
        longer = max(photo_hw)
        scale = min(max(longer, SMALLEST_PX), LONGEST_PX) / longer
        height, width = photo_hw
        return cls(photo_hw, (max(1, round(height * scale)), max(1, round(width * scale))))

    @property
    def scale(self) -> float:
        """View pixels for one pixel of the photo, along the longer side."""
        return max(self.view_hw) / max(self.photo_hw)

    def to_photo(self, x: float, y: float) -> tuple[int, int]:
        """The pixel (x, y) of the photo under a position in the view, kept on the photo.

        A position is not a pixel: it runs from 0 at the view's left and upper edge to its size at the right and lower.
        """
        (height, width), (view_h, view_w) = self.photo_hw, self.view_hw
        column, row = math.floor(x * width / view_w), math.floor(y * height / view_h)
        return min(max(column, 0), width - 1), min(max(row, 0), height - 1)

    def to_view(self, x: int, y: int) -> tuple[int, int]:
        """The position in the view of the middle of the photo's pixel (x, y)."""
        (height, width), (view_h, view_w) = self.photo_hw, self.view_hw
        return int((x + 0.5) * view_w / width), int((y + 0.5) * view_h / height)

    def show(self, image: Image) -> Image:
        """The photo at the view's size. image: (H, W, 3) uint8. A new array."""
        return _resize(image, self.view_hw)

    def show_mask(self, mask: Mask) -> Mask:
        """A mask of the photo at the view's size: True where more than half of a pixel is covered."""
        return _resize_mask(mask, self.view_hw)


def _resize(image: Image, size_hw: tuple[int, int]) -> Image:
    height, width = size_hw
    if image.shape[:2] == size_hw:
        return image.copy()
    # Averaging is the only one of the two that does not flicker when it shrinks; it gives blocks when it enlarges.
    smaller = height < image.shape[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def _resize_mask(mask: Mask, size_hw: tuple[int, int]) -> Mask:
    height, width = size_hw
    if mask.shape == size_hw:
        return mask.copy()
    smaller = height < mask.shape[0]
    grey = mask.astype(np.uint8) * 255
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR) > 127
