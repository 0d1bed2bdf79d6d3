"""Without private metadata: nothing of the person is left in the file's bytes, and it looks as before."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pipeline import image_io
from pipeline.__main__ import main
from pipeline.effects import Erase
from pipeline.job import process
from pipeline.models import Models
from pipeline.photo import Metadata, Photo
from pipeline.private import without_private
from pipeline.selection import Pick
from pipeline.tiff import with_metadata

SECRET = "Secret"  # stands in every field that must go
XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description exif:GPSLatitude='{SECRET}'/></x:xmpmeta>".encode()
EXTENSIONS = ("jpg", "png", "webp", "tif", "avif", "heic")


def _exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x9C9D):  # description, camera, software, time, artist
        exif[tag] = SECRET.encode("utf-16le") if tag == 0x9C9D else SECRET
    exif[0x0112] = orientation
    exif[0x8298] = "(c) 2026 A. Photographer"
    # Time, maker note, comment, owner, serial numbers, lens.
    details = {0x9003: SECRET, 0x927C: SECRET.encode(), 0x9286: SECRET.encode(), 0xA430: SECRET, 0xA431: SECRET}
    exif[0x8769] = {**details, 0xA434: SECRET, 0xA001: 0xFFFF, 0xA005: {1: "R03"}}
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 30.0), 29: SECRET, 7: (1.0, 2.0, 3.0)}
    return exif


def _photo(path, pixels, icc, orientation: int = 1):
    """A file of that extension with everything private that it can hold."""
    options = {"exif": _exif(orientation).tobytes(), "icc_profile": icc}
    if path.suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        info.add_text("Author", SECRET)
        info.add_text("Comment", SECRET, zip=True)
        info.add_text("Copyright", "(c) 2026 A. Photographer")
        info.add(b"gAMA", struct.pack(">L", 45455))
        options["pnginfo"] = info
    elif path.suffix != ".tif":
        options["xmp"] = XMP
    if path.suffix == ".jpg":
        block = b"Photoshop 3.0\x008BIM" + struct.pack(">HHL", 1028, 0, len(SECRET)) + SECRET.encode()
        options |= {"comment": SECRET, "dpi": (300, 300)}
        options["extra"] = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
    if path.suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    Image.fromarray(pixels).save(path, **options)
    if path.suffix == ".tif":  # Pillow writes either EXIF or XMP
        path.write_bytes(with_metadata(path.read_bytes(), exif=None, icc=None, xmp=XMP))
    return path


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_nothing_private_is_left_and_colors_and_copyright_are(tmp_path, noise, icc, extension):
    source, target = tmp_path / f"a.{extension}", tmp_path / f"b.{extension}"
    _photo(source, noise[..., :3], icc)
    secret = SECRET.encode()
    assert secret in source.read_bytes()
    photo = image_io.load(source)
    image_io.save(photo, target, strip_metadata=True)
    data = target.read_bytes()
    assert secret not in data and secret.decode().encode("utf-16le") not in data
    assert b"DateTime" not in data and b"xmpmeta" not in data
    with Image.open(target) as image:
        exif = image.getexif()
        assert image.info["icc_profile"] == icc
        assert not exif.get_ifd(0x8825)
        assert exif[0x8298] == "(c) 2026 A. Photographer"
        details = exif.get_ifd(0x8769)
        assert details[0xA001] == 0xFFFF and set(details) <= {0xA001, 0xA005}
        assert exif.get(0x0112, 1) == 1
        left = set(exif) - {0x8298, 0x8769}
        # How the pixels of a TIFF are stored is not private.
        assert not left or (extension == "tif" and not left & set(_exif()))
    np.testing.assert_array_equal(image_io.load(target).pixels.shape, photo.pixels.shape)


def test_by_default_everything_stays(tmp_path, noise, icc):
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    _photo(source, noise[..., :3], icc)
    image_io.save(image_io.load(source), target)
    assert target.read_bytes().count(SECRET.encode()) == source.read_bytes().count(SECRET.encode())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_a_turned_photo_is_upright_without_its_orientation(tmp_path, noise, icc, orientation, extension):
    source = _photo(tmp_path / f"a.{extension}", noise[..., :3], icc, orientation)
    photo = image_io.load(source)
    image_io.save(photo, tmp_path / "kept.png")
    image_io.save(photo, tmp_path / "stripped.png", strip_metadata=True)
    kept, stripped = image_io.load(tmp_path / "kept.png"), image_io.load(tmp_path / "stripped.png")
    np.testing.assert_array_equal(stripped.pixels, kept.pixels)
    assert stripped.hw == ((38, 24) if orientation >= 5 else (24, 38))


def test_adobe_rgb_without_a_profile_is_still_said_to_be_adobe_rgb(tmp_path, noise):
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.jpg", exif=_exif().tobytes())
    image_io.save(image_io.load(tmp_path / "a.jpg"), tmp_path / "b.jpg", strip_metadata=True)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.getexif().get_ifd(0xA005) == {1: "R03"}


def test_a_pngs_gamma_resolution_and_copyright_stay_and_other_texts_go(tmp_path, noise, icc):
    source = _photo(tmp_path / "a.png", noise[..., :3], icc)
    kept = without_private(image_io.load(source).metadata).png_chunks
    assert [(kind, data.split(b"\0")[0]) for kind, data in kept if kind != b"gAMA"] == [(b"tEXt", b"Copyright")]
    assert b"gAMA" in {kind for kind, _ in kept}


@pytest.mark.parametrize("block", [b"no TIFF", b"II*\0\xff\xff\xff\x7f", b""])
def test_damaged_exif_goes(block):
    assert without_private(Metadata(exif=block)).exif is None


def test_the_note_is_all_that_is_said_of_the_making(tmp_path, noise, icc, fake_models):
    source, target = _photo(tmp_path / "a.jpg", noise[..., :3], icc), tmp_path / "b.jpg"
    models, pick = Models(segmenter="squares", inpainter="paint"), Pick(boxes=((3, 3, 9, 9),))
    process(source, target, pick, Erase(), models, strip_metadata=True)
    assert SECRET.encode() not in target.read_bytes()
    with Image.open(target) as image:
        assert image.getexif()[0x0131].startswith("Clickaway ")


def test_the_photo_in_memory_keeps_its_metadata(tmp_path, noise):
    photo = Photo(noise[..., :3], metadata=Metadata(comment=b"mine"))
    image_io.save(photo, tmp_path / "a.jpg", strip_metadata=True)
    assert photo.metadata.comment == b"mine"


def test_the_command_strips_a_folder_and_declines_the_note(tmp_path, noise, icc, capsys):
    (tmp_path / "in").mkdir()
    _photo(tmp_path / "in" / "a.jpg", noise[..., :3], icc)
    words = ["erase", str(tmp_path / "in"), "--box", "3,3,9,9", "--inpainter", "telea", "--out"]
    assert main([*words, str(tmp_path / "kept")]) == 0
    assert main([*words, str(tmp_path / "bare"), "--strip-metadata", "--no-note"]) == 0
    kept, bare = ((tmp_path / name / "a.jpg").read_bytes() for name in ("kept", "bare"))
    assert SECRET.encode() in kept and b"Clickaway " in kept
    assert SECRET.encode() not in bare and b"Clickaway " not in bare
    capsys.readouterr()
    assert main([*words, str(tmp_path / "kept"), "--strip-metadata", "--overwrite"]) == 0
    assert SECRET.encode() not in (tmp_path / "kept" / "a.jpg").read_bytes()
