"""Erase, cut out, blur the background, replace it: arrays in, arrays out.

An image is (H, W, 3) RGB, uint8 or uint16, a mask (H, W) bool, True on the object. Nothing is written into.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaint import Inpainter
from pipeline.edges import Lifted, blend, lift, matted
from pipeline.photo import Alpha, Pixels, to_depth, to_uint8
from segment import mask_ops
from segment.base import Mask

Color = tuple[int, int, int]  # RGB, 0..255

_FINEST_SIGMA_PX = 4.0  # a picture blurred by this can be kept at half the size without a visible difference


def erase(
    image: Pixels,
    mask: Mask,
    inpainter: Inpainter,
    *,
    grow_px: int | None = None,
    feather_px: float | None = None,
    mask_shape: str = "exact",
) -> Pixels:
    """The photo without the object: equal to image everywhere outside `hole_of(mask, ...)`.

    grow_px, mask_shape: as in `hole_of`. feather_px: the width of the blend between photo and filling, inside the
    hole's outer ring; None takes a third of the grown ring.
    16-bit photos are filled with 8 bits, for that is what inpainters know; the rest keeps its 16.
    Raises ValueError if the shapes do not fit or the hole is the whole photo.
    """
    from inpaint.hole_crop import fill_by_crops

    _check(image, mask, feather_px=feather_px)
    hole = hole_of(mask, grow_px=grow_px, mask_shape=mask_shape)
    if not hole.any():
        return image.copy()
    feather_px = default_erase_feather_px(mask, grow_px) if feather_px is None else feather_px
    filled = fill_by_crops(inpainter, to_uint8(image), hole, feather_px=round(feather_px))
    if image.dtype == filled.dtype:
        return filled
    result = image.copy()
    x0, y0, x1, y1 = mask_ops.box_xyxy(hole)  # picking pixels by a mask as large as the photo takes longer than a copy
    inside, window = hole[y0:y1, x0:x1], np.s_[y0:y1, x0:x1]
    result[window][inside] = to_depth(filled[window][inside], image.dtype)
    return result


def hole_of(mask: Mask, *, grow_px: int | None = None, mask_shape: str = "exact") -> Mask:
    """What `erase` fills: the mask, grown and made plainer.

    grow_px: by how many pixels; None takes `default_grow_px`. mask_shape: "exact", "ellipse" or "box".
    """
    grow_px = default_grow_px(mask) if grow_px is None else grow_px
    grown = mask_ops.grow(mask, grow_px)
    return grown if mask_shape == "exact" else mask_ops.as_shape(grown, mask_shape)


def default_grow_px(mask: Mask) -> int:
    """By how many pixels a mask should be grown, so that no rim of the object stays.

    Masks are off by a share of the object's size, for nets work on small grids; blur and compression smear an edge
    over a few pixels more, by the photo's size.
    """
    by_object = 0.03 * math.sqrt(np.count_nonzero(mask))
    by_photo = 0.004 * min(mask.shape)
    return round(3 + by_object + by_photo)


def default_erase_feather_px(mask: Mask, grow_px: int | None) -> float:
    """How wide the blend at a hole's edge is: a third of the grown ring, so that it never reaches the object."""
    return (default_grow_px(mask) if grow_px is None else grow_px) / 3


def cut_out(image: Pixels, mask: Mask, *, feather_px: float | None = None, matting: bool = False) -> NDArray[Any]:
    """The object alone: (H, W, 4) RGBA of the image's dtype, transparent (and black) elsewhere.

    feather_px: how far the edge is soft on each side; None scales with the photo. Along the edge the colours are
    estimated from the inside, so that nothing of the old background shines through on a new one.
    matting: the edge is found in the photo instead, hair by hair; takes seconds, and pymatting.
    Raises ValueError if the shapes do not fit, the mask is empty, or both feather_px and matting are given.
    """
    _check(image, mask, feather_px=feather_px, empty="nothing is selected, so there is nothing to cut out")
    lifted = _lifted(image, mask, feather_px, matting)
    full = np.iinfo(image.dtype).max
    result = np.zeros((*mask.shape, 4), image.dtype)
    window = result[lifted.rows, lifted.columns]
    window[..., 3] = np.rint(lifted.opacity * full)
    window[..., :3] = np.where(window[..., 3:] > 0, np.rint(lifted.colors), 0)
    return result


def blur_background(
    image: Pixels,
    mask: Mask,
    *,
    sigma_px: float | None = None,
    feather_px: float | None = None,
    matting: bool = False,
) -> Pixels:
    """The photo with everything but the object blurred. feather_px, matting: as in `cut_out`.

    sigma_px: of the Gaussian; None takes 1/40 of the shorter side. The object does not shine into the blur: its
    pixels have weight 0 there (normalised convolution), so there is no halo around it.
    Raises ValueError if the shapes do not fit, the mask is empty or sigma_px is not positive.
    """
    _check(image, mask, feather_px=feather_px, empty="nothing is selected, so everything would be blurred")
    sigma_px = min(mask.shape) / 40 if sigma_px is None else sigma_px
    if not 0 < sigma_px < math.inf:
        raise ValueError(f"sigma_px must be more than 0, got {sigma_px}")
    if mask.all():
        return image.copy()
    lifted = _lifted(image, mask, feather_px, matting)
    # The rim around a mask still holds the object's colours: the ring that erasing fills is left out as well.
    left_out = mask_ops.grow(mask, default_grow_px(mask))
    left_out[lifted.rows, lifted.columns] |= lifted.opacity > 0.02  # hair that matting found beyond the ring
    return lifted.laid_on(_blurred(image, mask if left_out.all() else left_out, sigma_px))


def _blurred(image: Pixels, left_out: Mask, sigma_px: float) -> Pixels:
    """The image blurred by a Gaussian that does not see what is left out. Far inside that, the colour is arbitrary."""
    height, width = left_out.shape
    # A strong blur has no fine detail: it is computed on a smaller picture, at a cost that does not grow with sigma.
    scale = max(1.0, sigma_px / _FINEST_SIGMA_PX)
    small_wh = max(1, round(width / scale)), max(1, round(height / scale))
    weight = np.where(left_out, np.float32(0), np.float32(1))
    total = _small_gaussian(weight, small_wh, sigma_px / scale)
    result = np.empty_like(image)
    for channel in range(3):  # one plane at a time keeps the memory small
        sums = _small_gaussian(image[..., channel] * weight, small_wh, sigma_px / scale)
        plane = cv2.resize(sums / np.maximum(total, 1e-6), (width, height), interpolation=cv2.INTER_LINEAR)
        result[..., channel] = np.rint(plane, out=plane)  # an average: never beyond what the photo holds
    return result


def _small_gaussian(plane: NDArray[np.float32], small_wh: tuple[int, int], sigma_px: float) -> NDArray[np.float32]:
    small = cv2.resize(plane, small_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT), np.float32)


def replace_background(
    image: Pixels,
    mask: Mask,
    background: Pixels | Color,
    *,
    feather_px: float | None = None,
    matting: bool = False,
) -> Pixels:
    """The object on another background. feather_px, matting: as in `cut_out`.

    background: a photo, (h, w, 3) of any size, scaled and cropped at its middle to cover; or a colour, three numbers
    0..255.
    Raises ValueError if the shapes do not fit, the mask is empty or the colour is none.
    """
    _check(image, mask, feather_px=feather_px, empty="nothing is selected, so nothing of the photo would be left")
    return _lifted(image, mask, feather_px, matting).laid_on(cover(background, mask.shape, image.dtype))


def _lifted(image: Pixels, mask: Mask, feather_px: float | None, matting: bool) -> Lifted:
    if not matting:
        return lift(image, mask, feather_px=feather_px)
    if feather_px is not None:
        raise ValueError(
            "matting finds how soft the edge is by itself: a feather would have no effect, give one of them"
        )
    return matted(image, mask)


def laid_on(colors: Pixels, alpha: Alpha, background: Pixels) -> Pixels:
    """The colours over the background, as opaque as alpha says: a new array.

    colors, background: (H, W, 3) of one dtype. alpha: (H, W) of that dtype, its largest value = opaque.
    """
    result = background.copy()
    visible = alpha > 0
    if visible.any():
        x0, y0, x1, y1 = mask_ops.box_xyxy(visible)
        window = np.s_[y0:y1, x0:x1]
        opacity = np.asarray(alpha[window] / np.iinfo(alpha.dtype).max, np.float32)
        result[window] = blend(background[window], colors[window], opacity)
    return result


def cover(background: Pixels | Color, image_hw: tuple[int, int], dtype: np.dtype[Any]) -> Pixels:
    """(H, W, 3) of that dtype: the colour, or the photo scaled to cover all of it and cropped at its middle.

    Raises ValueError if background is neither.
    """
    if isinstance(background, tuple):
        if len(background) != 3 or not all(0 <= value <= 255 for value in background):
            raise ValueError(f"a background colour is three numbers 0..255, got {background}")
        return np.broadcast_to(to_depth(np.array(background, np.uint8), dtype), (*image_hw, 3)).copy()
    _check_image(background, "background")
    height, width = image_hw
    scale = max(height / background.shape[0], width / background.shape[1])
    # The part of the background that will be seen, cut first: a large one costs no more than a small one.
    part_h = min(background.shape[0], max(1, round(height / scale)))
    part_w = min(background.shape[1], max(1, round(width / scale)))
    top, left = (background.shape[0] - part_h) // 2, (background.shape[1] - part_w) // 2
    part = background[top : top + part_h, left : left + part_w]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(part, (width, height), interpolation=method)
    return to_depth(to_uint8(resized), dtype) if resized.dtype != dtype else resized


def _check_image(image: Pixels, name: str = "image") -> None:
    ok = isinstance(image, np.ndarray) and image.dtype in (np.uint8, np.uint16)
    if not ok or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        got = f"{getattr(image, 'shape', type(image).__name__)} {getattr(image, 'dtype', '')}".strip()
        raise ValueError(f"{name} must be (H, W, 3) uint8 or uint16 RGB and not empty, got {got}: convert it first")


def _check(image: Pixels, mask: Mask, *, feather_px: float | None = None, empty: str = "") -> None:
    _check_image(image)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 2:
        got = f"{getattr(mask, 'shape', type(mask).__name__)} {getattr(mask, 'dtype', '')}".strip()
        raise ValueError(f"mask must be (H, W) bool with True on the object, got {got}: compare it with a threshold")
    if mask.shape != image.shape[:2]:
        swapped = ": were height and width swapped?" if mask.shape == image.shape[1::-1] else ""
        raise ValueError(f"mask is {mask.shape} but image is {image.shape}{swapped}")
    if feather_px is not None and not 0 <= feather_px < math.inf:  # false for nan too
        raise ValueError(f"feather_px must be 0 or more, got {feather_px}")
    if empty and not mask.any():
        raise ValueError(empty)
