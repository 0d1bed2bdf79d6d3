"""What every segmenter takes and gives: clicks in, selections out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W), True on the object


@dataclass(frozen=True)
class Click:
    """One click on a photo, in the pixels of that photo."""

    x: int  # column, 0 at the left
    y: int  # row, 0 at the top
    positive: bool = True  # False takes away


@dataclass(frozen=True)
class Selection:
    """One answer to the clicks."""

    mask: Mask  # (H, W) bool
    label: str | None  # "person", or None where the net has no classes
    score: float  # 0..1


class NoObjectError(LookupError):
    """Nothing that can be selected lies under the clicks. The message says what is near."""


@runtime_checkable
class Segmenter(Protocol):
    """Turns clicks into selections. The slow part runs once a photo, the fast part once a click."""

    def encode(self, image: Image) -> Any:
        """Whatever `select` needs to know about the photo: plain data, safe to copy and to keep for a visitor.

        image: (H, W, 3) uint8 RGB.
        """

    def select(self, encoding: Any, clicks: Sequence[Click]) -> list[Selection]:
        """The selections under the clicks, best first; the others are alternatives (part, whole, neighbour).

        Segmenters that find the main subject by themselves accept no clicks at all.
        Raises NoObjectError if nothing lies under the clicks, ValueError if a click is outside the photo.
        """


@runtime_checkable
class InstanceSegmenter(Segmenter, Protocol):
    """A segmenter that knows every object of a photo, and its class, before any click."""

    def instances(self, encoding: Any) -> list[Selection]:
        """All objects of the photo, highest score first."""


def check_image(image: Image) -> None:
    """Raises ValueError unless image is (H, W, 3) uint8 and not empty."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{getattr(image, 'shape', type(image).__name__)} {getattr(image, 'dtype', '')}".strip()
        raise ValueError(f"image must be (H, W, 3) uint8 RGB, got {got}: convert it first")
    if image.size == 0:
        raise ValueError(f"image is empty: {image.shape}")


def check_clicks(clicks: Sequence[Click], image_hw: tuple[int, int]) -> None:
    """Raises ValueError unless there is a positive click and every click lies on the photo."""
    height, width = image_hw
    if not any(click.positive for click in clicks):
        raise ValueError("no positive click: at least one click must be on the object")
    for click in clicks:
        if not (0 <= click.x < width and 0 <= click.y < height):
            raise ValueError(
                f"click ({click.x}, {click.y}) is outside the photo: x must be 0..{width - 1}, y 0..{height - 1}"
            )
