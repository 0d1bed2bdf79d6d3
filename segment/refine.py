"""From a net's small probabilities to a mask of the photo: enlarged along the photo's edges, cleaned, in parts."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Image, Mask

Plane = NDArray[np.float32]

# ExtractNet's post-processing (its report, section 2). The report does not say for which size of photo its kernels
# are; its photos were COCO's.
BLUR_PX, OPENING_PX, THRESHOLD = 27, 39, 0.5
REPORT_SIDE_PX = 640

_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # of the three colours


def enlarged(probability: NDArray[np.floating], image_hw: tuple[int, int]) -> Plane:
    """(H, W) float32: the probabilities (h, w) at the photo's size, interpolated."""
    size = image_hw[1], image_hw[0]
    shrinks = image_hw[0] * image_hw[1] < probability.size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(probability.astype(np.float32), size, interpolation=how), np.float32)


def guided(probability: NDArray[np.floating], image: Image, *, radius: float = 0.02, smoothness: float = 1e-3) -> Plane:
    """(H, W) float32 in 0..1: the probabilities (h, w) at the photo's size, their edges moved to the photo's.

    The fast guided filter (He and Sun 2015): within each window the probability is taken for a linear function of the
    photo's colours. Fitted at the size of the probabilities, used at the photo's.
    radius: of the window, in shares of the longer side. smoothness: differences of the photo whose square (of 0..1) is
    below it are no edges.
    """
    height, width = probability.shape
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    p = probability.astype(np.float32)
    side = 2 * max(1, round(radius * max(height, width))) + 1

    def mean(plane: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)

    mean_p, mean_i = mean(p), mean(small)
    covariance = mean(small * p[..., None]) - mean_i * mean_p[..., None]
    # The covariance of the colours in each window: He et al. 2013, equation 19.
    spread = {(i, j): mean(small[..., i] * small[..., j]) - mean_i[..., i] * mean_i[..., j] for i, j in _PAIRS}
    for i in range(3):
        spread[i, i] += np.float32(smoothness)
    slope = solved(spread, covariance)  # (h, w, 3)
    offset = mean_p - (slope * mean_i).sum(-1)
    size = image.shape[1], image.shape[0]
    result = np.asarray(cv2.resize(mean(offset), size, interpolation=cv2.INTER_LINEAR), np.float32)
    smooth_slope = mean(slope)
    for channel in range(3):  # one plane at a time keeps the memory of large photos small
        weight = cv2.resize(smooth_slope[..., channel], size, interpolation=cv2.INTER_LINEAR)
        result += np.asarray(weight * (image[..., channel] / np.float32(255)), np.float32)
    return np.clip(result, 0, 1, dtype=np.float32)


def solved(matrix: Mapping[tuple[int, int], Plane], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 3): the x of matrix x = right at each place, by Cramer's rule: an eighth of the time of a general solver.

    matrix: (h, w) each, the upper half of symmetric, positive definite 3x3 matrices. right: (h, w, 3).
    """
    a, b, c, d, e, f = (matrix[pair].astype(np.float64) for pair in _PAIRS)  # its small determinants cancel in float32
    adjugate = np.stack([d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b])
    determinant = a * adjugate[0] + b * adjugate[1] + c * adjugate[2]
    x, y, z = np.moveaxis(right, -1, 0)
    rows = [(0, 1, 2), (1, 3, 4), (2, 4, 5)]
    products = [adjugate[i] * x + adjugate[j] * y + adjugate[k] * z for i, j, k in rows]
    return (np.stack(products, -1) / determinant[..., None]).astype(np.float32)


def extractnet_cleaned(probability: NDArray[np.floating]) -> Mask:
    """(H, W) bool: blurred, thresholded and opened as ExtractNet's report does, with kernels that fit the photo.

    probability: (H, W) in 0..1, or a mask. The blur fills small holes and smooths the edge; the opening takes specks
    away, and with them everything thinner than about a sixteenth of the photo's longer side.
    """
    scale = max(probability.shape) / REPORT_SIDE_PX
    blur_px, opening_px = _odd(BLUR_PX * scale), _odd(OPENING_PX * scale)
    soft = cv2.GaussianBlur(probability.astype(np.float32), (blur_px, blur_px), 0, borderType=cv2.BORDER_REPLICATE)
    mask = (soft >= THRESHOLD).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (opening_px, opening_px))
    # Beyond the border the mask goes on: an object that the photo cuts off is not thin there.
    margin = opening_px
    padded = cv2.copyMakeBorder(mask, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, kernel)[margin:-margin, margin:-margin]
    return np.ascontiguousarray(opened) > 0


def parts(mask: Mask, *, least_share: float = 0.0) -> list[Mask]:
    """The connected parts of the mask (corners connect), largest first, without those below a share of the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    order = sorted(range(count - 1), key=lambda part: -areas[part])
    return [labels == part + 1 for part in order if areas[part] >= least_share * areas[order[0]]]


def _odd(size_px: float) -> int:
    return max(1, 2 * round((size_px - 1) / 2) + 1)
