"""The small copy of a large photo, and the way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from segment.metrics import iou
from segment.working_size import LONGEST_TO_SHORTEST, at_photo_size, box_at_photo_size, padded, working_copy


def disk(hw: tuple[int, int], centre_xy: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    return np.hypot(x - centre_xy[0], y - centre_xy[1]) < radius


def placed(cropped: tuple[np.ndarray, tuple[int, int]] | None, hw: tuple[int, int]) -> np.ndarray:
    assert cropped is not None
    crop, (x, y) = cropped
    whole = np.zeros(hw, bool)
    whole[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return whole


def test_photo_of_ordinary_size_is_worked_on_as_it_is() -> None:
    image = np.zeros((1000, 1333, 3), np.uint8)
    assert working_copy(image) is image


@pytest.mark.parametrize("hw", [(3000, 4000), (4001, 2999), (1, 30_000)])
def test_large_photo_is_worked_on_small_in_its_proportions(hw: tuple[int, int]) -> None:
    small = working_copy(np.zeros((*hw, 3), np.uint8), 1500)
    assert small.dtype == np.uint8
    assert max(small.shape) == 1500
    if min(hw) > 1:
        assert small.shape[1] / small.shape[0] == pytest.approx(hw[1] / hw[0], rel=0.002)


@pytest.mark.parametrize("hw", [(1, 500), (500, 1), (3, 333)])
def test_thin_photo_is_padded_by_its_own_edge(hw: tuple[int, int]) -> None:
    image = np.full((*hw, 3), 7, np.uint8)
    wide = padded(image)
    assert max(wide.shape[:2]) / min(wide.shape[:2]) <= LONGEST_TO_SHORTEST
    assert (wide == 7).all()
    assert image.shape == (*hw, 3)


def test_mask_of_a_photo_worked_on_as_it_is_stays_the_same_to_the_pixel() -> None:
    mask = np.random.default_rng(0).random((9, 13)) > 0.7
    np.testing.assert_array_equal(placed(at_photo_size(mask, (9, 13)), (9, 13)), mask)


def test_empty_mask_stays_empty() -> None:
    assert at_photo_size(np.zeros((9, 13), bool), (90, 130)) is None


@pytest.mark.parametrize(
    "centre", [(60, 45), (3, 2), (118, 88), (60, 0)], ids=["inside", "corner", "far corner", "edge"]
)
@pytest.mark.parametrize("factor", [1.7, 2, 3.3])
def test_mask_comes_back_where_it_was_and_round(centre: tuple[float, float], factor: float) -> None:
    hw = (90, 120)
    photo_hw = (round(90 * factor), round(120 * factor))
    back = placed(at_photo_size(disk(hw, centre, 25), photo_hw), photo_hw)
    wanted = disk(photo_hw, (centre[0] * photo_hw[1] / 120, centre[1] * photo_hw[0] / 90), 25 * factor)
    nearest = cv2.resize(disk(hw, centre, 25).astype(np.uint8), photo_hw[::-1], interpolation=cv2.INTER_NEAREST) > 0
    assert iou(back, wanted) > 0.97
    assert iou(back, wanted) >= iou(nearest, wanted)


def test_mask_that_fills_the_photo_still_fills_it() -> None:
    assert placed(at_photo_size(np.ones((10, 20), bool), (33, 66)), (33, 66)).all()


def test_single_pixel_is_not_lost() -> None:
    mask = np.zeros((10, 20), bool)
    mask[4, 7] = True
    back = placed(at_photo_size(mask, (30, 60)), (30, 60))
    assert back[13, 22]


def test_box_is_scaled_outwards_and_clipped_to_the_photo() -> None:
    assert box_at_photo_size(np.array([1.2, 2.0, 5.5, 99.0]), (10, 20), (20, 40)) == (2, 4, 11, 20)
