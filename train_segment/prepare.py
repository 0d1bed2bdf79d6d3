"""`python -m train_segment.data extractnet --coco FILE --out DIR`: the photos that a report's rule keeps, with masks.

Writes DIR/images and DIR/masks (PNG labels: 1 subject, 255 unclear), which every recipe reads with --select all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from train_segment.data import BrokenSampleError, Labelled
from train_segment.sources import IGNORE, open_source
from train_segment.subjects import RULES, Subject, rule_named, subject_of, summary

# Sides of the squares that the reports train on; 0 keeps the photo's size.
SIDES = {"extractnet": 224, "greenscreen": 224, "pets": 128, "subject": 0}
_JPEG_QUALITY = 95


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        for line in prepare(options):
            print(line, flush=True)
    except (ValueError, OSError, ImportError) as error:
        print(f"train_segment.data: {error}", file=sys.stderr)
        return 1
    return 0


def prepare(options: argparse.Namespace) -> list[str]:
    """Reads, chooses and writes. Returns the lines to print. Raises ValueError where no photo is kept."""
    paths = [*options.coco, *options.data]
    if not paths:
        raise ValueError("no photos: give --coco FILE (instance annotations) or --data FOLDER (images and masks)")
    out = Path(options.out)
    if any((out / part).exists() for part in ("images", "masks")):
        raise ValueError(f"{out} holds images or masks already: give another --out, or delete it")
    manifest = Path(options.manifest) if options.manifest else None
    photos = Path(options.photo_folder) if options.photo_folder else None
    labelled = Labelled(
        [open_source(Path(path), exclude=options.exclude, manifest=manifest, photos=photos) for path in paths]
    )
    rule = rule_named(options.selection)
    side = SIDES[options.selection] if options.side is None else options.side
    kept, dropped, shares, used = 0, [], [], set[str]()
    for number, name in enumerate(labelled.names):
        try:
            subject = subject_of(labelled.get(number), rule, name)
        except BrokenSampleError:
            subject = "broken"
        if isinstance(subject, str):
            dropped.append(subject)
            continue
        stem = _stem(name)
        free = next(one for one in (stem, *(f"{stem}-{n}" for n in range(2, len(used) + 3))) if one not in used)
        used.add(free)
        _write(subject, out, free, side)
        kept += 1
        shares.append(float(subject.mask.mean()))
    lines = summary(kept, dropped)
    if not kept:
        raise ValueError("; ".join(line.strip() for line in lines) + ": is --manifest missing, or --exclude too wide?")
    lines.append(f"the subject covers {np.mean(shares):.0%} of a photo in the mean; written to {out}")
    return lines


def _write(subject: Subject, out: Path, stem: str, side: int) -> None:
    image, labels = subject.image, np.where(subject.ignore, IGNORE, subject.mask).astype(np.uint8)
    if side:
        image = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        labels = _resized(subject, side)
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(image).save(out / "images" / f"{stem}.jpg", quality=_JPEG_QUALITY, subsampling=0)
    PillowImage.fromarray(labels).save(out / "masks" / f"{stem}.png")


def _resized(subject: Subject, side: int) -> NDArray[np.uint8]:
    mask, ignore = (
        cv2.resize(part.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) >= 0.5
        for part in (subject.mask, subject.ignore)
    )
    return np.where(ignore & ~mask, IGNORE, mask).astype(np.uint8)


def _stem(name: str) -> str:
    """One file name for a path, whole paths too: voc2012/images/cat.jpg is voc2012-cat, /photos/cat.jpg photos-cat."""
    path = Path(name).with_suffix("")
    return "-".join(part for part in path.parts if part not in ("images", path.anchor))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train_segment.data", description=__doc__)
    parser.add_argument("selection", choices=[name for name in RULES if name != "all"], help="whose rule")
    parser.add_argument("--coco", nargs="*", default=[], metavar="FILE", help="COCO instance annotations")
    parser.add_argument("--data", nargs="*", default=[], metavar="PATH", help="folders of photos with masks")
    parser.add_argument("--manifest", metavar="FILE", help="a CSV with the classes of the objects in label folders")
    parser.add_argument("--photo-folder", metavar="FOLDER", help="where the photos of COCO files are")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="PATTERN", help="relative paths to leave out")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where images/ and masks/ are written")
    parser.add_argument(
        "--side", type=int, metavar="PX", help="of the squares written (224; pets 128); 0 keeps the photos' size"
    )
    return parser
