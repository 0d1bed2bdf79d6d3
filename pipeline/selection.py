"""What the person points at, by clicks, boxes, a mask file or a class, to one mask."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.coco import Segment
from pipeline.image_io import MAX_PIXELS
from pipeline.models import Models
from segment.base import Click, Image, InstanceSegmenter, NoObjectError, Segmenter, Selection

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, x1 and y1 exclusive


@dataclass(frozen=True)
class Pick:
    """What to select on a photo: one of these ways; with none of them the main subject."""

    clicks: tuple[Click, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask_file: Path | None = None
    mask_white: str | None = None  # what white means in it, as in `mask_files.read_mask`
    segments: tuple[Segment, ...] = ()  # objects as a COCO file describes them
    classes: tuple[str, ...] = ()
    everything: bool = False  # all objects, of those classes or of any
    alternative: int = 1  # the N-th answer of the segmenter to clicks, or to none

    def __post_init__(self) -> None:
        given = [
            name
            for name, value in (
                ("clicks", self.clicks),
                ("boxes", self.boxes),
                ("a mask file", self.mask_file),
                ("segments", self.segments),
                ("classes", self.classes or self.everything),
            )
            if value
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} both say what to select: give one of them")
        for click in self.clicks:
            if not (isinstance(click.x, int | np.integer) and isinstance(click.y, int | np.integer)):
                raise ValueError(f"a click is a pixel, two whole numbers: got ({click.x}, {click.y})")
        both = {(one.x, one.y) for one in self.clicks if one.positive} & {
            (one.x, one.y) for one in self.clicks if not one.positive
        }
        for x, y in both:
            raise ValueError(f"the click ({x}, {y}) both selects and takes away: give one of them")
        if self.alternative < 1:
            raise ValueError(f"alternative must be 1 or more (1 is the best answer), got {self.alternative}")
        if self.alternative > 1 and given and not self.clicks:
            raise ValueError(f"{given[0]} have one answer, so there is no alternative {self.alternative}")

    @property
    def needs_no_model(self) -> bool:
        """Whether it says exactly which pixels are meant."""
        return bool(self.boxes or self.segments or self.mask_file is not None)


def choose(image: Image, pick: Pick, models: Models, *, max_pixels: int = MAX_PIXELS) -> tuple[Selection, list[str]]:
    """The selection that the pick means on this photo, and notes for the person.

    image: (H, W, 3) uint8 RGB. Boxes and mask files have no label and are sure: score 1. Several objects of a class
    are joined; the score is then the lowest of theirs. max_pixels: of a mask file, as in `image_io.load`.
    Raises NoObjectError where nothing is found, ValueError where the pick does not fit the photo.
    """
    height, width = image.shape[:2]
    if pick.mask_file is not None:
        from pipeline.mask_files import read_mask

        mask, notes = read_mask(pick.mask_file, (height, width), white=pick.mask_white, max_pixels=max_pixels)
        return Selection(mask, None, 1.0), notes
    if pick.boxes:
        from segment.mask_ops import box_mask

        masks = [box_mask(box, (height, width)) for box in pick.boxes]
        return Selection(np.logical_or.reduce(masks), None, 1.0), []
    if pick.segments:
        return _of_coco(pick.segments, (height, width)), []
    if pick.classes or pick.everything:
        return _joined(objects_of(image, pick.classes, models.clicked)), []
    segmenter = models.clicked if pick.clicks else models.subject
    answers = segmenter.select(segmenter.encode(image), pick.clicks)
    if pick.alternative > len(answers):
        only = "is only 1 answer" if len(answers) == 1 else f"are only {len(answers)} answers"
        raise NoObjectError(f"there is no alternative {pick.alternative}: there {only}")
    return answers[pick.alternative - 1], [] if pick.clicks else models.subject_notes


def objects_of(image: Image, classes: Sequence[str], segmenter: Segmenter) -> list[Selection]:
    """All objects of these classes, each by itself, highest score first; of every class if classes is empty.

    Raises NoObjectError if there is none (the message says what there is), ValueError if the segmenter knows no
    classes, or none of that name.
    """
    if not isinstance(segmenter, InstanceSegmenter):
        name = type(segmenter).__name__
        raise ValueError(f"{name} knows no classes: choose a segmenter that does, such as mask_rcnn")
    check_classes(classes, segmenter)
    found = segmenter.instances(segmenter.encode(image))
    wanted = [one for one in found if not classes or one.label in classes]
    if not wanted:
        seen = sorted({one.label for one in found if one.label})
        raise NoObjectError(
            f"no {' or '.join(classes) or 'object'} was found" + (f"; there is {', '.join(seen)}" if seen else "")
        )
    return wanted


def check_classes(classes: Sequence[str], segmenter: Segmenter) -> None:
    """Raises ValueError if the segmenter says which classes it knows and one of these is not among them."""
    known = list(getattr(segmenter, "classes", ()))
    for name in classes:
        if known and name not in known:
            close = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"it knows {', '.join(known)}"
            raise ValueError(f"the segmenter knows no class {name!r}: {hint}")


def _of_coco(segments: Sequence[Segment], image_hw: tuple[int, int]) -> Selection:
    for one in segments:
        if one.image_hw != image_hw:
            (height, width), (photo_h, photo_w) = one.image_hw, image_hw
            raise ValueError(f"its COCO annotation is for {width}x{height} pixels but it has {photo_w}x{photo_h}")
    return _joined([Selection(one.mask(), one.label, one.score) for one in segments])


def _joined(found: list[Selection]) -> Selection:
    labels = sorted({one.label for one in found if one.label})
    label = " + ".join(labels) + (f" x{len(found)}" if len(found) > 1 else "")
    return Selection(np.logical_or.reduce([one.mask for one in found]), label, min(one.score for one in found))
