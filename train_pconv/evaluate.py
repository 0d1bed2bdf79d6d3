"""`python -m train_pconv.evaluate`: how well inpainters fill, side by side on the same photos and holes.

Prints a table per bucket of hole areas and writes it as JSON, with a contact sheet. Any inpainter's name works
("telea", "pconv:RUN/best.npz"), and "biharmonic" is scikit-image's.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from inpaint import load_inpainter
from inpaint.base import Image, Inpainter, Mask
from inpaint.hole_crop import fill_by_crops
from inpaint.metrics import l1, psnr, ssim, texture_ratio
from train_pconv.config import LABEL_IMAGES
from train_pconv.data import middle_square
from train_pconv.holes import HoleMix, buckets_between
from train_pconv.panel import captioned, fit_width, grid, masked, write_png
from train_pconv.photos import BrokenPhotoError, Photos, choose, open_photos
from train_pconv.shapes import Blobs, ObjectShapes
from training.checkpoint import write_whole
from training.split import hash_share

DEFAULT = "telea,navier_stokes,biharmonic"
# Column -> how to measure it from (filled, truth, hole), and how to print it.
MEASURES: dict[str, Any] = {
    "l1_percent": lambda filled, truth, hole: 100 * l1(filled, truth),
    "psnr": lambda filled, truth, hole: psnr(filled, truth),
    "ssim": lambda filled, truth, hole: ssim(filled, truth),
    "l1_hole_percent": lambda filled, truth, hole: 100 * l1(filled, truth, hole),
    "psnr_hole": psnr,
    "ssim_hole": ssim,
    "texture": texture_ratio,
}
_FORMATS = {"l1_percent": ".2f", "psnr": ".2f", "ssim": ".4f", "l1_hole_percent": ".2f", "psnr_hole": ".2f"}
_FORMATS |= {"ssim_hole": ".4f", "texture": ".2f", "seconds": ".2f"}
_HIGHEST_DB = 100.0  # a fill without any error has an infinite PSNR, which no mean survives


@dataclass(frozen=True)
class Case:
    """One photo with its hole, the same for every inpainter."""

    name: str
    truth: Image
    hole: Mask
    kind: str  # "objects" or "strokes"
    enlarged: bool  # the photo is smaller than the size asked for: blurred, so easier than it should be


class Biharmonic:
    """scikit-image's biharmonic filling (Damelin and Hoang 2018), to compare with."""

    def inpaint(self, image: Image, hole: Mask) -> Image:
        """As inpaint.base.Inpainter."""
        from skimage.restoration import inpaint_biharmonic

        filled = np.rint(np.clip(inpaint_biharmonic(image, hole, channel_axis=2), 0, 1) * 255).astype(np.uint8)
        return np.where(hole[..., None], filled, image)


def open_inpainter(name: str) -> Inpainter:
    """The inpainter of that name. Raises ValueError or weights.WeightsError as load_inpainter does."""
    return Biharmonic() if name == "biharmonic" else load_inpainter(name)


def make_cases(
    photos: Photos,
    numbers: Sequence[int],
    mixes: Mapping[str, HoleMix],
    *,
    size_px: int,
    count: int,
    area: tuple[float, float],
) -> list[Case]:
    """The middles of the first `count` readable photos in the order of their hashes; kinds and buckets take turns.

    Photos that are large enough come first.
    """
    ordered = sorted(numbers, key=lambda number: hash_share(photos.names[number], "evaluation order"))
    large: list[tuple[str, Image]] = []
    small: list[tuple[str, Image]] = []
    for number in ordered:
        if len(large) == count:
            break
        try:
            photo = photos.get(number)
        except BrokenPhotoError:
            continue
        (large if min(photo.shape[:2]) >= size_px else small).append((photos.names[number], photo))
        small = small[:count]
    cases = []
    buckets = buckets_between(*area)
    for place, (name, photo) in enumerate((large + small)[:count]):
        kind = list(mixes)[place % len(mixes)]
        bucket = buckets[place // len(mixes) % len(buckets)]
        rng: Generator = np.random.default_rng([place, size_px])
        hole = mixes[kind].draw(rng, (size_px, size_px), bucket)
        cases.append(Case(name, middle_square(photo, size_px), hole, kind, min(photo.shape[:2]) < size_px))
    return cases


def measure(inpainter: Inpainter, case: Case) -> tuple[Image, dict[str, float]]:
    """The photo as erase would fill it, in crops of the size that the inpainter likes, and the figures."""
    started = time.perf_counter()
    filled = fill_by_crops(inpainter, case.truth, case.hole)
    seconds = time.perf_counter() - started
    figures = {name: float(how(filled, case.truth, case.hole)) for name, how in MEASURES.items()}
    figures = {name: min(value, _HIGHEST_DB) if "psnr" in name else value for name, value in figures.items()}
    return filled, figures | {"seconds": seconds, "area": float(case.hole.mean())}


def summarise(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over photos, and texture's median; a figure that is no number (texture of a flat patch) is left out."""
    names = (*MEASURES, "seconds")
    columns = {name: np.array([photo[name] for photo in figures]) for name in names}
    means = {name: float(np.nanmean(column)) for name, column in columns.items() if np.isfinite(column).any()}
    if np.isfinite(columns["texture"]).any():
        means["texture_median"] = float(np.nanmedian(columns["texture"]))
    return {"photos": len(figures), **means}


def tables(results: Mapping[str, Sequence[Mapping[str, float]]], area: tuple[float, float]) -> dict[str, Any]:
    """Inpainter -> bucket -> means; the bucket "all" holds every photo. results: inpainter -> figures a photo."""
    rows: dict[str, Any] = {}
    for low, high in (*buckets_between(*area), area):
        bucket = "all" if (low, high) == area else f"{low:g}-{high:g}"
        for name, figures in results.items():
            if chosen := [f for f in figures if bucket == "all" or low <= f["area"] < high]:
                rows.setdefault(name, {})[bucket] = summarise(chosen)
    return rows


def print_table(rows: Mapping[str, Any], *, size_px: int, note: str) -> None:
    """A Markdown table, a line a bucket and inpainter."""
    print(f"\n### {size_px} px, {note}\n")
    print("| hole | inpainter | photos | " + " | ".join(_FORMATS) + " |")
    print("|---" * (3 + len(_FORMATS)) + "|")
    for bucket in dict.fromkeys(bucket for buckets in rows.values() for bucket in buckets):
        for name, buckets in rows.items():
            if bucket in buckets:
                means = buckets[bucket]
                values = (format(means.get(column, math.nan), how) for column, how in _FORMATS.items())
                print(f"| {bucket} | {name} | {means['photos']} | " + " | ".join(values) + " |")


def contact_sheet(cases: Sequence[Case], fills: Mapping[str, Sequence[Image]], *, side_px: int) -> Image:
    """Masked, every inpainter's fill, and the truth: two photos a row, with captions."""
    rows, columns = [], ["hole", *fills, "truth"]
    blocks = [
        [masked(case.truth, case.hole), *(filled[place] for filled in fills.values()), case.truth]
        for place, case in enumerate(cases)
    ]
    for place in range(0, len(blocks), 2):
        rows.append([fit_width(picture, side_px) for block in blocks[place : place + 2] for picture in block])
    return captioned(grid(rows), columns * 2, column_px=side_px)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m train_pconv.evaluate", description=__doc__)
    parser.add_argument("--images", nargs="+", required=True, metavar="PATH", help="folders of photos, or TFRecords")
    parser.add_argument(
        "--exclude", nargs="*", default=[*LABEL_IMAGES], metavar="PATTERN", help="relative paths to skip"
    )
    parser.add_argument("--shapes", nargs="*", default=[], metavar="PATH", help="label PNGs or COCO files for holes")
    parser.add_argument("--inpainters", default=DEFAULT, help=f"names, separated by commas (default: {DEFAULT})")
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512], metavar="PX")
    parser.add_argument("--photos", type=int, default=100, metavar="N", help="photos a size (default: 100)")
    parser.add_argument("--area", nargs=2, type=float, default=[0.05, 0.3], metavar=("LOW", "HIGH"))
    parser.add_argument("--kinds", nargs="+", default=["objects", "strokes"], choices=["objects", "strokes", "boxes"])
    parser.add_argument("--validation-fraction", type=float, default=0.05, help="as in the run: only those photos")
    parser.add_argument("--all", action="store_true", help="every photo, for folders that no run has seen")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, of every photo too")
    parser.add_argument("--sheet", metavar="FILE", help="write a contact sheet of the first size there (PNG)")
    parser.add_argument("--sheet-photos", type=int, default=40, metavar="N")
    parser.add_argument("--sheet-px", type=int, default=192, metavar="PX", help="side of a picture on the sheet")
    return parser.parse_args(arguments)


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Measures, prints and writes. Returns what is written as JSON. Raises ValueError for options that cannot work."""
    low, high = options.area
    if not 0 < low < high < 1 or options.photos < 1:
        raise ValueError("--area wants two shares with 0 < LOW < HIGH < 1, --photos 1 or more")
    if options.sheet and min(options.sheet_photos, options.sheet_px) < 1:
        raise ValueError("--sheet-photos and --sheet-px must be 1 or more: leave out --sheet for none")
    store = open_photos(options.images, options.exclude)
    numbers = list(range(len(store.names)))
    if not options.all:
        _, numbers = choose(store.names, fraction=1.0, validation_fraction=options.validation_fraction)
    names = [name.strip() for name in options.inpainters.split(",") if name.strip()]
    inpainters = {name: open_inpainter(name) for name in names}
    shapes = ObjectShapes(options.shapes) if options.shapes else Blobs()
    mixes = {kind: HoleMix({kind: 1.0}, shapes=shapes, at_border=0.5) for kind in options.kinds}
    photos = Photos(store)

    content: dict[str, Any] = {"command": _command(options), "sizes": {}}
    for size_px in options.sizes:
        cases = make_cases(photos, numbers, mixes, size_px=size_px, count=options.photos, area=(low, high))
        if not cases:
            raise ValueError("none of the photos can be read")
        results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        fills: dict[str, list[Image]] = {name: [] for name in names}
        for place, case in enumerate(cases):
            for name, inpainter in inpainters.items():
                filled, figures = measure(inpainter, case)
                results[name].append(figures)
                if place < options.sheet_photos:
                    fills[name].append(filled)
            print(f"\r{size_px} px: {place + 1}/{len(cases)}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        enlarged = sum(case.enlarged for case in cases)
        note = f"{len(cases)} photos, holes of {low:g} to {high:g}: {' and '.join(options.kinds)} by turns"
        note += f"; {enlarged} photos were smaller and enlarged" if enlarged else ""
        rows = tables(results, (low, high))
        print_table(rows, size_px=size_px, note=note)
        content["sizes"][str(size_px)] = {
            "note": note,
            "means": rows,
            "photos": [{"name": case.name, "kind": case.kind} for case in cases],
            "figures": results,
        }
        if options.sheet and size_px == options.sizes[0]:
            write_png(
                Path(options.sheet), contact_sheet(cases[: options.sheet_photos], fills, side_px=options.sheet_px)
            )
    if photos.broken:
        print(f"{len(photos.broken)} broken photos left out: {', '.join(sorted(photos.broken))}", file=sys.stderr)
    if shapes.broken:
        told = "; ".join(f"{name} ({why})" for name, why in sorted(shapes.broken.items()))
        print(f"{len(shapes.broken)} broken masks, drawn shapes in their place: {told}", file=sys.stderr)
    if options.json:
        text = json.dumps(content, indent=1).replace("NaN", "null")
        write_whole(Path(options.json), lambda file: file.write(text.encode()))
    return content


def _command(options: argparse.Namespace) -> str:
    # Names, not this machine's folders.
    inpainters = ",".join(re.sub(r":.*[/\\]", ":", name) for name in options.inpainters.split(","))
    given = [f"--inpainters {inpainters}", f"--sizes {' '.join(map(str, options.sizes))}"]
    given += [f"--photos {options.photos}", f"--area {options.area[0]:g} {options.area[1]:g}"]
    given += [f"--kinds {' '.join(options.kinds)}"]
    given += [f"--shapes {' '.join(shlex.quote(Path(path).name) for path in options.shapes)}"] if options.shapes else []
    given += ["--all"] if options.all else [f"--validation-fraction {options.validation_fraction:g}"]
    images = " ".join(shlex.quote(Path(path).name) for path in options.images)
    return f"python -m train_pconv.evaluate --images {images} {' '.join(given)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    options = parse(arguments)
    from weights import WeightsError

    try:
        evaluate(options)
    except (ValueError, OSError, WeightsError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
