"""What a result's metadata says about its making, and that nothing of the person's own words is lost by it."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pipeline import image_io, metadata
from pipeline.effects import Blur, Erase, apply
from pipeline.job import process
from pipeline.models import Models
from pipeline.note import noted, version
from pipeline.photo import Metadata, Photo
from pipeline.selection import Pick

ERASED = f"Clickaway {version()} (object erased)"
SENTENCE = f"Edited with Clickaway {version()}: object erased"
SOFTWARE, DESCRIPTION = 0x0131, 0x010E
EXTENSIONS = ("jpg", "png", "webp", "tif", "avif", "heic")


def _erased(photo: Photo) -> Photo:
    return replace(photo, edits=("object erased",))


def _exif(path) -> Image.Exif:
    if path.suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    with Image.open(path) as image:
        exif = image.getexif()
        exif.get_ifd(0x8825)  # read while the file is open
        return exif


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_format_that_holds_exif_says_what_was_done(tmp_path, noise, extension, dtype):
    path = tmp_path / f"a.{extension}"
    image_io.save(_erased(Photo(noise[..., :3].astype(dtype))), path)
    assert _exif(path)[SOFTWARE] == ERASED
    assert _exif(path)[DESCRIPTION] == SENTENCE


def test_a_png_says_it_in_its_text_and_a_gif_in_its_comment(tmp_path, noise):
    photo = _erased(Photo(noise[..., :3]))
    image_io.save(photo, tmp_path / "a.png")
    image_io.save(photo, tmp_path / "a.gif")
    image_io.save(photo, tmp_path / "a.bmp")
    with Image.open(tmp_path / "a.png") as png, Image.open(tmp_path / "a.gif") as gif:
        assert png.text == {"Software": ERASED, "Description": SENTENCE}
        assert gif.info["comment"] == SENTENCE.encode()


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_photo_that_was_not_edited_or_whose_note_is_declined_has_none(tmp_path, noise, extension):
    for name, photo, options in (
        ("a", Photo(noise[..., :3]), {}),
        ("b", _erased(Photo(noise[..., :3])), {"note": False}),
    ):
        path = tmp_path / f"{name}.{extension}"
        image_io.save(photo, path, **options)
        assert SOFTWARE not in _exif(path)
        assert b"Clickaway" not in path.read_bytes()


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_persons_description_and_software_stay(tmp_path, noise, make_exif, extension):
    exif = Image.Exif()
    exif.load(make_exif())
    exif[DESCRIPTION], exif[SOFTWARE] = "Granny at the quay", "Camera 4.2"
    photo = _erased(Photo(noise[..., :3], metadata=Metadata(exif=exif.tobytes().removeprefix(b"Exif\0\0"))))
    path = tmp_path / f"a.{extension}"
    image_io.save(photo, path)
    after = _exif(path)
    assert after[DESCRIPTION] == "Granny at the quay"
    assert after[SOFTWARE] == f"Camera 4.2; {ERASED}"
    assert after[0x010F] == "Clickaway Cameras"
    assert after.get_ifd(0x8825)[2] == (48.0, 8.0, 30.0)


def test_a_pngs_own_texts_stay(tmp_path, noise):
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Painter")
    info.add_itxt("Description", "Großmutter am Kai")
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.png", pnginfo=info)
    image_io.save(_erased(image_io.load(tmp_path / "a.png")), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.text == {"Software": f"Painter; {ERASED}", "Description": "Großmutter am Kai"}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_second_edit_joins_the_first_ones_note(tmp_path, noise, mask, inpainter, extension):
    first, second = tmp_path / f"a.{extension}", tmp_path / f"b.{extension}"
    image_io.save(apply(Photo(noise[..., :3]), mask, Erase(), inpainter=inpainter), first)
    image_io.save(apply(image_io.load(first), mask, Blur()), second)
    assert _exif(second)[SOFTWARE] == f"Clickaway {version()} (object erased, background blurred)"
    assert _exif(second)[DESCRIPTION] == f"Edited with Clickaway {version()}: object erased, background blurred"
    assert second.read_bytes().count(b"Clickaway") < 9  # old notes do not pile up without end


def test_two_edits_of_one_photo_are_both_named(tmp_path, noise, mask, inpainter):
    twice = apply(apply(Photo(noise[..., :3]), mask, Erase(), inpainter=inpainter), mask, Blur())
    assert twice.edits == ("object erased", "background blurred")


def test_the_rest_of_exif_is_the_same_byte_at_the_same_place(make_exif):
    for block in (make_exif().removeprefix(b"Exif\0\0"), b"II*\0\x08\0\0\0\0\0" + b"maker's bytes"):
        after = noted(Metadata(exif=block), ("object erased",), "JPEG").exif
        assert after[:4] == block[:4]
        assert after[8 : len(block)] == block[8:]  # all but where the directory is


def test_a_pointer_to_a_second_directory_stays():
    block = b"MM\0*" + struct.pack(">LHHHLHHL", 8, 1, 0x0112, 3, 1, 1, 0, 26) + struct.pack(">HL", 0, 0)
    after = metadata.with_exif_text(block, {SOFTWARE: b"abc"})  # three letters and the end fit into the entry itself
    (start,) = struct.unpack_from(">L", after, 4)
    assert struct.unpack_from(">H", after, start) == (2,)
    assert after[start + 2 + 24 : start + 2 + 28] == struct.pack(">L", 26)
    assert metadata.exif_text(after, SOFTWARE) == b"abc"


@pytest.mark.parametrize("block", [b"no TIFF", b"II*\0\xff\xff\xff\x7f", b"II"])
def test_damaged_exif_is_left_alone(block):
    assert noted(Metadata(exif=block), ("object erased",), "JPEG").exif == block
    assert metadata.exif_text(block, SOFTWARE) == b""
    with pytest.raises(ValueError, match="the EXIF block is damaged"):
        metadata.with_exif_text(block, {SOFTWARE: b"a"})


def test_exif_that_just_fits_a_jpeg_is_not_lost_for_the_notes_sake(tmp_path, noise):
    exif = Image.Exif()
    exif[0x010F] = "m" * 65_400
    photo = _erased(Photo(noise[..., :3], metadata=Metadata(exif=exif.tobytes().removeprefix(b"Exif\0\0"))))
    assert image_io.save(photo, tmp_path / "a.jpg") == ()
    assert _exif(tmp_path / "a.jpg")[0x010F] == "m" * 65_400


def test_process_writes_the_note_unless_it_is_declined(tmp_path, noise, fake_models):
    Image.fromarray(noise[..., :3]).save(tmp_path / "a.png")
    models, pick = Models(segmenter="squares", inpainter="paint"), Pick(boxes=((3, 3, 9, 9),))
    process(tmp_path / "a.png", tmp_path / "b.jpg", pick, Erase(), models)
    process(tmp_path / "a.png", tmp_path / "c.jpg", pick, Erase(), models, note=False)
    assert _exif(tmp_path / "b.jpg")[SOFTWARE] == ERASED
    assert SOFTWARE not in _exif(tmp_path / "c.jpg")
