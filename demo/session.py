"""One visitor's work: the photo, its encoding, the clicks, the selection and the way back. Nothing here ever changes.

Every step gives a new Session that shares its arrays with the one before, so that two events that overlap can never
leave half of each behind, and undo is the Session before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.view import View
from pipeline.photo import Photo
from segment import Click, Image, Mask, Selection

HISTORY_STEPS = 40
HISTORY_BYTES = 512 * 2**20  # for each visitor; the oldest steps go first


class Encoding:
    """A photo's encoding, made once by whoever needs it first; the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = False
        self._value: Any = None

    def get(self, encode: Callable[[], Any]) -> Any:
        """The encoding; `encode` is called by the first caller only, again only if it raised."""
        with self._lock:
            if not self._done:
                self._value = encode()
                self._done = True
            return self._value


@dataclass(frozen=True)
class PackedMask:
    """A mask as bits: an eighth of its memory, for as long as it is only kept."""

    bits: NDArray[np.uint8]
    shape_hw: tuple[int, int]

    @classmethod
    def of(cls, mask: Mask) -> PackedMask:
        return cls(np.packbits(mask), (mask.shape[0], mask.shape[1]))

    def mask(self) -> Mask:
        """The mask again. (H, W) bool, a new array."""
        height, width = self.shape_hw
        return np.unpackbits(self.bits, count=height * width).view(np.bool_).reshape(self.shape_hw)


@dataclass(frozen=True)
class Answer:
    """One selection that the segmenter offers."""

    packed: PackedMask
    label: str | None
    score: float


@dataclass(frozen=True)
class Session:
    """What a visitor has done so far."""

    photo: Photo
    shown: Image  # the photo at the view's size, (h, w, 3) RGB
    view: View
    name: str  # of the uploaded file, for downloads
    encoding: Encoding = field(default_factory=Encoding)
    clicks: tuple[Click, ...] = ()
    answers: tuple[Answer, ...] = ()  # best first
    choice: int = 0  # which of the answers is selected
    added: PackedMask | None = None  # by the brush
    removed: PackedMask | None = None
    unit_px: float | None = None  # the view's pixels for one of the visitor's screen, once that is known
    grow_px: int | None = None  # what the visitor set; None: by the object's size
    made_by: str | None = None  # the last effect, for downloads
    before: Image | None = None  # the view of the photo before that effect, until the visitor works on
    past: tuple[Session, ...] = ()  # oldest first; each with an empty past

    @property
    def answer(self) -> Answer | None:
        """The selection that the clicks gave, of those on offer the one that is chosen."""
        return self.answers[self.choice] if self.answers else None

    def mask(self) -> Mask | None:
        """The selected object: the chosen answer with the brush strokes; None where nothing is selected."""
        mask = self.answer.packed.mask() if self.answer else np.zeros(self.view.photo_hw, bool)
        if self.added:
            mask |= self.added.mask()
        if self.removed:
            mask &= ~self.removed.mask()
        return mask if mask.any() else None

    def answered(self, clicks: Sequence[Click], selections: Sequence[Selection]) -> Session:
        """The session with these clicks and what the segmenter says about them, best first."""
        answers = tuple(Answer(PackedMask.of(s.mask), s.label, s.score) for s in selections)
        return self._then(clicks=tuple(clicks), answers=answers, choice=0)

    def next_answer(self) -> Session:
        """The session with the next of the answers selected; after the last comes the first."""
        return self._then(choice=(self.choice + 1) % len(self.answers)) if len(self.answers) > 1 else self

    def painted(self, strokes: Mask, *, take_away: bool) -> Session:
        """The session with brush strokes joined to the selection or taken from it. strokes: (H, W) bool."""
        if not strokes.any():
            return self
        added = self.added.mask() if self.added else np.zeros(self.view.photo_hw, bool)
        removed = self.removed.mask() if self.removed else np.zeros(self.view.photo_hw, bool)
        added, removed = (added & ~strokes, removed | strokes) if take_away else (added | strokes, removed & ~strokes)
        return self._then(added=PackedMask.of(added), removed=PackedMask.of(removed))

    def edited(self, photo: Photo, shown: Image, effect: str) -> Session:
        """The session whose photo is what an effect made of it; nothing is selected."""
        fresh = replace(self._cleared(), photo=photo, shown=shown, encoding=Encoding(), grow_px=None)
        return replace(fresh, made_by=effect, before=self.shown)._with_past((*self.past, self._alone()))

    def working_on(self) -> Session:
        """The session ready for clicks on the effect's result. Undo still leads to before the effect."""
        return replace(self, before=None)

    def grown_by(self, grow_px: int) -> Session:
        """The session with the visitor's own width for growing the selection. No step to undo."""
        return replace(self, grow_px=grow_px)

    def cleared(self) -> Session:
        """The session with nothing selected."""
        return self._then(clicks=(), answers=(), choice=0, added=None, removed=None)

    def undone(self) -> Session:
        """The session before the last step; itself if there is none."""
        return self.past[-1]._with_past(self.past[:-1]) if self.past else self

    def _then(self, **changes: Any) -> Session:
        return replace(self, **changes)._with_past((*self.past, self._alone()))

    def _cleared(self) -> Session:
        return replace(self, clicks=(), answers=(), choice=0, added=None, removed=None)

    def _alone(self) -> Session:
        return replace(self, past=())

    def _with_past(self, past: tuple[Session, ...]) -> Session:
        past = past[-HISTORY_STEPS:]
        while len(past) > 1 and held_bytes(past) > HISTORY_BYTES:  # one step can always be undone
            past = past[1:]
        return replace(self, past=past)


def held_bytes(sessions: Sequence[Session]) -> int:
    """What the sessions keep in memory; a photo that several of them share counts once, and once for its encoding."""
    photos = {id(session.photo): 2 * session.photo.pixels.nbytes + session.shown.nbytes for session in sessions}
    masks = {
        id(packed.bits): packed.bits.nbytes
        for session in sessions
        for packed in (*(answer.packed for answer in session.answers), session.added, session.removed)
        if packed is not None
    }
    return sum(photos.values()) + sum(masks.values())
