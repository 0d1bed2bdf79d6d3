"""The object's outline: on the photo, or beside Canny's edges, which know nothing of objects (the pets report)."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.edges import blend
from pipeline.photo import Pixels, to_depth, to_uint8
from segment.base import Mask
from segment.mask_ops import box_xyxy

CANNY = (100, 200)  # the customary thresholds of 8-bit gradients, after a slight blur


def default_width_px(image_hw: tuple[int, int]) -> float:
    """A line that is seen at every size of photo: a 250th of the shorter side."""
    return max(2.0, min(image_hw) / 250)


def outlined(image: Pixels, mask: Mask, *, color: tuple[int, int, int], width_px: float | None = None) -> Pixels:
    """The photo with the mask's outline in that colour: a new array. Pixels away from the line stay as they were.

    image: (H, W, 3) uint8 or uint16. mask: (H, W) bool with something in it. width_px: of the line, whose middle is the
    mask's edge; None scales with the photo. The photo's border is no outline.
    Raises ValueError if the mask is empty or the width is not above 0.
    """
    opacity = line(mask, width_px)
    result = image.copy()
    x0, y0, x1, y1 = box_xyxy(opacity > 0) if (opacity > 0).any() else (0, 0, 0, 0)
    window = np.s_[y0:y1, x0:x1]
    over = np.broadcast_to(to_depth(np.array(color, np.uint8), image.dtype), result[window].shape)
    result[window] = blend(image[window], over, opacity[window])
    return result


def beside_canny(image: Pixels, mask: Mask, *, width_px: float | None = None) -> Pixels:
    """(H, 2 * W + gap, 3) of the image's dtype: the mask's outline on the left, Canny's edges on the right.

    White on black, with a grey gap. Raises ValueError as `outlined` does.
    """
    height, width = mask.shape
    left = np.rint(255 * line(mask, width_px)).astype(np.uint8)
    grey = cv2.GaussianBlur(cv2.cvtColor(to_uint8(image), cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    right = np.asarray(cv2.Canny(grey, *CANNY), np.uint8)
    gap = np.full((height, max(2, width // 100)), 128, np.uint8)
    both = np.hstack([left, gap, right])
    return to_depth(np.repeat(both[..., np.newaxis], 3, axis=2), image.dtype)


def line(mask: Mask, width_px: float | None = None) -> np.ndarray:
    """(H, W) float32 in 0..1: a line of that width along the mask's edge, its own edges soft over a pixel."""
    if not mask.any():
        raise ValueError("nothing is selected, so there is no outline")
    width_px = default_width_px(mask.shape) if width_px is None else width_px
    if not width_px > 0:
        raise ValueError(f"width_px must be more than 0, got {width_px}")
    # One more pixel on each side that copies the border: what the photo cuts off has no edge there.
    padded = np.pad(mask.view(np.uint8), 1, mode="edge")
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform(1 - padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = (np.maximum(inside, outside) - 0.5)[1:-1, 1:-1]
    return np.clip(width_px / 2 + 0.5 - distance, 0, 1, dtype=np.float32)
