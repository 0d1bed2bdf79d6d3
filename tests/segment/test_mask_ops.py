import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segment import mask_ops


def mask(picture: str) -> np.ndarray:
    """A mask from a drawing: # is True."""
    return np.array([[cell == "#" for cell in row] for row in picture.split()])


masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def test_grow_by_one_adds_the_four_neighbours():
    grown = mask_ops.grow(mask("..... ..... ..#.. ..... ....."), 1)
    assert (grown == mask("..... ..#.. .###. ..#.. .....")).all()


def test_grow_stops_at_the_photos_border():
    assert (mask_ops.grow(mask("#... .... ...."), 2) == mask("###. ##.. #...")).all()


def test_shrink_does_not_count_the_photos_border_as_outside():
    assert (mask_ops.shrink(mask("###. ###. ###."), 1) == mask("##.. ##.. ##..")).all()


@given(masks, st.integers(0, 5))
def test_grow_equals_a_plain_loop_over_distances(m, radius):
    rows, columns = np.nonzero(m)
    expected = np.zeros_like(m)
    for y in range(m.shape[0]):
        for x in range(m.shape[1]):
            expected[y, x] = ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).any()
    assert (mask_ops.grow(m, radius) == expected).all()


@given(masks)
def test_no_operation_writes_into_its_mask(m):
    before = m.copy()
    mask_ops.grow(m, 2), mask_ops.shrink(m, 2), mask_ops.feather(m, 2), mask_ops.fill_holes(m)
    mask_ops.component_at(m, 0, 0), mask_ops.as_shape(m, "ellipse"), mask_ops.as_shape(m, "box")
    assert (m == before).all()


def test_a_negative_radius_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="use shrink"):
        mask_ops.grow(mask("#"), -1)
    with pytest.raises(ValueError, match="use grow"):
        mask_ops.shrink(mask("#"), -1)
    with pytest.raises(ValueError, match="got -1"):
        mask_ops.feather(mask("#"), -1)


def test_feather_falls_from_one_to_zero_across_the_edge():
    alpha = mask_ops.feather(mask("####...."), 2)
    assert alpha == pytest.approx(np.array([[1, 1, 0.875, 0.625, 0.375, 0.125, 0, 0]]))


def test_feather_zero_is_the_mask():
    m = mask("#.# .#.")
    assert (mask_ops.feather(m, 0) == m).all()


def test_box_is_tight_and_exclusive_at_its_end():
    assert mask_ops.box_xyxy(mask("..... ..##. ..#.. .....")) == (2, 1, 4, 3)


def test_an_empty_mask_has_no_box_and_no_deepest_point():
    with pytest.raises(ValueError, match="empty"):
        mask_ops.box_xyxy(np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="empty"):
        mask_ops.deepest_point(np.zeros((2, 2), bool))


def test_box_mask_is_clipped_and_must_touch_the_photo():
    assert (mask_ops.box_mask((-5, 1, 2, 9), (3, 4)) == mask(".... ##.. ##..")).all()
    with pytest.raises(ValueError, match="covers nothing of the 4x3 photo"):
        mask_ops.box_mask((4, 0, 9, 9), (3, 4))


def test_fill_holes_fills_what_is_enclosed_and_nothing_else():
    assert (mask_ops.fill_holes(mask("##### #...# #.#.# ##### .....")) == mask("##### ##### ##### ##### .....")).all()
    notch = mask("##### #...# #...# ##.##")
    assert (mask_ops.fill_holes(notch) == notch).all()


def test_component_is_connected_over_corners_and_empty_beside_the_mask():
    m = mask("#..# .#.. ...#")
    assert (mask_ops.component_at(m, 0, 0) == mask("#... .#.. ....")).all()
    assert not mask_ops.component_at(m, 2, 0).any()


def test_deepest_point_is_the_middle_of_the_widest_part():
    assert mask_ops.deepest_point(mask("..... .###. .###. .###. .#...")) == (2, 2)


@given(masks)
def test_every_shape_holds_the_whole_mask(m):
    for shape in mask_ops.SHAPES:
        assert (mask_ops.as_shape(m, shape) >= m).all()


def test_an_unknown_shape_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="exact, ellipse, box"):
        mask_ops.as_shape(mask("#"), "star")
