"""Selections as COCO annotations and back, the masks run-length encoded as the COCO tools do.

The code of the format (column by column, starting with the background, differences to the run before last, five bits
a character) follows its reference: cocoapi, common/maskApi.c, rleEncode and rleToString. It is written here because
pycocotools comes only with the mmdet extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.text import quoted
from segment.base import Mask, Selection
from segment.mask_ops import box_xyxy

NO_CLASS = "object"  # the category of what has no label
_FARTHEST_PX = 1_000_000
_LONGEST_RUN_BITS = 60


@dataclass(frozen=True)
class AnnotatedPhoto:
    """A photo's objects. Sizes and masks are those of the photo as seen, turned by its EXIF orientation."""

    file_name: str
    image_hw: tuple[int, int]
    annotations: tuple[dict[str, Any], ...]  # as `annotation` makes them


@dataclass(frozen=True)
class Segment:
    """One object of a COCO file. Its size is that of the photo as seen, turned by its EXIF orientation."""

    image_hw: tuple[int, int]
    runs: tuple[int, ...] = ()  # run lengths, or else:
    polygons: tuple[tuple[float, ...], ...] = ()  # x, y, x, y, ... in pixels, 0 at the photo's upper left corner
    label: str | None = None
    score: float = 1.0

    def mask(self) -> Mask:
        """(H, W) bool."""
        if self.runs:
            pixels = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs)
            return pixels.reshape(self.image_hw, order="F")
        from skimage.draw import polygon as pixels_in

        mask = np.zeros(self.image_hw, bool)
        for polygon in self.polygons:
            # A pixel's middle lies half a pixel from its corner.
            columns, rows = np.array(polygon).reshape(-1, 2).T - 0.5
            mask[pixels_in(rows, columns, self.image_hw)] = True
        return mask


def segment(annotation: Mapping[str, Any], image_hw: tuple[int, int], label: str | None) -> Segment:
    """The object of one of a COCO file's annotations. Raises ValueError if it makes no sense."""
    score = float(annotation.get("score", 1.0))
    match annotation.get("segmentation"):
        case {"size": [*size], "counts": str() | list() as counts}:
            height, width = _whole_hw(size)
            runs = decode_runs(counts) if isinstance(counts, str) else [int(run) for run in counts]
            if sum(runs) != height * width or min(runs, default=-1) < 0:
                raise ValueError(f"its run lengths do not cover {width}x{height} pixels")
            return Segment((height, width), runs=tuple(runs), label=label, score=score)
        case [[*_], *_] as polygons:
            if any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
                raise ValueError("a polygon needs three corners x, y or more")
            corners = tuple(tuple(map(float, polygon)) for polygon in polygons)
            if not all(abs(number) < _FARTHEST_PX for polygon in corners for number in polygon):  # false for nan too
                raise ValueError(f"a polygon's corners must be numbers of pixels, less than {_FARTHEST_PX} away")
            return Segment(_whole_hw(image_hw), polygons=corners, label=label, score=score)
        case _:
            raise ValueError("it has no segmentation: expected polygons or run lengths")


def _whole_hw(size: Sequence[Any]) -> tuple[int, int]:
    """Height and width as whole numbers: JSON has one kind of number, and some programs write 96.0."""
    whole = [int(one) for one in size if isinstance(one, int) or (isinstance(one, float) and one.is_integer())]
    if len(whole) != 2 or len(size) != 2 or min(whole) < 1:
        raise ValueError(f"height and width must be two whole numbers of pixels, got {quoted(str(list(size)))}")
    return whole[0], whole[1]


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


def photos_of(document_: Any) -> list[AnnotatedPhoto]:
    """What `document` made this file of. Raises ValueError if it did not: then there is more in it, or less."""
    try:
        labels = {one["id"]: one["name"] for one in document_["categories"]}
        annotations: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in document_["images"]}
        for one in document_["annotations"]:
            rest = {key: value for key, value in one.items() if key not in ("id", "image_id", "category_id")}
            annotations[one["image_id"]].append({"label": labels[one["category_id"]], **rest})
        photos = [
            AnnotatedPhoto(image["file_name"], (image["height"], image["width"]), tuple(annotations[image["id"]]))
            for image in document_["images"]
        ]
        is_ours = document(photos) == document_
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"it is no COCO file ({type(error).__name__}: {error})") from error
    if not is_ours:
        raise ValueError("it is a COCO file of another program")
    return photos


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


def decode_runs(text: str) -> list[int]:
    """The run lengths of COCO's text. Raises ValueError if it is none."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} is no part of COCO's run lengths")
        if shift > _LONGEST_RUN_BITS:
            raise ValueError("a number in COCO's run lengths has no end")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    return runs
