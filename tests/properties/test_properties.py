"""What holds for every photo and every mask: few examples here, 1,500 each with -m torture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from inpaint import load_inpainter
from inpaint.crop_plan import CropPlan
from inpaint.hole_crop import fill_by_crops
from pipeline import edit, outline
from pipeline.effects import Blur, CutOut, Erase, Outline, Replace, apply
from pipeline.photo import Photo
from segment import mask_ops
from tests.properties.drawn import masks, photos

HAND = settings(max_examples=15, deadline=None)
ROUND = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
ROUNDS = 15
TELEA = load_inpainter("telea")


class Paint:
    """Fills with a colour, and refuses a crop whose hole it should not have been given."""

    color = (10, 200, 30)

    def __init__(self, max_size_px: int | None):
        self.max_size_px = max_size_px

    def inpaint(self, image, hole):
        assert image.dtype == np.uint8 and image.shape[:2] == hole.shape and hole.dtype == np.bool_
        assert self.max_size_px is None or max(hole.shape) <= self.max_size_px
        assert hole.any() and not hole.all()
        assert (image[hole] == 0).all()  # nothing of what is to go is shown to the net
        result = image.copy()
        result[hole] = self.color
        return result


def _erasing(photo, grow_px, shape, feather_px) -> None:
    image, mask = photo
    hole = edit.hole_of(mask, grow_px=grow_px, mask_shape=shape)
    assert (hole | ~mask).all()
    kept, kept_mask = image.copy(), mask.copy()
    if hole.all():
        with pytest.raises(ValueError, match="the hole is the whole photo"):
            edit.erase(image, mask, TELEA, grow_px=grow_px, mask_shape=shape)
        return
    result = edit.erase(image, mask, TELEA, grow_px=grow_px, feather_px=feather_px, mask_shape=shape)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(result[~hole], image[~hole])
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(mask, kept_mask)


def _cropping(photo, size_px, context, least, feather_px) -> None:
    image, hole = photo
    if hole.all():
        return
    kept, kept_hole = image.copy(), hole.copy()
    filled = fill_by_crops(Paint(size_px), image, hole, context=context, min_context_px=least, feather_px=feather_px)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(hole, kept_hole)
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    if feather_px:
        return
    if size_px is None or max(hole.shape) <= size_px:  # no crop was made smaller: the fill is the inpainter's own
        assert (filled[hole] == Paint.color).all()
    image[hole] = ~image[hole]  # another object in the same place leaves no other trace
    again = fill_by_crops(Paint(size_px), image, hole, context=context, min_context_px=least)
    np.testing.assert_array_equal(again, filled)


def _planning(hole, size_px, context, least) -> None:
    if not hole.any():
        return
    plan = CropPlan(hole, context=context, min_context_px=least, size_px=size_px)
    height, width = hole.shape
    taken = np.zeros(hole.shape, int)
    for job in plan.jobs():
        (cx0, cy0, cx1, cy1), (x0, y0, x1, y1) = job.crop, job.paste
        assert 0 <= cx0 <= x0 < x1 <= cx1 <= width and 0 <= cy0 <= y0 < y1 <= cy1 <= height
        taken[y0:y1, x0:x1] += plan.belongs(job.paste, job.labels)
    np.testing.assert_array_equal(taken, hole)  # each pixel of a hole is filled once, no other ever


def _masking(mask, radius, shape) -> None:
    kept = mask.copy()
    grown, shrunk = mask_ops.grow(mask, radius), mask_ops.shrink(mask, radius)
    plain, filled = mask_ops.as_shape(mask, shape), mask_ops.fill_holes(mask)
    soft = mask_ops.feather(mask, radius)
    for result in (grown, plain, filled):
        assert result.shape == mask.shape and result.dtype == np.bool_
        assert (result | ~mask).all()
        assert not np.shares_memory(result, mask)
    assert (mask | ~shrunk).all()
    assert soft.dtype == np.float32 and soft.min() >= 0 and soft.max() <= 1
    np.testing.assert_array_equal(mask_ops.fill_holes(filled), filled)
    np.testing.assert_array_equal(mask_ops.grow(mask, 0), mask)
    if mask.any():
        x0, y0, x1, y1 = mask_ops.box_xyxy(mask)
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        x, y = mask_ops.deepest_point(mask)
        assert mask[y, x]
        part = mask_ops.component_at(mask, x, y)
        assert part[y, x] and (mask | ~part).all()
    # An independent answer: the pixels within the radius of any of the mask's.
    if mask.any() and mask.size < 400:
        ys, xs = np.nonzero(mask)
        y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
        near = ((y[..., None] - ys) ** 2 + (x[..., None] - xs) ** 2).min(axis=2) <= radius**2
        np.testing.assert_array_equal(grown, near)
    np.testing.assert_array_equal(mask, kept)


def _effects(photo, with_alpha, feather_px) -> None:
    image, mask = photo
    full = np.iinfo(image.dtype).max
    alpha = (image[..., 0] // 2 + full // 2).astype(image.dtype) if with_alpha else None
    source = Photo(image, alpha)
    kept, kept_mask = image.copy(), mask.copy()
    for effect in (CutOut(feather_px), Blur(2, feather_px), Replace((1, 2, 3), feather_px), Outline(), Erase(1)):
        if isinstance(effect, Erase) and mask_ops.grow(mask, 1).all():
            continue
        if not mask.any() and not isinstance(effect, Erase):
            with pytest.raises(ValueError, match="nothing is selected"):
                apply(source, mask, effect)
            continue
        result = apply(source, mask, effect, inpainter=TELEA)
        assert result.hw == source.hw and result.pixels.dtype == image.dtype
        assert result.edits and not np.shares_memory(result.pixels, image)
        if isinstance(effect, Erase):
            outside = ~mask_ops.grow(mask, 1)
            np.testing.assert_array_equal(result.pixels[outside], image[outside])
            if alpha is not None:
                np.testing.assert_array_equal(result.alpha[outside], alpha[outside])
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(mask, kept_mask)


def _outlining(photo, width_px) -> None:
    image, mask = photo
    if not mask.any():
        return
    line = outline.line(mask, width_px)
    assert line.shape == mask.shape and line.min() >= 0 and line.max() <= 1
    drawn = outline.outlined(image, mask, color=(255, 0, 0), width_px=width_px)
    np.testing.assert_array_equal(drawn[line == 0], image[line == 0])


SIZES = st.one_of(st.none(), st.integers(16, 64))
CONTEXT, LEAST = st.floats(0, 2), st.integers(1, 40)
CHECKS: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {
    "erasing_changes_the_hole_alone": (
        _erasing,
        (photos(), st.integers(0, 6), st.sampled_from(mask_ops.SHAPES), st.floats(0, 9)),
    ),
    "crops_fill_every_hole_and_nothing_else": (
        _cropping,
        (photos(longest=120, deep=False), SIZES, CONTEXT, LEAST, st.integers(0, 5)),
    ),
    "a_plan_takes_each_pixel_once": (
        _planning,
        (st.tuples(st.integers(1, 150), st.integers(1, 150)).flatmap(masks), SIZES, CONTEXT, LEAST),
    ),
    "mask_arithmetic_holds": (
        _masking,
        (
            st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(masks),
            st.integers(0, 70),
            st.sampled_from(mask_ops.SHAPES),
        ),
    ),
    "every_effect_keeps_size_depth_and_arguments": (
        _effects,
        (photos(longest=30), st.booleans(), st.one_of(st.none(), st.floats(0, 50))),
    ),
    "an_outline_touches_nothing_but_its_line": (_outlining, (photos(), st.floats(0.1, 100))),
}


@pytest.mark.parametrize("name", CHECKS)
def test_for_a_few_photos_and_masks(name):
    check, drawn = CHECKS[name]
    HAND(given(*drawn)(check))()


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CHECKS)
def test_for_more_photos_and_masks(name, bounded):
    """Rounds with other examples each, for a round cannot be stopped in its middle."""
    check, drawn = CHECKS[name]
    for number in bounded.within(range(ROUNDS)):
        ROUND(seed(number)(given(*drawn)(check)))()
    bounded.say("rounds of 100 examples")
