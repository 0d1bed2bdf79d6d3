from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from demo.stage import click_position, show_layer, show_photo, stroke_mask
from demo.view import View

SAME = View((60, 90), (60, 90))


def test_a_click_is_a_pixel_of_the_photo():
    assert click_position(SAME, 12.9, 7) == (12, 7)
    assert click_position(View((600, 900), (60, 90)), 12.95, 7.0) == (129, 70)


@pytest.mark.parametrize(("x", "y"), [(-1, 5), (5, 61), (float("nan"), 5), ("5", 5), (None, 5), (True, 5), ([5], 5)])
def test_what_is_no_position_on_the_picture_is_refused(x, y):
    with pytest.raises(ValueError):
        click_position(SAME, x, y)


def test_a_stroke_covers_what_lies_within_its_radius():
    mask = stroke_mask(SAME, [[20.5, 30.5], [60.5, 30.5]], 5.0)
    y, x = np.mgrid[:60, :90]
    distance = np.hypot(np.maximum(np.maximum(20 - x, x - 60), 0), y - 30)
    assert mask[distance <= 4].all()
    assert not mask[distance > 6.5].any()


def test_a_tap_is_a_round_spot():
    mask = stroke_mask(SAME, [[45.5, 30.5]], 8)
    assert abs(mask.sum() - np.pi * 64) < 45
    assert mask[30, 45]


def test_a_stroke_on_a_reduced_view_is_as_large_on_the_photo():
    mask = stroke_mask(View((600, 900), (60, 90)), [[20, 30], [60, 30]], 2)
    assert mask.shape == (600, 900)
    assert mask[300, 200:600].all()
    rows = np.flatnonzero(mask[:, 400])
    assert 38 <= rows[-1] - rows[0] + 1 <= 43


def test_a_stroke_may_leave_the_picture():
    mask = stroke_mask(SAME, [[-500, 30.5], [5000, 30.5]], 1)
    assert mask[30].all()
    assert not mask[:25].any()


@pytest.mark.parametrize(
    ("points", "radius"),
    [
        ([], 3), ("points", 3), ([[1, 2, 3]], 3), ([[1]], 3), ([1, 2], 3), ([[1, None]], 3), ([[1, float("inf")]], 3),
        ([[1, 2]], 0), ([[1, 2]], -1), ([[1, 2]], 1000), ([[1, 2]], "3"), ([[1, 2]] * 60_000, 3), (None, 3),
    ],
)  # fmt: skip
def test_what_is_no_stroke_is_refused(points, radius):
    with pytest.raises(ValueError):
        stroke_mask(SAME, points, radius)


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_the_layer_travels_without_loss():
    layer = np.random.default_rng(0).integers(0, 256, (20, 30, 4)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(decoded(show_layer(layer)["value"])), layer)


def test_two_equal_layers_are_still_two_answers():
    assert show_layer(None)["turn"] != show_layer(None)["turn"]


def test_the_photo_travels_with_its_colour_profile_and_the_one_before():
    image = np.full((20, 30, 3), 90, np.uint8)
    shown = show_photo(image, b"a profile", before=255 - image)
    assert decoded(shown["photo"]).info["icc_profile"] == b"a profile"
    assert abs(int(np.asarray(decoded(shown["before"]))[0, 0, 0]) - 165) <= 2
    assert (shown["view_w"], shown["view_h"]) == (30, 20)
    assert show_photo(image, None)["before"] == ""
