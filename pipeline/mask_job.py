"""One photo file in, its objects' masks out: a PNG each, and what the COCO file says of them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np

from pipeline import coco, image_io
from pipeline.job import Outcome
from pipeline.mask_files import write_mask
from pipeline.models import Models
from pipeline.selection import Pick, choose, objects_of
from segment.base import Selection


def save_masks(
    source: Path,
    stem: Path,
    pick: Pick,
    models: Models,
    *,
    file_name: str,
    overwrite: bool = False,
    max_pixels: int = image_io.MAX_PIXELS,
) -> tuple[Outcome, coco.AnnotatedPhoto]:
    """Writes STEM-1-person.png, STEM-2-dog.png, ... and returns what became of the photo, and its annotations.

    pick: the objects: those of its classes, one by one; its one selection; or, if it is empty, all objects.
    file_name: what the annotations call the photo.
    Raises as `pipeline.job.process` does.
    """
    start = time.perf_counter()
    photo = image_io.load(source, max_pixels=max_pixels)
    notes: list[str] = []
    if pick.clicks or pick.boxes or pick.mask_file is not None:
        selection, notes = choose(photo.rgb, pick, models)
        found = [selection]
    else:
        found = objects_of(photo.rgb, pick.classes, models.clicked)
    stem.parent.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(found, start=1):
        label = re.sub(r"[^\w-]+", "-", one.label or coco.NO_CLASS)
        write_mask(one.mask, stem.with_name(f"{stem.name}-{number}-{label}.png"), overwrite=overwrite)
    together: Selection = found[0]
    covered = np.logical_or.reduce([one.mask for one in found])
    outcome = Outcome(
        source,
        stem.parent,
        time.perf_counter() - start,
        area_px=int(np.count_nonzero(covered)),
        share=float(covered.mean()),
        label=together.label if len(found) == 1 else f"{len(found)} objects",
        score=min(float(one.score) for one in found),
        notes=(*photo.notes, *notes),
    )
    annotations = tuple(coco.annotation(one) for one in found)
    return outcome, coco.AnnotatedPhoto(file_name, photo.hw, annotations)
