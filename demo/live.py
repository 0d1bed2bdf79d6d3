"""The webcam tab: what is behind the visitor is blurred or replaced while he looks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import cv2
import gradio as gr
import numpy as np

from demo.events import explained, rgb
from demo.studio import Studio
from pipeline.effects import Blur, Replace
from pipeline.video import Followed
from segment import Image

LONGEST_PX = 640  # of a frame: a page shows no more, and a small machine does no more in time
_EVERY_S = 0.1  # a frame is asked for so often at most
_LONGEST_S = 120  # then it is the next one's turn


@dataclass(frozen=True, eq=False)
class Live:
    """What is kept from one frame to the next."""

    followed: Followed | None = None
    seconds: float = 0.0  # a frame takes, in a running mean


def add_live(studio: Studio) -> None:
    """The tab's components and their one event. To be called inside a gr.Blocks."""
    with gr.Row():
        camera = gr.Image(
            sources=["webcam"], streaming=True, type="numpy", label="Camera", elem_id="camera", height=360
        )
        shown = gr.Image(label="Result", interactive=False, format="jpeg", elem_id="live", height=360)
    with gr.Row():
        effect = gr.Radio(["Blur", "Replace"], value="Blur", show_label=False, container=False)
        strength = gr.Slider(2, 30, value=10, step=1, label="Strength of the blur, px", buttons=[])
        color = gr.ColorPicker("#22c55e", label="New background")
    speed = gr.HTML("", elem_id="live-speed", apply_default_css=False)
    live = gr.State(None, time_to_live=3600)

    def on_frame(
        frame: Image | None, kind: str, strength_px: float, colour: str, before: Live | None
    ) -> tuple[Any, str, Live | None]:
        if frame is None:
            return None, "", None
        try:
            wanted = Replace(rgb(colour)) if kind == "Replace" else Blur(float(strength_px))
            picture, after = next_frame(studio, frame, wanted, before)
        except Exception as error:
            return None, f"<p>{explained(error)}</p>", before
        return picture, f"<p>{1 / after.seconds:.1f} frames a second on this machine</p>", after

    camera.stream(
        on_frame,
        [camera, effect, strength, color, live],
        [shown, speed, live],
        stream_every=_EVERY_S,
        time_limit=_LONGEST_S,
        # Not among the models' requests: a camera holds its place until it stops, and everybody else would wait.
        concurrency_id="camera",
        concurrency_limit=1,
        show_progress="hidden",
        api_visibility="private",
    )


def next_frame(studio: Studio, frame: Image, effect: Blur | Replace, before: Live | None) -> tuple[Image, Live]:
    """The frame with the effect, at most LONGEST_PX large, and what the next one needs."""
    before = before or Live()
    started = time.perf_counter()
    scale = min(1.0, LONGEST_PX / max(frame.shape[:2]))
    if scale < 1:
        size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    picture, followed = studio.live(frame, effect, before.followed)
    taken = max(1e-3, time.perf_counter() - started)
    return picture, Live(followed, 0.8 * before.seconds + 0.2 * taken if before.seconds else taken)
