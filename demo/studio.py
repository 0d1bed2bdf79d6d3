"""What the demo can do with a visitor's session: open a photo, answer a click, erase, cut out, blur, replace, save.

Knows the models and no page. The models are loaded once, at the first use or by `warm_up`, and shared by all visitors.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from demo.session import Session
from demo.view import View
from inpaint import Inpainter
from pipeline import edit, image_io
from pipeline.color import color_space
from pipeline.effects import Blur, CutOut, Erase, Replace, apply
from pipeline.formats import BY_EXTENSION, HOLDS_ALPHA
from pipeline.photo import Photo, PhotoError, to_uint8
from pipeline.video import Followed, edited_frame, follow
from segment import Click, Image, Mask, NoObjectError, Segmenter
from segment.auto import AutoSegmenter

SUBJECT_GUESSES = 5  # the classical method has dozens; nobody leafs through them

Model = TypeVar("Model")


class VisitorError(ValueError):
    """What a visitor asked for cannot be done. The message is one friendly line."""


class _Once(Generic[Model]):
    """A model that is loaded when it is first asked for; who asks meanwhile waits."""

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load, self._lock = load, threading.Lock()
        self._model: Model | None = None

    def get(self) -> Model:
        with self._lock:
            if self._model is None:
                self._model = self._load()
            return self._model


class Studio:
    """One for the whole page. Every method gives a new Session and leaves the old one as it is."""

    def __init__(
        self,
        load_segmenter: Callable[[], Segmenter],
        load_inpainter: Callable[[], Inpainter],
        *,
        load_subject: Callable[[], Segmenter] | None = None,
        load_live: Callable[[], Segmenter] | None = None,
        subject_notes: Sequence[str] = (),
        max_pixels: int = image_io.MAX_PIXELS,
    ) -> None:
        """load_subject: the segmenter that needs no click; None takes that for clicks. subject_notes: about it.

        load_live: the one for a webcam's frames; None takes load_subject's.
        """
        self._segmenter, self._inpainter = _Once(load_segmenter), _Once(load_inpainter)
        self._subject = _Once(load_subject) if load_subject else self._segmenter
        self._live = _Once(load_live) if load_live else self._subject
        self.subject_notes = tuple(subject_notes)
        self._max_pixels = max_pixels

    def warm_up(self) -> None:
        """Loads the models, so that the first visitor does not wait for it; names last, for clicks do without them."""
        # auto loads what it needs when it sees a photo, and nets are compiled when they see their first.
        photo, hole = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), bool)
        hole[24:40, 24:40] = True
        segmenter = self._segmenter.get()
        segmenter.encode(photo)
        self._inpainter.get().inpaint(photo, hole)
        if isinstance(segmenter, AutoSegmenter):
            segmenter.give_names()

    def open(self, path: str | Path, name: str | None = None) -> Session:
        """A session with the photo of a file. name: as the visitor calls it, if that is not the file's name.

        Raises VisitorError, one line without the server's folders, if the file is no photo or too large.
        """
        name = name or Path(path).name
        try:
            photo = image_io.load(path, max_pixels=self._max_pixels)
        except PhotoError as error:
            raise VisitorError(str(error).replace(str(path), name)) from error
        view = View.of(photo.hw)
        return Session(photo, shown(photo, view), view, name)

    def encode(self, session: Session) -> None:
        """The slow look at the photo, once; later calls and clicks find it done."""
        session.encoding.get(lambda: self._segmenter.get().encode(session.photo.rgb))

    def point(self, session: Session, x: int, y: int, *, take_away: bool = False) -> Session:
        """The session after a click on the photo's pixel (x, y).

        Raises NoObjectError if nothing is there, VisitorError if there is nothing yet to take away from.
        """
        if take_away and not any(click.positive for click in session.clicks):
            raise VisitorError("Click an object first. “Take away” then removes parts of it.")
        clicks = (*session.clicks, Click(x, y, positive=not take_away))
        encoding = session.encoding.get(lambda: self._segmenter.get().encode(session.photo.rgb))
        return session.answered(clicks, self._segmenter.get().select(encoding, clicks))

    def main_subject(self, session: Session) -> Session:
        """The session with the photo's main subject selected, without a click. Raises NoObjectError without one."""
        segmenter = self._subject.get()
        return session.answered((), segmenter.select(segmenter.encode(session.photo.rgb), ())[:SUBJECT_GUESSES])

    def live(self, frame: Image, effect: Blur | Replace, before: Followed | None) -> tuple[Image, Followed]:
        """A webcam's frame with the effect behind the main subject, and what the next frame needs.

        frame: (H, W, 3) uint8 RGB. Where there is no subject all of it is background.
        """
        segmenter = self._live.get()
        try:
            mask = segmenter.select(segmenter.encode(frame), ())[0].mask
        except NoObjectError:
            mask = np.zeros(frame.shape[:2], bool)
        followed = follow(before, frame, mask)
        return edited_frame(frame, followed.mask(frame), effect), followed

    def erase(self, session: Session, *, grow_px: int | None = None, feather_px: float | None = None) -> Session:
        """The session whose photo is without the selected object. None: as `pipeline.edit.erase` thinks best."""
        mask = selected(session)
        _check_px(session, grow=grow_px, blend=feather_px)
        if edit.hole_of(mask, grow_px=grow_px).all():
            raise VisitorError("The whole photo is selected, so nothing is left to fill it from. Select less.")
        erased = apply(session.photo, mask, Erase(grow_px, feather_px), inpainter=self._inpainter.get())
        return _finished(session, erased, "erased")

    def cut_out(self, session: Session, *, feather_px: float | None = None, matting: bool = False) -> Session:
        """The session whose photo is the selected object alone, transparent around it."""
        _check_px(session, softness=feather_px)
        return _finished(
            session,
            apply(session.photo, selected(session), CutOut(None if matting else feather_px, matting)),
            "cut-out",
        )

    def blur(
        self,
        session: Session,
        *,
        sigma_px: float | None = None,
        feather_px: float | None = None,
        matting: bool = False,
    ) -> Session:
        """The session whose photo is sharp on the selected object alone."""
        _check_px(session, softness=feather_px)
        if sigma_px is not None and not sigma_px > 0:
            raise VisitorError(f"The blur must be more than 0 pixels, got {sigma_px:g}.")
        _check_px(session, blur=sigma_px)
        effect = Blur(sigma_px, None if matting else feather_px, matting)
        return _finished(session, apply(session.photo, selected(session), effect), "blurred")

    def replace(
        self,
        session: Session,
        background: str | Path | edit.Color,
        *,
        feather_px: float | None = None,
        matting: bool = False,
    ) -> Session:
        """The session whose photo has the selected object before another background: a photo's file, or a colour.

        The result is opaque and in colour, whatever the photo was.
        """
        mask = selected(session)
        _check_px(session, softness=feather_px)
        behind = background if isinstance(background, tuple) else self.open(background).photo.pixels
        effect = Replace(behind, None if matting else feather_px, matting)
        return _finished(session, apply(session.photo, mask, effect), "replaced")


def selected(session: Session) -> Mask:
    """The session's mask. Raises VisitorError if nothing is selected."""
    mask = session.mask()
    if mask is None:
        raise VisitorError("Nothing is selected yet: click an object first, or paint over it with the brush.")
    return mask


def shown(photo: Photo, view: View) -> Image:
    """The photo at the view's size; transparent parts lie on a checkerboard. (h, w, 3) RGB."""
    picture = view.show(photo.rgb)
    if photo.alpha is None:
        return picture
    height, width = view.view_hw
    opacity = view.show(np.repeat(to_uint8(photo.alpha)[..., np.newaxis], 3, axis=2)).astype(np.float32) / 255
    square = max(8, max(view.view_hw) // 80)
    rows, columns = np.ogrid[:height, :width]
    board = np.where((rows // square + columns // square) % 2, 205, 245)[..., np.newaxis]
    return np.rint(board + opacity * (picture.astype(np.float32) - board)).astype(np.uint8)


def screen_profile(photo: Photo) -> bytes | None:
    """The colour profile that the browser needs to show the photo's pixels rightly; None where they are sRGB."""
    icc = photo.metadata.icc
    return icc if color_space(icc) == "RGB" else None


def formats(photo: Photo, name: str) -> list[str]:
    """The extensions to offer for a download: PNG first, then that of the uploaded file if it can hold the photo."""
    own = Path(name).suffix.lower()
    if BY_EXTENSION.get(own) != photo.encoding.format:
        own = next(suffix for suffix, kind in BY_EXTENSION.items() if kind == photo.encoding.format)
    can_hold = photo.alpha is None or photo.encoding.format in HOLDS_ALPHA
    return [".png", own] if can_hold and photo.encoding.format != "PNG" else [".png"]


def write(
    session: Session, suffix: str, folder: str | Path, *, strip_metadata: bool = False
) -> tuple[Path, tuple[str, ...]]:
    """The session's photo as a file in a new folder whose name nobody can guess, and notes for the visitor.

    In full resolution, with the metadata of the uploaded file. suffix: one of `formats`.
    strip_metadata: as in `pipeline.image_io.save`.
    """
    target = Path(folder) / secrets.token_hex(16)
    target.mkdir(parents=True)
    name = "-".join(filter(None, (Path(session.name).stem[:80] or "photo", session.made_by)))
    path = target / f"{name}{suffix}"
    return path, image_io.save(session.photo, path, strip_metadata=strip_metadata)


def _check_px(session: Session, **lengths: float | None) -> None:
    """Raises VisitorError where a length is negative, no number, or longer than the photo."""
    longest = max(session.photo.hw)
    for name, length in lengths.items():
        if length is not None and not 0 <= length <= longest:
            raise VisitorError(f"The {name} must be 0..{longest} pixels, got {length:g}.")


def _finished(session: Session, photo: Photo, effect: str) -> Session:
    return session.edited(photo, shown(photo, session.view), effect)
