"""Windows of large photos are read at a smaller size: what they show is where and what it was."""

import cv2
import numpy as np
import pytest
import skimage.data

from segment.windows import BORDER, Scales, cut_square


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Without detail: what differs is out of place."""
    large = cv2.resize(skimage.data.astronaut(), (1101, 901), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(large, (0, 0), 12), np.uint8)


@pytest.mark.parametrize(("corner", "side"), [((13, 7), 880), ((-101, -3), 1101), ((700, 500), 300), ((501, 333), 40)])
def test_a_square_shows_what_it_shows_of_the_photo_itself(photo, corner, side):
    square = Scales(photo, 64).square(corner, side, 64)
    how = cv2.INTER_AREA if side > 64 else cv2.INTER_LINEAR
    direct = cv2.resize(cut_square(photo, corner, side), (64, 64), interpolation=how)
    assert np.abs(square.astype(int) - direct).mean() < 2  # less than a tenth of a pixel aside


def test_beyond_the_photo_a_square_is_grey(photo):
    assert (Scales(photo, 64).square((2000, 2000), 640, 64) == BORDER).all()


@pytest.mark.parametrize("box", [(0, 0, 1101, 901), (301, 203, 1101, 901), (10, 11, 500, 777), (40, 40, 60, 70)])
def test_a_crop_shows_the_box_that_it_names_which_holds_the_one_asked_for(photo, box):
    crop, shown = Scales(photo, 64).crop(box, 100)
    x0, y0, x1, y1 = shown
    assert max(crop.shape[:2]) <= 100
    assert (np.array(shown[:2]) <= box[:2]).all()
    assert (np.array(shown[2:]) >= box[2:]).all()
    more = np.pad(photo, ((0, 20), (0, 20), (0, 0)), mode="edge")
    direct = cv2.resize(more[y0:y1, x0:x1], crop.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(crop.astype(int) - direct).mean() < 1


def test_a_small_photo_is_kept_as_it_is(photo):
    small = photo[:90, :100]
    crop, shown = Scales(small, 64).crop((0, 0, 100, 90), 768)
    assert np.shares_memory(crop, small)
    assert shown == (0, 0, 100, 90)
