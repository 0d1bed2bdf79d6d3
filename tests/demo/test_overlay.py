from __future__ import annotations

import numpy as np
import pytest

from demo.overlay import ACCENT, TINT, caption, over, selection_layer
from segment import Click


def disk(size: int, radius: int) -> np.ndarray:
    y, x = np.ogrid[:size, :size]
    return (x - size // 2) ** 2 + (y - size // 2) ** 2 <= radius**2


def test_nothing_selected_gives_a_transparent_layer():
    layer = selection_layer((40, 60), None)
    assert layer.shape == (40, 60, 4)
    assert not layer.any()
    assert not selection_layer((40, 60), np.zeros((40, 60), bool), label="cat").any()


def test_the_object_is_tinted_and_what_is_far_from_it_is_not_touched():
    mask = disk(200, 40)
    layer = selection_layer((200, 200), mask)
    np.testing.assert_allclose(layer[100, 100], [*ACCENT, round(TINT * 255)], atol=2)  # drawn in 8 bits
    assert not layer[~disk(200, 50)].any()


def test_the_contour_is_opaque_and_of_the_accent_colour():
    layer = selection_layer((200, 200), disk(200, 40))
    np.testing.assert_allclose(layer[100, 60], [*ACCENT, 255], atol=20)  # the leftmost pixel of the disk, softened


def test_a_hole_in_the_object_has_a_contour_too():
    ring = disk(200, 60) & ~disk(200, 30)
    layer = selection_layer((200, 200), ring)
    assert layer[100, 128:134, 3].max() == 255
    assert layer[100, 100, 3] == 0


def test_lines_are_as_thick_on_the_screen_whatever_the_pictures_size():
    thin = selection_layer((400, 400), disk(400, 100), unit_px=0.5)
    thick = selection_layer((400, 400), disk(400, 100), unit_px=3)
    assert (thick[..., 3] == 255).sum() > 2.5 * (thin[..., 3] == 255).sum()


def test_clicks_that_add_and_that_take_away_look_different():
    clicks = [Click(50, 50), Click(150, 150, positive=False)]
    layer = selection_layer((200, 200), None, clicks=clicks, unit_px=2)
    plus, minus = layer[30:70, 30:70], layer[130:170, 130:170]
    assert plus.any() and minus.any()
    assert (plus == [*ACCENT, 255]).all(axis=-1).any()
    assert not (minus == [*ACCENT, 255]).all(axis=-1).any()


def test_the_area_that_will_change_is_drawn_around_the_mask():
    layer = selection_layer((200, 200), disk(200, 40), grown=disk(200, 70))
    np.testing.assert_allclose(layer[100, 30], [255, 255, 255, 255], atol=20)
    assert not layer[100, 40:50].any()


@pytest.mark.parametrize("top", [0, 60, 150])
def test_a_label_is_drawn_within_the_picture_wherever_the_object_is(top):
    mask = np.zeros((200, 300), bool)
    mask[top : top + 40, 250:300] = True
    bare, labelled = selection_layer((200, 300), mask), selection_layer((200, 300), mask, label="Traffic light 97 %")
    assert labelled.shape == bare.shape
    assert (labelled != bare).any(axis=-1).sum() > 500


def test_a_label_that_does_not_fit_is_cut_and_a_tiny_picture_has_none():
    mask = np.ones((60, 40), bool)
    selection_layer((60, 40), mask, label="a very long label that cannot fit")
    tiny = np.ones((3, 3), bool)
    np.testing.assert_array_equal(selection_layer((3, 3), tiny, label="cat"), selection_layer((3, 3), tiny))


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"mask is \(3, 4\) but the picture is \(4, 3\)"):
        selection_layer((4, 3), np.ones((3, 4), bool))


def test_a_layer_over_a_picture_leaves_it_unchanged_where_it_is_transparent():
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    layer = selection_layer((200, 200), disk(200, 40))
    result = over(image, layer)
    np.testing.assert_array_equal(result[layer[..., 3] == 0], image[layer[..., 3] == 0])
    expected = (1 - round(TINT * 255) / 255) * image[100, 100] + round(TINT * 255) / 255 * np.array(ACCENT)
    np.testing.assert_allclose(result[100, 100], expected, atol=2)


@pytest.mark.parametrize(
    ("label", "score", "text"), [("traffic_light", 0.974, "Traffic light 97 %"), (None, 1.0, "Object 100 %")]
)
def test_the_caption_names_the_class_and_the_score(label, score, text):
    assert caption(label, score) == text
