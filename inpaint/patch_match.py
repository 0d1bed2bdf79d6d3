"""Texture for a filled hole, taken from the known surroundings: patch-based completion, coarse to fine.

Wexler, Shechtman and Irani 2007, "Space-time completion of video" (the voting); Barnes et al. 2009, "PatchMatch" (the
search); Newson et al. 2014, "Video inpainting of complex scenes" (texture features, weights, best patch at the end).
A first fill says what belongs where; patches of the photo itself then say how it looks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaint import load_inpainter
from inpaint.base import Image, Inpainter, Mask, check_hole
from inpaint.giving_up import go_on
from inpaint.hole_crop import fill_by_crops
from inpaint.patch_search import (
    PATCH_RADIUS_PX,
    Bands,
    distances_of,
    finer_matches,
    random_matches,
    random_states,
    search,
    take_best,
    vote,
)

TEXTURE_WEIGHT = 20.0  # of squared mean gradients beside squared colours, both in 0..255; 2 leaves fills too smooth
START_SIZE_PX = 512  # longer side of the crop that is filled first, where its inpainter has no size of its own
COARSEST_SIDE_PX = 40  # the pyramid stops before a side is shorter than this
# Search-and-vote rounds, and how far the search looks, from the coarsest level on; the last serves all finer ones.
# What belongs where is settled while the photo is small; fine levels only follow it, for their pixels are many.
ROUNDS = (10, 6, 4, 2, 1)
REACH_PX = (1 << 20, 1 << 20, 64, 32, 16)

CONFIDENCE = 1.3  # a patch counts so much less for each pixel that it lies deeper in the hole
DEEPEST_PX = 100  # from here on all the same: only neighbours are weighed against each other

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
        first = fill_by_crops(self._start, image, hole, net_size_px=size_px)
        return refine_texture(image, hole, first)


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
    if not hole.any():
        return image.copy()
    estimate, matches = np.where(hole[..., None], fill, image).astype(np.float32), None
    levels = _pyramid(estimate, _texture(estimate, hole), hole)
    # OpenCV's bound on threads is what this process may use: the workers of a folder have one core each.
    with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:
        for rank, (guide, level_texture, level_hole) in enumerate(levels):
            sources = _shrink(~level_hole)
            targets = _dilate(level_hole)
            if not sources.any():
                continue
            bands = Bands(len(level_hole), pool)
            states = random_states(len(bands), (seed, rank))
            # The fill's local mean is what a patch is asked to keep; its missing texture is not.
            features = np.concatenate([guide, level_texture], axis=2)
            guide_mean = np.asarray(cv2.blur(guide, (2 * PATCH_RADIUS_PX + 1,) * 2), np.float32)
            confidence = _confidence(level_hole)
            if matches is None:
                matches = random_matches(sources, states)
            else:
                matches = finer_matches(matches, sources, states)
                distances = distances_of(bands, features, guide_mean, targets, matches)
                vote(bands, features, level_hole, matches, _weights(confidence, targets, distances))
            step = min(rank, len(ROUNDS) - 1)
            for _ in range(ROUNDS[step]):
                go_on()
                distances = search(bands, features, guide_mean, targets, sources, matches, states, REACH_PX[step])
                vote(bands, features, level_hole, matches, _weights(confidence, targets, distances))
            if rank == len(levels) - 1:
                # Averages of patches are soft: the last picture takes each pixel from its one best patch.
                take_best(bands, features, level_hole, matches, distances)
                estimate = features[..., :3]
    result = image.copy()
    result[hole] = estimate[hole].round().clip(0, 255).astype(np.uint8)
    return result


def _pyramid(estimate: Array, texture: Array, hole: Mask) -> list[tuple[Array, Array, Mask]]:
    """(estimate, texture, hole) at each size, coarsest first. A coarse pixel is hole where any of its pixels is."""
    levels = [(estimate, texture, hole)]
    depth = cv2.distanceTransform(np.pad(hole, 1).view(np.uint8), cv2.DIST_L2, 3).max()
    # Halve until the hole is about a patch deep: there the surroundings decide alone.
    while depth > PATCH_RADIUS_PX + 1 and min(hole.shape) >= 2 * COARSEST_SIDE_PX:
        size_wh = ((hole.shape[1] + 1) // 2, (hole.shape[0] + 1) // 2)
        estimate = _averaged(estimate, size_wh)
        # Fine texture must still be told apart at coarse levels: subsampled, not averaged (Newson et al., section 3.3).
        texture = np.ascontiguousarray(texture[::2, ::2])
        hole = cv2.resize(hole.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA) > 0
        levels.append((estimate, texture, hole))
        depth /= 2
    return levels[::-1]


def _texture(estimate: Array, hole: Mask) -> Array:
    """(H, W, 2) weighted mean absolute gradients along x and y; in the hole what its surroundings have, spread in."""
    grey = cv2.cvtColor(estimate, cv2.COLOR_RGB2GRAY)
    known = (~_dilate(hole, 1)).astype(np.float32)  # a gradient across the hole's edge is the fill's
    gradients = np.zeros((*grey.shape, 2), np.float32)
    gradients[:, :-1, 0] = cv2.absdiff(grey[:, 1:], grey[:, :-1]) * known[:, :-1]
    gradients[:-1, :, 1] = cv2.absdiff(grey[1:], grey[:-1]) * known[:-1]
    window = (4 * PATCH_RADIUS_PX + 1,) * 2
    total: Array = np.asarray(cv2.blur(gradients, window), np.float32)
    weight: Array = np.asarray(cv2.blur(known, window), np.float32)[..., None]
    sizes = [total.shape[1::-1]]
    pyramid = [(total, weight)]
    while min(sizes[-1]) > 1 and (pyramid[-1][1] < 1e-3).any():
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        pyramid.append((_averaged(pyramid[-1][0], sizes[-1]), _averaged(pyramid[-1][1], sizes[-1])))
    spread = pyramid[-1][0] / np.maximum(pyramid[-1][1], 1e-6)
    for (total, weight), size in zip(pyramid[-2::-1], sizes[-2::-1], strict=True):
        coarse = cv2.resize(spread, size, interpolation=cv2.INTER_LINEAR)
        spread = np.where(weight < 1e-3, coarse, total / np.maximum(weight, 1e-6))
    return (spread * np.sqrt(TEXTURE_WEIGHT)).astype(np.float32)


def _averaged(x: Array, size_wh: tuple[int, int]) -> Array:
    """(H, W, C) at a smaller size, each pixel the mean over its area."""
    small = cv2.resize(x, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(*size_wh[::-1], -1)  # OpenCV drops a last axis of one


def _dilate(mask: Mask, radius: int = PATCH_RADIUS_PX) -> Mask:
    return cv2.dilate(mask.view(np.uint8), np.ones((2 * radius + 1,) * 2, np.uint8)).view(bool)


def _shrink(known: Mask) -> Mask:
    """The centres of patches that lie wholly on the photo and are wholly known."""
    square = np.ones((2 * PATCH_RADIUS_PX + 1,) * 2, np.uint8)
    return cv2.erode(known.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0).view(bool)


def _confidence(hole: Mask) -> Array:
    """(H, W): patches near the hole's edge count more, for they know more (Wexler et al. 2007, section 3.2).

    A horizon goes on where it meets the hole, not where the first fill has put it.
    """
    depth = cv2.distanceTransform(np.pad(hole, 1).view(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.asarray(np.float32(CONFIDENCE) ** -np.minimum(depth, DEEPEST_PX), np.float32)


def _weights(confidence: Array, targets: Mask, distances: Array) -> Array:
    """(H, W): how much each target's patch counts in the vote, the better matched the more (same section); else 0."""
    found = distances[targets]
    variance = max(float(np.percentile(found, 75)), 1e-3)
    weights = np.zeros_like(confidence)
    weights[targets] = confidence[targets] * np.exp(-found / np.float32(2 * variance))
    return weights
