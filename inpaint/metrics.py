"""How near a fill is to the truth, over the whole photo or inside the hole alone.

Photos are (H, W, 3) uint8 RGB, holes (H, W) bool. Every function takes the filled photo, then the true one, then the
hole; without a hole the whole photo counts. A hole of no pixels is a ValueError: there is nothing to measure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inpaint.base import Image, Mask


def psnr(filled: Image, truth: Image, hole: Mask | None = None) -> float:
    """Peak signal-to-noise ratio in dB, of all channels together; infinite where there is no difference."""
    difference = _difference(filled, truth, hole)
    error = float(np.mean(difference**2))
    return float(10 * np.log10(255.0**2 / error)) if error > 0 else float("inf")


def l1(filled: Image, truth: Image, hole: Mask | None = None) -> float:
    """Mean absolute difference as a share of the range, 0..1 (papers print it in percent)."""
    return float(np.mean(np.abs(_difference(filled, truth, hole)))) / 255.0


def ssim(filled: Image, truth: Image, hole: Mask | None = None) -> float:
    """Structural similarity (Wang et al., 2004): Gaussian windows of sigma 1.5, -1..1, mean over the channels.

    With a hole, the mean of the similarity map over its pixels; their windows reach a little beyond it.
    Raises ValueError for photos smaller than the 11-pixel window.
    """
    from skimage.metrics import structural_similarity

    _check(filled, truth, hole)
    if min(truth.shape[:2]) < 11:
        raise ValueError(f"photos must be 11 pixels or more each way for ssim, got {truth.shape[:2]}")
    _, similarity = structural_similarity(
        truth,
        filled,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,  # as in the paper
        full=True,
    )
    return float(np.mean(similarity if hole is None else similarity[hole]))


def texture_ratio(filled: Image, truth: Image, hole: Mask | None = None) -> float:
    """Mean gradient magnitude of the fill over that of the truth: below 1 blurred, above 1 too busy.

    The grey levels' differences to the right and downward neighbour, counted where all three pixels are in the hole,
    so that the seam at its edge is no texture. NaN where the truth is quite flat, or the hole too thin to tell.
    """
    _check(filled, truth, hole)
    inside = np.ones(truth.shape[:2], bool) if hole is None else hole
    inside = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:]
    if not inside.any():
        return float("nan")
    true_gradient = float(_gradient(truth)[inside].mean())
    return float(_gradient(filled)[inside].mean()) / true_gradient if true_gradient > 0 else float("nan")


def _gradient(image: Image) -> NDArray[np.float32]:
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    right, down = grey[:-1, 1:] - grey[:-1, :-1], grey[1:, :-1] - grey[:-1, :-1]
    return np.hypot(right, down)


def _difference(filled: Image, truth: Image, hole: Mask | None) -> NDArray[np.float32]:
    _check(filled, truth, hole)
    if hole is not None:
        filled, truth = filled[hole], truth[hole]
    return filled.astype(np.float32) - truth.astype(np.float32)


def _check(filled: Image, truth: Image, hole: Mask | None) -> None:
    if filled.shape != truth.shape or filled.dtype != np.uint8 or truth.dtype != np.uint8:
        raise ValueError(
            f"both photos must be uint8 and of one shape, got {filled.shape} {filled.dtype} "
            f"and {truth.shape} {truth.dtype}"
        )
    if hole is not None and (hole.shape != truth.shape[:2] or hole.dtype != np.bool_):
        raise ValueError(f"hole must be {truth.shape[:2]} bool, got {hole.shape} {hole.dtype}")
    if hole is not None and not hole.any():
        raise ValueError("the hole is empty: there is nothing to measure in it")
