"""The loops of patch-based completion, compiled by numba, each over one band of rows (see inpaint.patch_search)."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import extending
from numba.core import cgutils, types

PATCH_RADIUS_PX = 3  # 7x7 patches: smaller ones lose structure, larger ones find nothing like themselves
SIDE_PX = 2 * PATCH_RADIUS_PX + 1
CHANNELS = 5  # of what patches are compared by: colours and texture along two axes
GUIDE_WEIGHT = 0.5  # of the first fill's local mean beside one pixel of the patch

# Without the interpreter's lock, so that bands run beside each other. Sums may be reordered, so that a patch's numbers
# are added many at a time.
_loop = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})

_intrinsic: Any = extending.intrinsic  # whose own types know nothing of the call from a loop

# Below, (ty, tx) is a target and (y, x) a pixel in the box, (sy, sx) a source in the photo; corner (y, x) is where
# the box begins.


@_loop
def _next(states, band, bound):
    """The band's next random whole number below bound (xorshift64, Marsaglia 2003)."""
    x = states[band]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    states[band] = x
    return np.int64(((x >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))  # no division: it is slow


@_loop
def _random_source(sources, states, band):
    height, width = sources.shape
    while True:
        y, x = _next(states, band, height), _next(states, band, width)
        if sources[y, x]:
            return y, x


@_loop
def start_anywhere(matches, sources, states, band, start, end):
    for ty in range(start, end):
        for tx in range(matches.shape[1]):
            matches[ty, tx, 0], matches[ty, tx, 1] = _random_source(sources, states, band)


@_loop
def start_from(matches, sources, states, coarse, coarse_corner, corner, band, start, end):
    height, width = sources.shape
    rows, columns, _ = coarse.shape
    for ty in range(start, end):
        for tx in range(matches.shape[1]):
            y, x = ty + corner[0], tx + corner[1]
            # The coarser box holds all targets; beyond it, where there is none, anything will do.
            cy = min(max(y // 2 - coarse_corner[0], 0), rows - 1)
            cx = min(max(x // 2 - coarse_corner[1], 0), columns - 1)
            sy, sx = 2 * coarse[cy, cx, 0] + y % 2, 2 * coarse[cy, cx, 1] + x % 2
            if sy >= height or sx >= width or not sources[sy, sx]:
                sy, sx = _random_source(sources, states, band)
            matches[ty, tx, 0], matches[ty, tx, 1] = sy, sx


@_intrinsic
def _squares(context: Any, rows: Any, target: Any, source: Any) -> Any:
    """_squares(rows, target, source): the summed squared differences of two whole patches of CHANNELS, as int32.

    rows: (H, W CHANNELS) uint8, contiguous. target, source: where in it, counted from its first byte, they begin.
    This is where the search spends its time. Of a loop over 35 bytes LLVM makes few vector instructions and much ado
    round them; written for vectors of 32 and 16 bytes it takes 75 ns for a patch in place of 170. They are LLVM's, not
    one processor's: what it has not got, LLVM makes of what it has.
    """
    width = SIDE_PX * CHANNELS
    # 32 bytes of a row, and the 16 at its end, of which those that are among the 32 do not count.
    pieces = (0, 32, 0), (width - 16, 16, 32 - (width - 16))

    def generated(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        stride = builder.extract_value(array.strides, 0)
        starts = list(arguments[1:])
        sums: list[Any] = [None] * len(pieces)
        for _ in range(SIDE_PX):
            for piece, (begin, size, skipped) in enumerate(pieces):
                as_bytes, words, longs = (ir.VectorType(ir.IntType(bits), size) for bits in (8, 16, 32))
                numbers = []
                for start in starts:
                    at = builder.gep(array.data, [builder.add(start, ir.Constant(start.type, begin))])
                    read = builder.load(builder.bitcast(at, as_bytes.as_pointer()))
                    read.align = 1
                    numbers.append(builder.zext(read, words))
                difference = builder.sub(*numbers)
                if skipped:
                    counts = ir.Constant(words, [0] * skipped + [-1] * (size - skipped))
                    difference = builder.and_(difference, counts)
                difference = builder.sext(difference, longs)
                square = builder.mul(difference, difference)
                sums[piece] = square if sums[piece] is None else builder.add(sums[piece], square)
            starts = [builder.add(start, stride) for start in starts]
        return builder.add(*(_added_up(builder, vector) for vector in sums))

    return types.int32(rows, types.intp, types.intp), generated


def _added_up(builder: Any, vector: Any) -> Any:
    kind = ir.FunctionType(vector.type.element, [vector.type])
    name = f"llvm.vector.reduce.add.v{vector.type.count}i32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])


@_loop
def _distance(rows, guide_mean, y, x, sy, sx, bound):
    """Mean squared difference a pixel of the patches round (y, x) and (sy, sx) of the photo, and of the guide there.

    Infinite if above bound. The source's patch lies wholly on the photo; of the target's only what does counts.
    """
    height, width, _ = guide_mean.shape
    channels = rows.shape[1] // width
    guide = np.float32(0)
    for c in range(3):
        d = np.float32(guide_mean[y, x, c]) - np.float32(guide_mean[sy, sx, c])
        guide += d * d
    guide *= np.float32(GUIDE_WEIGHT)
    if (
        channels == CHANNELS
        and PATCH_RADIUS_PX <= y < height - PATCH_RADIUS_PX
        and PATCH_RADIUS_PX <= x < width - PATCH_RADIUS_PX
    ):
        target_at = (y - PATCH_RADIUS_PX) * rows.shape[1] + (x - PATCH_RADIUS_PX) * CHANNELS
        source_at = (sy - PATCH_RADIUS_PX) * rows.shape[1] + (sx - PATCH_RADIUS_PX) * CHANNELS
        whole = np.float32(_squares(rows, target_at, source_at)) / np.float32(SIDE_PX * SIDE_PX) + guide
        return whole if whole <= bound else np.float32(np.inf)
    top, bottom = max(y - PATCH_RADIUS_PX, 0), min(y + PATCH_RADIUS_PX + 1, height)
    left, right = max(x - PATCH_RADIUS_PX, 0), min(x + PATCH_RADIUS_PX + 1, width)
    count = (bottom - top) * (right - left)
    limit = (bound - guide) * count
    total = np.int32(0)
    for row in range(top, bottom):
        target = rows[row, left * channels : right * channels]
        source = rows[row + sy - y, (left + sx - x) * channels : (right + sx - x) * channels]
        part = np.int32(0)
        for i in range(len(target)):  # in 16 and 32 bits: sixteen numbers at a time
            difference = np.int16(np.int16(target[i]) - np.int16(source[i]))
            part = np.int32(part + np.int32(difference) * np.int32(difference))
        total = np.int32(total + part)
        if total > limit:
            return np.float32(np.inf)
    return np.float32(total) / np.float32(count) + guide


@_loop
def _cost(rows, guide_mean, dearer, y, x, sy, sx, bound):
    """_distance and what that source costs more than others. Infinite if above bound."""
    more = dearer[sy, sx]
    return more + _distance(rows, guide_mean, y, x, sy, sx, bound - more) if more < bound else np.float32(np.inf)


@_loop
def measure(rows, guide_mean, targets, matches, corner, distances, band, start, end):
    for ty in range(start, end):
        for tx in range(targets.shape[1]):
            if targets[ty, tx]:
                sy, sx = matches[ty, tx, 0], matches[ty, tx, 1]
                bound = np.float32(np.inf)
                distances[ty, tx] = _distance(rows, guide_mean, ty + corner[0], tx + corner[1], sy, sx, bound)


@_loop
def sweep(
    rows, guide_mean, targets, matches, corner, sources, dearer, distances, states, reach_px, step, band, start, end
):
    height, width = sources.shape
    box_height, box_width = targets.shape
    for i in range(start, end):
        ty = i if step == 1 else start + end - 1 - i
        for j in range(box_width):
            tx = j if step == 1 else box_width - 1 - j
            if not targets[ty, tx]:
                continue
            y, x = ty + corner[0], tx + corner[1]
            best, best_y, best_x = distances[ty, tx], np.int64(matches[ty, tx, 0]), np.int64(matches[ty, tx, 1])
            for axis in range(2):  # propagation: what suits the neighbour, shifted by one
                ny, nx = (ty - step, tx) if axis == 0 else (ty, tx - step)
                if not (0 <= ny < box_height and 0 <= nx < box_width and targets[ny, nx]):
                    continue
                sy = np.int64(matches[ny, nx, 0]) + (ty - ny)
                sx = np.int64(matches[ny, nx, 1]) + (tx - nx)
                if sy == best_y and sx == best_x:
                    continue
                if 0 <= sy < height and 0 <= sx < width and sources[sy, sx]:
                    d = _cost(rows, guide_mean, dearer, y, x, sy, sx, best)
                    if d < best:
                        best, best_y, best_x = d, sy, sx
            reach = min(max(height, width), reach_px)
            while reach >= 1:  # random search round the best so far, ever closer
                sy = best_y + _next(states, band, 2 * reach + 1) - reach
                sx = best_x + _next(states, band, 2 * reach + 1) - reach
                if 0 <= sy < height and 0 <= sx < width and sources[sy, sx]:
                    d = _cost(rows, guide_mean, dearer, y, x, sy, sx, best)
                    if d < best:
                        best, best_y, best_x = d, sy, sx
                reach //= 2
            matches[ty, tx, 0], matches[ty, tx, 1] = best_y, best_x
            distances[ty, tx] = best


@_loop
def add_patches(rows, matches, weights, total_rows, weight, corner, band, start, end):
    """Adds each patch, times its weight, where it lies in the box: up to PATCH_RADIUS_PX rows beyond the band."""
    box_height, box_width = weights.shape
    channels = total_rows.shape[1] // box_width
    for ty in range(start, end):
        for tx in range(box_width):
            w = weights[ty, tx]
            if w == 0:
                continue
            sy, sx = matches[ty, tx, 0], matches[ty, tx, 1]
            left, right = max(tx - PATCH_RADIUS_PX, 0), min(tx + PATCH_RADIUS_PX + 1, box_width)
            for y in range(max(ty - PATCH_RADIUS_PX, 0), min(ty + PATCH_RADIUS_PX + 1, box_height)):
                total = total_rows[y, left * channels : right * channels]
                source = rows[y + sy - ty, (left + sx - tx) * channels : (right + sx - tx) * channels]
                for i in range(len(total)):
                    total[i] += w * np.float32(source[i])
                for x in range(left, right):
                    weight[y, x] += w


@_loop
def take_means(features, hole, total, weight, corner, band, start, end):
    for y in range(start, end):
        for x in range(hole.shape[1]):
            w = weight[y, x]
            if hole[y, x] and w > 0:
                for c in range(features.shape[2]):
                    features[y + corner[0], x + corner[1], c] = np.uint8(total[y, x, c] / w + np.float32(0.5))


@_loop
def take_best(features, hole, matches, distances, corner, band, start, end):
    box_height, box_width = hole.shape
    for y in range(start, end):
        for x in range(box_width):
            if not hole[y, x]:
                continue
            least, best_y, best_x = np.float32(np.inf), -1, -1
            for ty in range(max(y - PATCH_RADIUS_PX, 0), min(y + PATCH_RADIUS_PX + 1, box_height)):
                for tx in range(max(x - PATCH_RADIUS_PX, 0), min(x + PATCH_RADIUS_PX + 1, box_width)):
                    if distances[ty, tx] < least:
                        least, best_y, best_x = distances[ty, tx], ty, tx
            if best_y >= 0:
                sy, sx = matches[best_y, best_x, 0] + y - best_y, matches[best_y, best_x, 1] + x - best_x
                for c in range(features.shape[2]):
                    features[y + corner[0], x + corner[1], c] = features[sy, sx, c]
