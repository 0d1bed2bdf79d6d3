"""EXIF, ICC, XMP, IPTC, resolution and text stay; what an edit makes wrong does not."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pipeline import image_io, metadata

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description dc:title="Harbour"/></x:xmpmeta>'


def _facts(path) -> dict:
    with Image.open(path) as image:
        exif = image.getexif()
        return {
            "maker": exif.get(0x010F),
            "date": exif.get_ifd(0x8769).get(0x9003),
            "place": tuple(float(value) for value in exif.get_ifd(0x8825).get(2, ())),
            "icc": image.info.get("icc_profile"),
            "xmp": image.info.get("xmp"),
            "dpi": tuple(round(float(value)) for value in image.info.get("dpi", (0, 0))),
        }


FULL = {"maker": "Clickaway Cameras", "date": "2020:02:03 04:05:06", "place": (48.0, 8.0, 30.0), "xmp": XMP}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"xmp": XMP, "dpi": (300, 300)}),
        ("a.png", {"dpi": (300, 300)}),
        ("a.webp", {"xmp": XMP}),
        ("a.tif", {"dpi": (300, 300)}),
        ("lzw.tif", {"dpi": (300, 300), "compression": "tiff_lzw"}),
        ("a.avif", {"xmp": XMP}),
        ("a.heic", {"xmp": XMP}),
    ],
)
def test_exif_icc_xmp_and_resolution_stay(tmp_path, noise, make_exif, icc, name, options):
    if name.endswith("heic"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    path, again = tmp_path / name, tmp_path / f"again_{name}"
    picture = Image.fromarray(np.tile(noise[..., :3], (3, 3, 1)))
    if "compression" in options:  # Pillow cannot write EXIF into these; a file of ours can
        picture.save(tmp_path / "plain.tif", exif=make_exif(), icc_profile=icc, dpi=(300, 300))
        from pipeline.tiff import with_metadata

        picture.save(path, **options)
        exif = make_exif().removeprefix(b"Exif\0\0")
        path.write_bytes(with_metadata(path.read_bytes(), exif=exif, icc=icc, xmp=XMP))
    elif name == "a.png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        picture.save(path, exif=make_exif(), icc_profile=icc, pnginfo=info, **options)
    else:
        picture.save(path, exif=make_exif(), icc_profile=icc, **options)

    before = _facts(path)
    assert before["maker"] == FULL["maker"] and before["icc"] == icc
    image_io.save(image_io.load(path), again)
    assert _facts(again) == before


@pytest.mark.parametrize("target", ["b.png", "b.webp", "b.tif", "b.avif", "b16.tif"])
def test_metadata_moves_to_another_format(tmp_path, noise, make_exif, icc, target):
    path = tmp_path / "a.jpg"
    Image.fromarray(noise[..., :3]).save(path, exif=make_exif(), icc_profile=icc, xmp=XMP, dpi=(240, 240))
    photo = image_io.load(path)
    if "16" in target:
        wide = photo.pixels.astype(np.uint16) * 257
        photo = type(photo)(wide, metadata=photo.metadata, encoding=photo.encoding)
    image_io.save(photo, tmp_path / target)
    facts = _facts(tmp_path / target)
    assert {name: facts[name] for name in FULL} == FULL
    assert facts["icc"] == icc
    if target.endswith(("png", "tif")):
        assert facts["dpi"] == (240, 240)


def test_everything_in_exif_but_orientation_and_thumbnail_is_the_same_byte(make_exif):
    block = make_exif(6).removeprefix(b"Exif\0\0")
    upright = metadata.upright_exif(block, turned=False)
    differing = [i for i, (a, b) in enumerate(zip(block, upright, strict=True)) if a != b]
    assert len(differing) == 1  # the one byte that says 6


@pytest.mark.parametrize("endian", ["<", ">"])
def test_the_thumbnail_is_gone_from_the_bytes(endian):
    thumbnail = b"\xff\xd8 the erased object is still in here \xff\xd9"
    # Header; a directory with the orientation; a second one that points at the thumbnail, which another tag follows.
    block = (b"II*\0" if endian == "<" else b"MM\0*") + struct.pack(endian + "L", 8)
    block += struct.pack(endian + "HHHLHHL", 1, 0x0112, 3, 1, 6, 0, 26)
    block += struct.pack(endian + "HHHLLHHLLL", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    block += thumbnail + b"tail"
    upright = metadata.upright_exif(block, turned=False)
    assert b"erased object" not in upright
    assert upright.endswith(b"tail")
    assert struct.unpack_from(endian + "H", upright, 18) == (1,)
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + upright)
    assert exif[0x0112] == 1
    assert not exif.get_ifd(1)  # Pillow's name for the thumbnail's directory


def test_a_thumbnail_of_a_real_file_does_not_outlive_the_object(tmp_path, noise):
    exif = Image.Exif()
    exif[0x010F] = "Clickaway Cameras"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    thumbnail = b"\xff\xd8THUMBNAIL\xff\xd9"
    start = len(block)
    second = struct.pack("<HHHLLHHLLL", 2, 0x0201, 4, 1, start + 30, 0x0202, 4, 1, len(thumbnail), 0)
    endian = "<" if block[:2] == b"II" else ">"
    if endian == ">":
        second = struct.pack(">HHHLLHHLLL", 2, 0x0201, 4, 1, start + 30, 0x0202, 4, 1, len(thumbnail), 0)
    (count,) = struct.unpack_from(endian + "H", block, 8)
    block = bytearray(block + second + thumbnail)
    struct.pack_into(endian + "L", block, 10 + 12 * count, start)
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(block))
    assert b"THUMBNAIL" in (tmp_path / "a.jpg").read_bytes()
    image_io.save(image_io.load(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    assert b"THUMBNAIL" not in (tmp_path / "b.jpg").read_bytes()
    assert _facts(tmp_path / "b.jpg")["maker"] == "Clickaway Cameras"


def test_the_sides_in_exif_change_places_with_a_quarter_turn(tmp_path, noise, make_exif):
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.jpg", exif=make_exif(6))
    image_io.save(image_io.load(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        tags = image.getexif().get_ifd(0x8769)
        assert (tags[0xA002], tags[0xA003]) == image.size == (noise.shape[0], noise.shape[1])


@pytest.mark.parametrize(
    "block",
    [b"", b"II*\0", b"garbage that is no TIFF", b"II*\0\xff\xff\xff\x7f", b"II*\0\x08\0\0\0\xff\xff\0\0"],
)
def test_damaged_exif_is_one_error(block):
    with pytest.raises(ValueError, match="the EXIF block is damaged"):
        metadata.upright_exif(block, turned=True)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_photo_with_damaged_exif_loads_without_it(tmp_path, noise):
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    photo = image_io.load(tmp_path / "a.jpg")
    assert photo.metadata.exif is None
    image_io.save(photo, tmp_path / "b.jpg")


def test_xmp_loses_thumbnails_and_what_is_no_longer_in_the_file():
    xmp = (
        b'<rdf:Description GCamera:MotionPhoto="1" dc:title="Quay" xmpNote:HasExtendedXMP=\'A\' tiff:Orientation="8">'
        b"<xmp:Thumbnails><rdf:Alt><rdf:li xmpGImg:image='AAAA'/></rdf:Alt></xmp:Thumbnails><dc:creator>me</dc:creator>"
        b"<Container:Directory><rdf:Seq>gain map</rdf:Seq></Container:Directory></rdf:Description>"
    )
    assert metadata.upright_xmp(xmp) == (
        b'<rdf:Description dc:title="Quay" tiff:Orientation="1"><dc:creator>me</dc:creator></rdf:Description>'
    )


def test_png_text_and_gamma_stay(tmp_path, noise):
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Ada")
    info.add_text("Comment", "long " * 400, zip=True)
    info.add(b"gAMA", struct.pack(">L", 45455))
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.png", pnginfo=info)
    image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        image.load()
        assert image.text == {"Author": "Ada", "Comment": "long " * 400}
        assert image.info["gamma"] == pytest.approx(0.45455)


def test_jpeg_captions_and_comment_stay_but_not_photoshops_thumbnail(tmp_path, noise):
    def resource(number: int, data: bytes) -> bytes:
        return b"8BIM" + struct.pack(">HHL", number, 0, len(data)) + data + b"\0" * (len(data) % 2)

    caption = resource(1028, b"\x1c\x02\x78\x00\x05Quay!")
    block = b"Photoshop 3.0\0" + resource(1036, b"old picture") + caption
    segment = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.jpg", extra=segment, comment=b"by the sea")
    image_io.save(image_io.load(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["photoshop"] == {1028: b"\x1c\x02\x78\x00\x05Quay!"}
        assert image.info["comment"] == b"by the sea"


def test_metadata_too_long_for_a_jpeg_is_left_out_and_the_photo_written(tmp_path, noise):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "x" * 70_000)
    exif = Image.Exif()
    exif[0x010E] = "d" * 70_000
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.png", pnginfo=info, exif=exif.tobytes())
    notes = image_io.save(image_io.load(tmp_path / "a.png"), tmp_path / "b.jpg")
    assert notes == ("JPEG cannot hold EXIF and XMP as long as this photo's: left out",)
    assert image_io.load(tmp_path / "b.jpg").hw == noise.shape[:2]


def test_a_profile_of_other_colors_than_the_file_is_left_out(tmp_path, noise):
    cmyk_profile = bytearray(200)
    cmyk_profile[16:20] = b"CMYK"
    Image.fromarray(noise, "CMYK").save(tmp_path / "a.tif", icc_profile=bytes(cmyk_profile))
    photo = image_io.load(tmp_path / "a.tif")
    image_io.save(photo, tmp_path / "b.tif")
    image_io.save(photo, tmp_path / "b.png")
    with Image.open(tmp_path / "b.tif") as same, Image.open(tmp_path / "b.png") as other:
        assert same.info["icc_profile"] == bytes(cmyk_profile)
        assert "icc_profile" not in other.info
