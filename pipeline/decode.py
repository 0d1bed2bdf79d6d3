"""The bytes of a photo file to a Photo."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
from pipeline.color import cmyk_to_rgb
from pipeline.photo import Encoding, Metadata, Photo, PhotoError
from pipeline.tiff import exif_of_tiff

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
            f"it has {width}x{height} pixels, {width * height / 1e6:.0f} MP; the limit is {max_pixels / 1e6:.0f} MP"
        )
    try:
        return _decode(image, data)
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError(f"there is not enough memory for its {width}x{height} pixels") from error
    except Exception as error:  # the decoders raise whatever comes to them on damaged data
        raise PhotoError(f"it is damaged or cut short ({_reason(error)})") from error


def _open(data: bytes) -> ImageFile.ImageFile:
    """The file's header, read by the plugin that knows it. Nothing is decoded yet.

    Image.open is not used: it warns and refuses by limits that are global to the process.
    """
    from PIL import MpoImagePlugin  # noqa: F401  # lets the JPEG plugin read the frames of a stereo photo

    formats = [plugin.format for plugin in _PLUGINS]
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
        formats.append("HEIF")
    except ImportError:
        pass  # HEIC is an extra: such a file is then "not a photo", and the message names pillow-heif
    reason = ""
    for name in formats:
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(data[:16])
        if isinstance(accepted, str):  # the plugin says why it cannot, such as a missing library
            reason = accepted
        elif accepted:
            try:
                return factory(io.BytesIO(data), "")  # type: ignore[return-value]
            except Exception as error:  # the plugins raise whatever comes to them on a damaged header
                reason = _reason(error)
    if not data:
        raise PhotoError("the file is empty")
    if data[4:8] == b"ftyp" and "HEIF" not in formats:
        raise PhotoError("it may be a HEIC photo: install pillow-heif to read those")
    known = "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF"
    raise PhotoError(f"it is damaged or of an unsupported kind ({reason})" if reason else f"it is not a photo: expected {known}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


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
    if _is_16_bit(image, format_name, data):
        channels = _read_16_bit(image, data, format_name)
        photo = _from_channels(channels)
    else:
        photo = _from_pillow(image, kept.icc)
    # Pillow turns TIFF files by itself; OpenCV, which reads the 16-bit ones, does not.
    if format_name != "TIFF" or photo.pixels.dtype == np.uint16:
        photo = _turned(photo, orientation)
    return replace(photo, metadata=kept, encoding=encoding, notes=tuple(notes))


def _orientation(image: ImageFile.ImageFile) -> int:
    """1 to 8, from EXIF or else XMP; 1 where there is none, or where it cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turn(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The picture as it should be seen. array: (H, W, ...). orientation: EXIF's number, 1 to 8. A new array or a view.

    Source: Exif 2.32, table 6; 1 is upright, 6 must be turned 90 degrees clockwise to be seen upright.
    """
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _turned(photo: Photo, orientation: int) -> Photo:
    if orientation == 1:
        return photo
    turned = {
        name: np.ascontiguousarray(turn(array, orientation))
        for name in ("pixels", "alpha", "cmyk")
        if (array := getattr(photo, name)) is not None
    }
    return replace(photo, **turned)


def _from_pillow(image: Image.Image, icc: bytes | None) -> Photo:
    """The photo of a loaded 8-bit picture, or of 16-bit grey."""
    mode = image.mode
    if mode.startswith("I"):
        grey = np.asarray(image)
        if grey.dtype != np.uint16 and (grey.min() < 0 or grey.max() > 65535):
            raise PhotoError("its pixels are 32-bit numbers: save it with 16 bits a channel first")
        return _from_channels(grey.astype(np.uint16))
    if mode == "F":
        raise PhotoError("its pixels are 32-bit floating-point numbers: save it with 16 bits a channel first")
    if mode == "CMYK":
        cmyk = np.asarray(image)
        return Photo(cmyk_to_rgb(cmyk, icc), mode="CMYK", cmyk=cmyk)
    if mode == "LAB":
        raise PhotoError("its colours are Lab: save it as RGB first")
    transparent = image.has_transparency_data
    file_mode = {"PA": "P", "LA": "L", "La": "L"}.get(mode, mode)
    if file_mode == "P":
        rgba = np.asarray(image.convert("RGBA"))
        alpha = rgba[..., 3].copy() if transparent else None
        palette = np.unique(rgba.reshape(-1, 4), axis=0) if alpha is not None else _rgb_palette(image)
        return Photo(rgba[..., :3].copy(), alpha, "P", palette)
    if file_mode in ("1", "L"):
        channels = np.asarray(image.convert("LA" if transparent else "L"))
    else:
        channels = np.asarray(image.convert("RGBA" if transparent else "RGB"))
    photo = _from_channels(channels)
    return replace(photo, mode="1") if file_mode == "1" else photo


def _rgb_palette(image: Image.Image) -> NDArray[np.uint8]:
    """(N, 4) the colours of a palette picture without transparency, in the file's order, opaque."""
    colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return np.concatenate([colors, np.full((len(colors), 1), 255, np.uint8)], axis=1)


def _from_channels(channels: NDArray[Any]) -> Photo:
    """channels: (H, W) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGBA."""
    count = 1 if channels.ndim == 2 else channels.shape[2]
    if count <= 2:
        grey = channels if count == 1 else channels[..., 0]
        pixels = np.repeat(grey[..., np.newaxis], 3, axis=2)
    else:
        pixels = np.ascontiguousarray(channels[..., :3])
    alpha = channels[..., -1].copy() if count in (2, 4) else None
    return Photo(pixels, alpha, "L" if count <= 2 else "RGB")


def _is_16_bit(image: ImageFile.ImageFile, format_name: str, data: bytes) -> bool:
    """Whether the file has 16 bits a channel: Pillow would cut colour ones to 8."""
    if format_name == "PNG":
        return data[24] == 16  # bit depth, the 9th byte of the header chunk
    if format_name == "TIFF":
        bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        return set(bits if isinstance(bits, tuple) else (bits,)) == {16} and image.mode != "F"
    return False


def _read_16_bit(image: ImageFile.ImageFile, data: bytes, format_name: str) -> NDArray[np.uint16]:
    """The channels of a 16-bit file, as `_from_channels` wants them. Pillow has loaded it, so it is whole."""
    import cv2  # late: most photos never need it

    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.uint16)
        if format_name == "TIFF" and image.tag_v2.get(262) == 0:  # type: ignore[attr-defined]  # white is zero
            grey = 65535 - grey
        if isinstance(clear := image.info.get("transparency"), int):
            return np.stack([grey, np.where(grey == clear, 0, 65535).astype(np.uint16)], axis=2)
        return grey
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16:
        raise PhotoError("its way to keep 16 bits a channel is not supported: save it as plain RGB, 16 bits, first")
    if read.ndim == 3:
        read = read[..., [2, 1, 0, 3][: read.shape[2]]]  # OpenCV's order to RGB, at once
        if image.mode in ("LA", "La"):
            read = read[..., [0, 3]]
    return read.astype(np.uint16, copy=False)


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
    comment = info.get("comment")
    dpi = info.get("dpi")
    if isinstance(image, TiffImagePlugin.TiffImageFile) and 282 not in image.tag_v2:
        dpi = None  # Pillow says 1 dot an inch where the file says nothing
    usable_dpi = isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < float(value) < 1e6 for value in dpi)
    return Metadata(
        exif=exif or None,
        icc=info.get("icc_profile") or None,
        xmp=metadata.upright_xmp(xmp) if xmp else None,
        iptc=metadata.photoshop_resources(info.get("photoshop", {})) if format_name == "JPEG" else None,
        comment=comment if isinstance(comment, bytes) else None,
        dpi=(float(dpi[0]), float(dpi[1])) if usable_dpi else None,  # type: ignore[index]
        png_chunks=metadata.kept_png_chunks(data) if format_name == "PNG" else (),
    )
