"""A photo in memory: its pixels the right way up, and all that is needed to write the same kind of file again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.text import shown

Pixels = NDArray[Any]  # (H, W, 3) uint8 or uint16 RGB
Alpha = NDArray[Any]  # (H, W), the dtype of the pixels, 0 = transparent


class PhotoError(ValueError):
    """A file cannot be read or written as a photo. The message is one line: what is wrong and what to do."""

    def __init__(self, message: str):
        super().__init__(shown(message))  # it may hold a file's name, or a piece of a broken file


@dataclass(frozen=True)
class Metadata:
    """What a file says about its picture besides the pixels, as bytes, so that nothing is lost by understanding it.

    The orientation in exif and xmp is always 1, and neither holds a thumbnail: it would show what was erased.
    """

    exif: bytes | None = None  # a TIFF block, without the "Exif\0\0" that JPEG puts before it
    icc: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None  # Photoshop's image resources of a JPEG: captions and rights
    comment: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()  # (type, data): text, gamma, resolution


@dataclass(frozen=True)
class Encoding:
    """How the file was written, so that the next one is like it."""

    format: str  # Pillow's name: "JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF"
    bytes_per_pixel: float = 0.0
    lossless: bool = False
    jpeg_tables: tuple[tuple[int, ...], ...] = ()  # quantisation, 64 numbers each
    jpeg_sampling: int = -1  # Pillow's number: 0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0, -1 = its default
    jpeg_progressive: bool = False
    tiff_compression: str = "raw"  # Pillow's name
    tiff_predictor: int = 1  # 2: differences between neighbours


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture and its file's ways. Made by `image_io.load`, changed by `edited`, written by `image_io.save`."""

    pixels: Pixels  # (H, W, 3) uint8, or uint16 where the file has 16 bits a channel; RGB
    alpha: Alpha | None = None  # (H, W)
    mode: str = "RGB"  # how the file keeps its colours: "RGB", "L" (grey), "1" (black and white), "P", "CMYK"
    palette: NDArray[np.uint8] | None = None  # (N, 4) RGBA colours of a "P" file
    cmyk: NDArray[np.uint8] | None = None  # (H, W, 4), the pixels as a "CMYK" file holds them
    metadata: Metadata = field(default_factory=Metadata)
    encoding: Encoding = field(default_factory=lambda: Encoding("PNG"))
    notes: tuple[str, ...] = ()  # what the person should know: "the first of 12 frames"
    edits: tuple[str, ...] = ()  # what was done to it here, in ASCII, for the note in its file: "object erased"

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width, as seen."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8: what models look at. Do not write into it."""
        return to_uint8(self.pixels)

    def edited(self, pixels: Pixels, *, alpha: Alpha | None) -> Photo:
        """The photo with other pixels and opacity. Its size stays, and its file's ways.

        pixels: (H, W, 3) of the photo's dtype. alpha: (H, W) of the same dtype, or None for a picture without one.
        Raises ValueError if a shape or dtype differs.
        """
        for name, array, shape in (("pixels", pixels, self.pixels.shape), ("alpha", alpha, self.hw)):
            if array is not None and (array.shape != shape or array.dtype != self.pixels.dtype):
                raise ValueError(
                    f"{name} must be {shape} {self.pixels.dtype}, as in the photo: got {array.shape} {array.dtype}"
                )
        cmyk = self.cmyk
        if cmyk is not None:
            from pipeline.color import rgb_to_cmyk

            changed = self.changed(pixels)
            cmyk = cmyk.copy()
            cmyk[changed] = rgb_to_cmyk(pixels[changed], self.metadata.icc)
        return replace(self, pixels=pixels, alpha=alpha, cmyk=cmyk)

    def changed(self, pixels: Pixels) -> NDArray[np.bool_]:
        """(H, W) bool: where pixels differ from the photo's."""
        differs: NDArray[np.bool_] = (pixels != self.pixels).any(axis=2)
        return differs

    def in_file_colors(self, pixels: Pixels) -> Pixels:
        """The pixels with those that changed brought to colours that the file's kind holds.

        Grey in a grey file, black or white in a 1-bit one; a new array there, pixels itself elsewhere. An erased
        object must not turn a grey scan into a colour file because a net filled in a slightly blue grey.
        """
        if self.mode not in ("L", "1"):
            return pixels
        changed = self.changed(pixels)
        grey = luma(pixels[changed])
        if self.mode == "1":
            grey = np.where(grey >= 128, 255, 0).astype(pixels.dtype)
        result = pixels.copy()
        result[changed] = grey[:, np.newaxis]
        return result


def to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The array in 8 bits; itself if it is uint8 already. 16 bits are rounded: 65535 is 255."""
    if array.dtype == np.uint8:
        return array
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_depth(array: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The 8-bit array in that dtype (uint8 or uint16), so that `to_uint8` gives it back."""
    return array if dtype == np.uint8 else array.astype(np.uint16) * np.uint16(257)


def luma(pixels: NDArray[Any]) -> NDArray[Any]:
    """(..., 3) RGB to (...): its brightness (ITU-R BT.601, as Pillow's mode "L"), of the same dtype."""
    weights = np.array([0.299, 0.587, 0.114])
    return np.rint(pixels @ weights).astype(pixels.dtype)
