from __future__ import annotations

import numpy as np
import pytest

from demo.view import LONGEST_PX, SMALLEST_PX, View


@pytest.mark.parametrize("photo_hw", [(240, 320), (1, 1), (3000, 4001), (4001, 1999), (1, 20000), (1600, 1600)])
def test_a_position_over_a_pixel_of_the_photo_leads_back_to_that_pixel(photo_hw):
    view = View.of(photo_hw)
    height, width = photo_hw
    for x in {0, width // 3, width // 2, width - 1}:
        for y in {0, height // 3, height - 1}:
            position = (x + 0.5) * view.view_hw[1] / width, (y + 0.5) * view.view_hw[0] / height
            assert view.to_photo(*position) == (x, y)


def test_each_axis_has_its_own_scale():
    view = View((1000, 2000), (10, 40))  # 100 rows and 50 columns of the photo in a pixel of the view
    assert view.to_photo(3.5, 3.5) == (175, 350)
    assert view.to_view(175, 350) == (3, 3)


def test_a_position_on_the_far_edge_is_kept_on_the_photo():
    view = View.of((240, 320))
    view_h, view_w = view.view_hw
    assert view.to_photo(view_w, view_h) == (319, 239)
    assert view.to_photo(0, 0) == (0, 0)


@pytest.mark.parametrize(
    ("photo_hw", "longer"), [((100, 200), SMALLEST_PX), ((1200, 1100), 1200), ((9000, 100), LONGEST_PX)]
)
def test_the_longer_side_is_shown_within_the_limits(photo_hw, longer):
    assert max(View.of(photo_hw).view_hw) == longer


def test_a_photo_of_the_views_size_is_shown_as_it_is_in_a_new_array():
    view, image = View((2, 3), (2, 3)), np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    shown = view.show(image)
    np.testing.assert_array_equal(shown, image)
    assert not np.shares_memory(shown, image)


def test_a_pixel_of_the_view_is_selected_where_more_than_half_of_it_is_covered():
    view = View((2, 4), (1, 2))
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
    np.testing.assert_array_equal(view.show_mask(mask), [[True, False]])
