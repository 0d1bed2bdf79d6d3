"""Fills the holes of a photo of any size crop by crop: the cost grows with the holes, not with the photo.

The limit: where a hole is too large for the inpainter in itself, its crop is made smaller, filled and enlarged, and
the fill cannot be sharper than that. A hole of 2000 pixels filled by a 512-pixel net is enlarged about six times, and
shows it where its surroundings have fine texture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaint.base import Image, Inpainter, Mask, check_hole
from inpaint.crop_plan import Box, CropPlan, cut, grown
from inpaint.giving_up import go_on

_SMALLEST_SIZE_PX = 16


def fill_by_crops(
    inpainter: Inpainter,
    image: Image,
    hole: Mask,
    *,
    context: float = 1.0,
    min_context_px: int = 32,
    net_size_px: int | None = None,
    feather_px: int = 0,
) -> Image:
    """A new photo with the hole filled by the inpainter, equal to image wherever hole is False.

    image: (H, W, 3) uint8 RGB. hole: (H, W) bool, True = fill. Neither is written to.
    context: how much of the photo around a hole the inpainter sees on each side, as a share of the hole's longer side;
        less, down to a quarter, where the crop then keeps its full resolution; never less than min_context_px.
    net_size_px: the longest crop side for the inpainter; None: its own max_size_px, and if that is None too, any.
    feather_px: over this depth inside the hole the fill blends into what the photo shows there, so that no edge is
        seen; the photo's border is no edge. With 0, what the photo shows inside the hole has no influence at all.

    Raises ValueError if the shapes or dtypes do not fit, the hole is the whole photo, or an option is out of range.
    """
    check_hole(image, hole)
    if context < 0 or feather_px < 0 or min_context_px < 1:
        raise ValueError(
            f"context and feather_px must be 0 or more and min_context_px 1 or more, "
            f"got {context}, {feather_px} and {min_context_px}"
        )
    size_px = net_size_px if net_size_px is not None else getattr(inpainter, "max_size_px", None)
    if size_px is not None and size_px < _SMALLEST_SIZE_PX:
        raise ValueError(f"net_size_px must be {_SMALLEST_SIZE_PX} or more, got {size_px}")
    filled = image.copy()
    if not hole.any():
        return filled

    plan = CropPlan(hole, context=context, min_context_px=min_context_px, size_px=size_px)
    unknown = hole.copy()
    for job in plan.jobs():
        go_on()
        fill = _fill_crop(inpainter, cut(filled, job.crop), cut(unknown, job.crop), size_px)
        taken = plan.belongs(job.paste, job.labels)
        cut(filled, job.paste)[taken] = cut(fill, job.paste, *job.crop[:2])[taken]
        cut(unknown, job.paste)[taken] = False  # the next crop builds on this one, so that no seam comes between
    if feather_px:
        for label, box in plan.boxes.items():
            _feather(filled, image, hole, box, plan.belongs(box, [label]), feather_px)
    return filled


def _fill_crop(inpainter: Inpainter, crop: Image, unknown: Mask, size_px: int | None) -> Image:
    """The crop filled, at size_px if it is larger. What it shows where unknown is never handed on."""
    crop = np.where(unknown[..., None], np.uint8(0), crop)
    height, width = unknown.shape
    scale = min(1.0, size_px / max(height, width)) if size_px is not None else 1.0
    if scale == 1.0:
        return inpainter.inpaint(crop, unknown.copy())
    small_wh = max(1, round(width * scale)), max(1, round(height * scale))
    small, small_unknown = _shrink(crop, unknown, small_wh)
    return cv2.resize(inpainter.inpaint(small, small_unknown), (width, height), interpolation=cv2.INTER_CUBIC).astype(
        np.uint8, copy=False
    )


def _shrink(crop: Image, unknown: Mask, size_wh: tuple[int, int]) -> tuple[Image, Mask]:
    """The means over the known pixels alone, and where less than half was known. The crop is 0 where unknown."""
    # In 256ths of a level: rounding to levels would show once divided by a small share.
    total = cv2.resize(crop.astype(np.uint16) * 256, size_wh, interpolation=cv2.INTER_AREA)
    share = cv2.resize((~unknown).astype(np.uint16) * 256 * 255, size_wh, interpolation=cv2.INTER_AREA) / (256 * 255)
    # Where a thin rim is all that is known, no pixel of the small crop is half known.
    known = share >= 0.5 * share.max()
    means = total / 256 / np.where(known, share, np.inf)[..., None]
    return np.clip(np.rint(means), 0, 255).astype(np.uint8), ~known


def _feather(filled: Image, image: Image, hole: Mask, box: Box, inside: NDArray[np.bool_], feather_px: int) -> None:
    """Blends the photo's own pixels back into one hole's edge, in place: none of the fill there, all at feather_px."""
    x0, y0, x1, y1 = grown(box, 1, hole.shape)  # with the known pixels around it; beyond the photo there are none
    depth = cv2.distanceTransform(hole[y0:y1, x0:x1].view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    depth = cut(depth, box, x0, y0) - 0.5  # the edge lies between two pixels
    edge = inside & (depth < feather_px)
    alpha = (depth[edge] / feather_px)[:, None]
    fill, own = cut(filled, box), cut(image, box)
    fill[edge] = np.rint(alpha * fill[edge] + (1 - alpha) * own[edge]).astype(np.uint8)
