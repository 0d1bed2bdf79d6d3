"""An object lifted off its photo: opacity that falls softly, and colours without the background's in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.photo import Pixels
from segment import mask_ops
from segment.base import Mask

_WIDEST_SIGMA_PX = 16.0  # of a blur at full size


@dataclass(frozen=True, eq=False)
class Lifted:
    """An object, ready to be laid on something else. Covers the box of the photo that holds it, not the photo."""

    rows: slice
    columns: slice
    opacity: NDArray[np.float32]  # (h, w) 0..1
    colors: NDArray[np.float32]  # (h, w, 3), the photo's range

    def laid_on(self, background: Pixels) -> Pixels:
        """A new array: the background with the object on it, at its old place. background: (H, W, 3)."""
        result = background.copy()
        result[self.rows, self.columns] = blend(background[self.rows, self.columns], self.colors, self.opacity)
        return result


def blend(under: Pixels, over: NDArray[Any], opacity: NDArray[np.float32]) -> Pixels:
    """under where opacity is 0, over where it is 1. (h, w, 3), (h, w, 3), (h, w); of the dtype of under."""
    below = under.astype(np.float32)
    return np.rint(below + opacity[..., np.newaxis] * (over - below)).astype(under.dtype)


def default_feather_px(image_hw: tuple[int, int]) -> float:
    """How far the edge of an object is soft on each side, in pixels: about what a lens does to an edge."""
    return max(1.0, min(image_hw) / 1000)


def lift(image: Pixels, mask: Mask, *, feather_px: float | None = None) -> Lifted:
    """The masked object with a soft edge, its colours there taken from further inside.

    image: (H, W, 3). mask: (H, W) bool with something in it. feather_px: None scales with the photo.

    At an object's edge a photo holds a mixture of object and background, and a mask is never exact. So the colours of
    a band along the edge come from the object behind the band: a normalised convolution of what is surely inside
    (Knutsson and Westin 1993). Farther inside the photo's own colours stay, bit for bit.
    """
    feather_px = default_feather_px(mask.shape) if feather_px is None else feather_px
    feather_px = min(feather_px, max(mask.shape))  # wider changes nothing, and would take for ever
    band_px = round(feather_px) + 1
    x0, y0, x1, y1 = mask_ops.box_xyxy(mask)
    margin = 4 * band_px
    rows = slice(max(0, y0 - margin), y1 + margin)
    columns = slice(max(0, x0 - margin), x1 + margin)
    inside, crop = mask[rows, columns], image[rows, columns].astype(np.float32)
    opacity = _soft(inside, feather_px)
    sure = mask_ops.shrink(inside, band_px)
    behind = _from_neighbours(crop, sure, sigma_px=band_px)
    # 1 on the edge and outside, 0 where the band ends: no seam between estimated colours and the photo's own.
    depth = cv2.distanceTransform(_opened(inside), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    share = np.clip((2 * band_px - depth) / band_px, 0, 1)[..., np.newaxis]
    return Lifted(rows, columns, opacity, crop + share * (behind - crop))


def matted(image: Pixels, mask: Mask) -> Lifted:
    """The masked object with the opacity and the colours that matting finds: hair without what is behind it.

    image: (H, W, 3). mask: (H, W) bool with something in it; its edge may be off by a few percent of the object's size.
    Raises ImportError without pymatting.
    """
    from pipeline.photo import to_uint8
    from segment import matting

    x0, y0, x1, y1 = mask_ops.box_xyxy(mask)
    # Surely background on all sides of the unclear band: its colours are what the object's are told from.
    margin = 3 * matting.default_band_px(mask) + 8
    rows, columns = slice(max(0, y0 - margin), y1 + margin), slice(max(0, x0 - margin), x1 + margin)
    crop, inside = image[rows, columns], mask[rows, columns]
    alpha = matting.alpha_matte(to_uint8(crop), matting.trimap(inside))
    return Lifted(rows, columns, alpha, matting.object_colours(crop, alpha))


def _soft(inside: Mask, feather_px: float) -> NDArray[np.float32]:
    """(h, w) 0..1, one half at the mask's edge. Unlike a ramp over the distance it rounds the steps of the mask off."""
    opacity = inside.astype(np.float32)
    if feather_px == 0:
        return opacity
    blurred = _gaussian(opacity, feather_px, cv2.BORDER_REPLICATE)
    # Steeper than the Gaussian's own edge, so that it is over after two widths: 1 and 0 must be reached.
    return np.clip((blurred - 0.5) * 1.25 + 0.5, 0, 1, dtype=np.float32)


def _opened(inside: Mask) -> NDArray[np.uint8]:
    """The mask as numbers with one more pixel on each side, which copies its border: the photo's border is no edge."""
    return np.pad(inside.view(np.uint8), 1, mode="edge")


def _from_neighbours(crop: NDArray[np.float32], known: Mask, *, sigma_px: float) -> NDArray[np.float32]:
    """(h, w, 3) the colours of the known pixels around each pixel; the pixel's own where none is near."""
    weight = known.astype(np.float32)
    total = _gaussian(weight, sigma_px)
    near = total > 1e-4
    sums = _gaussian(crop * weight[..., np.newaxis], sigma_px)
    result = crop.copy()
    result[near] = sums[near] / total[near, np.newaxis]
    return result


def _gaussian(array: NDArray[Any], sigma_px: float, border: int = cv2.BORDER_CONSTANT) -> NDArray[np.float32]:
    """border: outside the crop nothing is known: zeros, which a division takes out again; or copies of its rim."""
    height, width = array.shape[:2]
    # A strong blur has no fine detail: on a smaller picture its cost does not grow with sigma.
    scale = max(1.0, sigma_px / _WIDEST_SIGMA_PX)
    if scale == 1.0:
        return np.asarray(cv2.GaussianBlur(array, (0, 0), sigma_px, borderType=border), np.float32)
    small_wh = max(1, round(width / scale)), max(1, round(height / scale))
    small = cv2.resize(array, small_wh, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), _WIDEST_SIGMA_PX, borderType=border)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
