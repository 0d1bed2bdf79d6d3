"""Selections as COCO annotations, the masks run-length encoded as the COCO tools do.

The code of the format (column by column, starting with the background, differences to the run before last, five bits
a character) follows its reference: cocoapi, common/maskApi.c, rleEncode and rleToString. It is written here because
pycocotools comes only with the mmdet extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segment.base import Mask, Selection
from segment.mask_ops import box_xyxy

NO_CLASS = "object"  # the category of what has no label


@dataclass(frozen=True)
class AnnotatedPhoto:
    """A photo's objects. Sizes and masks are those of the photo as seen, turned by its EXIF orientation."""

    file_name: str
    image_hw: tuple[int, int]
    annotations: tuple[dict[str, Any], ...]  # as `annotation` makes them


def annotation(selection: Selection) -> dict[str, Any]:
    """A selection's label, score, box, area and encoded mask; ids are given by `document`."""
    x0, y0, x1, y1 = box_xyxy(selection.mask)
    return {
        "label": selection.label or NO_CLASS,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(np.count_nonzero(selection.mask)),
        "iscrowd": 0,
        "score": round(float(selection.score), 4),
        "segmentation": {"size": list(selection.mask.shape), "counts": encode_runs(run_lengths(selection.mask))},
    }


def document(photos: Sequence[AnnotatedPhoto]) -> dict[str, Any]:
    """A COCO file of these photos, ready for JSON: images, annotations and categories, numbered from 1."""
    labels = sorted({one["label"] for photo in photos for one in photo.annotations})
    category_ids = {label: number for number, label in enumerate(labels, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, photo in enumerate(photos, start=1):
        height, width = photo.image_hw
        images.append({"id": image_id, "file_name": photo.file_name, "width": width, "height": height})
        for one in photo.annotations:
            numbers = {"id": len(annotations) + 1, "image_id": image_id, "category_id": category_ids[one["label"]]}
            annotations.append(numbers | {key: value for key, value in one.items() if key != "label"})
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": label} for label, number in category_ids.items()],
    }


def run_lengths(mask: Mask) -> list[int]:
    """How many pixels in a row are outside, inside, outside, ...; column by column, outside first (perhaps 0)."""
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [pixels.size]]))
    return ([0] if pixels[0] else []) + runs.tolist()


def encode_runs(runs: Sequence[int]) -> str:
    """The run lengths as COCO's text."""
    text = []
    for index, run in enumerate(runs):
        rest = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            bits = rest & 31
            rest >>= 5  # rounds downwards: the sign goes on
            more = rest != (-1 if bits & 16 else 0)
            text.append(chr(48 + (bits | 32 if more else bits)))
    return "".join(text)
