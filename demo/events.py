"""What happens on the page: one method for each thing that a visitor can do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from demo import render, studio
from demo.examples import Example
from demo.page import Page
from demo.render import Updates
from demo.session import Session
from demo.stage import click_position, on_screen, show_layer, stroke_mask
from demo.studio import Studio, VisitorError
from inpaint.giving_up import given_up_by
from pipeline.edit import Color
from pipeline.memory import ran_out
from pipeline.photo import PhotoError
from segment import NoObjectError
from weights import WeightsError

log = logging.getLogger("clickaway.demo")

# Who asks -> a check that raises once he has left.
Stay = Callable[[gr.Request | None], Callable[[], None]]
# A session's photo, an extension and who asks -> a file that only he can find, and notes for him.
Save = Callable[[Session, str, gr.Request | None], tuple[Path, tuple[str, ...]]]


def explained(error: Exception) -> str:
    """One line for a visitor; what nobody foresaw goes to the log, and never to the page."""
    if isinstance(error, VisitorError):
        return str(error)
    if isinstance(error, NoObjectError | PhotoError | WeightsError):
        text = str(error)
        return text[:1].upper() + text[1:]
    if ran_out(error):
        return "This photo is too large for this machine's memory: make it smaller and try again."
    log.error("a visitor's request failed", exc_info=error)
    return "Something went wrong on our side, and nothing was changed. Please try again."


def tell(error: Exception) -> None:
    """Says on the page why something did not happen: a hint where the visitor can help it, else a warning."""
    if isinstance(error, NoObjectError | VisitorError):
        gr.Info(explained(error), title="Hint")
    else:
        gr.Warning(explained(error), title="That did not work")


@dataclass(frozen=True)
class Events:
    """The handlers. Each takes the visitor's session and gives updates of the page, the session among them."""

    page: Page
    session: gr.State
    studio: Studio
    examples: list[Example]
    save: Save
    stay: Stay

    def open_upload(self, path: str | None) -> Updates:
        return self._open(path, None) if path else {self.page.upload: None}

    def open_example(self, event: gr.SelectData) -> Updates:
        index = event.index
        if not isinstance(index, int) or not 0 <= index < len(self.examples):
            return {self.page.examples: gr.update(selected_index=None)}
        example = self.examples[index]
        return self._open(example.path, example.path.name)

    def _open(self, path: str | Path, name: str | None) -> Updates:
        try:
            session = self.studio.open(path, name)
        except Exception as error:
            tell(error)
            return {self.page.upload: None, self.page.examples: gr.update(selected_index=None)}
        for note in session.photo.notes:
            gr.Info(note[:1].upper() + note[1:], title="About this photo")
        return self._updates(session) | {
            self.page.tool: "Click",
            self.page.sign: "Add",
            self.page.examples: gr.update(selected_index=None),
        }

    def encode(self, session: Session | None) -> None:
        """Looks at the photo before the first click, so that the click is answered at once."""
        if session is not None and session.before is None:
            try:
                self.studio.encode(session)
            except Exception as error:  # the click will try again, and then the visitor is told
                log.warning("the photo could not be looked at: %s", error)

    def point(self, session: Session | None, sign: str, event: gr.EventData) -> Updates:
        def step(now: Session) -> Session:
            x, y = click_position(now.view, event.x, event.y)
            return self.studio.point(on_screen(now, event.unit), x, y, take_away=sign == "Take away")

        return self._step(session, step)

    def paint(self, session: Session | None, sign: str, event: gr.EventData) -> Updates:
        def step(now: Session) -> Session:
            strokes = stroke_mask(now.view, event.points, event.radius)
            return on_screen(now, event.unit).painted(strokes, take_away=sign == "Take away")

        return self._step(session, step)

    def another(self, session: Session | None) -> Updates:
        return self._step(session, Session.next_answer)

    def main_subject(self, session: Session | None) -> Updates:
        updates = self._step(session, self.studio.main_subject)
        if self.session in updates and session is not None:
            for note in self.studio.subject_notes:
                gr.Info(note[:1].upper() + note[1:], title="About this selection")
        return updates

    def clear(self, session: Session | None) -> Updates:
        return self._step(session, Session.cleared)

    def undo(self, session: Session | None) -> Updates:
        return self._step(session, Session.undone)

    def grow(self, session: Session | None, grow_px: float) -> Updates:
        return self._step(session, lambda now: now.grown_by(round(grow_px)))

    def erase(
        self, session: Session | None, grow_px: float, feather_px: float, request: gr.Request | None = None
    ) -> Updates:
        with given_up_by(self.stay(request)):
            return self._step(
                session, lambda now: self.studio.erase(now, grow_px=round(grow_px), feather_px=float(feather_px))
            )

    def cut_out(self, session: Session | None, feather_px: float, fine: bool = False) -> Updates:
        return self._step(
            session, lambda now: self.studio.cut_out(now, feather_px=float(feather_px), matting=bool(fine))
        )

    def blur(self, session: Session | None, sigma_px: float, feather_px: float, fine: bool = False) -> Updates:
        return self._step(
            session,
            lambda now: self.studio.blur(
                now, sigma_px=float(sigma_px), feather_px=float(feather_px), matting=bool(fine)
            ),
        )

    def replace(
        self,
        session: Session | None,
        color: str | None,
        photo: str | None,
        feather_px: float,
        fine: bool = False,
    ) -> Updates:
        return self._step(
            session,
            lambda now: self.studio.replace(now, photo or rgb(color), feather_px=float(feather_px), matting=bool(fine)),
        )

    def go_on(self, session: Session | None) -> Updates:
        return self._step(session, Session.working_on)

    def start_over(self) -> Updates:
        return self._updates(None)

    def download_png(self, session: Session | None, request: gr.Request | None = None) -> Updates:
        return self._download(session, 0, request)

    def download_own(self, session: Session | None, request: gr.Request | None = None) -> Updates:
        return self._download(session, -1, request)

    def _download(self, session: Session | None, which: int, request: gr.Request | None) -> Updates:
        if session is None:
            return self._gone()
        suffix = studio.formats(session.photo, session.name)[which]
        try:
            path, notes = self.save(session, suffix, request)
        except Exception as error:
            tell(error)
            return {self.page.download: None}
        for note in notes:
            gr.Info(note, title="About this file")
        return {self.page.download: str(path)}

    def _step(self, session: Session | None, step: Callable[[Session], Session]) -> Updates:
        """The page after a step; after a refused one, the page as it was and a line that says why."""
        if session is None:
            return self._gone()
        try:
            return self._updates(step(session), session)
        except Exception as error:
            tell(error)
            return {self.page.stage: gr.update(turn=show_layer(None)["turn"])}

    def _gone(self) -> Updates:
        gr.Info("This page was left alone for too long and its photo was deleted.", title="Please choose it again")
        return self._updates(None)

    def _updates(self, session: Session | None, before: Session | None = None) -> Updates:
        """Only what differs from before: the photo is not sent again where only the selection changed."""
        same_photo = session and before and session.shown is before.shown and session.before is before.before
        part: Any = render.selection if same_photo else render.whole
        return {self.session: session, **part(self.page, session)}


def rgb(color: str | None) -> Color:
    """A colour picker's text as three numbers 0..255. Raises VisitorError if it is none."""
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(_rounded(color or ""))[:3]
    except (ValueError, OverflowError) as error:
        raise VisitorError(f"{color!r} is no colour: choose one, or a photo.") from error
    return red, green, blue


def _rounded(color: str) -> str:
    """Gradio's picker writes rgba(12.5, 3.25, 80, 1), with fractions that nothing else reads."""
    if not color.startswith("rgb"):
        return color
    numbers = color.partition("(")[2].rstrip(")").split(",")
    return f"rgb({', '.join(str(round(float(number))) for number in numbers[:3])})"
