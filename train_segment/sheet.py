"""Contact sheets: every segmenter's answers on every object, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segment import Click, Image, Mask
from segment.mask_ops import grow

_GAP_PX = 4
_CAPTION_PX = 20
_GREY = 128
_TRUTH = (0, 230, 90)  # outline of the true object
_ANSWER = (255, 40, 40)  # tint of the answer
_POSITIVE, _NEGATIVE = (40, 120, 255), (255, 170, 0)


def panel(
    image: Image,
    *,
    width_px: int,
    truth: Mask | None = None,
    answer: Mask | None = None,
    clicks: Sequence[Click] = (),
    text: str = "",
) -> Image:
    """The photo at that width: the answer tinted, the truth outlined, clicks dotted (blue adds, orange takes away)."""
    height_px = max(1, round(image.shape[0] * width_px / image.shape[1]))
    size = (width_px, height_px)
    shrinks = width_px < image.shape[1]
    shown = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR).astype(np.float32)
    if answer is not None:
        inside = _resized(answer, size)
        shown[~inside] *= 0.55
        shown[inside] = 0.55 * shown[inside] + 0.45 * np.array(_ANSWER, np.float32)
    if truth is not None:
        inside = _resized(truth, size)
        shown[grow(inside, 1) & ~inside] = _TRUTH
    picture = np.rint(shown).astype(np.uint8)
    for click in clicks:
        x = int((click.x + 0.5) * width_px / image.shape[1])
        y = int((click.y + 0.5) * height_px / image.shape[0])
        cv2.circle(picture, (x, y), 4, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, (x, y), 3, _POSITIVE if click.positive else _NEGATIVE, -1, cv2.LINE_AA)
    if text:
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(picture, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, thickness, cv2.LINE_AA)
    return picture


def sheet(blocks: Sequence[Sequence[Image]], captions: Sequence[str], *, blocks_per_row: int = 1) -> Image:
    """Blocks of panels of one width in rows, a caption over each column.

    blocks: panels of one photo, as many as captions. Rows are as high as their highest panel.
    """
    width_px = blocks[0][0].shape[1]
    step = width_px + _GAP_PX
    rows = [blocks[start : start + blocks_per_row] for start in range(0, len(blocks), blocks_per_row)]
    total_px = min(blocks_per_row, len(blocks)) * len(captions) * step - _GAP_PX
    strips = [_captions(list(captions) * min(blocks_per_row, len(blocks)), total_px, width_px)]
    for row in rows:
        panels = [one for block in row for one in block]
        strip = np.full((max(one.shape[0] for one in panels) + _GAP_PX, total_px, 3), _GREY, np.uint8)
        for place, one in enumerate(panels):
            strip[: one.shape[0], place * step : place * step + width_px] = one
        strips.append(strip)
    return np.vstack(strips)


def _captions(captions: Sequence[str], total_px: int, width_px: int) -> Image:
    line = np.full((_CAPTION_PX, total_px, 3), 255, np.uint8)
    room = width_px // 8
    for place, caption in enumerate(captions):
        short = caption if len(caption) <= room else "..." + caption[-(room - 3) :]
        origin = (place * (width_px + _GAP_PX) + 2, _CAPTION_PX - 6)
        cv2.putText(line, short, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return line


def _resized(mask: Mask, size: tuple[int, int]) -> Mask:
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
