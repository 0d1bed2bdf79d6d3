"""`python -m train_segment.mask_rcnn.evaluate`: COCO's average precision of masks on photos kept out of training.

Any segmenter that knows classes before a click is asked as it is used: whole photos in, masks of their size out.
Writes figures.json (for train_segment.export) and sheet.png, the instances with their names, into --out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from segment import Image, InstanceSegmenter, Selection, load_segmenter
from train_segment.mask_rcnn.convert import VALIDATION_FILE, convert
from train_segment.mask_rcnn.recipe import MaskRCNNRecipe
from train_segment.mask_rcnn.view import instance_sheet
from train_segment.sources import read_photo
from training.options import with_values

# What photos are most often of: a mean over those of them that the net knows.
NAMED = ("person", "cat", "dog", "horse", "cow", "sheep", "car", "bus", "motorcycle", "bicycle", "chair", "bottle")
LOWEST_SCORE = 0.05  # COCO's measure wants unsure answers too
SHOWN_SCORE = 0.5  # on the sheet


def measure(
    segmenter: InstanceSegmenter, annotations: Any, keys: Sequence[int]
) -> tuple[list[dict[str, Any]], list[list[Selection]], list[float]]:
    """COCO results, the selections of each photo, and the seconds that each encode took.

    annotations: pycocotools' COCO. keys: of the photos.
    """
    from pycocotools.mask import encode

    numbers = {category["name"]: category["id"] for category in annotations.dataset["categories"]}
    results: list[dict[str, Any]] = []
    found: list[list[Selection]] = []
    seconds: list[float] = []
    for place, key in enumerate(keys):
        image = _photo(annotations, key)
        started = time.perf_counter()
        encoding = segmenter.encode(image)
        seconds.append(time.perf_counter() - started)
        found.append(segmenter.instances(encoding))
        for one in found[-1]:
            if one.label in numbers:
                lengths = encode(np.asfortranarray(one.mask, np.uint8))
                entry = {"image_id": key, "category_id": numbers[one.label], "score": one.score}
                results.append({**entry, "segmentation": lengths})
        print(f"\r{place + 1}/{len(keys)} photos", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results, found, seconds


def precision(annotations: Any, results: Sequence[Mapping[str, Any]], keys: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Class -> objects, ap (mean over IoU 0.5 to 0.95) and ap_50 of masks; None where a class has no object here.

    annotations: pycocotools' COCO. results: as measure gives them. keys: of the photos that count.
    """
    from pycocotools.cocoeval import COCOeval

    counts = dict.fromkeys(annotations.cats, 0)
    for annotation in annotations.loadAnns(annotations.getAnnIds(imgIds=list(keys), iscrowd=False)):
        counts[annotation["category_id"]] += 1
    table: np.ndarray | None = None
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        if results:
            # Copies: loadRes writes into what it is given, and then refuses it.
            evaluation = COCOeval(annotations, annotations.loadRes([dict(one) for one in results]), "segm")
            evaluation.params.imgIds = list(keys)
            evaluation.evaluate()
            evaluation.accumulate()
            # (IoU thresholds, recall, classes, sizes of objects, objects a photo): all sizes, the most objects
            table = evaluation.eval["precision"][:, :, :, 0, -1]
    rows: dict[str, dict[str, Any]] = {}
    for place, key in enumerate(sorted(counts)):
        values = np.zeros((10, 1)) if table is None else table[:, :, place]
        known = counts[key] > 0
        rows[annotations.cats[key]["name"]] = {
            "objects": counts[key],
            "ap": float(values.mean()) if known else None,
            "ap_50": float(values[0].mean()) if known else None,
        }
    return rows


def mean_of(rows: Mapping[str, Mapping[str, Any]], names: Sequence[str], column: str) -> float:
    """The mean of a column over those of the classes that have objects; NaN where none has."""
    values = [rows[name][column] for name in names if name in rows and rows[name]["objects"]]
    return float(np.mean(values)) if values else float("nan")


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows as Markdown, with their means."""
    lines = ["| class | objects | mask AP50 | mask AP (0.5 to 0.95) |", "|---|---|---|---|"]
    lines += [_line(name, row) for name, row in rows.items()]
    for text, names in {"mean of all": tuple(rows), f"mean of {', '.join(NAMED)}": NAMED}.items():
        means = {column: mean_of(rows, names, column) for column in ("ap", "ap_50")}
        lines.append(_line(text, {"objects": sum(rows[name]["objects"] for name in names if name in rows), **means}))
    return "\n".join(lines)


def _line(text: str, row: Mapping[str, Any]) -> str:
    shown = f"{row['ap_50']:.3f} | {row['ap']:.3f} |" if row["objects"] else "| |"
    return f"| {text} | {row['objects']} | {shown}"


def _people_by_set(annotations: Any, results: Any, keys: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Set -> people's row: in partly labelled sets wrong answers beside the people do not count."""
    sets: dict[str, list[int]] = {}
    for key in keys:
        sets.setdefault(str(annotations.imgs[key].get("name", "")).partition("/")[0], []).append(key)
    rows = {name: precision(annotations, results, some).get("person") for name, some in sets.items()}
    return {name: row for name, row in rows.items() if row and row["objects"]}


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Measures, prints and writes. Returns what figures.json holds. Raises ValueError for options that cannot work."""
    from pycocotools.coco import COCO

    out = Path(options.out)
    file = Path(options.annotations) if options.annotations else _converted(options, out)
    with contextlib.redirect_stdout(io.StringIO()):
        annotations = COCO(str(file))
    keys = sorted(annotations.imgs)[: options.photos or None]
    segmenter = load_segmenter(options.segmenter, score_threshold=LOWEST_SCORE)
    if not isinstance(segmenter, InstanceSegmenter):
        raise ValueError(f"{options.segmenter} knows no classes: give mask_rcnn:FILE.npz")
    results, found, seconds = measure(segmenter, annotations, keys)
    rows = precision(annotations, results, keys)
    people = _people_by_set(annotations, results, keys)
    text = "\n".join([table(rows), *(_line(f"person, in {name}", row) for name, row in people.items())])
    print(text)
    print(f"an encode took {np.median(seconds):.2f} s in the median of {len(keys)} photos")
    content = {
        "command": _command(options),
        "table": text,
        "photos": len(keys),
        "classes": rows,
        "people": people,
        "encode_s": float(np.median(seconds)),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    # Spread over the photos, which are in the order of their sets.
    places = np.unique(np.linspace(0, len(keys) - 1, min(options.sheet_photos, len(keys))).round().astype(int))
    sure = [[one for one in selections if one.score >= SHOWN_SCORE] for selections in found]
    if len(places):
        photos = [(_photo(annotations, keys[place]), sure[place]) for place in places]
        PillowImage.fromarray(instance_sheet(photos)).save(out / "sheet.png")
    return content


def _photo(annotations: Any, key: int) -> Image:
    return read_photo(Path(annotations.imgs[key]["file_name"]))


def _converted(options: argparse.Namespace, out: Path) -> Path:
    """The held-out photos' annotations, made now."""
    given = {"data": tuple(options.data), "manifest": options.manifest or "", "out": options.out}
    given["validation_fraction"] = options.validation_fraction
    recipe = with_values(MaskRCNNRecipe(), given)
    recipe.check()
    convert(recipe, out)
    return out / VALIDATION_FILE


def _command(options: argparse.Namespace) -> str:
    """The command, with names of files and folders in place of their paths."""
    kind, _, file = options.segmenter.partition(":")
    words = ["python -m train_segment.mask_rcnn.evaluate --segmenter", f"{kind}:{Path(file).name}" if file else kind]
    if options.annotations:
        words += ["--annotations", f"RUN/{Path(options.annotations).name}"]
    else:
        words += [
            "--data",
            *(Path(path).name for path in options.data),
            "--manifest",
            Path(options.manifest or "").name,
        ]
        words += ["--validation-fraction", f"{options.validation_fraction:g}"]
    return " ".join([*words, *(["--photos", str(options.photos)] if options.photos else [])])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m train_segment.mask_rcnn.evaluate", description=__doc__)
    parser.add_argument("--segmenter", required=True, metavar="NAME", help="mask_rcnn:RUN/best.npz, say")
    parser.add_argument("--annotations", metavar="FILE", help="COCO JSON, such as a run's validation.json; or --data")
    parser.add_argument("--data", nargs="*", default=[], metavar="PATH", help="as the run's")
    parser.add_argument("--manifest", metavar="FILE", help="a CSV with the classes of the objects")
    parser.add_argument("--validation-fraction", type=float, default=0.05, help="as in the run")
    parser.add_argument("--photos", type=int, default=0, metavar="N", help="the first so many; 0: all")
    parser.add_argument("--sheet-photos", type=int, default=40, metavar="N", help="photos on the sheet (40)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where figures.json and sheet.png are written")
    options = parser.parse_args(arguments)
    from weights import WeightsError

    try:
        evaluate(options)
    except (ValueError, OSError, ImportError, WeightsError) as error:
        print(f"train_segment.mask_rcnn.evaluate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
