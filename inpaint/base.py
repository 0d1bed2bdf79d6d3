"""What every inpainter takes and gives: a photo and a hole in, a photo out."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W), True = to be filled


@runtime_checkable
class Inpainter(Protocol):
    """Fills holes."""

    def inpaint(self, image: Image, hole: Mask) -> Image:
        """A new photo with the hole filled, equal to image wherever hole is False.

        image: (H, W, 3) uint8 RGB. hole: (H, W) bool, True = fill. Neither is written to.
        Raises ValueError if the shapes or dtypes do not fit or the hole is the whole photo.
        """


def check_hole(image: Image, hole: Mask) -> None:
    """Raises ValueError unless image is (H, W, 3) uint8, hole (H, W) bool, and some pixel is known."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{getattr(image, 'shape', type(image).__name__)} {getattr(image, 'dtype', '')}".strip()
        raise ValueError(f"image must be (H, W, 3) uint8 RGB, got {got}: convert it first")
    if not isinstance(hole, np.ndarray) or hole.dtype != np.bool_ or hole.ndim != 2:
        got = f"{getattr(hole, 'shape', type(hole).__name__)} {getattr(hole, 'dtype', '')}".strip()
        raise ValueError(f"hole must be (H, W) bool with True = fill, got {got}: compare it with a threshold first")
    if hole.shape != image.shape[:2]:
        swapped = ": were height and width swapped?" if hole.shape == image.shape[1::-1] else ""
        raise ValueError(f"hole is {hole.shape} but image is {image.shape}{swapped}")
    if hole.all():
        raise ValueError("the hole is the whole photo: nothing is left to fill it from; make the mask smaller")
