"""One photo file in, one photo file out, through every effect."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline import image_io
from pipeline.effects import Blur, CutOut, Erase, Masks, Replace, apply
from pipeline.inputs import Task
from pipeline.job import Job, edit_photo, one_line, process
from pipeline.models import Models
from pipeline.photo import Encoding, Photo, PhotoError
from pipeline.selection import Pick
from segment.base import Click, NoObjectError
from weights import WeightsError

pytestmark = pytest.mark.usefixtures("fake_models")
MODELS = Models(segmenter="squares", inpainter="paint")
PICK = Pick(clicks=(Click(20, 12),))  # the square x 16..24, y 8..16


@pytest.fixture
def source(tmp_path, noise):
    Image.fromarray(noise[..., :3]).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_erase_fills_the_square_and_says_what_was_done(source, tmp_path):
    target = tmp_path / "new folder" / "out.png"
    outcome = process(source, target, PICK, Erase(grow_px=0, feather_px=0), MODELS)
    before, after = (np.asarray(Image.open(path)) for path in (source, target))
    assert (after[8:16, 16:24] == (10, 200, 30)).all()
    changed = (before != after).any(axis=2)
    changed[8:16, 16:24] = False
    assert not changed.any()
    assert (outcome.area_px, outcome.label, outcome.error) == (64, "dog", None)
    assert outcome.share == pytest.approx(64 / (24 * 38))
    assert outcome.seconds > 0


def test_a_box_is_erased_as_it_is_and_a_click_is_grown(source, tmp_path):
    process(source, tmp_path / "box.png", Pick(boxes=((16, 8, 24, 16),)), Erase(), MODELS)
    process(source, tmp_path / "click.png", PICK, Erase(), MODELS)
    before, box, click = (np.asarray(Image.open(tmp_path / name)) for name in ("photo.png", "box.png", "click.png"))
    assert (before != box).any(axis=2).sum() <= 64
    assert (before != click).any(axis=2).sum() > 80


def test_a_cut_out_is_transparent_elsewhere(source, tmp_path):
    process(source, tmp_path / "out.png", PICK, CutOut(), MODELS)
    alpha = np.asarray(Image.open(tmp_path / "out.png"))[..., 3]
    assert alpha[12, 20] == 255
    assert alpha[:4].max() == 0


def test_a_cut_out_never_shows_what_was_transparent_before(tmp_path, noise):
    rgba = noise.copy()
    rgba[..., 3] = 255
    rgba[10:12, 18:22, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "photo.png")
    process(tmp_path / "photo.png", tmp_path / "out.png", PICK, CutOut(), MODELS)
    assert np.asarray(Image.open(tmp_path / "out.png"))[10:12, 18:22, 3].max() == 0


def test_a_cut_out_into_a_file_without_transparency_is_refused_before_any_work(source, tmp_path):
    with pytest.raises(PhotoError, match=r"out\.jpg cannot hold a cut-out: JPEG has no transparency; use \.png"):
        process(tmp_path / "not even there.png", tmp_path / "out.jpg", PICK, CutOut(), MODELS)


def test_a_replaced_background_is_seen_through_transparent_parts(tmp_path, noise):
    rgba = noise.copy()
    rgba[..., 3] = 255
    rgba[11:13, 19:21, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "photo.png")
    process(tmp_path / "photo.png", tmp_path / "out.png", PICK, Replace((1, 2, 3)), MODELS)
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "RGB"
        assert np.asarray(image)[11:13, 19:21].reshape(-1, 3).tolist() == [[1, 2, 3]] * 4


def test_blur_keeps_the_photos_transparency(tmp_path, noise):
    Image.fromarray(noise).save(tmp_path / "photo.png")
    process(tmp_path / "photo.png", tmp_path / "out.png", PICK, Blur(sigma_px=2), MODELS)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png"))[..., 3], noise[..., 3])


def test_an_object_on_transparency_leaves_transparency(tmp_path, mask, inpainter):
    rgba = np.zeros((24, 38, 4), np.uint8)
    rgba[mask] = (200, 10, 10, 255)
    Image.fromarray(rgba).save(tmp_path / "sticker.png")
    photo = image_io.load(tmp_path / "sticker.png")
    erased = apply(photo, mask, Erase(), inpainter=inpainter)
    assert erased.alpha.max() == 0


def test_opacity_outside_the_hole_is_the_same_byte(mask, noise, inpainter):
    photo = Photo(noise[..., :3].copy(), noise[..., 3].copy())
    erased = apply(photo, mask, Erase(grow_px=1), inpainter=inpainter)
    from segment.mask_ops import grow

    hole = grow(mask, 1)
    np.testing.assert_array_equal(erased.alpha[~hole], photo.alpha[~hole])


def test_an_erased_grey_photo_stays_grey_and_a_bilevel_one_bilevel(mask, noise, inpainter):
    grey = np.repeat(noise[..., :1], 3, axis=2)
    erased = apply(Photo(grey, mode="L"), mask, Erase(0, 0), inpainter=inpainter)
    assert (erased.pixels[mask] == 124).all()  # the brightness of the paint
    black_and_white = np.where(grey > 127, 255, 0).astype(np.uint8)
    erased = apply(Photo(black_and_white, mode="1"), mask, Erase(0, 0), inpainter=inpainter)
    assert (erased.pixels[mask] == 0).all()


@pytest.mark.parametrize("effect", [Erase(), CutOut(), Blur(), Replace((9, 9, 9))])
@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_effect_does_every_kind_of_file(tmp_path, noise, effect, mode):
    kinds = {"RGBA": noise, "RGB": noise[..., :3], "L": noise[..., 0]}
    if mode == "I;16":
        picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 256)
    elif mode == "CMYK":
        picture = Image.fromarray(noise, "CMYK")
    elif mode == "LA":
        picture = Image.fromarray(noise[..., :2], "LA")
    else:
        picture = Image.fromarray(kinds.get(mode, noise[..., :3]))
        picture = picture if picture.mode == mode else picture.convert(mode)
    source, target = tmp_path / "photo.tif", tmp_path / "out.tif"
    picture.save(source)
    process(source, target, PICK, effect, MODELS)
    photo, result = image_io.load(source), image_io.load(target)
    assert result.hw == photo.hw
    assert result.pixels.dtype == photo.pixels.dtype
    deep = np.s_[11:13, 19:21]
    if isinstance(effect, Erase):
        outside = np.ones(photo.hw, bool)
        outside[3:21, 11:29] = False
        np.testing.assert_array_equal(result.pixels[outside], photo.pixels[outside])
    elif photo.alpha is None or not isinstance(effect, Replace):  # there the new background shines through
        np.testing.assert_array_equal(result.pixels[deep], photo.pixels[deep])


def test_a_file_in_the_way_is_found_before_any_work(source, tmp_path):
    (tmp_path / "out.png").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"out\.png exists already"):
        process(tmp_path / "not even there.png", tmp_path / "out.png", PICK, Erase(), MODELS)
    process(source, tmp_path / "out.png", PICK, Erase(), MODELS, overwrite=True)
    assert image_io.load(tmp_path / "out.png").hw == (24, 38)


def test_the_photo_itself_can_be_overwritten_if_told_so(source):
    process(source, source, PICK, Erase(0, 0), MODELS, overwrite=True)
    assert (np.asarray(Image.open(source))[8:16, 16:24] == (10, 200, 30)).all()


def test_notes_of_reading_and_writing_reach_the_outcome(tmp_path, noise):
    frames = [Image.fromarray(noise[..., :3]), Image.fromarray(noise[::-1, :, :3].copy())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    outcome = process(tmp_path / "a.png", tmp_path / "b.png", PICK, Erase(), MODELS, quality=7)
    assert len(outcome.notes) == 2


def test_nothing_under_the_click_writes_nothing(source, tmp_path):
    with pytest.raises(NoObjectError, match="nearest: cat at"):
        process(source, tmp_path / "deep" / "out.png", Pick(clicks=(Click(1, 1),)), Erase(), MODELS)
    assert not (tmp_path / "deep").exists()


def test_erasing_without_an_inpainter_is_refused(mask):
    with pytest.raises(ValueError, match="erasing needs an inpainter"):
        apply(Photo(np.zeros((24, 38, 3), np.uint8), encoding=Encoding("PNG")), mask, Erase())


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("first\n  second"), "first second"),
        (PermissionError(13, "Permission denied", "/x/out.png"), "/x/out.png: Permission denied"),
        (WeightsError("fetch it"), "fetch it"),
        (MemoryError(), "there is not enough memory for this photo"),
    ],
)
def test_errors_that_a_person_can_do_something_about_are_one_plain_line(error, text):
    assert one_line(error) == text


def test_other_errors_say_that_they_are_a_fault():
    assert one_line(KeyError("x")).startswith("KeyError: 'x' (this is a fault in Clickaway or a library")


@pytest.mark.parametrize("effect", [Blur(), Masks()])
def test_a_mask_file_may_be_as_large_as_a_photo_and_no_larger(source, tmp_path, effect):
    Image.new("L", (38, 24), 255).save(tmp_path / "mask.png")
    task = Task(source, tmp_path / "out.png", pick=Pick(mask_file=tmp_path / "mask.png", mask_white="object"))
    photo = image_io.load(source)
    assert edit_photo(photo, task, Job(effect, MODELS, max_pixels=38 * 24)).found[0].mask.all()
    with pytest.raises(PhotoError, match=r"mask\.png cannot be read: .*the limit is"):
        edit_photo(photo, task, Job(effect, MODELS, max_pixels=38 * 24 - 1))
