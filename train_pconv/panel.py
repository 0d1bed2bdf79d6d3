"""Pictures of how far a run is: masked, filled and true side by side, and contact sheets."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from inpaint.base import Image, Mask
from training.checkpoint import write_whole

_GAP_PX = 4
_CAPTION_PX = 20
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


def fit_width(picture: Image, side_px: int) -> Image:
    """The picture at that width, averaged when it shrinks and with hard pixels when it grows."""
    height, width = picture.shape[:2]
    how = cv2.INTER_AREA if width > side_px else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, (side_px, round(height * side_px / width)), interpolation=how), np.uint8)


def captioned(sheet: Image, captions: Sequence[str], *, column_px: int) -> Image:
    """The sheet of `grid` under a line of captions, one a column."""
    line = np.full((_CAPTION_PX, sheet.shape[1], 3), 255, np.uint8)
    for place, caption in enumerate(captions):
        x = place * (column_px + _GAP_PX)
        if x < sheet.shape[1]:
            short = caption if len(caption) <= column_px // 8 else "..." + caption[-(column_px // 8 - 3) :]
            cv2.putText(
                line, short, (x + 2, _CAPTION_PX - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
            )
    return np.vstack([line, sheet])
