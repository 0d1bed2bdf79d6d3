"""From a mask to an opacity: the band along its edge is unclear, and closed-form matting says how opaque each pixel is.

Levin, Lischinski and Weiss 2008, "A closed-form solution to natural image matting"; the object's own colours after
Germer et al. 2020, "Fast multi-level foreground estimation". Both are pymatting's, whose first import compiles for a
minute: nothing of it is loaded before it is needed.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Image, Mask, check_image
from segment.mask_ops import grow, shrink
from segment.refine import guided

Plane = NDArray[np.float32]

BACKGROUND, UNKNOWN, OBJECT = 0, 128, 255
WORKING_PX = 350_000  # the alpha of larger photos is solved at this size and brought back along the photo's edges
COLOUR_PX = 2_000_000  # the same for the object's colours, which change slowly
_BAND = 0.04  # half of the unclear band's width, as a share of the square root of the object's area


def default_band_px(mask: Mask) -> int:
    """Half of the unclear band's width that suits a net's mask: nets are off by a share of the object's size."""
    return max(5, round(_BAND * float(np.sqrt(np.count_nonzero(mask)))))


def trimap(mask: Mask, *, inner_px: int | None = None, outer_px: int | None = None) -> NDArray[np.uint8]:
    """(H, W) uint8: 255 surely the object, 0 surely not, 128 unclear.

    inner_px, outer_px: how far the unclear band reaches into the object and out of it; None takes
    `default_band_px`. The photo's border is no edge. An object thinner than the band keeps what is deepest in it.
    Raises ValueError if the mask is empty or a width is negative.
    """
    if not mask.any():
        raise ValueError("the mask is empty: there is nothing to find an edge of")
    inner_px = default_band_px(mask) if inner_px is None else inner_px
    outer_px = default_band_px(mask) if outer_px is None else outer_px
    sure = shrink(mask, inner_px)
    while not sure.any():  # grows thinner until something is sure
        inner_px //= 2
        sure = shrink(mask, inner_px)
    result = np.where(sure, OBJECT, np.where(grow(mask, outer_px), UNKNOWN, BACKGROUND))
    return result.astype(np.uint8)


def alpha_matte(image: Image, unclear: NDArray[np.uint8]) -> Plane:
    """(H, W) float32 in 0..1: the opacity of each pixel, 1 and 0 where the trimap is sure.

    image: (H, W, 3) uint8 RGB. unclear: (H, W), a trimap. Give the object's surroundings, not a whole large photo.
    Raises ValueError if the shapes differ, ImportError without pymatting.
    """
    check_image(image)
    if unclear.shape != image.shape[:2]:
        raise ValueError(f"the trimap is {unclear.shape} but image is {image.shape}: were height and width swapped?")
    known = np.where(unclear == OBJECT, np.float32(1), np.float32(0))
    if not (unclear == UNKNOWN).any():
        return known
    if not (unclear == BACKGROUND).any():
        return np.where(unclear == BACKGROUND, np.float32(0), np.float32(1))  # nothing to tell the object from
    scale = min(1.0, float(np.sqrt(WORKING_PX / unclear.size)))
    if scale == 1:
        alpha = _solved(image, unclear)
    else:
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        marks = cv2.resize(unclear, size, interpolation=cv2.INTER_AREA)
        marks = np.where(marks == BACKGROUND, BACKGROUND, np.where(marks == OBJECT, OBJECT, UNKNOWN))
        alpha = guided(_solved(small, marks.astype(np.uint8)), image, radius=0.005, smoothness=1e-4)
    return np.where(unclear == UNKNOWN, alpha, known).astype(np.float32)


def object_colours(image: NDArray[np.uint8] | NDArray[np.uint16], alpha: Plane) -> Plane:
    """(H, W, 3) float32, the image's range: the object's own colours, without the background that shines through.

    Where alpha is 1 they are the image's. Raises ImportError without pymatting.
    """
    full = float(np.iinfo(image.dtype).max)
    scale = min(1.0, float(np.sqrt(COLOUR_PX / alpha.size)))
    hw = max(1, round(alpha.shape[0] * scale)), max(1, round(alpha.shape[1] * scale))
    small, opacity = image.astype(np.float32) / np.float32(full), alpha
    if scale < 1:
        small = np.asarray(cv2.resize(small, hw[::-1], interpolation=cv2.INTER_AREA), np.float32)
        opacity = np.asarray(cv2.resize(alpha, hw[::-1], interpolation=cv2.INTER_AREA), np.float32)
    estimate = _pymatting().estimate_foreground_ml(small.astype(np.float64), opacity.astype(np.float64))
    colours = np.asarray(estimate, np.float32) * np.float32(full)
    if scale < 1:
        colours = np.asarray(cv2.resize(colours, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    return np.where(alpha[..., np.newaxis] >= 1, image.astype(np.float32), colours)


def _solved(image: Image, marks: NDArray[np.uint8]) -> Plane:
    alpha = _pymatting().estimate_alpha_cf(image.astype(np.float64) / 255, marks.astype(np.float64) / OBJECT)
    return np.asarray(alpha, np.float32)


def _pymatting() -> Any:
    try:
        import pymatting
    except ImportError as error:
        raise ImportError("matting needs pymatting: pip install pymatting") from error
    return pymatting
