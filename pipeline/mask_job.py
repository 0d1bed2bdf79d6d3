"""The objects of a photo whose masks are to be saved; their files: a PNG each, and what the COCO file says of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline import coco
from pipeline.inputs import Task
from pipeline.mask_files import write_mask
from pipeline.models import Models
from pipeline.remote import Place, names_in
from pipeline.selection import Pick, choose, objects_of
from segment.base import Image, Selection


def objects_to_save(
    image: Image, pick: Pick, models: Models, *, max_pixels: int
) -> tuple[tuple[Selection, ...], list[str]]:
    """The objects of the pick's classes, one by one; its one selection; or, if it is empty, all objects. And notes.

    max_pixels, Raises: as in `pipeline.selection.choose`.
    """
    if pick.needs_no_model or pick.clicks:
        selection, notes = choose(image, pick, models, max_pixels=max_pixels)
        return (selection,), notes
    return tuple(objects_of(image, pick.classes, models.clicked)), []


def masks_in(folder: Place) -> dict[str, Place]:
    """The name of each target that has masks in that folder, whoever saved them -> one of them."""
    # The last number counts: photo-1-1-dog.png is of photo-1, not of photo.
    found = (re.fullmatch(r"(.+)-\d+-[\w-]+\.png", name, re.DOTALL) for name in names_in(folder))
    return {match[1]: folder / match[0] for match in found if match}


def save_masks(found: Sequence[Selection], task: Task) -> tuple[tuple[Place, ...], coco.AnnotatedPhoto]:
    """Writes TARGET-1-person.png, TARGET-2-dog.png, ...; returns the files and the photo's annotations.

    Raises FileExistsError if one is there already and the task does not overwrite, OSError.
    """
    files = []
    for number, one in enumerate(found, start=1):
        label = re.sub(r"[^\w-]+", "-", one.label or coco.NO_CLASS)
        file = task.target.with_name(f"{task.target.name}-{number}-{label}.png")
        write_mask(one.mask, file, overwrite=task.overwrite)
        files.append(file)
    annotations = tuple(coco.annotation(one) for one in found)
    return tuple(files), coco.AnnotatedPhoto(task.name, found[0].mask.shape, annotations)
