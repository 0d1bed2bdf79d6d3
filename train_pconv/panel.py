"""Pictures of how far a run is: masked, filled and true side by side, and contact sheets."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from inpaint.base import Image, Mask
from train_pconv.checkpoint import write_whole

_GAP_PX = 4
_HOLE_GREY = 255


def masked(photo: Image, hole: Mask) -> Image:
    """The photo with its hole in white."""
    return np.where(hole[..., None], np.uint8(_HOLE_GREY), photo)


def grid(rows: Sequence[Sequence[Image]]) -> Image:
    """Pictures of one size in rows and columns, a thin grey line between them."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, 3), 128, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = i * (height + _GAP_PX), j * (width + _GAP_PX)
            sheet[y : y + height, x : x + width] = picture
    return sheet


def encode_png(picture: Image) -> bytes:
    """The picture as PNG bytes."""
    buffer = io.BytesIO()
    PillowImage.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def write_png(path: Path, picture: Image) -> None:
    """Writes a PNG whole or not at all. Raises OSError as write_whole does."""
    write_whole(path, lambda file: file.write(encode_png(picture)))
