"""Colour that needs a profile: CMYK to RGB and back."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms


def cmyk_to_rgb(cmyk: NDArray[np.uint8], icc: bytes | None) -> NDArray[np.uint8]:
    """(..., 4) CMYK, 255 = full ink, to (..., 3) sRGB, by the profile if there is a usable one."""
    return _convert(cmyk, icc, "CMYK", "RGB")


def rgb_to_cmyk(rgb: NDArray[np.uint8], icc: bytes | None) -> NDArray[np.uint8]:
    """(..., 3) sRGB to (..., 4) CMYK, the way back."""
    return _convert(rgb, icc, "RGB", "CMYK")


def color_space(icc: bytes | None) -> str:
    """What a profile describes: "RGB", "GRAY", "CMYK", ...; "" without one."""
    return icc[16:20].decode("latin-1").strip() if icc and len(icc) >= 128 else ""


def _convert(colors: NDArray[np.uint8], icc: bytes | None, source: str, target: str) -> NDArray[np.uint8]:
    channels = colors.shape[-1]
    flat = np.ascontiguousarray(colors).reshape(-1, channels)
    if not len(flat):
        return np.zeros((*colors.shape[:-1], len(target)), np.uint8)
    # Rows of a picture, not one endless row: Pillow's sides are 32-bit, and it works by rows.
    width = colors.shape[-2]
    image = Image.frombuffer(source, (width, len(flat) // width), flat.tobytes(), "raw", source, 0, 1)
    converted = _by_profile(image, icc, source, target) or image.convert(target)
    return np.asarray(converted).reshape(*colors.shape[:-1], len(target))


def _by_profile(image: Image.Image, icc: bytes | None, source: str, target: str) -> Image.Image | None:
    """The picture converted, or None where the profile is missing, broken or of another colour space."""
    if icc is None or color_space(icc) != "CMYK":
        return None
    srgb = ImageCms.createProfile("sRGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        first, second = (profile, srgb) if source == "CMYK" else (srgb, profile)
        return ImageCms.profileToProfile(image, first, second, outputMode=target)
    except (ImageCms.PyCMSError, OSError):
        return None  # a profile that cannot be used is as good as none; its bytes are kept all the same
