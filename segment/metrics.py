"""How well masks fit others, and how many clicks it takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segment.base import Mask

CLICK_LIMIT = 20  # RITM and its kin count no further: an object that takes more counts as 20 (Sofiiuk et al. 2021)


def iou(a: Mask, b: Mask, ignore: Mask | None = None) -> float:
    """Intersection over union of two (H, W) bool masks, 0..1. Two empty masks agree: 1.

    ignore: (H, W) bool, pixels that count for neither, such as the unclear rims in VOC's labels.
    """
    if ignore is not None:
        a, b = a & ~ignore, b & ~ignore
    both = np.count_nonzero(a & b)
    union = np.count_nonzero(a) + np.count_nonzero(b) - both
    return both / union if union else 1.0


def mean_iou(ious: Sequence[float]) -> float:
    """The mean of the IoUs, 0..1. Raises ValueError if there is none."""
    return float(np.mean(_some(ious)))


def median_iou(ious: Sequence[float]) -> float:
    """The median of the IoUs, 0..1 (of an even number: between the middle two). ValueError if there is none."""
    return float(np.median(_some(ious)))


def iou_recall(ious: Sequence[float], threshold: float = 0.7) -> float:
    """The share of objects, 0..1, whose IoU is at least the threshold: "IoU@0.7". ValueError if there is none."""
    return float(np.mean(np.asarray(_some(ious)) >= threshold))


def clicks_to_iou(ious: Sequence[float], threshold: float = 0.85, *, limit: int = CLICK_LIMIT) -> int:
    """How many clicks it took to reach the threshold, 1..limit; limit if it was never reached.

    ious: one object's IoU after its first, second, ... click. Its mean over objects is "NoC" (NoC85 at 0.85).
    Raises ValueError if the threshold was not reached and there are fewer IoUs than limit: then nobody can know.
    """
    for number, value in enumerate(ious[:limit], start=1):
        if value >= threshold:
            return number
    if len(ious) < limit:
        raise ValueError(f"{len(ious)} clicks did not reach {threshold}: go on clicking until it is, or to {limit}")
    return limit


def _some(ious: Sequence[float]) -> Sequence[float]:
    if len(ious) == 0:
        raise ValueError("no IoU to summarise: was any object measured?")
    return ious
