"""One contract for every registered inpainter; nets have random weights."""

import hashlib

import numpy as np
import pytest
import skimage.data

import weights
from inpaint import INPAINTERS, Inpainter, load_inpainter

NEEDS_A_NET = {"pconv"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    import keras

    from inpaint.pconv_config import PConvUNetConfig
    from inpaint.pconv_unet import build_pconv_unet, write_pconv

    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.npz"
    config = PConvUNetConfig(levels=3, width=4)
    write_pconv(path, build_pconv_unet(config), config)
    return path


@pytest.fixture(scope="module", params=INPAINTERS)
def inpainter(request, bundle):
    options = {"weights": bundle} if request.param in NEEDS_A_NET else {}
    return load_inpainter(request.param, **options)


def photo_and_hole(height_width=(60, 80)):
    image = skimage.data.astronaut()[100 : 100 + height_width[0], 150 : 150 + height_width[1]].copy()
    hole = np.zeros(height_width, bool)
    hole[height_width[0] // 3 : height_width[0] // 2, height_width[1] // 4 : height_width[1] // 2] = True
    return image, hole


def test_it_keeps_the_protocol(inpainter):
    assert isinstance(inpainter, Inpainter)
    max_size_px = getattr(inpainter, "max_size_px", None)
    assert max_size_px is None or max_size_px > 0


@pytest.mark.parametrize("height_width", [(60, 80), (61, 37), (8, 9), (2, 5)])
def test_the_result_has_the_photos_shape_and_its_pixels_outside_the_hole(inpainter, height_width):
    image, hole = photo_and_hole(height_width)
    hole[0, 0] = True
    filled = inpainter.inpaint(image, hole)
    assert (filled.shape, filled.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(filled[~hole], image[~hole])


def test_a_hole_at_the_photos_border_is_filled(inpainter):
    image, hole = photo_and_hole()
    hole[:, :20] = True
    image[hole] = 0
    assert (inpainter.inpaint(image, hole)[hole].max(axis=1) > 0).mean() > 0.9


def test_what_the_hole_held_does_not_matter(inpainter):
    image, hole = photo_and_hole()
    other = np.where(hole[..., None], 255 - image, image)
    np.testing.assert_array_equal(inpainter.inpaint(other, hole), inpainter.inpaint(image, hole))


def test_an_empty_hole_gives_a_copy_of_the_photo(inpainter):
    image, hole = photo_and_hole()
    filled = inpainter.inpaint(image, np.zeros_like(hole))
    np.testing.assert_array_equal(filled, image)
    assert not np.shares_memory(filled, image)


def test_a_hole_that_is_the_whole_photo_is_refused(inpainter):
    image, hole = photo_and_hole()
    with pytest.raises(ValueError, match="whole photo"):
        inpainter.inpaint(image, np.ones_like(hole))


def test_a_single_known_pixel_is_enough(inpainter):
    image, hole = photo_and_hole((16, 16))
    hole[:] = True
    hole[3, 5] = False
    assert inpainter.inpaint(image, hole).shape == image.shape


def test_nothing_is_written_into_the_arguments(inpainter):
    image, hole = photo_and_hole()
    image.flags.writeable = hole.flags.writeable = False
    before = image.copy(), hole.copy()
    inpainter.inpaint(image, hole)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(hole, before[1])


def test_views_are_filled_like_their_copies(inpainter):
    image, hole = photo_and_hole((60, 80))
    filled = inpainter.inpaint(image[5:-3, ::2], hole[5:-3, ::2])
    np.testing.assert_array_equal(filled, inpainter.inpaint(image[5:-3, ::2].copy(), hole[5:-3, ::2].copy()))


def test_filling_twice_gives_the_same_photo(inpainter):
    image, hole = photo_and_hole()
    np.testing.assert_array_equal(inpainter.inpaint(image, hole), inpainter.inpaint(image, hole))


@pytest.mark.parametrize(
    ("image", "hole", "words"),
    [
        (np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4), bool), "height and width swapped"),
        (np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8), "bool"),
        (np.zeros((4, 6, 4), np.uint8), np.zeros((4, 6), bool), "RGB"),
        (np.zeros((4, 6, 3), np.float32), np.zeros((4, 6), bool), "uint8"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_the_reason(inpainter, image, hole, words):
    with pytest.raises(ValueError, match=words):
        inpainter.inpaint(image, hole)


@pytest.mark.parametrize("name", ["telea", "navier_stokes"])
def test_the_classical_fills_continue_a_gradient(name):
    image = np.repeat(np.linspace(0, 250, 60).astype(np.uint8)[None, :, None], 50, axis=0).repeat(3, axis=2)
    hole = np.zeros((50, 60), bool)
    hole[20:28, 20:28] = True
    filled = load_inpainter(name).inpaint(np.where(hole[..., None], np.uint8(0), image), hole)
    assert np.abs(filled.astype(int) - image).max() < 20


def test_a_radius_of_nothing_is_refused():
    with pytest.raises(ValueError, match="radius_px"):
        load_inpainter("telea", radius_px=0)


def test_auto_says_which_inpainter_it_chose(monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS", {})
    monkeypatch.setattr("inpaint.bundled.WEIGHTS", {})
    assert load_inpainter("auto").name == "patch_match over telea"


def test_auto_takes_the_bundled_net_where_its_file_is_there(monkeypatch, bundle):
    spec = weights.WeightSpec(
        name="pconv-clickaway",
        kind="inpainter",
        file=bundle.name,
        sha256=hashlib.sha256(bundle.read_bytes()).hexdigest(),
        size_mib=0.1,
        license="Apache-2.0",
        trained_on="nothing",
        metric="none",
    )
    monkeypatch.setitem(weights.WEIGHTS, spec.name, spec)
    monkeypatch.setattr(weights, "BUNDLED_DIR", bundle.parent)
    chosen = load_inpainter("auto")
    assert chosen.name == "patch_match over pconv:pconv-clickaway"
    monkeypatch.setattr(weights, "BUNDLED_DIR", bundle.parent / "nowhere")
    assert load_inpainter("auto").name == "patch_match over telea"


def test_an_unknown_name_or_option_is_refused():
    with pytest.raises(ValueError, match="choose one of"):
        load_inpainter("magic")
    with pytest.raises(TypeError):
        load_inpainter("telea", radius=3)
