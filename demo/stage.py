"""The photo that visitors click and paint on: one HTML component, two pictures and a canvas over each other.

Gradio's Image rounds clicks to whole pixels of what it shows and needs the picture again for every selection, its
ImageEditor uploads three pictures a stroke and keeps them, its ImageSlider is another size than either. Here the photo
never moves; a click is two numbers, a stroke is a line, and the answer is the selection's layer alone. The pictures
travel inside the messages: none is left on disk.
"""

from __future__ import annotations

import base64
import io
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np
from PIL import Image as PillowImage

from demo.overlay import Layer
from demo.session import Session
from demo.view import View
from segment import Image, Mask

_TEMPLATE = """
<div class="ca-frame" data-compare="${before ? 'yes' : 'no'}" data-turn="${turn}"
  style="--ratio: ${view_w / view_h}; --split: ${split}%">
  <img class="ca-photo" src="${photo}" alt="Your photo" draggable="false">
  <img class="ca-before" src="${before}" alt="Before" draggable="false">
  <img class="ca-layer" src="${value}" alt="" draggable="false">
  <canvas class="ca-strokes"></canvas>
  <span class="ca-ring"></span>
  <span class="ca-busy">Looking</span>
  <span class="ca-handle"></span>
  <input class="ca-split" type="range" min="0" max="100" step="0.1" value="${split}" aria-label="Before and after">
</div>
"""
MAX_POINTS = 50_000  # of one stroke: minutes of painting


def stage() -> gr.HTML:
    """The component. Its events: `point` with x and y, `paint` with points and radius, in the view's pixels."""
    return gr.HTML(
        value="",
        html_template=_TEMPLATE,
        js_on_load=Path(__file__).with_name("stage.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="stage",
        photo="",
        before="",
        split=50,
        view_w=1,
        view_h=1,
        turn=0,
    )


def show_photo(image: Image, icc: bytes | None, *, before: Image | None = None, split: float = 0.5) -> dict[str, Any]:
    """The stage's settings for another photo; with `before`, a handle slides between the two.

    image, before: (h, w, 3) RGB at the view's size. icc: their colour profile, None for sRGB.
    split: where the handle begins, 0..1 of the width.
    """
    height, width = image.shape[:2]
    was = "" if before is None else _jpeg_uri(before, icc)
    percent = round(100 * split, 1)
    return {"photo": _jpeg_uri(image, icc), "before": was, "split": percent, "view_w": width, "view_h": height}


def show_layer(layer: Layer | None) -> dict[str, Any]:
    """The stage's settings for another selection. layer: (h, w, 4) RGBA at the view's size."""
    value = ""
    if layer is not None:
        # Level 1: a third of the time of the default for a tenth more bytes.
        _, png = cv2.imencode(".png", cv2.cvtColor(layer, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        value = _data_uri("image/png", png.tobytes())
    # Another turn each time, so that the browser draws again even if the layer is the same: it ends the ripple.
    return {"value": value, "turn": time.monotonic_ns()}


def click_position(view: View, x: object, y: object) -> tuple[int, int]:
    """The photo's pixel of a `point` event. Raises ValueError if the browser sent no position on the photo."""
    (column,) = _finite([x])
    (row,) = _finite([y])
    view_h, view_w = view.view_hw
    if not (0 <= column <= view_w and 0 <= row <= view_h):
        raise ValueError(f"click ({column:g}, {row:g}) is outside the {view_w}x{view_h} picture")
    return view.to_photo(column, row)


def stroke_mask(view: View, points: object, radius: object) -> Mask:
    """The photo's pixels under a `paint` event's stroke. (H, W) bool.

    points: [[x, y], ...] and radius in the view's pixels, as the browser sent them.
    Raises ValueError if they are something else.
    """
    if not isinstance(points, Sequence) or isinstance(points, str) or not 0 < len(points) <= MAX_POINTS:
        raise ValueError(f"a stroke must have 1..{MAX_POINTS} points")
    (height, width), (view_h, view_w) = view.photo_hw, view.view_hw
    path = np.array([_finite(point) for point in points if isinstance(point, Sequence) and len(point) == 2])
    (radius_px,) = _finite([radius])
    if len(path) != len(points) or not 0 < radius_px <= max(view_h, view_w):
        raise ValueError("a stroke must be pairs of numbers and a radius within the picture")
    # Far outside nothing can be painted, and OpenCV's coordinates are 32-bit.
    scale = np.array([width / view_w, height / view_h])
    path = np.rint(np.clip(path, -2 * max(view.view_hw), 3 * max(view.view_hw)) * scale - 0.5).astype(np.int32)
    mask = np.zeros(view.photo_hw, np.uint8)
    thickness = max(1, round(2 * radius_px / view.scale))
    cv2.polylines(mask, [path], isClosed=False, color=1, thickness=thickness)  # thick lines have round ends
    for x, y in path[[0, -1]]:
        cv2.circle(mask, (int(x), int(y)), thickness // 2, 1, -1)  # a tap is one point, and no line
    return mask.view(np.bool_)


def on_screen(session: Session, unit: object) -> Session:
    """The session that knows how large the visitor's screen shows the photo.

    unit: the view's pixels for one of the screen, as the browser sent it. Raises ValueError if that cannot be.
    """
    (unit_px,) = _finite([unit])
    return replace(session, unit_px=min(max(unit_px, 0.25), 8.0))


def _finite(values: Sequence[object]) -> list[float]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"expected a number, got {value!r}")
    return [float(value) for value in values]  # type: ignore[arg-type]


def _jpeg_uri(image: Image, icc: bytes | None) -> str:
    # For the eyes alone: downloads are made from the photo's own pixels.
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=92, subsampling=0, icc_profile=icc)
    return _data_uri("image/jpeg", buffer.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
