"""`python -m train_segment.evaluate`: one table of how well segmenters answer clicks on objects kept out of training.

Clicks are simulated: the first at the deepest point of the object, each next one at the deepest point of the largest
error. Whole photos, one object each, the same for every segmenter. Writes figures.json and sheet.png into --out.
Which photos were kept out is told from their paths below --data: give the folders that training was given.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from segment import Image, load_segmenter
from segment.metrics import CLICK_LIMIT
from train_segment.data import Sample
from train_segment.held_out import add_arguments, command_words, open_held_out, plain_name, plain_names, segmenter_names
from train_segment.measure import SHOWN_CLICKS, Measured, cases, measure, summarise
from train_segment.sheet import panel, sheet

# Column -> its heading and how it is printed.
COLUMNS = {
    "objects": ("objects", "d"),
    "iou_1": ("1 click: mean IoU", ".1%"),
    "median_1": ("median IoU", ".1%"),
    "recall_1": ("IoU@0.7", ".1%"),
    "iou_3": ("3 clicks: mean IoU", ".1%"),
    "median_3": ("median IoU", ".1%"),
    "recall_3": ("IoU@0.7", ".1%"),
    "clicks_85": ("clicks to 85 % ({limit} at most)", ".2f"),
    "never_85": ("never 85 %", ".1%"),
    "encode_s": ("encode s", ".3f"),
    "select_s": ("select s", ".3f"),
}
_PANELS_PER_ROW = 8


def table(rows: Mapping[str, Mapping[str, float]], *, limit: int = CLICK_LIMIT) -> str:
    """A Markdown table with a line for each segmenter. limit: clicks made on an object at most."""
    headings = [heading.format(limit=limit) for heading, _ in COLUMNS.values()]
    lines = ["| segmenter | " + " | ".join(headings) + " |"]
    lines.append("|---" * (1 + len(COLUMNS)) + "|")
    for name, row in rows.items():
        values = [format(row[column], how) for column, (_, how) in COLUMNS.items()]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def contact_sheet(samples: Sequence[Sample], results: Mapping[str, Sequence[Measured]], *, width_px: int) -> Image:
    """The object, then every segmenter's answers after 1 and 3 clicks, photo after photo."""
    blocks = []
    for place, sample in enumerate(samples):
        block = [panel(sample.image, width_px=width_px, truth=sample.mask, text=sample.label or "")]
        for measured in results.values():
            one = measured[place]
            block += [
                panel(
                    sample.image,
                    width_px=width_px,
                    truth=sample.mask,
                    answer=mask,
                    clicks=one.clicks[:number],
                    text=f"{one.ious[number - 1]:.2f}",
                )
                for number, mask in zip(SHOWN_CLICKS, one.masks, strict=True)
            ]
        blocks.append(block)
    captions = ["object", *(f"{name}, {n} click{'s' * (n > 1)}" for name in results for n in SHOWN_CLICKS)]
    return sheet(blocks, captions, blocks_per_row=max(1, _PANELS_PER_ROW // len(captions)))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m train_segment.evaluate", description=__doc__)
    add_arguments(parser)
    parser.add_argument(
        "--segmenters", default="grabcut", metavar="NAMES", help="separated by commas (default: grabcut)"
    )
    parser.add_argument("--photos", type=int, default=100, metavar="N", help="photos to click on (default: 100)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where figures.json and sheet.png are written")
    parser.add_argument("--min-share", type=float, default=0.005, help="smallest object, share of its photo (0.005)")
    parser.add_argument("--max-share", type=float, default=0.9, help="largest object, share of its photo (0.9)")
    parser.add_argument(
        "--max-clicks", type=int, default=CLICK_LIMIT, metavar="N", help="clicks an object at most (20)"
    )
    parser.add_argument("--sheet-photos", type=int, default=40, metavar="N", help="photos on the contact sheet (40)")
    parser.add_argument("--sheet-px", type=int, default=192, metavar="PX", help="width of a picture on the sheet (192)")
    return parser.parse_args(arguments)


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Measures, prints and writes. Returns what figures.json holds. Raises ValueError for options that cannot work."""
    names = segmenter_names(options.segmenters)
    if not names or options.photos < 1 or options.max_clicks < max(SHOWN_CLICKS):
        raise ValueError("--segmenters wants a name or more, --photos 1 or more, --max-clicks 3 or more")
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    labelled, numbers = open_held_out(options)
    chosen = cases(labelled, numbers, min_share=options.min_share, max_share=options.max_share)
    segmenters = {name: load_segmenter(name) for name in names}

    results: dict[str, list[Measured]] = {name: [] for name in names}
    shown: list[Sample] = []
    measured_on: list[dict[str, Any]] = []
    for place, sample in enumerate(islice(chosen, options.photos)):
        for name, segmenter in segmenters.items():
            results[name].append(measure(segmenter, sample, limit=options.max_clicks))
        measured_on.append({"name": sample.name, "label": sample.label, "share": float(sample.mask.mean())})
        if place < options.sheet_photos:
            shown.append(sample)
        print(f"\r{place + 1}/{min(options.photos, len(numbers))} photos", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if labelled.broken:
        print(f"{len(labelled.broken)} broken left out: {', '.join(sorted(labelled.broken))}", file=sys.stderr)
    if not measured_on:
        raise ValueError(f"none of {len(numbers)} photos has a readable object of that size")

    if len({plain_name(name) for name in names}) == len(names):  # else two files of one name would share a row
        results = {plain_name(name): measured for name, measured in results.items()}
    rows = {name: summarise(measured, limit=options.max_clicks) for name, measured in results.items()}
    print(table(rows, limit=options.max_clicks))
    content = {
        "command": _command(options),
        "limit": options.max_clicks,
        "means": rows,
        "objects": measured_on,
        "broken": labelled.broken,
        "figures": {name: [_figures(one) for one in measured] for name, measured in results.items()},
    }
    (out / "figures.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if shown:
        PillowImage.fromarray(contact_sheet(shown, results, width_px=options.sheet_px)).save(out / "sheet.png")
    return content


def _figures(one: Measured) -> dict[str, Any]:
    return {
        "ious": one.ious,
        "clicks": [asdict(click) for click in one.clicks],
        "score": one.score,
        "encode_s": one.encode_s,
        "select_s": one.select_s,
    }


def _command(options: argparse.Namespace) -> str:
    words = [*command_words(options), "--segmenters", shlex.quote(",".join(plain_names(options.segmenters)))]
    words += ["--photos", str(options.photos), "--min-share", f"{options.min_share:g}"]
    words += ["--max-share", f"{options.max_share:g}", "--max-clicks", str(options.max_clicks)]
    return "python -m train_segment.evaluate " + " ".join(words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    options = parse(arguments)
    from weights import WeightsError

    try:
        evaluate(options)
    except (ValueError, OSError, ImportError, WeightsError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
