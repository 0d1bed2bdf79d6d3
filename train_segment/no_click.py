"""`python -m train_segment.no_click --data ... --segmenters subject,otsu_watershed`: who finds the subject by itself.

One table of IoU on the photos that a report's rule keeps, of those kept out of training, at the photos' own size.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from segment import NoObjectError, load_segmenter
from segment.metrics import iou, iou_recall, mean_iou, median_iou
from train_segment.error_view import four_panels
from train_segment.held_out import (
    add_arguments,
    command_words,
    open_held_out,
    plain_name,
    plain_names,
    segmenter_names,
)
from train_segment.prominent import held_out_subjects
from train_segment.sheet import sheet
from train_segment.subjects import RULES, Subject, rule_named
from weights import WeightsError

# The reports' own figures, on their own data.
REPORTED = {
    "extractnet": "0.842 (ExtractNet, ResNet-50, COCO)",
    "greenscreen": "0.846 (greenScreen.AI, COCO)",
    "pets": "pixel accuracy 0.8788 (pets report, Oxford-IIIT Pet)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        compare(options)
    except (ValueError, OSError, ImportError, WeightsError) as error:
        print(f"train_segment.no_click: {error}", file=sys.stderr)
        return 1
    return 0


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measures, prints and writes. Returns what figures.json holds. Raises ValueError for options that cannot work."""
    labelled, numbers = open_held_out(options)
    truth = rule_named(options.truth) if options.truth else None
    subjects = held_out_subjects(labelled, numbers, rule_named(options.select), limit=options.photos, truth=truth)
    rows, answers = {}, {}
    for name in segmenter_names(options.segmenters):
        rows[name], answers[name] = measure(load_segmenter(name), subjects)
    for line in table(rows):
        print(line)
    if options.select in REPORTED and not options.truth:
        print(f"\nThe report's own figure, on its own data: {REPORTED[options.select]}.")
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    figures = {
        "select": options.select,
        "truth": options.truth or options.select,
        "photos": [subject.name for subject in subjects],
        "segmenters": rows,
    }
    figures |= {"table": "\n".join(table(rows)), "command": _command(options)}  # for the model card
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    best = max(rows, key=lambda name: rows[name]["iou"])
    blocks = [
        four_panels(subject.image, subject.mask, answer, subject.ignore, width_px=192)
        for subject, answer in list(zip(subjects, answers[best], strict=True))[: options.sheet_photos]
    ]
    if blocks:
        captions = ["photo", "truth", Path(best).name, "error"]
        PillowImage.fromarray(sheet(blocks, captions, blocks_per_row=2)).save(out / "sheet.png")
    return figures


def measure(segmenter: Any, subjects: Sequence[Subject]) -> tuple[dict[str, float], list[Any]]:
    """A row of the table, and the answers. A segmenter that finds nothing gave an empty mask."""
    ious, right, seconds, answers = [], [], [], []
    for subject in subjects:
        started = time.perf_counter()
        try:
            answer = segmenter.select(segmenter.encode(subject.image), ())[0].mask
        except NoObjectError:
            answer = np.zeros_like(subject.mask)
        seconds.append(time.perf_counter() - started)
        answers.append(answer)
        ious.append(iou(answer, subject.mask, subject.ignore))
        right.append(float((answer == subject.mask)[~subject.ignore].mean()))
    row = {"photos": len(ious), "iou": mean_iou(ious), "median": median_iou(ious), "iou_80": iou_recall(ious, 0.8)}
    return {**row, "accuracy": float(np.mean(right)), "seconds": float(np.median(seconds))}, answers


def table(rows: dict[str, dict[str, float]]) -> list[str]:
    """The rows as Markdown."""
    lines = ["| segmenter | photos | mean IoU | median | IoU >= 0.8 | pixel accuracy | s a photo |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        lines.append(
            f"| {plain_name(name)} | {row['photos']:.0f} | {row['iou']:.3f} | {row['median']:.3f} "
            f"| {row['iou_80']:.0%} | {row['accuracy']:.3f} | {row['seconds']:.2f} |"
        )
    return lines


def _command(options: argparse.Namespace) -> str:
    """The command, with names of files and folders in place of their paths."""
    words = ["--select", options.select, *(["--truth", options.truth] if options.truth else [])]
    words += ["--segmenters", ",".join(plain_names(options.segmenters)), "--photos", str(options.photos)]
    return " ".join(["python -m train_segment.no_click", *command_words(options), *words])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train_segment.no_click", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--select", default="extractnet", choices=list(RULES), help="whose rule (extractnet)")
    parser.add_argument(
        "--truth", choices=list(RULES), help="whose rule says what the subject of those photos is (that of --select)"
    )
    parser.add_argument("--segmenters", default="otsu_watershed", metavar="NAMES", help="separated by commas")
    parser.add_argument("--photos", type=int, default=200, metavar="N", help="at most (200)")
    parser.add_argument(
        "--sheet-photos", type=int, default=24, metavar="N", help="photos of the best on the sheet (24)"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where figures.json and sheet.png are written")
    return parser


if __name__ == "__main__":
    sys.exit(main())
