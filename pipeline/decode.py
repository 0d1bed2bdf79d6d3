"""The bytes of a photo file to a Photo."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import IO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from pipeline import metadata
from pipeline.photo import Encoding, Metadata, Photo, PhotoError
from pipeline.pixels import read_pixels
from pipeline.tiff import exif_of_tiff, quiet_pillow

# Only these are ever tried: Pillow knows formats that start other programs, such as EPS.
_PLUGINS = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    TiffImagePlugin.TiffImageFile,
    BmpImagePlugin.BmpImageFile,
    GifImagePlugin.GifImageFile,
    AvifImagePlugin.AvifImageFile,
)
_Factory = Callable[[IO[bytes], str | bytes], ImageFile.ImageFile]
_LONGEST_REASON = 200  # characters of what a library says
_LOSSLESS = frozenset(("PNG", "TIFF", "BMP", "GIF"))


def decode(data: bytes, *, max_pixels: int) -> Photo:
    """The photo in the bytes of a file: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, and HEIC where pillow-heif is there.

    Of several frames or pages the first is used. Turned the right way up by its EXIF orientation.
    Raises PhotoError for anything else, for a damaged or cut file and for more than max_pixels pixels, which are
    refused before they are decoded.
    """
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(
            f"it has {width}x{height} pixels, {width * height / 1e6:.4g} MP; the limit is {max_pixels / 1e6:.4g} MP"
        )
    try:
        return _decode(image, data)
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:  # the TIFF and GIF plugins look at Pillow's own limit again
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise PhotoError(f"it has {width}x{height} pixels; of its kind Pillow takes at most {limit:.0f} MP") from error
    except MemoryError as error:
        raise PhotoError(f"there is not enough memory for its {width}x{height} pixels") from error
    except Exception as error:  # the decoders raise whatever comes to them on damaged data
        raise PhotoError(f"it is damaged or cut short ({_reason(error)})") from error


def size(data: bytes) -> tuple[int, int]:
    """Width and height in the header of a photo file, of which these are the first bytes. Raises PhotoError."""
    width, height = _open(data).size
    return width, height


def check_kind(data: bytes) -> None:
    """Raises PhotoError if a file that begins with these bytes, 16 at least, is of no kind that can be read."""
    _plugins_for(data)


def _open(data: bytes) -> ImageFile.ImageFile:
    """The file's header, read by the plugin that knows it. Nothing is decoded yet.

    Image.open is not used: it warns and refuses by limits that are global to the process.
    """
    quiet_pillow()
    reason = ""
    for factory in _plugins_for(data):
        try:
            return factory(io.BytesIO(data), "")
        except Exception as error:  # the plugins raise whatever comes to them on a damaged header
            reason = _reason(error)
    raise PhotoError(f"it is damaged or of an unsupported kind ({reason})")


def _plugins_for(data: bytes) -> list[_Factory]:
    """The plugins that take the file for one of theirs. Raises PhotoError if there is none."""
    from PIL import MpoImagePlugin  # noqa: F401  # lets the JPEG plugin read the frames of a stereo photo

    formats = [plugin.format for plugin in _PLUGINS]
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
        formats.append("HEIF")
    except ImportError:
        pass  # HEIC is an extra: such a file is then "not a photo", and the message names pillow-heif
    found, reason = [], ""
    for name in formats:
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(data[:16])
        if isinstance(accepted, str):  # the plugin says why it cannot, such as a missing library
            reason = accepted
        elif accepted:
            found.append(factory)
    if found:
        return found
    if reason:
        raise PhotoError(f"it is of a kind that cannot be read here ({reason})")
    if not data:
        raise PhotoError("the file is empty")
    if data[4:8] == b"ftyp" and "HEIF" not in formats:
        raise PhotoError("it may be a HEIC photo: install pillow-heif to read those")
    raise PhotoError("it is not a photo: expected JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__


def _decode(image: ImageFile.ImageFile, data: bytes) -> Photo:
    format_name = {"MPO": "JPEG"}.get(str(image.format), str(image.format))
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and format_name != "JPEG":  # the other frames of a JPEG are a phone's own depth or gain maps
        notes.append(f"it has {frames} frames: only the first one is used")
    orientation = _orientation(image)
    encoding = _encoding(image, format_name, data)  # read before load, which closes some plugins' tables
    kept = _metadata(image, format_name, data, turned=orientation >= 5)
    image.load()
    photo = read_pixels(image, format_name, data, icc=kept.icc, orientation=orientation)
    return replace(photo, metadata=kept, encoding=encoding, notes=tuple(notes))


def _orientation(image: ImageFile.ImageFile) -> int:
    """1 to 8, from EXIF or else XMP; 1 where there is none, or where it cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _encoding(image: ImageFile.ImageFile, format_name: str, data: bytes) -> Encoding:
    encoding = Encoding(
        format_name, bytes_per_pixel=len(data) / math.prod(image.size), lossless=format_name in _LOSSLESS
    )
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        tables = image.quantization
        return replace(
            encoding,
            jpeg_tables=tuple(tuple(tables[number]) for number in sorted(tables)),
            jpeg_sampling=JpegImagePlugin.get_sampling(image),
            jpeg_progressive=bool(image.info.get("progressive")),
        )
    if format_name == "WEBP":
        return replace(encoding, lossless=b"VP8L" in (data[12:16], *_riff_chunks(data)))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        compression = str(image.info.get("compression", "raw"))
        return replace(
            encoding,
            lossless=compression not in ("jpeg", "tiff_jpeg", "webp"),
            tiff_compression=compression,
            tiff_predictor=int(image.tag_v2.get(317, 1)),
        )
    return encoding


def _riff_chunks(data: bytes) -> list[bytes]:
    """The names of the chunks of a WebP file; those within its first frame too, where it is an animation."""
    names, position = [], 12
    while position + 8 <= len(data):
        name = data[position : position + 4]
        names.append(name)
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        # An animation's frame holds the picture's chunks behind 16 bytes of its own.
        position += 8 + 16 if name == b"ANMF" else 8 + size + size % 2
    return names


def _metadata(image: ImageFile.ImageFile, format_name: str, data: bytes, *, turned: bool) -> Metadata:
    info = image.info
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        exif = exif_of_tiff(image)
    else:
        exif = info.get("exif") or (image.getexif().tobytes() if image.getexif() else None)
    if exif:
        exif = exif.removeprefix(b"Exif\0\0")
        try:
            exif = metadata.upright_exif(exif, turned=turned)
        except ValueError:
            exif = None  # nobody could read it, and its orientation might be read wrongly by somebody
    xmp = info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    icc, comment = info.get("icc_profile"), info.get("comment")
    dpi = info.get("dpi")
    if isinstance(image, TiffImagePlugin.TiffImageFile) and 282 not in image.tag_v2:
        dpi = None  # Pillow says 1 dot an inch where the file says nothing
    usable_dpi = isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < float(value) < 1e6 for value in dpi)
    return Metadata(
        exif=exif or None,
        icc=icc if icc and isinstance(icc, bytes) else None,  # a damaged TIFF may say that it is a number
        xmp=metadata.upright_xmp(xmp) if xmp and isinstance(xmp, bytes) else None,
        iptc=metadata.photoshop_resources(info.get("photoshop", {})) if format_name == "JPEG" else None,
        comment=comment if isinstance(comment, bytes) else None,
        dpi=(float(dpi[0]), float(dpi[1])) if usable_dpi else None,  # type: ignore[index]
        png_chunks=metadata.kept_png_chunks(data) if format_name == "PNG" else (),
    )
