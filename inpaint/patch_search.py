"""The loops of patch-based completion, compiled by numba: search, distance, vote.

Shapes: features (H, W, C) float32, what patches are compared by; guide_mean (H, W, 3) float32; targets, sources, hole
(H, W) bool; matches (H, W, 2) int32, the row and column of each target's best known patch; distances (H, W) float32;
confidence (H, W) float32, above 0; random (1,) uint64, the generator's state, which every draw moves on.
"""

import numba
import numpy as np

PATCH_RADIUS_PX = 3  # 7x7 patches: smaller ones lose structure, larger ones find nothing like themselves
GUIDE_WEIGHT = 0.5  # of the first fill's local mean beside one pixel of the patch


@numba.njit(cache=True)
def _next(random, bound):
    """The next random whole number below bound (xorshift64, Marsaglia 2003)."""
    x = random[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    random[0] = x
    return np.int64((x >> np.uint64(11)) % np.uint64(bound))


@numba.njit(cache=True)
def _random_source(sources, random):
    height, width = sources.shape
    while True:
        y, x = _next(random, height), _next(random, width)
        if sources[y, x]:
            return y, x


@numba.njit(cache=True)
def random_matches(sources, random):
    """(H, W, 2) int32: a random source (row, column) for every pixel."""
    height, width = sources.shape
    matches = np.empty((height, width, 2), np.int32)
    for y in range(height):
        for x in range(width):
            matches[y, x, 0], matches[y, x, 1] = _random_source(sources, random)
    return matches


@numba.njit(cache=True)
def finer_matches(coarse, sources, random):
    """The matches of the next finer level: the same offsets, doubled; random where these leave the sources."""
    height, width = sources.shape
    matches = np.empty((height, width, 2), np.int32)
    for y in range(height):
        for x in range(width):
            sy, sx = 2 * coarse[y // 2, x // 2, 0] + y % 2, 2 * coarse[y // 2, x // 2, 1] + x % 2
            if sy >= height or sx >= width or not sources[sy, sx]:
                sy, sx = _random_source(sources, random)
            matches[y, x, 0], matches[y, x, 1] = sy, sx
    return matches


@numba.njit(cache=True, fastmath=True)
def _distance(features, guide_mean, ty, tx, sy, sx, bound):
    """Mean squared difference a pixel of two patches, and of the guide at the target; stops once above bound."""
    height, width, channels = features.shape
    total = np.float32(0)
    count = 0
    for dy in range(-PATCH_RADIUS_PX, PATCH_RADIUS_PX + 1):
        y = ty + dy
        if y < 0 or y >= height:
            continue
        for dx in range(-PATCH_RADIUS_PX, PATCH_RADIUS_PX + 1):
            x = tx + dx
            if x < 0 or x >= width:
                continue
            count += 1
            for c in range(channels):
                d = features[y, x, c] - features[sy + dy, sx + dx, c]
                total += d * d
        if total > bound * 49:
            return np.float32(np.inf)
    guide = np.float32(0)
    for c in range(3):
        d = guide_mean[ty, tx, c] - guide_mean[sy, sx, c]
        guide += d * d
    return total / count + np.float32(GUIDE_WEIGHT) * guide


@numba.njit(cache=True)
def distances_of(features, guide_mean, targets, matches):
    height, width = targets.shape
    distances = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if targets[y, x]:
                sy, sx = matches[y, x, 0], matches[y, x, 1]
                distances[y, x] = _distance(features, guide_mean, y, x, sy, sx, np.float32(np.inf))
    return distances


@numba.njit(cache=True)
def search(features, guide_mean, targets, sources, matches, random, reach_px):
    """Two sweeps of PatchMatch, there and back, over the targets; matches is updated in place.

    reach_px: how far from the best match so far the random search begins.
    """
    height, width = targets.shape
    for sweep in range(2):
        step = 1 if sweep == 0 else -1
        for i in range(height):
            y = i if sweep == 0 else height - 1 - i
            for j in range(width):
                x = j if sweep == 0 else width - 1 - j
                if not targets[y, x]:
                    continue
                best_y, best_x = matches[y, x, 0], matches[y, x, 1]
                best = _distance(features, guide_mean, y, x, best_y, best_x, np.float32(np.inf))
                for axis in range(2):  # propagation: what suits the neighbour, shifted by one
                    ny, nx = (y - step, x) if axis == 0 else (y, x - step)
                    if not (0 <= ny < height and 0 <= nx < width and targets[ny, nx]):
                        continue
                    sy = matches[ny, nx, 0] + (y - ny)
                    sx = matches[ny, nx, 1] + (x - nx)
                    if 0 <= sy < height and 0 <= sx < width and sources[sy, sx]:
                        d = _distance(features, guide_mean, y, x, sy, sx, best)
                        if d < best:
                            best, best_y, best_x = d, sy, sx
                reach = min(max(height, width), reach_px)
                while reach >= 1:  # random search round the best so far, ever closer
                    sy = best_y + _next(random, 2 * reach + 1) - reach
                    sx = best_x + _next(random, 2 * reach + 1) - reach
                    if 0 <= sy < height and 0 <= sx < width and sources[sy, sx]:
                        d = _distance(features, guide_mean, y, x, sy, sx, best)
                        if d < best:
                            best, best_y, best_x = d, sy, sx
                    reach //= 2
                matches[y, x, 0], matches[y, x, 1] = best_y, best_x


@numba.njit(cache=True)
def vote(features, hole, targets, matches, distances, confidence, variance):
    height, width, channels = features.shape
    voted = features.copy()
    weights = np.zeros((height, width))  # once a patch: each serves the 49 pixels that it covers
    for y in range(height):
        for x in range(width):
            if targets[y, x]:
                weights[y, x] = confidence[y, x] * np.exp(-distances[y, x] / (2 * variance))
    for y in range(height):
        for x in range(width):
            if not hole[y, x]:
                continue
            weight = np.float32(0)
            total = np.zeros(channels, np.float32)
            for dy in range(-PATCH_RADIUS_PX, PATCH_RADIUS_PX + 1):
                for dx in range(-PATCH_RADIUS_PX, PATCH_RADIUS_PX + 1):
                    ty, tx = y + dy, x + dx
                    if 0 <= ty < height and 0 <= tx < width and targets[ty, tx]:
                        w = weights[ty, tx]
                        weight += w
                        for c in range(channels):
                            total[c] += w * features[matches[ty, tx, 0] - dy, matches[ty, tx, 1] - dx, c]
            if weight > 0:
                for c in range(channels):
                    voted[y, x, c] = total[c] / weight
    return voted


@numba.njit(cache=True)
def take_best(features, hole, targets, matches, distances):
    """New features: each hole pixel from the best matched of the patches over it."""
    height, width, channels = features.shape
    taken = features.copy()
    for y in range(height):
        for x in range(width):
            if not hole[y, x]:
                continue
            least = np.float32(np.inf)
            for dy in range(-PATCH_RADIUS_PX, PATCH_RADIUS_PX + 1):
                for dx in range(-PATCH_RADIUS_PX, PATCH_RADIUS_PX + 1):
                    ty, tx = y + dy, x + dx
                    if 0 <= ty < height and 0 <= tx < width and targets[ty, tx] and distances[ty, tx] < least:
                        least = distances[ty, tx]
                        for c in range(channels):
                            taken[y, x, c] = features[matches[ty, tx, 0] - dy, matches[ty, tx, 1] - dx, c]
    return taken
