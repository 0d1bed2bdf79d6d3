"""Texture for a filled hole, taken from the known surroundings: patch-based completion, coarse to fine.

Wexler, Shechtman and Irani 2007, "Space-time completion of video" (the voting); Barnes et al. 2009, "PatchMatch" (the
search); Newson et al. 2014, "Video inpainting of complex scenes" (texture features, weights, best patch at the end).
A first fill says what belongs where; patches of the photo itself then say how it looks.
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaint import load_inpainter
from inpaint.base import Image, Inpainter, Mask, check_hole
from inpaint.giving_up import go_on
from inpaint.hole_crop import fill_by_crops
from inpaint.patch_loops import PATCH_RADIUS_PX, SIDE_PX
from inpaint.patch_search import Level

TEXTURE_WEIGHT = 20.0  # of squared mean gradients beside squared colours, both in 0..255; 2 leaves fills too smooth
START_SIZE_PX = 512  # longer side of the crop that is filled first, where its inpainter has no size of its own
COARSEST_SIDE_PX = 40  # the pyramid stops before a side is shorter than this
# Search-and-vote rounds, and how far the search looks, from the coarsest level on; the last serves all finer ones.
# What belongs where is settled while the photo is small; fine levels only follow it, for their pixels are many. The
# finest has none: it takes the patches that the level of half its size has chosen, and is sharper for it.
ROUNDS = (20, 12, 8, 3, 1)
REACH_PX = (1 << 20, 1 << 20, 64, 8, 2)

CONFIDENCE = 1.3  # a patch counts so much less for each pixel that it lies deeper in the hole
DEEPEST_PX = 100  # from here on all the same: only neighbours are weighed against each other

_TEXTURE_STRIDE = 4  # texture is a mean over 3 x 3 cells of so many pixels on a side
_LEAST_WEIGHT = 1e-3  # of known pixels: where there are fewer, texture is taken from farther away

Array = NDArray[np.float32]


class PatchMatchInpainter:
    """A first fill, then the photo's own texture in its place."""

    max_size_px = 2048  # beyond it the search takes longer than people wait

    def __init__(self, start: Inpainter | str = "telea"):
        """start: what makes the first fill, an inpainter or its name."""
        self._start = load_inpainter(start) if isinstance(start, str) else start
        self.name = f"patch_match over {getattr(self._start, 'name', type(self._start).__name__)}"

    def inpaint(self, image: Image, hole: Mask) -> Image:
        """A new photo with the hole filled, equal to image wherever hole is False (see inpaint.base.Inpainter)."""
        check_hole(image, hole)
        # The first fill decides on colours and their places, not on detail: it may be a small one.
        size_px = getattr(self._start, "max_size_px", None) or START_SIZE_PX
        return refine_texture(image, hole, fill_by_crops(self._start, image, hole, net_size_px=size_px))


def refine_texture(image: Image, hole: Mask, fill: Image, *, seed: int = 0) -> Image:
    """A new photo whose hole shows what `fill` shows there, made of patches of the photo's own texture.

    image: (H, W, 3) uint8 RGB. hole: (H, W) bool. fill: (H, W, 3) uint8, any fill of that hole. seed: of the search.
    Equal to image wherever hole is False; the same arguments give the same bytes. Where the photo is too small to hold
    one whole known patch, the fill itself comes back.
    Raises ValueError if the hole does not fit the photo or is all of it, or if fill has another shape.
    """
    check_hole(image, hole)
    if fill.shape != image.shape:
        raise ValueError(f"fill is {fill.shape} but image is {image.shape}: give the fill of this photo")
    result = np.where(hole[..., None], fill, image)
    del fill  # large photos: nothing is kept that is not needed any more
    if not hole.any():
        return result
    pictures = _pyramid(result, hole)
    texture = _texture(result, hole)
    level: Level | None = None
    # OpenCV's bound on threads is what this process may use: the workers of a folder have one core each.
    with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:
        for rank, (guide, small_hole) in enumerate(pictures):
            coarser, level = level, _level(guide, small_hole, texture, pool, (seed, rank))
            if level is None:
                continue
            if coarser is None:
                level.start_anywhere()
            else:
                level.start_from(coarser)
                del coarser
                distances = level.distances()
                if rank == len(pictures) - 1:
                    break
                level.vote(_weights(level, distances))
            for _ in range(ROUNDS[min(rank, len(ROUNDS) - 1)]):
                go_on()
                distances = level.search(REACH_PX[min(rank, len(REACH_PX) - 1)])
                level.vote(_weights(level, distances))
        if level is not None:  # else no patch is known anywhere, and the fill itself has to do
            # Averages of patches are soft: the last picture takes each pixel from its one best patch.
            level.take_best(distances)
            result[hole] = level.features[..., :3][hole]
    return result


def _level(guide: Image, hole: Mask, texture: NDArray[np.uint8], pool: Executor, seed: tuple[int, int]) -> Level | None:
    """The photo at one of its sizes, None where no whole patch of it is known."""
    sources = _shrink(~hole)
    if not sources.any():
        return None
    # The fill's local mean is what a patch is asked to keep; its missing texture is not.
    guide_mean = np.asarray(cv2.blur(guide, (SIDE_PX,) * 2), np.uint8)
    features = np.concatenate([guide, cv2.resize(texture, hole.shape[::-1])], axis=2)
    return Level(features, guide_mean, hole, _dilate(hole), sources, pool, seed)


def _pyramid(guide: Image, hole: Mask) -> list[tuple[Image, Mask]]:
    """(guide, hole) at each size, coarsest first. A coarse pixel is hole where any of its pixels is."""
    levels = [(guide, hole)]
    depth = cv2.distanceTransform(np.pad(hole, 1).view(np.uint8), cv2.DIST_L2, 3).max()
    # Halve until the hole is about a patch deep: there the surroundings decide alone.
    while depth > PATCH_RADIUS_PX + 1 and min(hole.shape) >= 2 * COARSEST_SIDE_PX:
        rows, columns = ((0, side % 2) for side in hole.shape)  # so that each pixel is made of four
        hole = np.pad(hole, (rows, columns))
        hole = hole[::2, ::2] | hole[1::2, ::2] | hole[::2, 1::2] | hole[1::2, 1::2]
        even = cv2.copyMakeBorder(guide, *rows, *columns, cv2.BORDER_REPLICATE)
        guide = np.asarray(cv2.resize(even, hole.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        levels.append((guide, hole))
        depth /= 2
    return levels[::-1]


def _texture(guide: Image, hole: Mask) -> NDArray[np.uint8]:
    """(H / 4, W / 4, 2), rounded up: mean absolute gradients along x and y, weighted; the surroundings' in the hole.

    What it says at a pixel is the same at all sizes of the photo: fine texture must still be told apart where the photo
    is small (Newson et al., section 3.3).
    """
    grey = cv2.cvtColor(guide, cv2.COLOR_RGB2GRAY)
    known = np.where(_dilate(hole, 1), np.uint8(0), np.uint8(255))  # a gradient across the hole's edge is the fill's
    small_wh = -(-hole.shape[1] // _TEXTURE_STRIDE), -(-hole.shape[0] // _TEXTURE_STRIDE)
    beside = grey[:, [*range(1, grey.shape[1]), -1]], grey[[*range(1, grey.shape[0]), -1]]
    total = np.stack([_cells(cv2.absdiff(grey, other) & known, small_wh) for other in beside], axis=2)
    weight = _cells(known, small_wh)[..., None] / np.float32(255)
    pyramid = [(total, weight)]
    while min(pyramid[-1][1].shape[:2]) > 1 and (pyramid[-1][1] < _LEAST_WEIGHT).any():
        size_wh = -(-weight.shape[1] // 2), -(-weight.shape[0] // 2)
        total, weight = _averaged(total, size_wh), _averaged(weight, size_wh)
        pyramid.append((total, weight))
    spread = total / np.maximum(weight, 1e-6)
    for total, weight in pyramid[-2::-1]:
        coarse = cv2.resize(spread, weight.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        spread = np.where(weight < _LEAST_WEIGHT, coarse, total / np.maximum(weight, 1e-6))
    return np.clip(np.rint(spread * np.sqrt(TEXTURE_WEIGHT)), 0, 255).astype(np.uint8)


def _cells(x: NDArray[np.uint8], size_wh: tuple[int, int]) -> Array:
    """(H, W) to a smaller size: means, over three pixels of it on a side."""
    # In 16 bits: the rounding of 8 would be a tenth of a weak gradient.
    means = cv2.resize(x.astype(np.uint16) << 8, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(means.astype(np.float32) / 256, (3, 3)), np.float32)


def _averaged(x: Array, size_wh: tuple[int, int]) -> Array:
    """(H, W, C) at a smaller size, each pixel the mean over its area."""
    small = cv2.resize(x, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(*size_wh[::-1], -1)  # OpenCV drops a last axis of one


def _dilate(mask: Mask, radius: int = PATCH_RADIUS_PX) -> Mask:
    return cv2.dilate(mask.view(np.uint8), np.ones((2 * radius + 1,) * 2, np.uint8)).view(bool)


def _shrink(known: Mask) -> Mask:
    """The centres of patches that lie wholly on the photo and are wholly known."""
    square = np.ones((SIDE_PX,) * 2, np.uint8)
    return cv2.erode(known.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0).view(bool)


def _weights(level: Level, distances: Array) -> Array:
    """(h, w): how much each target's patch counts in the vote, the better matched the more; 0 where there is no target.

    Patches near the hole's edge count more, for they know more: a horizon goes on where it meets the hole, not where
    the first fill has put it (Wexler et al. 2007, section 3.2).
    """
    depth = cv2.distanceTransform(np.pad(level.hole, 1).view(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    found = distances[level.targets]
    variance = max(float(np.percentile(found, 75)), 1e-3)
    confidence = np.float32(CONFIDENCE) ** -np.minimum(depth[level.targets], DEEPEST_PX)
    weights = np.zeros_like(distances)
    weights[level.targets] = confidence * np.exp(-found / np.float32(2 * variance))
    return weights
