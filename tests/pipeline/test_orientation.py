"""Every EXIF orientation, in every format that has one: turned once, said to be upright, never turned again."""

from __future__ import annotations

import io
import re

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from pipeline import image_io
from pipeline.metadata import with_png_chunks
from tests.files.corpus import STORED


def _write(path, stored: np.ndarray, exif: bytes, orientation: int) -> None:
    stored = np.ascontiguousarray(stored)
    if stored.dtype == np.uint16 and path.suffix == ".png":
        bgr = stored if stored.ndim == 2 else np.ascontiguousarray(stored[..., ::-1])
        png = cv2.imencode(".png", bgr)[1].tobytes()
        path.write_bytes(with_png_chunks(png, [(b"eXIf", exif.removeprefix(b"Exif\0\0"))]))
    elif stored.dtype == np.uint16:
        options = {"photometric": "rgb"} if stored.ndim == 3 else {}
        tifffile.imwrite(path, stored, extratags=[(274, "H", 1, orientation, True)], **options)
    elif path.suffix == ".webp":
        Image.fromarray(stored).save(path, exif=exif, lossless=True)
    elif path.suffix == ".jpg":
        Image.fromarray(stored).save(path, exif=exif, quality=100, subsampling=0)
    else:
        Image.fromarray(stored).save(path, exif=exif)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpg", "rgb"),
        ("a.png", "rgb"),
        ("a.tif", "rgb"),
        ("a.webp", "rgb"),
        ("a16.png", "rgb16"),
        ("a16.tif", "rgb16"),
        ("grey16.png", "grey16"),
        ("grey16.tif", "grey16"),
        ("a.avif", "rgb"),
    ],
)
def test_a_turned_photo_is_seen_upright_and_written_upright(tmp_path, noise, make_exif, orientation, name, kind):
    upright = noise[..., :3]
    if "16" in kind:
        upright = upright.astype(np.uint16) * 256 + upright[::-1]
    if kind == "grey16":
        upright = upright[..., 0]
    path, again = tmp_path / name, tmp_path / f"again_{name}"
    _write(path, STORED[orientation](upright), make_exif(orientation), orientation)

    photo = image_io.load(path)
    assert photo.hw == upright.shape[:2]
    seen = photo.pixels[..., 0] if upright.ndim == 2 else photo.pixels
    if path.suffix == ".avif":  # lossy, and noise: the right way up is enough
        assert np.corrcoef(seen.ravel(), upright.ravel())[0, 1] > 0.6
    elif path.suffix == ".jpg":
        assert np.abs(seen.astype(int) - upright).max() <= 4
    else:
        np.testing.assert_array_equal(seen, upright)

    image_io.save(photo, again)
    with Image.open(again) as image:
        assert image.size == (upright.shape[1], upright.shape[0])
        assert image.getexif().get(274, 1) == 1
        assert ImageOps.exif_transpose(image).size == image.size
    second = image_io.load(again)
    assert second.hw == photo.hw
    if path.suffix not in (".jpg", ".avif"):
        np.testing.assert_array_equal(second.pixels, photo.pixels)


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_a_turned_heic_is_seen_upright(tmp_path, orientation):
    pytest.importorskip("pillow_heif").register_heif_opener()
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:32, :48] = (255, 0, 0)
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    stored.save(tmp_path / "a.heic", exif=exif.tobytes(), quality=90)
    photo = image_io.load(tmp_path / "a.heic")
    assert np.abs(photo.pixels.astype(int) - upright).mean() < 4
    image_io.save(photo, tmp_path / "b.heic")
    assert np.abs(image_io.load(tmp_path / "b.heic").pixels.astype(int) - upright).mean() < 6


def test_alpha_and_cmyk_turn_with_the_pixels(tmp_path, noise, make_exif):
    Image.fromarray(np.ascontiguousarray(np.rot90(noise, 1))).save(tmp_path / "a.png", exif=make_exif(6))
    np.testing.assert_array_equal(image_io.load(tmp_path / "a.png").alpha, noise[..., 3])
    cmyk = Image.fromarray(np.full((8, 16, 4), 90, np.uint8), "CMYK")
    cmyk.save(tmp_path / "a.jpg", exif=make_exif(8))
    photo = image_io.load(tmp_path / "a.jpg")
    assert photo.cmyk.shape == (16, 8, 4)
    assert photo.pixels.shape == (16, 8, 3)


def test_an_orientation_that_does_not_exist_is_ignored(tmp_path, noise, make_exif):
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.png", exif=make_exif(77))
    np.testing.assert_array_equal(image_io.load(tmp_path / "a.png").pixels, noise[..., :3])


def test_an_orientation_in_xmp_alone_is_obeyed_and_reset(tmp_path, noise):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.rot90(noise[..., :3], 1))).save(file, "WEBP", lossless=True, xmp=xmp)
    (tmp_path / "a.webp").write_bytes(file.getvalue())
    photo = image_io.load(tmp_path / "a.webp")
    np.testing.assert_array_equal(photo.pixels, noise[..., :3])
    assert re.search(rb'Orientation="1"', photo.metadata.xmp)
