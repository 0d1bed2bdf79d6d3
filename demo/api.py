"""Endpoints for programs: an image file, x and y in, a file out. For `gradio_client`, or any HTTP client.

    client.predict(handle_file("photo.jpg"), 312, 201, api_name="/erase")

x and y are pixels of the photo the right way up, from its top left corner. Nothing is remembered between calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from demo.events import Save, Stay, explained, rgb
from demo.session import Session
from demo.studio import Studio, VisitorError, formats, selected
from inpaint.giving_up import given_up_by
from pipeline.photo import Photo
from segment.mask_ops import box_xyxy


def add_endpoints(studio: Studio, jobs: int, save: Save, stay: Stay) -> None:
    """Adds /select, /erase, /cut_out, /blur_background and /replace_background. To be called inside a gr.Blocks."""
    with gr.Group(visible=False):
        image, x, y = gr.File(label="image"), gr.Number(label="x", precision=0), gr.Number(label="y", precision=0)
        file, found, trigger = gr.File(), gr.JSON(), gr.Button()
        own_format = gr.Checkbox(False, label="own_format")
        grow_px = gr.Number(None, label="grow_px", precision=0)
        sigma_px = gr.Number(None, label="sigma_px")
        color = gr.Textbox("#ffffff", label="color")
        background = gr.File(label="background")

    endpoints = Endpoints(studio, save, stay)

    def add(name: str, function: Callable[..., Any], extra: list[Any], outputs: Any) -> None:
        trigger.click(
            function,
            [image, x, y, *extra],
            outputs,
            api_name=name,
            concurrency_id="models",
            concurrency_limit=jobs,
        )

    add("select", endpoints.select, [], [file, found])
    add("erase", endpoints.erase, [grow_px, own_format], file)
    add("cut_out", endpoints.cut_out, [own_format], file)
    add("blur_background", endpoints.blur_background, [sigma_px, own_format], file)
    add("replace_background", endpoints.replace_background, [color, background, own_format], file)


class Endpoints:
    """The functions behind the endpoints. Their docstrings are what a client is shown."""

    def __init__(self, studio: Studio, save: Save, stay: Stay) -> None:
        self._studio, self._save, self._stay = studio, save, stay

    def select(self, image: str, x: int, y: int, request: gr.Request | None = None) -> tuple[str, dict[str, Any]]:
        """The object at the pixel: its mask as a PNG (255 on the object), its label, score and box x0, y0, x1, y1."""

        def work() -> tuple[str, dict[str, Any]]:
            session = self._clicked(image, x, y)
            mask, answer = selected(session), session.answer
            white = np.repeat((mask * np.uint8(255))[..., np.newaxis], 3, axis=2)
            alone = Session(Photo(white, mode="L"), session.shown, session.view, session.name, made_by="mask")
            path, _ = self._save(alone, ".png", request)
            about = {"label": answer.label, "score": answer.score} if answer else {}
            return str(path), {**about, "box_xyxy": list(box_xyxy(mask)), "alternatives": len(session.answers) - 1}

        return _one_line(work)

    def erase(
        self,
        image: str,
        x: int,
        y: int,
        grow_px: int | None = None,
        own_format: bool = False,
        request: gr.Request | None = None,
    ) -> str:
        """The photo without the object at the pixel, as a PNG or, with own_format, in the photo's own format.

        grow_px: by how much the mask is grown first; None: by the object's size.
        """
        stay = self._stay(request)

        def erased() -> Session:
            session = self._clicked(image, x, y)
            stay()  # between select and fill
            with given_up_by(stay):
                return self._studio.erase(session, grow_px=grow_px)

        return self._file(request, own_format, erased)

    def cut_out(self, image: str, x: int, y: int, own_format: bool = False, request: gr.Request | None = None) -> str:
        """The object at the pixel alone, transparent around it."""
        return self._file(request, own_format, lambda: self._studio.cut_out(self._clicked(image, x, y)))

    def blur_background(
        self,
        image: str,
        x: int,
        y: int,
        sigma_px: float | None = None,
        own_format: bool = False,
        request: gr.Request | None = None,
    ) -> str:
        """The photo, sharp on the object at the pixel alone. sigma_px: of the blur; None: by the photo's size."""

        def blurred() -> Session:
            if sigma_px is not None and not isinstance(sigma_px, int | float):  # Gradio hands on what a program sends
                raise VisitorError(f"sigma_px must be a number of pixels, got a {type(sigma_px).__name__}")
            return self._studio.blur(self._clicked(image, x, y), sigma_px=sigma_px)

        return self._file(request, own_format, blurred)

    def replace_background(
        self,
        image: str,
        x: int,
        y: int,
        color: str,
        background: str | None = None,
        own_format: bool = False,
        request: gr.Request | None = None,
    ) -> str:
        """The object at the pixel before a colour ("#ffffff") or, if one is given, before another photo."""
        return self._file(
            request, own_format, lambda: self._studio.replace(self._clicked(image, x, y), background or rgb(color))
        )

    def _clicked(self, image: str | None, x: int | None, y: int | None) -> Session:
        if image is None or x is None or y is None:
            raise VisitorError("image, x and y are needed: a photo's file and a pixel on the object")
        session = self._studio.open(image)
        height, width = session.photo.hw
        if not (0 <= x < width and 0 <= y < height):
            raise VisitorError(f"({x}, {y}) is outside the photo: x must be 0..{width - 1}, y 0..{height - 1}")
        return self._studio.point(session, int(x), int(y))

    def _file(self, request: gr.Request | None, own_format: bool, work: Callable[[], Session]) -> str:
        def saved() -> str:
            done = work()
            suffix = formats(done.photo, done.name)[-1 if own_format else 0]
            return str(self._save(done, suffix, request)[0])

        return _one_line(saved)


def _one_line(work: Callable[[], Any]) -> Any:
    """What work gives. Raises gr.Error with one line for the client, whatever goes wrong."""
    try:
        return work()
    except Exception as error:
        raise gr.Error(explained(error), print_exception=False) from error
