"""Mask arithmetic: grow, feather, box, fill holes, components. Every function returns a new array.

A mask is (H, W) bool, True on the object. Outside the photo there is no object.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Mask

SHAPES = ("exact", "ellipse", "box")


def grow(mask: Mask, radius_px: int) -> Mask:
    """The mask grown by a disk of radius_px pixels.

    mask: (H, W) bool. Returns a new (H, W) bool array.
    Raises ValueError if radius_px is negative.
    """
    if radius_px < 0:
        raise ValueError(f"radius_px must be 0 or more, got {radius_px}: use shrink to make a mask smaller")
    if radius_px == 0 or not mask.any():
        return mask.copy()
    # The exact distance to the mask costs the same for every radius; only the box that can change is looked at.
    height, width = mask.shape
    x0, y0, x1, y1 = box_xyxy(mask)
    rows = slice(max(0, y0 - radius_px), min(height, y1 + radius_px))
    columns = slice(max(0, x0 - radius_px), min(width, x1 + radius_px))
    distance = cv2.distanceTransform((~mask[rows, columns]).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown = mask.copy()
    grown[rows, columns] = distance <= radius_px
    return grown


def shrink(mask: Mask, radius_px: int) -> Mask:
    """The mask without the pixels that lie within radius_px of its outside; the photo's border is no outside.

    Raises ValueError if radius_px is negative.
    """
    if radius_px < 0:
        raise ValueError(f"radius_px must be 0 or more, got {radius_px}: use grow to make a mask larger")
    return ~grow(~mask, radius_px)


def feather(mask: Mask, radius_px: float) -> NDArray[np.float32]:
    """Opacity that falls from 1 to 0 over a band of 2 * radius_px pixels centred on the mask's edge.

    mask: (H, W) bool. Returns (H, W) float32 in 0..1. radius_px 0 gives the mask itself as 0 and 1.
    Raises ValueError if radius_px is negative.
    """
    if radius_px < 0:
        raise ValueError(f"radius_px must be 0 or more, got {radius_px}")
    if radius_px == 0 or not mask.any() or mask.all():
        return mask.astype(np.float32)
    signed = _signed_distance(mask)
    return np.clip(0.5 + signed / (2 * radius_px), 0, 1, dtype=np.float32)


def box_xyxy(mask: Mask) -> tuple[int, int, int, int]:
    """The tight box of the mask: x0, y0, x1, y1 in pixels, x1 and y1 exclusive.

    Raises ValueError if the mask is empty.
    """
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    if columns.size == 0:
        raise ValueError("the mask is empty: it has no box")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def box_mask(box_xyxy: tuple[int, int, int, int], image_hw: tuple[int, int]) -> Mask:
    """True inside the box (x1 and y1 exclusive), clipped to the photo.

    Raises ValueError if nothing of the box lies on the photo.
    """
    x0, y0, x1, y1 = box_xyxy
    mask = np.zeros(image_hw, bool)
    mask[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = True
    if not mask.any():
        height, width = image_hw
        raise ValueError(f"box {x0},{y0},{x1},{y1} covers nothing of the {width}x{height} photo: x0 < x1 and y0 < y1")
    return mask


def as_shape(mask: Mask, shape: str) -> Mask:
    """The mask itself ("exact"), or the plainest shape that holds it: its "box", or the "ellipse" round that box.

    Plainer holes fill better when a net was trained on plain holes (the removal report, section 6.2).
    Raises ValueError for another shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"no mask shape is called {shape!r}: choose one of {', '.join(SHAPES)}")
    if shape == "exact" or not mask.any():
        return mask.copy()
    x0, y0, x1, y1 = box_xyxy(mask)
    if shape == "box":
        return box_mask((x0, y0, x1, y1), mask.shape)
    # Of the ellipses with the box's proportions, the smallest that holds every pixel of the mask.
    rows, columns = np.nonzero(mask)
    centre_x, centre_y = (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2
    half_w, half_h = (x1 - x0) / 2, (y1 - y0) / 2
    reach = (((columns - centre_x) / half_w) ** 2 + ((rows - centre_y) / half_h) ** 2).max()
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    return ((x - centre_x) / half_w) ** 2 + ((y - centre_y) / half_h) ** 2 <= reach


def fill_holes(mask: Mask, *, at_most_px: int | None = None) -> Mask:
    """The mask with every background region filled that does not reach the photo's border.

    at_most_px: holes with more pixels stay, as the one between an arm and the body should. None: no hole stays.
    """
    filled = mask.copy()
    if not mask.any():
        return filled
    # What lies beyond the mask's box reaches the border, and few masks have holes: only those are told apart.
    x0, y0, x1, y1 = box_xyxy(mask)
    outside = np.pad(mask[y0:y1, x0:x1].view(np.uint8), 1)
    cv2.floodFill(outside, None, (0, 0), 1, flags=4)
    holes = (outside == 0).view(np.uint8)
    if not holes.any():
        return filled
    left, top, right, bottom = box_xyxy(holes.view(bool))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(holes[top:bottom, left:right], connectivity=4)
    goes = np.ones(len(stats), bool) if at_most_px is None else stats[:, cv2.CC_STAT_AREA] <= at_most_px
    goes[0] = False
    x0, y0 = x0 + left - 1, y0 + top - 1  # of the holes: the box has a rim of one pixel
    filled[y0 : y0 + bottom - top, x0 : x0 + right - left] |= goes[labels]
    return filled


def component_at(mask: Mask, x: int, y: int) -> Mask:
    """The connected part of the mask (corners connect) that holds the pixel; empty if the pixel is not in the mask."""
    if not mask[y, x]:
        return np.zeros_like(mask)
    part = mask.astype(np.uint8)
    cv2.floodFill(part, None, (x, y), 2, flags=8)
    return part == 2


def parts_under(mask: Mask, clicks: Sequence[Click]) -> Mask:
    """The parts of the mask that hold a positive click. Clicks outside of it hold nothing."""
    height, width = mask.shape
    kept = np.zeros_like(mask)
    for click in clicks:
        inside = 0 <= click.x < width and 0 <= click.y < height
        if click.positive and inside and not kept[click.y, click.x]:
            kept |= component_at(mask, click.x, click.y)
    return kept


def deepest_point(mask: Mask) -> tuple[int, int]:
    """The pixel (x, y) of the mask that lies farthest from its outside; the photo's border counts as outside.

    Raises ValueError if the mask is empty.
    """
    if not mask.any():
        raise ValueError("the mask is empty: it has no deepest point")
    padded = np.pad(mask.view(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), mask.shape)
    return int(x), int(y)


def _signed_distance(mask: Mask) -> NDArray[np.float32]:
    """Distance to the edge in pixels, positive inside, negative outside, +-0.5 at the pixels along the edge."""
    inside = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)
