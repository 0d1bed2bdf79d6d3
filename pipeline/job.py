"""One photo file in, one photo file out, in three steps: read, edit, save. Every runner goes through here.

The steps are apart so that a runner can read the next photo and save the last one while a model is at work.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline import image_io, memory
from pipeline.atomic import in_the_way
from pipeline.coco import AnnotatedPhoto
from pipeline.effects import CutOut, Effect, Erase, Masks, apply
from pipeline.inputs import Task
from pipeline.models import Models
from pipeline.photo import Photo, PhotoError
from pipeline.remote import Place, Url
from pipeline.selection import Pick, check_classes, choose
from pipeline.text import shown
from segment.base import NoObjectError, Selection
from weights import WeightsError


@dataclass(frozen=True, eq=False)
class Job:
    """What is done to every photo of a run. It travels to other processes: loaded models stay behind."""

    effect: Effect | Masks
    models: Models
    quality: int | None = None
    max_pixels: int = image_io.MAX_PIXELS
    preview_px: int | None = None  # save nothing: show what is selected on a small picture of this longer side
    strip_metadata: bool = False  # as in `image_io.save`
    note: bool = True


@dataclass(frozen=True, eq=False)
class Edited:
    """A photo between editing and saving."""

    photo: Photo  # as it will be saved
    found: tuple[Selection, ...]
    notes: tuple[str, ...] = ()
    preview: NDArray[np.uint8] | None = None  # (h, w, 3), the selection marked


@dataclass(frozen=True)
class Outcome:
    """What became of one photo."""

    source: Place
    target: Place
    seconds: float = 0.0  # reading, editing and saving
    error: str | None = None  # one line; None: it is done, or skipped
    skipped: str | None = None  # why
    area_px: int | None = None  # of the selection, before growing
    share: float | None = None  # of the photo, 0..1
    label: str | None = None
    score: float | None = None
    notes: tuple[str, ...] = ()
    files: tuple[Place, ...] = ()  # what was written
    annotated: AnnotatedPhoto | None = None  # of the objects whose masks were saved
    preview: NDArray[np.uint8] | None = field(default=None, compare=False)
    trace: str | None = field(default=None, compare=False)  # of the error, for whoever looks for its cause

    @property
    def status(self) -> str:
        """ "done", "failed" or "skipped"."""
        return "failed" if self.error else "skipped" if self.skipped else "done"


def process(
    source: Place,
    target: Place,
    pick: Pick,
    effect: Effect,
    models: Models,
    *,
    quality: int | None = None,
    overwrite: bool = False,
    max_pixels: int = image_io.MAX_PIXELS,
    strip_metadata: bool = False,
    note: bool = True,
) -> Outcome:
    """Loads the photo, selects, edits and saves. Folders for the target are made.

    quality, overwrite, strip_metadata, note: as in `image_io.save`. max_pixels: as in `image_io.load`.

    Raises PhotoError for a file that cannot be read or written, NoObjectError where nothing is found, ValueError
    where the pick does not fit the photo, FileExistsError where the target is there and overwrite is False, OSError.
    """
    start = time.perf_counter()
    task = Task(source, target, pick=pick, overwrite=overwrite)
    job = Job(effect, models, quality, max_pixels, strip_metadata=strip_metadata, note=note)
    outcome = save(edit_photo(read(task, job), task, job), task, job)
    return replace(outcome, seconds=time.perf_counter() - start)


def attempt(task: Task, job: Job) -> Outcome:
    """As `process`, but a failure is an outcome too. Raises WeightsError: without a model no photo can be done."""
    start = time.perf_counter()
    try:
        outcome = save(edit_photo(read(task, job), task, job), task, job)
    except WeightsError:
        raise
    except Exception as error:
        outcome = failure(task, error)
    return replace(outcome, seconds=time.perf_counter() - start)


def read(task: Task, job: Job) -> Photo:
    """The first step: the photo, if its result can be saved at all. Raises PhotoError, FileExistsError, OSError."""
    if not isinstance(job.effect, Masks) and job.preview_px is None:
        check_target(task.target, job.effect, overwrite=task.overwrite)
    return image_io.load(task.source, max_pixels=job.max_pixels)


def edit_photo(photo: Photo, task: Task, job: Job) -> Edited:
    """The second step: selects and edits. Raises NoObjectError, ValueError, PhotoError, WeightsError."""
    effect, pick = job.effect, task.pick
    if isinstance(effect, Masks):
        from pipeline.mask_job import objects_to_save

        found, more = objects_to_save(photo.rgb, pick, job.models, max_pixels=job.max_pixels)
        return Edited(photo, found, (*photo.notes, *more), _preview(photo, found, job))
    selection, chosen_notes = choose(photo.rgb, pick, job.models, max_pixels=job.max_pixels)
    notes = (*photo.notes, *chosen_notes)
    if job.preview_px is not None:
        return Edited(photo, (selection,), notes, _preview(photo, (selection,), job))
    if isinstance(effect, Erase) and effect.grow_px is None and pick.boxes:
        effect = replace(effect, grow_px=0)  # who draws a box means that box
    inpainter = job.models.filler if isinstance(effect, Erase) else None
    return Edited(apply(photo, selection.mask, effect, inpainter=inpainter), (selection,), notes)


def save(edited: Edited, task: Task, job: Job) -> Outcome:
    """The last step: writes the result, and says what was done. Raises PhotoError, FileExistsError, OSError."""
    files: tuple[Place, ...] = ()
    notes = edited.notes
    annotated = None
    if job.preview_px is None:
        task.target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(job.effect, Masks):
            from pipeline.mask_job import save_masks

            files, annotated = save_masks(edited.found, task)
        else:
            files = (task.target,)
            notes += image_io.save(
                edited.photo,
                task.target,
                quality=job.quality,
                overwrite=task.overwrite,
                strip_metadata=job.strip_metadata,
                note=job.note,
            )
    covered = np.logical_or.reduce([one.mask for one in edited.found])
    area_px = int(np.count_nonzero(covered))
    return Outcome(
        task.source,
        task.target,
        area_px=area_px,
        share=area_px / covered.size,
        label=edited.found[0].label if len(edited.found) == 1 else f"{len(edited.found)} objects",
        score=min(float(one.score) for one in edited.found),
        notes=notes,
        files=files,
        annotated=annotated,
        preview=edited.preview,
    )


def failure(task: Task, error: Exception) -> Outcome:
    """The outcome of a photo that could not be done: one line that names it."""
    text = one_line(error)
    source, target = shown(str(task.source)), shown(str(task.target))
    trace = "".join(traceback.format_exception(error))
    named = source in text or target in text
    return Outcome(task.source, task.target, error=text if named else f"{source}: {text}", trace=trace)


def taken_as_done(task: Task) -> Outcome:
    """The outcome of a photo that has changed under a process that was to overwrite it and is gone: by it, most likely.

    To edit it again might be once too often; but somebody else may have changed it, so the person is told.
    """
    note = "it was being overwritten when the work on it was cut off, and has changed: taken as done; look at it"
    return Outcome(task.source, task.target, files=(task.target,), notes=(note,))


def load_models(job: Job, pick: Pick) -> None:
    """Loads the models that such photos need and checks the classes: what is amiss is known before the first photo.

    Raises WeightsError, ImportError, ValueError.
    """
    if not pick.needs_no_model:
        by_click = bool(pick.clicks or pick.classes or pick.everything) or isinstance(job.effect, Masks)
        check_classes(pick.classes, job.models.clicked if by_click else job.models.subject)
    if isinstance(job.effect, Erase) and job.preview_px is None:
        _ = job.models.filler


def _preview(photo: Photo, found: tuple[Selection, ...], job: Job) -> NDArray[np.uint8] | None:
    if job.preview_px is None:
        return None
    from pipeline.sheet import marked

    return marked(photo.rgb, [one.mask for one in found], longer_px=job.preview_px)


def check_target(target: Place, effect: Effect, *, overwrite: bool) -> None:
    """Raises what saving would, before any work is done: for an unknown or unfit format, for a file in the way."""
    from pipeline.formats import HOLDS_ALPHA

    format_name = image_io.format_of(target)
    if isinstance(effect, CutOut) and format_name not in HOLDS_ALPHA:
        raise PhotoError(
            f"{target} cannot hold a cut-out: {format_name} has no transparency; use .png or .webp, "
            "or replace the background with a colour"
        )
    if not overwrite and target.exists():
        raise FileExistsError(in_the_way(target))
    if isinstance(target, Url):
        if target.is_read_only:
            raise PhotoError(f"{target} cannot be written: {target.scheme}:// can only be read")
        return
    if target.parent.exists() and not target.parent.is_dir():
        raise PhotoError(f"{target} cannot be written: {target.parent} is no folder")


def one_line(error: BaseException) -> str:
    """The error in one line for a person. Errors that are not meant for people say so."""
    if memory.ran_out(error):
        return "there is not enough memory for this photo"
    text = shown(" ".join(str(error).split()))
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return shown(f"{error.filename}: {error.strerror}")
    if is_expected(error):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (this is a fault in Clickaway or a library; --debug shows where)"


def is_expected(error: BaseException) -> bool:
    """Whether the error is one that a person can do something about."""
    expected = isinstance(error, ValueError | NoObjectError | WeightsError | OSError | ImportError)
    return expected or memory.ran_out(error)
