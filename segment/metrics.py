"""How well a mask fits another."""

from __future__ import annotations

import numpy as np

from segment.base import Mask


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union of two (H, W) bool masks, 0..1. Two empty masks agree: 1."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0
