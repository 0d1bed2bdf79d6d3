"""What hypothesis draws: photos of any size and depth, masks of any shape with any number of holes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


@st.composite
def masks(draw, hw: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: noise, rectangles laid over each other and cut out of each other, lines, all or nothing."""
    height, width = hw
    kind = draw(st.sampled_from(("noise", "sparse", "rectangles", "lines", "all", "nothing")))
    if kind == "noise":
        return draw(hnp.arrays(np.bool_, hw))
    if kind == "sparse":
        return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(hw) < 0.02
    mask = np.full(hw, kind == "all")
    if kind in ("rectangles", "lines"):
        for number in range(draw(st.integers(1, 6))):
            y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            longest = (1, max(hw)) if kind == "lines" else (max(hw), max(hw))
            h, w = draw(st.integers(1, longest[0])), draw(st.integers(1, longest[1]))
            mask[y : y + h, x : x + w] = kind == "lines" or number % 3 != 2  # every third one is a hole
    return mask


@st.composite
def photos(draw, *, longest: int = 48, deep: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 or uint16 noise, and a mask of its size."""
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    dtype = draw(st.sampled_from((np.uint8, np.uint16) if deep else (np.uint8,)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = generator.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)
    return image, draw(masks((height, width)))
