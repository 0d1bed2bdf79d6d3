"""Which quality number makes a file about as large as the old one."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from PIL import Image

_SAMPLE_PIXELS = 512 * 512
_TILE_PX = 128
_LOWEST, _HIGHEST = 20, 100


def encoder_options(format_name: str, quality: int) -> dict[str, Any]:
    """Pillow's options for a WebP, HEIC or AVIF of that quality."""
    options: dict[str, Any] = {"quality": quality}
    if format_name == "HEIF":
        # Measured on 3 MP: "slow", the default, takes 8.4 s of processor time; this 3.7 s, for a smaller file of the
        # same PSNR.
        options["enc_params"] = {"preset": "superfast"}
    return options


def matching_quality(image: Image.Image, format_name: str, bytes_per_pixel: float) -> int:
    """The quality, 20..100, at which the picture takes that many bytes a pixel in that format.

    A JPEG file tells how it was compressed; WebP, HEIC and AVIF do not, and their encoders' numbers mean different
    things. So a sample of the picture, tiles from all over it, is encoded at a few qualities: bisection.
    """
    sample = _sample(image)
    area = math.prod(sample.size)
    low, high = _LOWEST, _HIGHEST
    while low < high:
        middle = (low + high + 1) // 2
        if _size(sample, format_name, middle) / area <= bytes_per_pixel:
            low = middle
        else:
            high = middle - 1
    return low


def _size(image: Image.Image, format_name: str, quality: int) -> int:
    file = io.BytesIO()
    image.save(file, format_name, **encoder_options(format_name, quality))
    return len(file.getvalue())  # the HEIC encoder leaves tell() at 0


def _sample(image: Image.Image) -> Image.Image:
    """The picture itself if it is small, else tiles of it, evenly spread, side by side."""
    if math.prod(image.size) <= _SAMPLE_PIXELS:
        return image
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    tile_h, tile_w = min(_TILE_PX, height), min(_TILE_PX, width)
    number = max(1, _SAMPLE_PIXELS // (tile_h * tile_w))
    columns = max(1, min(width // tile_w, round(math.sqrt(number * width / height))))
    rows = max(1, min(height // tile_h, number // columns))
    tops = np.linspace(0, height - tile_h, rows).astype(int)
    lefts = np.linspace(0, width - tile_w, columns).astype(int)
    sample = np.concatenate(
        [np.concatenate([pixels[y : y + tile_h, x : x + tile_w] for x in lefts], axis=1) for y in tops], axis=0
    )
    return Image.fromarray(sample)
