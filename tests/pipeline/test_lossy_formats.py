"""JPEG, WebP, HEIC and AVIF: the new file is like the old one, in looks and in size."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image, JpegImagePlugin

from pipeline import image_io
from pipeline.photo import PhotoError

pytest.importorskip("pillow_heif").register_heif_opener()


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(skimage.data.astronaut()[:256, 100:400])


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_jpeg_keeps_its_tables_subsampling_and_size(tmp_path, picture, quality, subsampling):
    path, again = tmp_path / "a.jpg", tmp_path / "b.jpg"
    picture.save(path, quality=quality, subsampling=subsampling)
    photo = image_io.load(path)
    assert image_io.save(photo, again) == ()
    with Image.open(path) as old, Image.open(again) as new:
        assert new.quantization == old.quantization
        assert JpegImagePlugin.get_sampling(new) == subsampling
        assert _psnr(np.asarray(new), np.asarray(old)) > 40
    assert 0.9 < again.stat().st_size / path.stat().st_size < 1.1


def test_a_progressive_jpeg_stays_progressive(tmp_path, picture):
    picture.save(tmp_path / "a.jpg", progressive=True)
    image_io.save(image_io.load(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as new:
        assert new.info["progressive"]


def test_a_grey_jpeg_stays_grey_and_becomes_color_if_it_must(tmp_path, picture):
    picture.convert("L").save(tmp_path / "a.jpg", quality=40)
    photo = image_io.load(tmp_path / "a.jpg")
    image_io.save(photo, tmp_path / "b.jpg")
    pixels = photo.pixels.copy()
    pixels[:40] = (200, 30, 40)
    image_io.save(photo.edited(pixels, alpha=None), tmp_path / "c.jpg")
    with Image.open(tmp_path / "b.jpg") as grey, Image.open(tmp_path / "c.jpg") as color:
        assert (grey.mode, color.mode) == ("L", "RGB")
        assert np.abs(np.asarray(color)[:32].astype(int) - (200, 30, 40)).max() < 12


def test_a_cmyk_jpeg_stays_cmyk(tmp_path, picture):
    picture.convert("CMYK").save(tmp_path / "a.jpg", quality=90)
    photo = image_io.load(tmp_path / "a.jpg")
    assert photo.pixels.shape == (256, 300, 3)
    pixels = photo.pixels.copy()
    pixels[:32] = (255, 0, 0)
    image_io.save(photo.edited(pixels, alpha=None), tmp_path / "b.jpg")
    with Image.open(tmp_path / "a.jpg") as old, Image.open(tmp_path / "b.jpg") as new:
        assert new.mode == "CMYK"
        assert _psnr(np.asarray(new)[40:], np.asarray(old)[40:]) > 40
        assert np.abs(np.asarray(new)[:24].astype(int) - (0, 255, 255, 0)).max() < 12


@pytest.mark.parametrize(("kind", "quality"), [("webp", 40), ("webp", 80), ("webp", 95), ("heic", 60), ("avif", 60)])
def test_files_without_known_tables_are_near_their_old_size(tmp_path, picture, kind, quality):
    path, again = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    picture.crop((0, 0, 160, 160)).save(path, quality=quality)
    image_io.save(image_io.load(path), again)
    assert 0.7 < again.stat().st_size / path.stat().st_size < 1.15
    with Image.open(path) as old, Image.open(again) as new:
        assert _psnr(np.asarray(new.convert("RGB")), np.asarray(old.convert("RGB"))) > 30


def test_the_size_of_a_large_webp_is_met_from_a_sample(tmp_path, picture):
    large = Image.fromarray(np.tile(skimage.data.coffee(), (4, 3, 1)))
    large.save(tmp_path / "a.webp", quality=70)
    image_io.save(image_io.load(tmp_path / "a.webp"), tmp_path / "b.webp")
    assert 0.7 < (tmp_path / "b.webp").stat().st_size / (tmp_path / "a.webp").stat().st_size < 1.4


@pytest.mark.parametrize("kind", ["jpg", "webp", "heic", "avif"])
def test_quality_can_be_chosen(tmp_path, picture, kind):
    picture.crop((0, 0, 128, 128)).save(tmp_path / "a.png")
    photo = image_io.load(tmp_path / "a.png")
    image_io.save(photo, tmp_path / f"low.{kind}", quality=20)
    image_io.save(photo, tmp_path / f"high.{kind}", quality=95)
    assert (tmp_path / f"low.{kind}").stat().st_size * 2 < (tmp_path / f"high.{kind}").stat().st_size


def test_quality_out_of_range_is_refused(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"quality must be 1\.\.100, got 101"):
        image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.jpg", quality=101)


def test_quality_for_a_lossless_file_is_said_to_change_nothing(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    (note,) = image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.png", quality=50)
    assert note == "quality 50 changes nothing: PNG files have no quality setting"


def test_alpha_becomes_white_where_the_format_has_none_and_it_is_said(tmp_path):
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[:, 8:, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    (note,) = image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.bmp")
    assert note == "BMP has no transparency: the transparent parts became white"
    with Image.open(tmp_path / "b.bmp") as image:
        pixels = np.asarray(image)
    assert (pixels[:, :8] == 0).all() and (pixels[:, 8:] == 255).all()


def test_an_alpha_that_hides_nothing_is_dropped_without_a_word(tmp_path, picture):
    picture.convert("RGBA").save(tmp_path / "a.png")
    assert image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.jpg") == ()


def test_sixteen_bits_in_a_jpeg_are_rounded_and_it_is_said(tmp_path):
    Image.fromarray(np.full((8, 8), 300, np.uint16)).save(tmp_path / "a.png")
    (note,) = image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.jpg")
    assert note == "JPEG has 8 bits a channel: the photo's 16 were rounded"


def test_a_photo_too_large_for_its_format_is_one_clear_error(tmp_path):
    Image.new("RGB", (17000, 2)).save(tmp_path / "a.png")
    with pytest.raises(PhotoError, match=r"b\.webp cannot be written: WEBP cannot hold this 17000x2 photo"):
        image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.webp")
    assert not (tmp_path / "b.webp").exists()


def test_a_gif_keeps_the_old_colors_and_finds_room_for_new_ones(tmp_path, picture, mask):
    picture.quantize(250).save(tmp_path / "a.gif")
    photo = image_io.load(tmp_path / "a.gif")
    pixels = photo.pixels.copy()
    pixels[:20, :50] = picture.resize((50, 20)).convert("RGB")
    image_io.save(photo.edited(pixels, alpha=None), tmp_path / "b.gif")
    again = image_io.load(tmp_path / "b.gif").pixels
    np.testing.assert_array_equal(again[20:], photo.pixels[20:])
    assert _psnr(again[:20, :50], pixels[:20, :50]) > 25


def test_a_photo_without_a_palette_becomes_a_decent_gif(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.gif")
    with Image.open(tmp_path / "b.gif") as image:
        assert _psnr(np.asarray(image.convert("RGB")), np.asarray(picture)) > 28
