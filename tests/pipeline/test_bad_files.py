"""Files that are no photos, broken ones and traps: one clear line each, and nothing decoded that should not be."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline import image_io
from pipeline.photo import PhotoError


def _bytes(kind: str, **options) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def _one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    assert len(text) < 300
    return text


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("GIF", {}),
        ("AVIF", {}),
    ],
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_cut_file_is_refused_in_one_line(tmp_path, kind, options, share):
    data = _bytes(kind, **options)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PhotoError, match=r"cut\.jpg cannot be read: it is (damaged|not a photo)") as caught:
        image_io.load(path)
    _one_line(caught.value)


def test_a_cut_sixteen_bit_png_is_refused(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 65536, (64, 64), np.uint16)).save(file, "PNG")
    (tmp_path / "cut.png").write_bytes(file.getvalue()[:4000])
    with pytest.raises(PhotoError, match="it is damaged or cut short"):
        image_io.load(tmp_path / "cut.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_flipped_bits_give_a_picture_or_one_line(tmp_path, kind):
    data = _bytes(kind)
    generator = np.random.default_rng(5)
    path = tmp_path / "flipped"
    for _ in range(25):
        broken = bytearray(data)
        for position in generator.integers(0, len(data), 3):
            broken[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(broken)
        try:
            photo = image_io.load(path, max_pixels=10_000_000)
        except PhotoError as error:
            _one_line(error)
        else:
            assert photo.pixels.ndim == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello, I am a text", "it is not a photo: expected JPEG, PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is not a photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is not a photo"),  # Pillow would start Ghostscript
        (b"\xff\xd8\xff", "it is damaged"),
        (b"\x89PNG\r\n\x1a\n", "it is damaged"),
    ],
)
def test_what_is_no_photo_is_said_to_be_none(tmp_path, content, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=message) as caught:
        image_io.load(path)
    _one_line(caught.value)


def test_a_wrong_extension_does_not_matter_for_reading(tmp_path):
    (tmp_path / "a.jpg").write_bytes(_bytes("PNG"))
    assert image_io.load(tmp_path / "a.jpg").encoding.format == "PNG"


def _png_header(width: int, height: int) -> bytes:
    header = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    body = b"".join(struct.pack(">L", len(d)) + k + d + struct.pack(">L", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    (tmp_path / "bomb.png").write_bytes(_png_header(30_000, 30_000))
    with pytest.raises(PhotoError, match=r"it has 30000x30000 pixels, 900 MP; the limit is 200 MP"):
        image_io.load(tmp_path / "bomb.png")


def test_the_limit_of_pixels_is_a_parameter(tmp_path):
    (tmp_path / "a.png").write_bytes(_bytes("PNG"))
    assert image_io.load(tmp_path / "a.png", max_pixels=64 * 64).hw == (64, 64)
    with pytest.raises(PhotoError, match="the limit is"):
        image_io.load(tmp_path / "a.png", max_pixels=64 * 64 - 1)


def test_a_limit_above_pillows_own_is_obeyed_without_touching_the_process(tmp_path):
    # 180 MP: Pillow itself refuses that. The pixels are not there, so decoding must then fail as "cut short".
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "large.png").write_bytes(_png_header(18_000, 10_000))
    with pytest.raises(PhotoError, match="damaged or cut short"):
        image_io.load(tmp_path / "large.png")
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_tiff_beyond_pillows_own_limit_is_said_to_be_so(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    (tmp_path / "a.tif").write_bytes(_bytes("TIFF"))
    with pytest.raises(PhotoError, match="it has 64x64 pixels; of its kind Pillow takes at most"):
        image_io.load(tmp_path / "a.tif")


def test_heic_without_its_library_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # importing it now fails
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(PhotoError, match="install pillow-heif to read those"):
        image_io.load(tmp_path / "a.heic")
    (tmp_path / "a.png").write_bytes(_bytes("PNG"))
    with pytest.raises(PhotoError, match=r"b\.heic cannot be written: install pillow-heif to write HEIC"):
        image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.heic")


def test_what_is_not_an_ordinary_file_is_refused(tmp_path):
    with pytest.raises(PhotoError, match="it is a folder"):
        image_io.load(tmp_path)
    with pytest.raises(PhotoError, match=r"gone\.jpg cannot be read: it is not there"):
        image_io.load(tmp_path / "gone.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(PhotoError, match="it is not an ordinary file"):
            image_io.load(tmp_path / "pipe")


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with pytest.raises(PhotoError, match=r"loop\.jpg cannot be read"):
        image_io.load(tmp_path / "loop.jpg")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 20_000), (20_000, 1)])
def test_extreme_shapes_are_photos_too(tmp_path, width, height):
    Image.new("RGB", (width, height), (1, 2, 3)).save(tmp_path / "a.png")
    photo = image_io.load(tmp_path / "a.png")
    image_io.save(photo, tmp_path / "b.jpg")
    assert image_io.load(tmp_path / "b.jpg").hw == (height, width)


def test_only_the_first_frame_is_used_and_it_is_said(tmp_path):
    frames = [Image.new("RGB", (9, 9), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    for name in ("a.gif", "a.tif", "a.webp", "a.png"):
        options = {"lossless": True} if name.endswith("webp") else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        photo = image_io.load(tmp_path / name)
        assert photo.notes == ("it has 3 frames: only the first one is used",), name
        assert photo.pixels[4, 4].tolist() == [255, 0, 0]


def test_floating_point_pixels_are_refused_with_a_way_out(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(PhotoError, match="floating-point numbers: save it with 16 bits a channel first"):
        image_io.load(tmp_path / "a.tif")


def test_names_with_spaces_and_other_alphabets_work(tmp_path):
    folder = tmp_path / "été ☀ 写真"
    folder.mkdir()
    path = folder / "Ünïcode photo\nwith a line.png"
    Image.new("RGB", (3, 3), (9, 8, 7)).save(path, "PNG")
    image_io.save(image_io.load(path), folder / "копия.png")
    assert image_io.load(folder / "копия.png").pixels[0, 0].tolist() == [9, 8, 7]
