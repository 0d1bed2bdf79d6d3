import math

import numpy as np
import pytest

from segment.base import Click
from segment.click_planes import (
    colour_distance_plane,
    distance_plane,
    luminance_difference_plane,
)

CLICKS = [Click(2, 1), Click(9, 6), Click(5, 4, positive=False)]
HW = (8, 13)
PHOTO = np.random.default_rng(0).integers(0, 256, (*HW, 3), dtype=np.uint8)


def looped(value):
    """A plane made pixel by pixel: value(x, y, positive clicks)."""
    positive = [click for click in CLICKS if click.positive]
    return np.array([[value(x, y, positive) for x in range(HW[1])] for y in range(HW[0])])


def test_distance_plane_equals_a_plain_loop():
    expected = looped(lambda x, y, clicks: min(1.0, min(math.hypot(x - c.x, y - c.y) for c in clicks) / 5))
    assert distance_plane(CLICKS, HW, unit_px=5) == pytest.approx(expected, abs=1e-6)


def test_distance_plane_of_a_patch_is_the_patch_of_the_photo_s_plane():
    photo_plane = distance_plane([Click(230, 90)], (300, 400))
    patch_plane = distance_plane([Click(230 - 150, 90 - 60)], (100, 120))
    assert (patch_plane == photo_plane[60:160, 150:270]).all()
    outside = distance_plane([Click(230 - 300, 90 - 60)], (100, 100))
    assert (outside == photo_plane[60:160, 300:400]).all()


def test_distance_does_not_depend_on_the_picture_s_size():
    small, large = (distance_plane([Click(10, 10)], hw)[10, 21] for hw in [(32, 32), (640, 480)])
    assert small == large == pytest.approx(11 / 224)


def test_distance_is_cut_at_its_greatest_and_full_without_a_positive_click():
    assert distance_plane([Click(0, 0)], (1, 500))[0, -1] == 1
    assert (distance_plane([Click(0, 0, positive=False)], (3, 3)) == 1).all()


def test_colour_distance_plane_equals_a_plain_loop():
    def value(x, y, clicks):
        here = [float(v) for v in PHOTO[y, x]]
        return min(math.dist(here, [float(v) for v in PHOTO[c.y, c.x]]) for c in clicks) / (255 * math.sqrt(3))

    assert colour_distance_plane(PHOTO, CLICKS) == pytest.approx(looped(value), abs=1e-6)


def test_luminance_difference_plane_equals_a_plain_loop():
    def luminance(x, y):
        return (0.299 * PHOTO[y, x, 0] + 0.587 * PHOTO[y, x, 1] + 0.114 * PHOTO[y, x, 2]) / 255

    expected = looped(lambda x, y, clicks: min(abs(luminance(x, y) - luminance(c.x, c.y)) for c in clicks))
    assert luminance_difference_plane(PHOTO, CLICKS) == pytest.approx(expected, abs=1e-6)


def test_black_to_white_is_one_in_colour_and_luminance():
    photo = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert colour_distance_plane(photo, [Click(0, 0)]).tolist() == [[0, 1]]
    assert luminance_difference_plane(photo, [Click(0, 0)])[0] == pytest.approx([0, 1])


def test_planes_are_float32():
    planes = [distance_plane(CLICKS, HW), colour_distance_plane(PHOTO, CLICKS)]
    planes.append(luminance_difference_plane(PHOTO, CLICKS))
    assert {plane.dtype for plane in planes} == {np.dtype(np.float32)}
