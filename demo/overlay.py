"""The selection as a transparent layer over the photo: tint, contour, click marks and label. Arrays in, arrays out.

A layer of its own, so that a click sends the browser a few kilobytes and not the photo again.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from segment import Click, Image, Mask
from segment.mask_ops import box_xyxy

Layer = NDArray[np.uint8]  # (H, W, 4) RGBA, not premultiplied

ACCENT = (99, 102, 241)  # indigo, the colour of the page's buttons; rare enough in photos to stand out
TAKE_AWAY = (31, 41, 55)  # slate
WHITE = (255, 255, 255)
TINT = 0.45  # opacity of the colour over the object: the object must stay recognisable


def selection_layer(
    size_hw: tuple[int, int],
    mask: Mask | None,
    *,
    clicks: Sequence[Click] = (),
    label: str | None = None,
    grown: Mask | None = None,
    unit_px: float | None = None,
) -> Layer:
    """What to lay over a picture of that size; fully transparent where there is nothing to say.

    mask: (H, W) bool or None. clicks: in the pixels of the layer. grown: (H, W) bool, the area that an effect will
    change; its rim is drawn thinly. unit_px: how many of the layer's pixels one pixel of the screen is, so that lines
    and letters look the same on every screen; None guesses that the picture is shown 800 pixels long.
    Raises ValueError if a mask is not of that size.
    """
    for name, array in (("mask", mask), ("grown", grown)):
        if array is not None and array.shape != tuple(size_hw):
            raise ValueError(f"{name} is {array.shape} but the picture is {tuple(size_hw)}: scale it first")
    # Drawn premultiplied: only there is the mixing of colours that anti-aliased lines do right for the opacity too.
    layer = np.zeros((*size_hw, 4), np.uint8)
    unit_px = max(size_hw) / 800 if unit_px is None else unit_px
    line_px = max(1, round(2 * unit_px))
    selected = mask is not None and mask.any()
    if mask is not None and selected:
        tint = [round(TINT * channel) for channel in (*ACCENT, 255)]
        cv2.copyTo(np.full_like(layer, tint), mask.view(np.uint8), layer)
        if grown is not None:
            _contour(layer, grown, WHITE, max(1, line_px // 2))
        _contour(layer, mask, WHITE, 2 * line_px)
        _contour(layer, mask, ACCENT, line_px)
    for click in clicks:
        _mark(layer, click, line_px)
    if label and mask is not None and selected:
        _label(layer, label, box_xyxy(mask), size_px=max(11, round(15 * unit_px)))
    return _straight(layer)


def caption(label: str | None, score: float) -> str:
    """What the label says: the class, or "Object" where the net has none, and how sure the net is."""
    name = (label or "object").replace("_", " ")
    return f"{name[:1].upper()}{name[1:]} {round(100 * score)} %"


def over(image: Image, layer: Layer) -> Image:
    """The picture with the layer over it. image: (H, W, 3) uint8 RGB. A new array."""
    opacity = layer[..., 3:].astype(np.float32) / 255
    return np.rint(image * (1 - opacity) + layer[..., :3] * opacity).astype(np.uint8)


def _straight(layer: Layer) -> Layer:
    alpha = layer[..., 3]
    colours = cv2.divide(np.ascontiguousarray(layer[..., :3]), cv2.merge([alpha] * 3), scale=255)  # 0 / 0 is 0 there
    return np.dstack([colours, alpha])


def _contour(layer: Layer, mask: Mask, colour: tuple[int, int, int], line_px: int) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(layer, contours, -1, (*colour, 255), line_px, cv2.LINE_AA)


def _mark(layer: Layer, click: Click, line_px: int) -> None:
    centre, radius, white = (click.x, click.y), 4 * line_px + 2, (*WHITE, 255)
    cv2.circle(layer, centre, radius + line_px, white, -1, cv2.LINE_AA)
    cv2.circle(layer, centre, radius, (*(ACCENT if click.positive else TAKE_AWAY), 255), -1, cv2.LINE_AA)
    arm = radius // 2
    cv2.line(layer, (click.x - arm, click.y), (click.x + arm, click.y), white, line_px, cv2.LINE_AA)
    if click.positive:
        cv2.line(layer, (click.x, click.y - arm), (click.x, click.y + arm), white, line_px, cv2.LINE_AA)


def _label(layer: Layer, text: str, box: tuple[int, int, int, int], *, size_px: int) -> None:
    """Draws a pill above the box, or inside its top where there is no room above."""
    height, width = layer.shape[:2]
    font = ImageFont.load_default(size_px)
    pad_x, pad_y, gap = round(0.7 * size_px), round(0.35 * size_px), round(0.5 * size_px)
    text = _shortened(text, font, width - 2 * pad_x)
    pill_w, pill_h = round(font.getlength(text)) + 2 * pad_x, size_px + 2 * pad_y
    if not text or pill_h > height:
        return
    x0, y0, x1, _ = box
    left = int(np.clip((x0 + x1 - pill_w) // 2, 0, width - pill_w))
    top = y0 - pill_h - gap if y0 >= pill_h + gap else min(y0 + gap, height - pill_h)
    ends = (left + pill_h // 2, top + pill_h // 2), (left + pill_w - 1 - pill_h // 2, top + pill_h // 2)
    cv2.line(layer, *ends, (*ACCENT, 255), pill_h - 2, cv2.LINE_AA)  # a thick line has round ends
    # The letters lie on opaque colour, where premultiplied and straight are the same.
    patch = PillowImage.fromarray(layer[top : top + pill_h, left : left + pill_w])
    ImageDraw.Draw(patch).text((pill_w / 2, pill_h / 2), text, fill=(*WHITE, 255), font=font, anchor="mm")
    layer[top : top + pill_h, left : left + pill_w] = np.asarray(patch)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room_px: float) -> str:
    """The text, cut with an ellipsis until it fits into the room; empty if nothing does."""
    if font.getlength(text) <= room_px:
        return text
    while text and font.getlength(text + "…") > room_px:
        text = text[:-1]
    return text + "…" if text else ""
