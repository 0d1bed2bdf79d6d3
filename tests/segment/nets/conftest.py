"""A batch of drawn photos with one bright subject each, to be learned by heart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Batch = tuple[NDArray[np.float32], NDArray[np.bool_]]


@pytest.fixture
def drawn_batch() -> Callable[[int], Batch]:
    """side -> photos (4, side, side, 3) 0..255 and their subjects (4, side, side)."""

    def draw(side: int) -> Batch:
        rng = np.random.default_rng(7)
        masks = np.zeros((4, side, side), bool)
        for mask in masks:
            y, x = rng.integers(side // 8, side // 2, 2)
            mask[y : y + side // 2, x : x + side // 3] = True
        photos = np.where(masks[..., None], (210, 120, 60), (40, 60, 90)) + rng.normal(0, 8, (*masks.shape, 3))
        return np.clip(photos, 0, 255).astype(np.float32), masks

    return draw
