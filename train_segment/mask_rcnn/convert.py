"""`python -m train_segment.mask_rcnn.convert --data ... --manifest FILE --out DIR`: label PNGs become COCO JSON.

Writes DIR/train.json and DIR/validation.json, split by the same hash of the name as in every recipe. Objects are run
lengths. What nobody knows is a crowd (iscrowd 1), which neither training nor COCO's evaluation counts: unclear pixels
(255), objects without a class or too small to tell, and in partly labelled photos all that is no labelled object.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from segment.base import Mask
from segment.mask_ops import box_xyxy
from train_segment.mask_rcnn.recipe import MaskRCNNRecipe
from train_segment.sources import LabelFolder
from training.checkpoint import write_whole
from training.options import add_arguments, with_values
from training.split import is_held_out

TRAIN_FILE, VALIDATION_FILE = "train.json", "validation.json"
# VOC's spellings of COCO's names.
COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
# Those that are labelled wherever they are in VOC and in COCO. COCO's other classes would be background in VOC.
CLASSES = (
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "boat",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "bottle",
    "chair",
    "couch",
    "potted plant",
    "dining table",
    "tv",
)
SMALLEST_PX = 64  # connected parts of VOC's masks can be a toe: objects of fewer pixels are unclear


@dataclass(frozen=True)
class Converted:
    """What became of the photos."""

    classes: tuple[str, ...]  # those kept, most objects first
    objects: dict[str, tuple[int, int]]  # class -> objects to train on, and held out
    left_out: dict[str, int]  # class -> objects to train on, of which there are too few
    photos: tuple[int, int]  # to train on, and held out
    broken: dict[str, str]  # name -> why it could not be read

    def lines(self) -> list[str]:
        """What to print, and to say in the model card."""
        lines = [f"{self.photos[0]} photos to train on, {self.photos[1]} held out, {len(self.broken)} broken"]
        lines += [f"  {name}: {train} objects, {held} held out" for name, (train, held) in self.objects.items()]
        few = ", ".join(f"{name} ({count})" for name, count in self.left_out.items())
        return [*lines, f"left out for too few objects: {few or 'none'}"]


def convert(recipe: MaskRCNNRecipe, out: Path) -> Converted:
    """Reads every photo's labels and writes the two files into out. Raises ValueError where nothing is left."""
    photos: dict[bool, list[dict[str, Any]]] = {False: [], True: []}  # by whether they are held out
    counts = {False: Counter[str](), True: Counter[str]()}
    broken: dict[str, str] = {}
    for path, name, annotated in _read_all(recipe, broken):
        partly = any(fnmatch.fnmatch(name, pattern) for pattern in recipe.partly_labelled)
        unclear = np.ones_like(annotated.ignore) if partly else annotated.ignore.copy()
        objects = []
        for mask, label in annotated.objects:
            label = COCO_NAMES.get(label or "", label)
            if label is None or np.count_nonzero(mask) < SMALLEST_PX:
                unclear |= mask
            else:
                objects.append((mask, label))
        for mask, _ in objects:
            unclear &= ~mask
        held_out = is_held_out(name, recipe.validation_fraction)
        counts[held_out].update(label for _, label in objects)
        height, width = annotated.ignore.shape
        entry = {"file_name": str(path), "name": name, "width": width, "height": height}
        found = [(_region(mask), label) for mask, label in objects if label in CLASSES]
        photos[held_out].append({"entry": entry, "objects": found, "unclear": _region(unclear)})

    kept = [name for name, count in counts[False].most_common() if count >= recipe.min_objects and name in CLASSES]
    if not kept or not photos[True]:
        raise ValueError(
            f"no class of {', '.join(CLASSES)} has {recipe.min_objects} objects, or no photo is held out: "
            "is --manifest right? See --min-objects and --validation-fraction"
        )
    out.mkdir(parents=True, exist_ok=True)
    for held_out, file in ((False, TRAIN_FILE), (True, VALIDATION_FILE)):
        # COCO's evaluation asks for each class by itself; in training one mask for all of them is enough.
        content = _coco(photos[held_out], kept, unclear_for=kept if held_out else kept[:1])
        write_whole(out / file, partial(_write_json, content))
    few = {name: counts[False][name] for name in CLASSES if name not in kept and counts[False][name]}
    objects_of = {name: (counts[False][name], counts[True][name]) for name in kept}
    return Converted(tuple(kept), objects_of, few, (len(photos[False]), len(photos[True])), broken)


def classes_of(file: Path) -> tuple[str, ...]:
    """The classes of a file that convert wrote, in their order."""
    return tuple(category["name"] for category in json.loads(file.read_text(encoding="utf-8"))["categories"])


def _write_json(content: dict[str, Any], stream: IO[bytes]) -> None:
    stream.write(json.dumps(content).encode())


def _read_all(recipe: MaskRCNNRecipe, broken: dict[str, str]) -> Iterator[tuple[Path, str, Any]]:
    for folder in recipe.data:
        source = LabelFolder(Path(folder), recipe.exclude, Path(recipe.manifest))
        for number, name in enumerate(source.names):
            try:
                annotated = source.read(number)
            except (OSError, ValueError, SyntaxError) as error:
                broken[name] = (str(error).splitlines() or [type(error).__name__])[0]
                continue
            yield (Path(folder) / name).resolve(), name, annotated


def _region(mask: Mask) -> dict[str, Any]:
    """A COCO annotation of the mask, but for its class and place."""
    from pycocotools.mask import encode

    if not mask.any():
        return {}
    run_lengths = encode(np.asfortranarray(mask, np.uint8))
    x0, y0, x1, y1 = (int(value) for value in box_xyxy(mask))
    return {
        "segmentation": {"size": list(mask.shape), "counts": run_lengths["counts"].decode("ascii")},
        "area": int(np.count_nonzero(mask)),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
    }


def _coco(photos: Sequence[dict[str, Any]], kept: Sequence[str], *, unclear_for: Sequence[str]) -> dict[str, Any]:
    number_of = {name: number for number, name in enumerate(kept, start=1)}
    annotations: list[dict[str, Any]] = []
    for key, photo in enumerate(photos, start=1):
        regions = [(region, label, 0) for region, label in photo["objects"] if label in number_of]
        regions += [(photo["unclear"], name, 1) for name in unclear_for if photo["unclear"]]
        for region, label, crowd in regions:
            place = {"id": len(annotations) + 1, "image_id": key, "category_id": number_of[label], "iscrowd": crowd}
            annotations.append({**place, **region})
    return {
        "images": [{"id": key, **photo["entry"]} for key, photo in enumerate(photos, start=1)],
        "categories": [{"id": number, "name": name} for name, number in number_of.items()],
        "annotations": annotations,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m train_segment.mask_rcnn.convert", description=__doc__)
    add_arguments(parser, MaskRCNNRecipe)
    try:
        recipe = with_values(MaskRCNNRecipe(), vars(parser.parse_args(arguments)))
        recipe.check()
        print("\n".join(convert(recipe, Path(recipe.out)).lines()))
    except (ValueError, OSError) as error:
        print(f"train_segment.mask_rcnn.convert: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
