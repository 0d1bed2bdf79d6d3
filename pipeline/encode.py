"""A Photo to the bytes of a file."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import metadata, tiff
from pipeline.color import color_space
from pipeline.edit import laid_on
from pipeline.formats import HOLDS_1_BIT, HOLDS_16_BIT, HOLDS_ALPHA, HOLDS_CMYK, HOLDS_GREY, HOLDS_METADATA, LOSSY
from pipeline.palette import palette_image
from pipeline.photo import Photo, PhotoError, to_uint8
from pipeline.quality import encoder_options, matching_quality

_NEW_JPEG_QUALITY = 92  # for a photo that was no JPEG before: hardly to be told from the original
_NEW_QUALITY = {"WEBP": 90, "HEIF": 80, "AVIF": 80}
_PNG_LEVEL = 4  # measured on a photo: half a percent larger than 6, the default, in a third of the time
_JPEG_SEGMENT = 65533  # bytes


def encode(photo: Photo, format_name: str, *, quality: int | None = None) -> tuple[bytes, list[str]]:
    """The photo as a file of that format (Pillow's name), and what the person should know about it.

    A file of the photo's own format is written as the old one was: quantisation tables, compression, bits, palette.
    quality: 1..100 for JPEG, WebP, HEIC and AVIF instead; None takes what keeps the file near its old size.
    Where a format has no transparency the photo is put on white.
    Raises PhotoError if the format cannot hold the photo, such as a WebP of more than 16383 pixels a side.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1..100, got {quality}")
    notes = []
    if quality is not None and format_name not in LOSSY:
        notes.append(f"quality {quality} changes nothing: {format_name} files have no quality setting")
    if photo.alpha is not None and format_name not in HOLDS_ALPHA:
        photo, visible = _on_white(photo)
        if visible:
            notes.append(f"{format_name} has no transparency: the transparent parts became white")
    if photo.pixels.dtype == np.uint16 and format_name not in HOLDS_16_BIT:
        notes.append(f"{format_name} has 8 bits a channel: the photo's 16 were rounded")
    if format_name == "JPEG":
        photo, dropped = _fitting_metadata(photo)
        if dropped:
            notes.append(f"JPEG cannot hold {' and '.join(dropped)} as long as this photo's: left out")
    try:
        return _encode(photo, format_name, quality), notes
    except PhotoError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        height, width = photo.hw
        raise PhotoError(f"{format_name} cannot hold this {width}x{height} photo ({error})") from error


def _encode(photo: Photo, format_name: str, quality: int | None) -> bytes:
    if photo.pixels.dtype == np.uint16 and format_name in HOLDS_16_BIT:
        return _encode_16_bit(photo, format_name)
    image = _image(photo, format_name)
    kept = photo.metadata
    icc = _fitting_icc(kept.icc, image.mode)
    options: dict[str, Any] = {}
    if format_name == "PNG":
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=_PNG_LEVEL)
        return _with_metadata_chunks(file.getvalue(), photo, icc)
    if icc and format_name in HOLDS_METADATA:
        options["icc_profile"] = icc
    if kept.exif and format_name in HOLDS_METADATA:
        options["exif"] = b"Exif\0\0" + kept.exif
    if kept.xmp and format_name in HOLDS_METADATA:
        options["xmp"] = kept.xmp
    if kept.dpi and format_name in ("JPEG", "TIFF", "BMP"):
        options["dpi"] = kept.dpi
    if kept.comment and format_name in ("JPEG", "GIF"):
        options["comment"] = kept.comment
    if format_name == "JPEG":
        options |= _jpeg_options(photo, image, quality)
    elif format_name in ("WEBP", "HEIF", "AVIF"):
        options |= _quality_options(photo, image, format_name, quality)
    elif format_name == "TIFF":
        options |= _tiff_options(photo, image)
    if format_name == "HEIF":
        _register_heif()
    file = io.BytesIO()
    image.save(file, format_name, **options)
    if format_name == "TIFF":
        return tiff.with_metadata(file.getvalue(), exif=kept.exif, icc=icc, xmp=kept.xmp)
    return file.getvalue()


def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise PhotoError("install pillow-heif to write HEIC") from error
    pillow_heif.register_heif_opener()


def _on_white(photo: Photo) -> tuple[Photo, bool]:
    """The photo without transparency, on white where it had some, and whether it had."""
    alpha = photo.alpha
    opaque = np.iinfo(photo.pixels.dtype).max
    if alpha is None or bool((alpha == opaque).all()):
        return photo.edited(photo.pixels, alpha=None), False
    white = np.full_like(photo.pixels, opaque)
    return photo.edited(laid_on(photo.pixels, alpha, white), alpha=None), True


def _image(photo: Photo, format_name: str) -> Image.Image:
    """The photo as an 8-bit Pillow picture, in the plainest mode that holds it and that the file had before."""
    if photo.cmyk is not None and photo.alpha is None and format_name in HOLDS_CMYK:
        return Image.fromarray(photo.cmyk, "CMYK")
    rgb = photo.rgb
    alpha = None if photo.alpha is None else to_uint8(photo.alpha)
    if format_name == "GIF" or (photo.mode == "P" and format_name in ("PNG", "TIFF", "BMP")):
        paletted = palette_image(rgb, alpha, photo.palette, exact=format_name != "GIF")
        # Only PNG and GIF have a palette with transparency.
        if paletted is not None and (alpha is None or format_name in ("PNG", "GIF")):
            return paletted
    if photo.mode in ("L", "1") and format_name in HOLDS_GREY and _is_grey(rgb):
        grey = rgb[..., 0]
        if alpha is not None:
            return Image.fromarray(np.stack([grey, alpha], axis=2), "LA")
        if photo.mode == "1" and format_name in HOLDS_1_BIT and bool(((grey == 0) | (grey == 255)).all()):
            return Image.fromarray(grey).convert("1", dither=Image.Dither.NONE)
        return Image.fromarray(grey)
    return Image.fromarray(rgb if alpha is None else np.dstack([rgb, alpha]))


def _is_grey(rgb: NDArray[Any]) -> bool:
    return bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all())


def _fitting_icc(icc: bytes | None, mode: str) -> bytes | None:
    """The profile, unless it describes colours of another kind than the file will hold."""
    kinds = {"CMYK": ("CMYK",), "L": ("GRAY", "RGB"), "LA": ("GRAY", "RGB"), "1": ("GRAY", "RGB")}
    return icc if color_space(icc) in kinds.get(mode, ("RGB",)) else None


def _jpeg_options(photo: Photo, image: Image.Image, quality: int | None) -> dict[str, Any]:
    encoding, kept = photo.encoding, photo.metadata
    options: dict[str, Any] = {}
    if quality is not None:
        options["quality"] = quality
    elif encoding.format == "JPEG" and encoding.jpeg_tables:
        tables = [list(table) for table in encoding.jpeg_tables]
        # A grey file has one table, and a colour one made of it needs another for the colours.
        options["qtables"] = tables * 2 if len(tables) == 1 and image.mode == "RGB" else tables
        options["subsampling"] = encoding.jpeg_sampling
        options["progressive"] = encoding.jpeg_progressive
    else:
        options["quality"], options["subsampling"] = _NEW_JPEG_QUALITY, "4:4:4"
    if kept.iptc:
        block = b"Photoshop 3.0\0" + kept.iptc
        options["extra"] = b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block
    return options


def _fitting_metadata(photo: Photo) -> tuple[Photo, list[str]]:
    """The photo without what is too long for a JPEG's segments of 64 KiB, and the names of that."""
    # The lengths are those of the names that go before: "Exif\0\0", XMP's address, "Photoshop 3.0\0".
    sizes = {"exif": ("EXIF", 6), "xmp": ("XMP", 29), "iptc": ("captions", 14)}
    too_long = [
        field
        for field, (_, prefix) in sizes.items()
        if len(getattr(photo.metadata, field) or b"") + prefix > _JPEG_SEGMENT
    ]
    nothing: dict[str, Any] = dict.fromkeys(too_long)
    return replace(photo, metadata=replace(photo.metadata, **nothing)), [sizes[field][0] for field in too_long]


def _quality_options(photo: Photo, image: Image.Image, format_name: str, quality: int | None) -> dict[str, Any]:
    """For WebP, HEIC and AVIF."""
    same_kind = photo.encoding.format == format_name
    if format_name == "WEBP" and quality is None and same_kind and photo.encoding.lossless:
        return {"lossless": True, "exact": True}  # exact: the colours under transparent pixels stay too
    if quality is None and same_kind:
        quality = matching_quality(image, format_name, photo.encoding.bytes_per_pixel)
    return encoder_options(format_name, quality or _NEW_QUALITY[format_name])


def _tiff_options(photo: Photo, image: Image.Image) -> dict[str, Any]:
    encoding = photo.encoding
    compression = encoding.tiff_compression if encoding.format == "TIFF" else "tiff_adobe_deflate"
    fax = compression in ("group3", "group4", "tiff_ccitt")
    if (fax and image.mode != "1") or (compression in ("jpeg", "tiff_jpeg") and image.mode not in ("L", "RGB", "CMYK")):
        compression = "tiff_adobe_deflate"
    options: dict[str, Any] = {"compression": compression}
    if compression in ("jpeg", "tiff_jpeg"):
        options["quality"] = _NEW_JPEG_QUALITY
    if encoding.tiff_predictor == 2 and compression in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"):
        options["tiffinfo"] = {317: 2}
    return options


def _encode_16_bit(photo: Photo, format_name: str) -> bytes:
    channels = photo.pixels[..., 0] if photo.mode == "L" and _is_grey(photo.pixels) else photo.pixels
    icc = _fitting_icc(photo.metadata.icc, "L" if channels.ndim == 2 else "RGB")
    if photo.alpha is not None:  # 16-bit grey with alpha: few programs read that, so grey is written as RGB then
        channels = np.dstack([photo.pixels, photo.alpha])
    if format_name == "TIFF":
        kept = photo.metadata
        file = tiff.encode_16_bit(channels, dpi=kept.dpi)
        return tiff.with_metadata(file, exif=kept.exif, icc=icc, xmp=kept.xmp)
    import cv2  # late: most photos never need it

    if channels.ndim == 3:
        channels = channels[..., [2, 1, 0, 3][: channels.shape[2]]]  # to OpenCV's order, at once
    _, png = cv2.imencode(".png", np.ascontiguousarray(channels), [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    return _with_metadata_chunks(png.tobytes(), photo, icc)


def _with_metadata_chunks(png: bytes, photo: Photo, icc: bytes | None) -> bytes:
    kept = photo.metadata
    chunks = [chunk for chunk in kept.png_chunks if not (icc and chunk[0] in (b"sRGB", b"cICP"))]
    if icc:
        chunks.insert(0, metadata.icc_chunk(icc))
    if kept.dpi and not any(kind == b"pHYs" for kind, _ in chunks):
        chunks.append(metadata.resolution_chunk(kept.dpi))
    if kept.exif:
        chunks.append((b"eXIf", kept.exif))
    if kept.xmp:
        chunks.append(metadata.xmp_chunk(kept.xmp))
    return metadata.with_png_chunks(png, chunks)
