"""Erase, cut out, blur, replace: what changes, what never does, and what is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inpaint import load_inpainter
from pipeline import edit
from segment import mask_ops

EFFECTS = {
    "erase": lambda image, mask: edit.erase(image, mask, load_inpainter("telea")),
    "cut_out": edit.cut_out,
    "blur_background": edit.blur_background,
    "replace_background": lambda image, mask: edit.replace_background(image, mask, (1, 2, 3)),
}


@st.composite
def _photos_with_masks(draw):
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = generator.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)
    mask = draw(hnp.arrays(np.bool_, (height, width)))
    return image, mask


@settings(max_examples=60, deadline=None)
@given(_photos_with_masks(), st.integers(0, 6), st.sampled_from(mask_ops.SHAPES), st.floats(0, 4))
def test_erase_leaves_pixels_outside_the_grown_mask_unchanged(photo, grow_px, shape, feather_px):
    image, mask = photo
    hole = edit.hole_of(mask, grow_px=grow_px, mask_shape=shape)
    if hole.all():
        return
    inpainter = load_inpainter("telea")
    before = image.copy()
    result = edit.erase(image, mask, inpainter, grow_px=grow_px, feather_px=feather_px, mask_shape=shape)
    assert result.dtype == image.dtype
    assert result is not image
    np.testing.assert_array_equal(result[~hole], image[~hole])
    np.testing.assert_array_equal(image, before)
    assert (hole | ~mask).all()  # the hole holds the mask


@settings(max_examples=40, deadline=None)
@given(_photos_with_masks())
def test_no_effect_writes_into_its_arguments_and_all_keep_size_and_depth(photo):
    image, mask = photo
    for name, effect in EFFECTS.items():
        if not mask.any() or (name == "erase" and edit.hole_of(mask).all()):
            continue
        before, mask_before = image.copy(), mask.copy()
        result = effect(image, mask)
        assert result.shape == (*mask.shape, 4 if name == "cut_out" else 3)
        assert result.dtype == image.dtype
        np.testing.assert_array_equal(image, before)
        np.testing.assert_array_equal(mask, mask_before)
        assert not np.shares_memory(result, image)


def test_erasing_nothing_gives_the_photo_back(noise, inpainter):
    image = noise[..., :3]
    result = edit.erase(image, np.zeros(image.shape[:2], bool), inpainter)
    np.testing.assert_array_equal(result, image)
    assert inpainter.holes == []


def test_erase_without_feather_takes_nothing_of_the_object_into_the_result(noise, mask, inpainter):
    result = edit.erase(noise[..., :3], mask, inpainter, grow_px=2, feather_px=0)
    hole = mask_ops.grow(mask, 2)
    assert (result[hole] == inpainter.color).all()


def test_the_default_feather_never_reaches_the_object(inpainter):
    image = np.zeros((200, 200, 3), np.uint8)
    mask = np.zeros((200, 200), bool)
    mask[60:140, 50:150] = True
    result = edit.erase(image, mask, inpainter)
    assert (result[mask] == inpainter.color).all()
    ring = edit.hole_of(mask) & ~mask
    assert (result[ring] != inpainter.color).any()  # there is a blend, in the ring


def test_a_sixteen_bit_photo_is_filled_with_eight_bits_and_keeps_its_own(mask, inpainter):
    image = np.random.default_rng(2).integers(0, 65536, (*mask.shape, 3), np.uint16)
    result = edit.erase(image, mask, inpainter, grow_px=0, feather_px=0)
    assert (result[mask] == np.array(inpainter.color) * 257).all()
    np.testing.assert_array_equal(result[~mask], image[~mask])


def test_the_grown_ring_scales_with_object_and_photo():
    def grown(size: int, share: float) -> int:
        mask = np.zeros((size, size), bool)
        mask[: int(size * share), : int(size * share)] = True
        return edit.default_grow_px(mask)

    assert grown(100, 0.1) <= 4
    assert grown(1000, 0.3) > grown(1000, 0.05) > grown(100, 0.05)
    assert grown(4000, 0.3) < 0.02 * 4000


def test_the_mask_shape_makes_a_plainer_hole(mask, noise, inpainter):
    edit.erase(noise[..., :3], mask, inpainter, grow_px=0, mask_shape="box")
    box = np.zeros_like(mask)
    box[5:13, 4:14] = True
    np.testing.assert_array_equal(edit.hole_of(mask, grow_px=0, mask_shape="box"), box)


def test_erasing_the_whole_photo_is_one_clear_error(noise, inpainter):
    image = noise[..., :3]
    with pytest.raises(ValueError, match="the hole is the whole photo"):
        edit.erase(image, np.ones(image.shape[:2], bool), inpainter)


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, m: (i[..., 0], m), r"image must be \(H, W, 3\) uint8 or uint16 RGB and not empty, got \(24, 38\)"),
        (lambda i, m: (i.astype(float), m), "image must be .* float64: convert it first"),
        (lambda i, m: (i, m.astype(np.uint8)), r"mask must be \(H, W\) bool with True on the object, got .* uint8"),
        (lambda i, m: (i, m.T.copy()), r"mask is \(38, 24\) but image is \(24, 38, 3\): were height and width swapped"),
        (lambda i, m: (i, m[1:]), r"mask is \(23, 38\) but image is \(24, 38, 3\)$"),
    ],
)
def test_wrong_arrays_are_refused(noise, mask, name, change, message):
    with pytest.raises(ValueError, match=message):
        EFFECTS[name](*change(noise[..., :3], mask))


@pytest.mark.parametrize("name", ["cut_out", "blur_background", "replace_background"])
def test_an_empty_mask_is_refused_where_something_must_stay(noise, name):
    with pytest.raises(ValueError, match="nothing is selected"):
        EFFECTS[name](noise[..., :3], np.zeros(noise.shape[:2], bool))


def test_negative_amounts_are_refused(noise, mask, inpainter):
    image = noise[..., :3]
    with pytest.raises(ValueError, match="feather_px must be 0 or more, got -1"):
        edit.cut_out(image, mask, feather_px=-1)
    with pytest.raises(ValueError, match="feather_px must be 0 or more, got -1"):
        edit.erase(image, mask, inpainter, feather_px=-1)
    with pytest.raises(ValueError, match="radius_px must be 0 or more, got -2"):
        edit.erase(image, mask, inpainter, grow_px=-2)
    with pytest.raises(ValueError, match="sigma_px must be more than 0, got 0"):
        edit.blur_background(image, mask, sigma_px=0)


def _disk(size: int = 120, radius: int = 30) -> np.ndarray:
    y, x = np.ogrid[:size, :size]
    return (x - size // 2) ** 2 + (y - size // 2) ** 2 <= radius**2


def _mixed_edge(mask: np.ndarray, inside: tuple[int, int, int], outside: tuple[int, int, int]) -> np.ndarray:
    """A photo whose edge mixes both colours over a few pixels, as a lens does."""
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.2)[..., np.newaxis]
    return np.rint(share * np.array(inside) + (1 - share) * np.array(outside)).astype(np.uint8)


def test_a_cut_out_is_opaque_inside_soft_at_the_edge_and_empty_outside():
    mask = _disk()
    rgba = edit.cut_out(_mixed_edge(mask, (200, 30, 30), (30, 30, 200)), mask)
    alpha = rgba[..., 3]
    assert (alpha[mask_ops.shrink(mask, 4)] == 255).all()
    assert (alpha[~mask_ops.grow(mask, 4)] == 0).all()
    assert (rgba[..., :3][alpha == 0] == 0).all()  # nothing of the background is left to be found
    assert len(np.unique(alpha)) > 8


def test_the_soft_edge_lies_on_the_masks_edge():
    mask = np.zeros((40, 60), bool)
    mask[:, 30:] = True
    alpha = edit.cut_out(np.full((40, 60, 3), 90, np.uint8), mask, feather_px=2)[20, :, 3].astype(int)
    assert (np.diff(alpha) >= 0).all()
    assert abs(alpha[29] + alpha[30] - 255) <= 1
    assert (alpha[30 + 5], alpha[29 - 5]) == (255, 0)


def test_a_cut_out_has_no_fringe_of_the_old_background():
    mask = _disk()
    photo = _mixed_edge(mask, (200, 30, 30), (30, 30, 200))
    rgba = edit.cut_out(photo, mask).astype(int)
    visible = rgba[..., 3] > 0
    assert photo[visible][:, 2].max() > 100  # the photo itself has blue there
    assert rgba[visible][:, 2].max() < 45  # the cut-out has not


def test_deep_inside_the_object_every_effect_keeps_the_bytes():
    mask = _disk()
    image = np.random.default_rng(4).integers(0, 256, (*mask.shape, 3), np.uint8)
    deep = mask_ops.shrink(mask, 6)
    for result in (
        edit.cut_out(image, mask)[..., :3],
        edit.blur_background(image, mask),
        edit.replace_background(image, mask, (0, 0, 0)),
    ):
        np.testing.assert_array_equal(result[deep], image[deep])


def test_an_object_at_the_photos_border_is_not_soft_there():
    mask = np.zeros((60, 60), bool)
    mask[20:, :30] = True
    rgba = edit.cut_out(np.full((60, 60, 3), 90, np.uint8), mask)
    assert (rgba[30:, 0, 3] == 255).all()
    assert (rgba[-1, :20, 3] == 255).all()


def test_thin_parts_do_not_vanish():
    mask = np.zeros((60, 60), bool)
    mask[30, 5:55] = True
    rgba = edit.cut_out(np.full((60, 60, 3), (9, 120, 200), np.uint8), mask)
    assert rgba[30, 10:50, 3].min() > 60
    assert (rgba[30, 10:50, :3] == (9, 120, 200)).all()


def test_without_feather_the_edge_is_the_masks():
    mask = _disk()
    rgba = edit.cut_out(np.full((*mask.shape, 3), 77, np.uint8), mask, feather_px=0)
    np.testing.assert_array_equal(rgba[..., 3] == 255, mask)
    np.testing.assert_array_equal(rgba[..., 3] == 0, ~mask)


def test_the_object_does_not_shine_into_the_blurred_background():
    mask = _disk()
    photo = _mixed_edge(mask, (255, 255, 255), (20, 20, 20))  # a white lamp in a dark room
    blurred = edit.blur_background(photo, mask, sigma_px=12)
    plain = cv2.GaussianBlur(photo, (0, 0), 12)
    ring = mask_ops.grow(mask, 14) & ~mask_ops.grow(mask, 5)
    assert plain[ring].max() > 70  # what a plain blur does: a halo
    assert blurred[ring].max() <= 21


def test_the_blur_equals_a_normalised_gaussian_computed_pixel_by_pixel():
    generator = np.random.default_rng(6)
    image = cv2.GaussianBlur(generator.integers(0, 256, (60, 80, 3), np.uint8), (0, 0), 2)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    sigma = 9.0
    result = edit.blur_background(image, mask, sigma_px=sigma, feather_px=1)
    weight = (~mask_ops.grow(mask, edit.default_grow_px(mask))).astype(float)
    rows, columns = np.arange(60), np.arange(80)
    # The photo goes on beyond its border by reflection: add the mirrored weights.
    for y, x in ((5, 5), (10, 60), (30, 70), (55, 20), (30, 15), (0, 79)):
        gy = sum(np.exp(-0.5 * ((mirrored - y) / sigma) ** 2) for mirrored in (rows, -rows - 1, 119 - rows))
        gx = sum(np.exp(-0.5 * ((mirrored - x) / sigma) ** 2) for mirrored in (columns, -columns - 1, 159 - columns))
        kernel = np.outer(gy, gx) * weight
        expected = (image * kernel[..., np.newaxis]).sum(axis=(0, 1)) / kernel.sum()
        np.testing.assert_allclose(result[y, x], expected, atol=2.0)


def test_a_stronger_blur_leaves_less_detail():
    image = np.random.default_rng(8).integers(0, 256, (100, 100, 3), np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[40:60, 40:60] = True
    spread = [edit.blur_background(image, mask, sigma_px=s)[:30].std() for s in (0.5, 2, 8)]
    assert spread[0] > 2 * spread[1] > 4 * spread[2]


def test_a_mask_of_the_whole_photo_leaves_nothing_to_blur(noise):
    image = noise[..., :3]
    np.testing.assert_array_equal(edit.blur_background(image, np.ones(image.shape[:2], bool)), image)


def test_a_background_covers_the_photo_without_distortion():
    background = np.zeros((100, 300, 3), np.uint8)
    background[:, 100:200] = (0, 255, 0)  # the middle third is a green square
    covered = edit.cover(background, (50, 50), np.dtype(np.uint8))
    assert (covered == (0, 255, 0)).all()
    tall = edit.cover(background, (200, 100), np.dtype(np.uint8))
    assert tall.shape == (200, 100, 3)
    assert (tall == (0, 255, 0)).all()


@pytest.mark.parametrize("image_hw", [(40, 128), (128, 40)])
def test_a_background_of_one_pixel_covers_a_photo_of_any_shape(image_hw):
    covered = edit.cover(np.full((1, 1, 3), 9, np.uint8), image_hw, np.dtype(np.uint8))
    np.testing.assert_array_equal(covered, np.full((*image_hw, 3), 9))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("source", [np.uint8, np.uint16])
def test_a_background_takes_the_photos_depth(dtype, source):
    background = np.full((7, 5, 3), np.iinfo(source).max, source)
    covered = edit.cover(background, (20, 30), np.dtype(dtype))
    assert covered.dtype == dtype
    assert (covered == np.iinfo(dtype).max).all()


def test_replacing_by_a_color_fills_everything_but_the_object():
    mask = _disk()
    photo = _mixed_edge(mask, (200, 30, 30), (30, 30, 200))
    result = edit.replace_background(photo, mask, (255, 255, 255))
    assert (result[~mask_ops.grow(mask, 4)] == 255).all()
    assert (result[mask_ops.shrink(mask, 6)] == (200, 30, 30)).all()
    # On the way from red to white there is no blue: that would be the old background.
    red, blue = result[..., 0].astype(int), result[..., 2].astype(int)
    assert (red >= 195).all() and (blue <= red + 5).all()


@pytest.mark.parametrize("background", [(1, 2), (1, 2, 256), (-1, 0, 0), np.zeros((4, 4)), np.zeros((4, 4, 4), "u1")])
def test_what_is_neither_photo_nor_color_is_no_background(noise, mask, background):
    with pytest.raises(ValueError, match="background"):
        edit.replace_background(noise[..., :3], mask, background)
