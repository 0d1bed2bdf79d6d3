"""What DeepMask and DeepCrop train on: windows with the clicked object in their middle, and windows without.

Sizes and offsets are DeepMask's (Pinheiro et al. 2015, section 3.2): an object fills 128 of 224 pixels; the score is
taught on windows where it does, give or take 16 pixels and a quarter of an octave, against windows that are off by at
least 32 pixels or an octave. V1 sees the whole photo instead. The windows are cut as segment.deepcrop cuts them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from segment import Click, Mask
from segment.click_planes import distance_plane
from segment.deepcrop import SIDES, photo_planes
from segment.mask_ops import box_xyxy
from segment.nets.deepcrop import MARGIN_PX, PLANES, DeepCropConfig
from segment.windows import cut_square, middle_corner, moved_click, resized_to, scaled_click
from train_segment.clicks import first_click
from train_segment.data import Sample

SHIFT_PX, OCTAVES = 16, 0.25  # how far a window may be off and still have the object in its middle
FAR_PX, FAR_OCTAVES = 32, 1.0  # from here on it has not
_SMALLEST_PX = 4  # of the photo: a window of less shows nothing


@dataclass(frozen=True)
class Patch:
    """One training window and what the net should say of it."""

    image: NDArray[np.uint8]  # (window_px, window_px, 3)
    planes: NDArray[np.float32]  # (window_px, window_px, 0, 1 or 3)
    mask: Mask  # (mask_px, mask_px): the object, in the part without the margin
    counts: Mask  # (mask_px, mask_px): False where nobody knows; everywhere in a window without the object's middle
    score: float  # 1: the clicked object is in the middle; 0: it is not
    click: Click  # in pixels of the window; may lie outside


def window_patch(sample: Sample, config: DeepCropConfig, rng: Generator, *, positive: bool = True) -> Patch:
    """A random window for DeepMask or V2, with a random click on the object.

    positive: with the object in its middle; else one whose mask could hold the click, but that is too far off.
    """
    x0, y0, x1, y1 = box_xyxy(sample.mask)
    centre_x, centre_y = (x0 + x1) / 2, (y0 + y1) / 2
    right_scale = max(x1 - x0, y1 - y0) / config.object_px  # photo's pixels a pixel of the window
    click = first_click(sample.mask, rng=rng, depth_share=0.3)
    shift_px, far_px = (px * config.input_px / 160 for px in (SHIFT_PX, FAR_PX))  # those of a window of 160
    if positive:
        scale = right_scale * 2 ** rng.uniform(-OCTAVES, OCTAVES)
        x, y = (centre + rng.uniform(-shift_px, shift_px) * scale for centre in (centre_x, centre_y))
    else:
        photo_px = max(sample.mask.shape)
        x, y, scale = _too_far(click, (centre_x, centre_y), right_scale, config, rng, far_px, photo_px)
    side = max(_SMALLEST_PX, round(config.window_px * scale))
    corner = round(x - side / 2), round(y - side / 2)
    image = _resized(cut_square(sample.image, corner, side), config.window_px)
    clicked = scaled_click(moved_click(click, corner), (side, side), image.shape[:2])
    planes = distance_plane([clicked], image.shape[:2], unit_px=config.unit_px)[..., None]
    planes = planes[..., : PLANES[config.variant]]
    mask, ignored = (_small(_square_of(part, corner, side), config) for part in (sample.mask, sample.ignore))
    return Patch(image, planes, mask, ~ignored & positive, float(positive), clicked)


def photo_patch(sample: Sample, config: DeepCropConfig, rng: Generator) -> Patch:
    """The whole photo for V1, with a random click on the object: exactly what segment.deepcrop gives V1's net."""
    click = first_click(sample.mask, rng=rng, depth_share=0.3)
    picture = resized_to(sample.image, config.input_px)
    height, width = picture.shape[:2]
    corner = middle_corner((height, width), config.window_px)
    image = cut_square(picture, corner, config.window_px)
    clicked = moved_click(scaled_click(click, sample.image.shape[:2], (height, width)), corner)
    planes = photo_planes(image, [clicked], unit_px=config.unit_px)
    mask, ignored = (
        _small(_square_of(_mask_resized(part, (width, height)), corner, config.window_px), config)
        for part in (sample.mask, sample.ignore)
    )
    return Patch(image, planes, mask, ~ignored, 1.0, clicked)


def _too_far(
    click: Click,
    centre_xy: tuple[float, float],
    right_scale: float,
    config: DeepCropConfig,
    rng: Generator,
    far_px: float,
    photo_px: int,
) -> tuple[float, float, float]:
    """Centre and scale of a window that the click lies in, but whose middle or scale is not the object's."""
    reach = config.input_px / 2
    low, high = (math.log2(photo_px / (side * config.input_px)) for side in (SIDES[-1], SIDES[0]))
    while True:  # most windows are far off: the first or second fits
        scale = 2 ** rng.uniform(low, high)  # as large as the photo is when clicks are answered
        x, y = (c + rng.uniform(-reach, reach) * scale for c in (click.x, click.y))
        off_px = max(abs(x - centre_xy[0]), abs(y - centre_xy[1])) / scale
        if off_px >= far_px or abs(math.log2(scale / right_scale)) >= FAR_OCTAVES:
            return x, y, scale


def _square_of(mask: Mask, corner_xy: tuple[int, int], side_px: int) -> NDArray[np.uint8]:
    """0 or 1: the square of the mask with that corner, nothing beyond the photo."""
    return cut_square(mask.view(np.uint8), corner_xy, side_px, border=0)


def _small(square: NDArray[np.uint8], config: DeepCropConfig) -> Mask:
    """The square without its margin at the size of the net's mask: True where at least half of a cell is."""
    margin = square.shape[0] * MARGIN_PX / config.window_px
    # Exact to a part of a pixel: rounding the margin would move the masks of small objects.
    cell = (square.shape[0] - 2 * margin) / config.mask_px
    kernel = max(1, round(cell))
    blurred = cv2.blur(square.astype(np.float32), (kernel, kernel))
    back = np.array([[cell, 0, margin + cell / 2 - 0.5], [0, cell, margin + cell / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(blurred, back, (config.mask_px,) * 2, flags=flags) >= 0.5


def _resized(square: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    how = cv2.INTER_AREA if square.shape[0] > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side_px, side_px), interpolation=how), np.uint8)


def _mask_resized(mask: Mask, size_wh: tuple[int, int]) -> Mask:
    return cv2.resize(mask.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA) >= 0.5
