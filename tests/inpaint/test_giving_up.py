"""A fill that nobody waits for any more ends between two of its steps, and no other does."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from inpaint.giving_up import given_up_by
from inpaint.hole_crop import fill_by_crops
from inpaint.opencv import TeleaInpainter
from inpaint.patch_match import refine_texture


class GoneError(Exception):
    pass


class Counted:
    def __init__(self, most: int):
        self.most, self.asked = most, 0

    def __call__(self) -> None:
        self.asked += 1
        if self.asked > self.most:
            raise GoneError


@pytest.fixture
def photo():
    """(90, 420, 3) noise with two holes, far from each other."""
    image = np.random.default_rng(5).integers(0, 256, (90, 420, 3), np.uint8)
    hole = np.zeros((90, 420), bool)
    hole[10:30, 10:30] = hole[60:80, 390:410] = True
    return image, hole


def _fill(image, hole):
    return fill_by_crops(TeleaInpainter(), image, hole)


def _refine(image, hole):
    return refine_texture(image, hole, np.zeros_like(image))


@pytest.mark.parametrize("fill", [_fill, _refine])
def test_a_check_is_asked_between_the_steps_and_ends_the_fill_when_it_raises(photo, fill):
    expected, kept = fill(*photo), photo[0].copy()
    patient, gone = Counted(most=1000), Counted(most=1)
    with given_up_by(patient):
        np.testing.assert_array_equal(fill(*photo), expected)
    assert patient.asked >= 2
    with pytest.raises(GoneError), given_up_by(gone):
        fill(*photo)
    assert gone.asked == 2
    np.testing.assert_array_equal(photo[0], kept)
    np.testing.assert_array_equal(fill(*photo), expected)  # after the block nothing is asked


def test_another_threads_fill_is_not_given_up(photo):
    results = []
    with given_up_by(Counted(most=0)):
        thread = threading.Thread(target=lambda: results.append(_fill(*photo)))
        thread.start()
        thread.join()
    assert len(results) == 1
