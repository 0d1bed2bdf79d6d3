"""A fully connected conditional random field of two labels: pixels that are near and alike want the same label.

Mean-field inference of Krähenbühl and Koltun 2011, "Efficient inference in fully connected CRFs with Gaussian edge
potentials". With two labels and Potts' penalty its update is one line (their algorithm 1): the logit of a pixel is its
own plus the weighted sum of 2 q - 1 over all other pixels. The sums over all pairs are Gaussian filters; that in five
dimensions (place and colour) goes over a grid (Chen, Paris and Durand 2007) instead of their permutohedral lattice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Image, check_image

Plane = NDArray[np.float32]

_SURE = 1e-3  # probabilities are kept so far from 0 and 1, or nothing could change them


@dataclass(frozen=True)
class CrfConfig:
    """Weights and reaches; the customary ones of the method on photos of 500 px, in shares of the longer side."""

    iterations: int = 5
    alike_weight: float = 10.0
    alike_reach: float = 0.16  # share of the photo's longer side
    alike_colour: float = 13.0  # of 0..255, in each of red, green and blue
    near_weight: float = 3.0
    near_reach: float = 0.006
    cells_per_sigma: float = 1.0  # of the grid: 2 is nearer to the exact sums and costs many times more

    def __post_init__(self) -> None:
        reaches = (self.alike_reach, self.alike_colour, self.near_reach, self.cells_per_sigma)
        if self.iterations < 0 or min(self.alike_weight, self.near_weight) < 0 or min(reaches) <= 0:
            raise ValueError(f"iterations and weights must be 0 or more, reaches more than 0: {self}")


def dense_crf(probability: NDArray[np.floating], image: Image, config: CrfConfig | None = None) -> Plane:
    """(H, W) float32 in 0..1: the probability of being the object after the field's inference.

    probability: (H, W) 0..1, a net's. image: (H, W, 3) uint8 RGB. Give both at a working size: 320 px take a second.
    Raises ValueError if the shapes differ.
    """
    check_image(image)
    config = config or CrfConfig()
    if probability.shape != image.shape[:2]:
        raise ValueError(f"probability is {probability.shape} but image is {image.shape}: resize one of them")
    longer = max(image.shape[:2])
    near_px = max(config.near_reach * longer, 0.5)
    alike = GridFilter(
        features(image, config.alike_reach * longer, config.alike_colour), cells_per_sigma=config.cells_per_sigma
    )
    messages = [
        (config.alike_weight, lambda values: alike(values.ravel()).reshape(values.shape)),
        (config.near_weight, lambda values: _blur(values, near_px)),
    ]
    return mean_field(probability, messages, config.iterations)


def mean_field(probability: NDArray[np.floating], messages: list[tuple[float, Any]], iterations: int) -> Plane:
    """The inference, whatever computes the sums.

    messages: (weight, function from values (H, W) to sums over all pixels, each with itself counted once).
    Each kernel k is normalised to k(i, j) / sqrt(n(i) n(j)), n(i) its sum at i, as the method's own code does.
    """
    q = np.clip(probability, _SURE, 1 - _SURE).astype(np.float32)
    own = np.log(q / (1 - q))
    norms = [1 / np.sqrt(np.maximum(total(np.ones_like(q)), 1e-6)) for _, total in messages]
    for _ in range(iterations):
        spin = 2 * q - 1
        logit = own.copy()
        for (weight, total), norm in zip(messages, norms, strict=True):
            logit += weight * (norm * total(norm * spin) - norm**2 * spin)  # no pixel sends itself a message
        q = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
    return q.astype(np.float32)


def features(image: Image, place_px: float, colour: float) -> NDArray[np.float32]:
    """(H * W, 5): row, column, red, green and blue of each pixel, in units of their sigmas."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    place = np.stack([rows, columns], -1).reshape(-1, 2) / place_px
    return np.concatenate([place, image.reshape(-1, 3) / colour], 1).astype(np.float32)


class GridFilter:
    """values (N,) -> for each point the sum of exp(-d**2 / 2) * value over all points, d their distance."""

    def __init__(self, points: NDArray[np.float32], *, cells_per_sigma: float = 1.0) -> None:
        """points: (N, D). cells_per_sigma: 1 or more, how fine the grid is."""
        from scipy import sparse

        scaled = (points - points.min(0)) * cells_per_sigma
        corner = np.floor(scaled).astype(np.intp)
        inside = scaled - corner
        self._shape = tuple(corner.max(0) + 2)
        count, dimensions = scaled.shape
        cells = np.empty((2**dimensions, count), np.intp)
        shares = np.empty((2**dimensions, count), np.float32)
        for number, side in enumerate(np.ndindex(*(2,) * dimensions)):
            cells[number] = np.ravel_multi_index(tuple((corner + side).T), self._shape)
            shares[number] = np.where(side, inside, 1 - inside).prod(1)
        place = np.tile(np.arange(count), 2**dimensions)
        size = (count, int(np.prod(self._shape)))
        self._spread = sparse.csr_matrix((shares.ravel(), (place, cells.ravel())), shape=size)
        # Spreading and gathering are each a hat of variance 1/6: the blur between does what is left of the Gaussian.
        sigma = np.sqrt(cells_per_sigma**2 - 1 / 3)
        reach = int(np.ceil(3.5 * sigma))
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        self._taps = (taps / taps.sum() * cells_per_sigma * np.sqrt(2 * np.pi)).astype(np.float32)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        from scipy.ndimage import convolve1d

        grid = (self._spread.T @ values.astype(np.float32)).reshape(self._shape)
        for axis in range(grid.ndim):
            grid = convolve1d(grid, self._taps, axis, mode="constant")
        return np.asarray(self._spread @ grid.ravel(), np.float32)


def _blur(values: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Sums of exp(-d**2 / (2 sigma**2)) * value over the plane: nothing lies outside it."""
    reach = int(np.ceil(4 * sigma_px))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    return np.asarray(cv2.sepFilter2D(values, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_CONSTANT), np.float32)
