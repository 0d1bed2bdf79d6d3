"""The promise: with a lossless format every pixel outside the mask is the same byte before and after."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline import image_io


def _png_16(channels: np.ndarray) -> bytes:
    bgr = channels if channels.ndim == 2 else channels[..., [2, 1, 0, 3][: channels.shape[2]]]
    return cv2.imencode(".png", np.ascontiguousarray(bgr))[1].tobytes()


def _pillow(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _tiff_16(channels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, channels, **options)
    return file.getvalue()


def _wide(noise: np.ndarray) -> np.ndarray:
    """16-bit values of which the low byte matters."""
    return noise.astype(np.uint16) * 256 + noise[::-1].astype(np.uint16)


def _palette(noise: np.ndarray, colors: int = 200) -> Image.Image:
    return Image.fromarray(noise[..., :3]).quantize(colors)


# Name -> the file's bytes, each written by a library that this project does not use for that file.
FILES = {
    "rgb.png": lambda n: _pillow(Image.fromarray(n[..., :3]), "PNG"),
    "rgba.png": lambda n: _pillow(Image.fromarray(n), "PNG"),
    "grey.png": lambda n: _pillow(Image.fromarray(n[..., 0]), "PNG"),
    "grey_alpha.png": lambda n: _pillow(Image.fromarray(n[..., :2], "LA"), "PNG"),
    "one_bit.png": lambda n: _pillow(Image.fromarray(n[..., 0]).convert("1"), "PNG"),
    "palette.png": lambda n: _pillow(_palette(n), "PNG"),
    "palette_full.png": lambda n: _pillow(_palette(n, 256), "PNG"),
    "palette_alpha.png": lambda n: _pillow(_palette(n), "PNG", transparency=bytes(range(200))),
    "palette_clear.png": lambda n: _pillow(_palette(n), "PNG", transparency=3),
    "rgb_clear.png": lambda n: _pillow(Image.fromarray(n[..., :3]), "PNG", transparency=tuple(map(int, n[0, 0, :3]))),
    "grey16.png": lambda n: _pillow(Image.fromarray(_wide(n)[..., 0]), "PNG"),
    "rgb16.png": lambda n: _png_16(_wide(n)[..., :3]),
    "rgba16.png": lambda n: _png_16(_wide(n)),
    "rgb.tif": lambda n: _pillow(Image.fromarray(n[..., :3]), "TIFF"),
    "rgb_lzw.tif": lambda n: _pillow(Image.fromarray(n[..., :3]), "TIFF", compression="tiff_lzw"),
    "rgb_lzw_predictor.tif": lambda n: _pillow(
        Image.fromarray(n[..., :3]), "TIFF", compression="tiff_lzw", tiffinfo={317: 2}
    ),
    "rgb_deflate.tif": lambda n: _pillow(Image.fromarray(n[..., :3]), "TIFF", compression="tiff_adobe_deflate"),
    "rgb_packbits.tif": lambda n: _pillow(Image.fromarray(n[..., :3]), "TIFF", compression="packbits"),
    "rgba.tif": lambda n: _pillow(Image.fromarray(n), "TIFF"),
    "grey.tif": lambda n: _pillow(Image.fromarray(n[..., 0]), "TIFF"),
    "fax.tif": lambda n: _pillow(Image.fromarray(n[..., 0]).convert("1"), "TIFF", compression="group4"),
    "palette.tif": lambda n: _pillow(_palette(n), "TIFF"),
    "cmyk.tif": lambda n: _pillow(Image.fromarray(n, "CMYK"), "TIFF"),
    "grey16.tif": lambda n: _tiff_16(_wide(n)[..., 0]),
    "rgb16.tif": lambda n: _tiff_16(_wide(n)[..., :3], photometric="rgb"),
    "rgb16_big_endian.tif": lambda n: _tiff_16(_wide(n)[..., :3], photometric="rgb", byteorder=">"),
    "rgba16.tif": lambda n: _tiff_16(_wide(n), photometric="rgb", extrasamples=["unassalpha"]),
    "rgb.webp": lambda n: _pillow(Image.fromarray(n[..., :3]), "WEBP", lossless=True),
    "rgba.webp": lambda n: _pillow(Image.fromarray(n), "WEBP", lossless=True, exact=True),
    "rgb.bmp": lambda n: _pillow(Image.fromarray(n[..., :3]), "BMP"),
    "grey.bmp": lambda n: _pillow(Image.fromarray(n[..., 0]), "BMP"),
    "one_bit.bmp": lambda n: _pillow(Image.fromarray(n[..., 0]).convert("1"), "BMP"),
    "palette.bmp": lambda n: _pillow(_palette(n), "BMP"),
    "palette.gif": lambda n: _pillow(_palette(n), "GIF"),
    "palette_full.gif": lambda n: _pillow(_palette(n, 256), "GIF"),
    "palette_clear.gif": lambda n: _pillow(_palette(n), "GIF", transparency=3),
}


def _as_stored(path) -> np.ndarray:
    """The file's channels as another reader sees them, in the file's own depth and kind."""
    with Image.open(path) as image:
        if "16" in path.name and image.mode != "I;16":
            if path.suffix == ".tif":
                return tifffile.imread(path)
            return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image.mode in ("P", "PA") or "transparency" in image.info:
            return np.asarray(image.convert("RGBA"))
        return np.asarray(image)


@pytest.fixture
def file(request, tmp_path, noise):
    path = tmp_path / request.param
    path.write_bytes(FILES[request.param](noise))
    return path


@pytest.mark.parametrize("file", FILES, indirect=True)
def test_saving_what_was_loaded_gives_the_same_pixels(file, tmp_path):
    photo = image_io.load(file)
    again = tmp_path / f"again_{file.name}"
    assert image_io.save(photo, again) == ()
    before, after = _as_stored(file), _as_stored(again)
    assert before.dtype == after.dtype
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("file", FILES, indirect=True)
def test_pixels_that_were_not_edited_are_the_same_bytes(file, tmp_path, mask):
    photo = image_io.load(file)
    pixels = photo.pixels.copy()
    full = np.iinfo(pixels.dtype).max
    pixels[mask] = np.random.default_rng(1).integers(0, full, (mask.sum(), 3), pixels.dtype, endpoint=True)
    edited = photo.edited(photo.in_file_colors(pixels), alpha=photo.alpha)
    out = tmp_path / f"edited_{file.name}"
    image_io.save(edited, out)

    again = image_io.load(out)
    np.testing.assert_array_equal(again.pixels[~mask], photo.pixels[~mask])
    if photo.alpha is None:
        assert again.alpha is None
    else:
        np.testing.assert_array_equal(again.alpha, photo.alpha)
    assert (again.pixels[mask] != photo.pixels[mask]).any()
    if file.suffix != ".gif":  # there the edit must do with the colours that are left
        np.testing.assert_array_equal(again.rgb[mask], edited.rgb[mask] if photo.cmyk is None else again.rgb[mask])
    # Seen by another reader, in the file's own kind of pixels.
    before, after = _as_stored(file), _as_stored(out)
    if before.shape == after.shape and before.shape[:2] == mask.shape:
        np.testing.assert_array_equal(after[~mask], before[~mask])


@pytest.mark.parametrize(
    ("file", "mode"),
    [
        ("grey.png", "L"),
        ("grey_alpha.png", "LA"),
        ("one_bit.png", "1"),
        ("grey16.png", "I;16"),
        ("fax.tif", "1"),
        ("grey.bmp", "L"),
        ("cmyk.tif", "CMYK"),
        ("palette.gif", "P"),
    ],
    indirect=["file"],
)
def test_an_edited_file_keeps_its_kind(file, mode, tmp_path, mask):
    photo = image_io.load(file)
    pixels = photo.pixels.copy()
    pixels[mask] = (200, 30, 90)  # not grey
    out = tmp_path / f"edited_{file.name}"
    image_io.save(photo.edited(photo.in_file_colors(pixels), alpha=photo.alpha), out)
    with Image.open(out) as image:
        assert image.mode == mode


def test_a_palette_file_stays_one_while_its_colors_are_enough(tmp_path, noise, mask):
    path = tmp_path / "few.png"
    _palette(noise, 16).save(path)
    photo = image_io.load(path)
    pixels = photo.pixels.copy()
    pixels[mask] = (1, 2, 3)
    image_io.save(photo.edited(pixels, alpha=None), tmp_path / "still_few.png")
    with Image.open(tmp_path / "still_few.png") as image:
        assert image.mode == "P"
    pixels[mask] = noise[mask][:, :3]
    pixels[~mask] = noise[~mask][:, :3]
    image_io.save(photo.edited(pixels, alpha=None), tmp_path / "many.png")
    with Image.open(tmp_path / "many.png") as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw"])
def test_a_tiff_keeps_its_compression(tmp_path, noise, compression):
    path = tmp_path / "photo.tif"
    Image.fromarray(noise[..., :3]).save(path, compression=compression)
    image_io.save(image_io.load(path), tmp_path / "again.tif")
    with Image.open(tmp_path / "again.tif") as image:
        assert image.info["compression"] == compression


def test_a_grey_photo_with_a_colored_background_becomes_a_color_file(tmp_path, noise):
    path = tmp_path / "grey.png"
    Image.fromarray(noise[..., 0]).save(path)
    photo = image_io.load(path)
    pixels = photo.pixels.copy()
    pixels[:3] = (255, 0, 0)
    image_io.save(photo.edited(pixels, alpha=None), tmp_path / "red.png")
    with Image.open(tmp_path / "red.png") as image:
        assert image.mode == "RGB"


def test_sixteen_bit_pixels_reach_models_as_rounded_eight_bits(tmp_path):
    path = tmp_path / "steps.png"
    Image.fromarray(np.array([[0, 128, 129, 257, 65535 - 128, 65535]], np.uint16)).save(path)
    photo = image_io.load(path)
    assert photo.rgb[0, :, 0].tolist() == [0, 0, 1, 1, 255, 255]
    assert photo.rgb.dtype == np.uint8


def test_a_white_is_zero_tiff_is_not_inverted(tmp_path):
    grey = np.array([[0, 1000, 65535]], np.uint16)
    tifffile.imwrite(tmp_path / "inverted.tif", 65535 - grey, photometric="miniswhite")
    photo = image_io.load(tmp_path / "inverted.tif")
    np.testing.assert_array_equal(photo.pixels[..., 0], grey)
    image_io.save(photo, tmp_path / "again.tif")
    np.testing.assert_array_equal(image_io.load(tmp_path / "again.tif").pixels[..., 0], grey)
