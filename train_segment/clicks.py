"""Clicks as a person would make them: in the middle of the object, then in the middle of what is still wrong."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator

from segment.base import Click, Mask
from segment.mask_ops import deepest_point


def first_click(
    truth: Mask, *, ignore: Mask | None = None, rng: Generator | None = None, depth_share: float = 0.5
) -> Click:
    """A positive click on the object: at its deepest point.

    truth: (H, W) bool. ignore: (H, W) bool, pixels that nobody would click.
    rng: for training; any pixel at least depth_share (0..1) as deep as the deepest one, each as likely.
    Raises ValueError if nothing of the object is left to click.
    """
    object_ = truth if ignore is None else truth & ~ignore
    return _place(object_, True, rng, depth_share)


def next_click(
    truth: Mask,
    prediction: Mask,
    clicks: Sequence[Click] = (),
    *,
    ignore: Mask | None = None,
    rng: Generator | None = None,
    depth_share: float = 0.5,
) -> Click | None:
    """A click at the deepest point of the largest connected region of errors; None if there is no error.

    It is positive where the object was missed, negative where something else was taken for it.
    truth, prediction: (H, W) bool. clicks: those made so far, which are not made again: pixels near them lie less
    deep. ignore, rng, depth_share: as for first_click.
    """
    wrong = truth ^ prediction
    if ignore is not None:
        wrong &= ~ignore
    for click in clicks:
        wrong[click.y, click.x] = False
    largest, largest_px, positive = wrong, 0, True
    for missed in (True, False):
        count, labels, stats, _ = cv2.connectedComponentsWithStats((wrong & (truth == missed)).view(np.uint8))
        for label in range(1, count):
            if stats[label, cv2.CC_STAT_AREA] > largest_px:
                largest, largest_px, positive = labels == label, int(stats[label, cv2.CC_STAT_AREA]), missed
    return _place(largest, positive, rng, depth_share) if largest_px else None


def _place(region: Mask, positive: bool, rng: Generator | None, depth_share: float) -> Click:
    if rng is None:
        return Click(*deepest_point(region), positive)
    if not region.any():
        raise ValueError("the mask is empty: there is nothing to click")
    # As deepest_point measures it: beyond the photo's border there is no object.
    depth = cv2.distanceTransform(np.pad(region.view(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    rows, columns = np.nonzero(region & (depth >= depth_share * depth.max()))
    chosen = int(rng.integers(len(rows)))
    return Click(int(columns[chosen]), int(rows[chosen]), positive)
