"""The pixels of an opened file, in whatever way the file keeps them, to a Photo's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pipeline import png
from pipeline.color import cmyk_to_rgb
from pipeline.photo import Photo, PhotoError


def read_pixels(
    image: ImageFile.ImageFile, format_name: str, data: bytes, *, icc: bytes | None, orientation: int
) -> Photo:
    """The pixels, opacity, mode and palette of a file that Pillow has opened and loaded; the rest is left empty.

    data: the whole file, for what Pillow would cut to 8 bits. icc: its profile, for CMYK. orientation: EXIF's number;
    the pixels are turned by it.
    Raises PhotoError for pixels that a photo does not have, such as floating-point numbers.
    """
    if _is_16_bit(image, format_name, data) and not image.mode.startswith("I"):
        photo = _from_channels(_read_16_bit_color(image, png.checked(data) if format_name == "PNG" else data))
    else:
        photo = _from_pillow(image, format_name, icc)
    # Pillow and OpenCV both turn TIFF files by themselves when they decode them, and no others.
    return photo if format_name == "TIFF" else _turned(photo, orientation)


def _from_pillow(image: Image.Image, format_name: str, icc: bytes | None) -> Photo:
    """The photo of a loaded 8-bit picture, or of 16-bit grey."""
    mode = image.mode
    if mode.startswith("I"):
        grey = np.asarray(image)
        if grey.dtype != np.uint16 and (grey.min() < 0 or grey.max() > 65535):
            raise PhotoError("its pixels are 32-bit numbers: save it with 16 bits a channel first")
        return _from_channels(_grey_16_bit(grey.astype(np.uint16), image, format_name))
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
        palette = _rgb_palette(image) if alpha is None else _rgba_palette(image, rgba)
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


def _rgba_palette(image: Image.Image, rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 4) the colours of a palette picture with transparency. rgba: (H, W, 4), its pixels."""
    if image.mode != "P":  # opacity is its pixels', not its palette's
        return np.unique(rgba.view(np.uint32)).view(np.uint8).reshape(-1, 4)
    every = Image.frombytes("P", (256, 1), bytes(range(256)))  # a look at each place is faster than at each pixel
    every.putpalette(image.getpalette("RGB") or [], "RGB")
    every.info["transparency"] = image.info["transparency"]
    return np.asarray(every.convert("RGBA"))[0]


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


def _grey_16_bit(grey: NDArray[np.uint16], image: Image.Image, format_name: str) -> NDArray[np.uint16]:
    """(H, W), or (H, W, 2) with an opacity where one grey stands for transparency. Pillow leaves both to us."""
    if format_name == "TIFF" and image.tag_v2.get(262) == 0:  # type: ignore[attr-defined]  # white is zero
        grey = 65535 - grey
    if isinstance(clear := image.info.get("transparency"), int):
        return np.stack([grey, np.where(grey == clear, 0, 65535).astype(np.uint16)], axis=2)
    return grey


def _read_16_bit_color(image: ImageFile.ImageFile, data: bytes) -> NDArray[np.uint16]:
    """The channels of a 16-bit file, as `_from_channels` wants them. Pillow has loaded it: it is whole."""
    if getattr(image, "tag_v2", {}).get(284) == 2:  # OpenCV reads these as if the channels lay side by side
        raise PhotoError("its channels lie one after the other: save it with interleaved channels first")
    import cv2  # late: most photos never need it

    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16 or read.ndim != 3 or read.shape[1::-1] != image.size:
        raise PhotoError("its way to keep 16 bits a channel is not supported: save it as plain RGB, 16 bits, first")
    read = read[..., [2, 1, 0, 3][: read.shape[2]]]  # OpenCV's order to RGB, at once
    return read[..., [0, 3]] if image.mode in ("LA", "La") else read  # type: ignore[return-value]


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
    pixels = np.ascontiguousarray(turn(photo.pixels, orientation))
    alpha = None if photo.alpha is None else np.ascontiguousarray(turn(photo.alpha, orientation))
    cmyk = None if photo.cmyk is None else np.ascontiguousarray(turn(photo.cmyk, orientation))
    return replace(photo, pixels=pixels, alpha=alpha, cmyk=cmyk)
