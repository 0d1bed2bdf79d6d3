"""The loops of patch-based completion, compiled by numba: search, distance, vote.

Shapes: features (H, W, C) float32, what patches are compared by; guide_mean (H, W, 3) float32; targets, sources, hole
(H, W) bool; matches (H, W, 2) int32, the row and column of each target's best known patch; distances (H, W) float32,
infinite where there is no target.

The photo is cut into bands of rows that the processor's cores share. Neighbouring bands are never worked on at the same
time, and each has random numbers of its own: the same arguments give the same numbers on any number of cores.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

PATCH_RADIUS_PX = 3  # 7x7 patches: smaller ones lose structure, larger ones find nothing like themselves
GUIDE_WEIGHT = 0.5  # of the first fill's local mean beside one pixel of the patch
BAND_ROWS = 64  # small photos are one band: what is found spreads along a whole band in one sweep

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Matches = NDArray[np.int32]

# Without the interpreter's lock, so that bands run beside each other. Sums may be reordered, so that rows of a patch
# are compared and added eight numbers at a time.
_loop = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


class Bands:
    """Runs a loop over all rows, band by band."""

    def __init__(self, height: int, pool: Executor) -> None:
        self._tops = range(0, height, BAND_ROWS)
        self._height, self._pool = height, pool

    def __call__(self, loop: Callable[..., Any], *arguments: Any) -> None:
        """Calls loop(*arguments, band, top, bottom): every second band, then the others."""
        for first in (0, 1):
            band_numbers = range(first, len(self._tops), 2)
            if len(band_numbers) == 1:
                self._run(loop, arguments, first)
            else:
                list(self._pool.map(lambda band: self._run(loop, arguments, band), band_numbers))

    def _run(self, loop: Callable[..., Any], arguments: tuple[Any, ...], band: int) -> None:
        top = self._tops[band]
        loop(*arguments, band, top, min(self._height, top + BAND_ROWS))

    def __len__(self) -> int:
        return len(self._tops)


def random_states(count: int, seed: tuple[int, ...]) -> NDArray[np.uint64]:
    """(count,) states of independent random numbers, none of them 0."""
    return np.random.SeedSequence(seed).generate_state(count, np.uint64) | np.uint64(1)


def search(
    bands: Bands,
    features: Array,
    guide_mean: Array,
    targets: Mask,
    sources: Mask,
    matches: Matches,
    states: NDArray[np.uint64],
    reach_px: int,
) -> Array:
    """Two sweeps of PatchMatch, there and back, over the targets: matches is updated in place. Returns distances.

    reach_px: how far from the best match so far the random search begins. states: of random_states, moved on.
    """
    distances = distances_of(bands, features, guide_mean, targets, matches)
    for step in (1, -1):
        bands(_sweep, _rows(features), guide_mean, targets, sources, matches, distances, states, reach_px, step)
    return distances


def distances_of(bands: Bands, features: Array, guide_mean: Array, targets: Mask, matches: Matches) -> Array:
    distances = np.full(targets.shape, np.inf, np.float32)
    bands(_measure, _rows(features), guide_mean, targets, matches, distances)
    return distances


def vote(bands: Bands, features: Array, hole: Mask, matches: Matches, weights: Array) -> None:
    """Each hole pixel of features becomes the weighted mean of what the patches over it show there, in place.

    hole: not empty. weights: (H, W) float32 of the patch at each target, 0 where there is none.
    """
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    box = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    total = np.zeros((box[2] - box[0], box[3] - box[1], features.shape[2]), np.float32)
    weight = np.zeros(total.shape[:2], np.float32)
    bands(_add_patches, _rows(features), matches, weights, _rows(total), weight, box)
    bands(_take_means, features, hole, total, weight, box)


def take_best(bands: Bands, features: Array, hole: Mask, matches: Matches, distances: Array) -> None:
    """Each hole pixel of features becomes that of the best matched of the patches over it, in place."""
    bands(_take_best, features, hole, matches, distances)


def _rows(features: Array) -> Array:
    """(H, W C): a patch's row is one run of numbers."""
    return features.reshape(len(features), -1)


@_loop
def _next(states, band, bound):
    """The band's next random whole number below bound (xorshift64, Marsaglia 2003)."""
    x = states[band]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    states[band] = x
    return np.int64((x >> np.uint64(11)) % np.uint64(bound))


@_loop
def _random_source(sources, states):
    height, width = sources.shape
    while True:
        y, x = _next(states, 0, height), _next(states, 0, width)
        if sources[y, x]:
            return y, x


@_loop
def random_matches(sources, states):
    """(H, W, 2) int32: a random source (row, column) for every pixel."""
    height, width = sources.shape
    matches = np.empty((height, width, 2), np.int32)
    for y in range(height):
        for x in range(width):
            matches[y, x, 0], matches[y, x, 1] = _random_source(sources, states)
    return matches


@_loop
def finer_matches(coarse, sources, states):
    """The matches of the next finer level: the same offsets, doubled; random where these leave the sources."""
    height, width = sources.shape
    matches = np.empty((height, width, 2), np.int32)
    for y in range(height):
        for x in range(width):
            sy, sx = 2 * coarse[y // 2, x // 2, 0] + y % 2, 2 * coarse[y // 2, x // 2, 1] + x % 2
            if sy >= height or sx >= width or not sources[sy, sx]:
                sy, sx = _random_source(sources, states)
            matches[y, x, 0], matches[y, x, 1] = sy, sx
    return matches


@_loop
def _distance(rows, guide_mean, ty, tx, sy, sx, bound):
    """Mean squared difference a pixel of two patches, and of the guide at the target; infinite if above bound.

    The source's patch lies wholly on the photo; of the target's only what does counts.
    """
    height, width, _ = guide_mean.shape
    channels = rows.shape[1] // width
    guide = np.float32(0)
    for c in range(3):
        d = guide_mean[ty, tx, c] - guide_mean[sy, sx, c]
        guide += d * d
    guide *= np.float32(GUIDE_WEIGHT)
    top, bottom = max(ty - PATCH_RADIUS_PX, 0), min(ty + PATCH_RADIUS_PX + 1, height)
    left, right = max(tx - PATCH_RADIUS_PX, 0), min(tx + PATCH_RADIUS_PX + 1, width)
    count = (bottom - top) * (right - left)
    limit = (bound - guide) * count
    total = np.float32(0)
    for y in range(top, bottom):
        target = rows[y, left * channels : right * channels]
        source = rows[y + sy - ty, (left + sx - tx) * channels : (right + sx - tx) * channels]
        part = np.float32(0)
        for i in range(len(target)):
            d = target[i] - source[i]
            part += d * d
        total += part
        if total > limit:
            return np.float32(np.inf)
    return total / np.float32(count) + guide


@_loop
def _measure(rows, guide_mean, targets, matches, distances, band, top, bottom):
    for y in range(top, bottom):
        for x in range(targets.shape[1]):
            if targets[y, x]:
                sy, sx = matches[y, x, 0], matches[y, x, 1]
                distances[y, x] = _distance(rows, guide_mean, y, x, sy, sx, np.float32(np.inf))


@_loop
def _sweep(rows, guide_mean, targets, sources, matches, distances, states, reach_px, step, band, top, bottom):
    height, width = targets.shape
    for i in range(top, bottom):
        y = i if step == 1 else top + bottom - 1 - i
        for j in range(width):
            x = j if step == 1 else width - 1 - j
            if not targets[y, x]:
                continue
            best, best_y, best_x = distances[y, x], np.int64(matches[y, x, 0]), np.int64(matches[y, x, 1])
            for axis in range(2):  # propagation: what suits the neighbour, shifted by one
                ny, nx = (y - step, x) if axis == 0 else (y, x - step)
                if not (0 <= ny < height and 0 <= nx < width and targets[ny, nx]):
                    continue
                sy = np.int64(matches[ny, nx, 0]) + (y - ny)
                sx = np.int64(matches[ny, nx, 1]) + (x - nx)
                if sy == best_y and sx == best_x:
                    continue
                if 0 <= sy < height and 0 <= sx < width and sources[sy, sx]:
                    d = _distance(rows, guide_mean, y, x, sy, sx, best)
                    if d < best:
                        best, best_y, best_x = d, sy, sx
            reach = min(max(height, width), reach_px)
            while reach >= 1:  # random search round the best so far, ever closer
                sy = best_y + _next(states, band, 2 * reach + 1) - reach
                sx = best_x + _next(states, band, 2 * reach + 1) - reach
                if 0 <= sy < height and 0 <= sx < width and sources[sy, sx]:
                    d = _distance(rows, guide_mean, y, x, sy, sx, best)
                    if d < best:
                        best, best_y, best_x = d, sy, sx
                reach //= 2
            matches[y, x, 0], matches[y, x, 1] = best_y, best_x
            distances[y, x] = best


@_loop
def _add_patches(rows, matches, weights, total_rows, weight, box, band, top, bottom):
    """Adds each patch, times its weight, where it lies in the box: up to PATCH_RADIUS_PX rows beyond the band.

    box: first row and column, and those behind the last, of what total and weight hold.
    """
    first_y, first_x, end_y, end_x = box
    channels = total_rows.shape[1] // (end_x - first_x)
    for ty in range(top, bottom):
        for tx in range(weights.shape[1]):
            w = weights[ty, tx]
            if w == 0:
                continue
            sy, sx = matches[ty, tx, 0], matches[ty, tx, 1]
            left, right = max(tx - PATCH_RADIUS_PX, first_x), min(tx + PATCH_RADIUS_PX + 1, end_x)
            for y in range(max(ty - PATCH_RADIUS_PX, first_y), min(ty + PATCH_RADIUS_PX + 1, end_y)):
                total = total_rows[y - first_y, (left - first_x) * channels : (right - first_x) * channels]
                source = rows[y + sy - ty, (left + sx - tx) * channels : (right + sx - tx) * channels]
                for i in range(len(total)):
                    total[i] += w * source[i]
                for x in range(left, right):
                    weight[y - first_y, x - first_x] += w


@_loop
def _take_means(features, hole, total, weight, box, band, top, bottom):
    first_y, first_x, end_y, end_x = box
    for y in range(max(top, first_y), min(bottom, end_y)):
        for x in range(first_x, end_x):
            w = weight[y - first_y, x - first_x]
            if hole[y, x] and w > 0:
                for c in range(features.shape[2]):
                    features[y, x, c] = total[y - first_y, x - first_x, c] / w


@_loop
def _take_best(features, hole, matches, distances, band, top, bottom):
    height, width = hole.shape
    for y in range(top, bottom):
        for x in range(width):
            if not hole[y, x]:
                continue
            least, best_y, best_x = np.float32(np.inf), -1, -1
            for ty in range(max(y - PATCH_RADIUS_PX, 0), min(y + PATCH_RADIUS_PX + 1, height)):
                for tx in range(max(x - PATCH_RADIUS_PX, 0), min(x + PATCH_RADIUS_PX + 1, width)):
                    if distances[ty, tx] < least:
                        least, best_y, best_x = distances[ty, tx], ty, tx
            if best_y >= 0:
                sy, sx = matches[best_y, best_x, 0] + y - best_y, matches[best_y, best_x, 1] + x - best_x
                for c in range(features.shape[2]):
                    features[y, x, c] = features[sy, sx, c]
