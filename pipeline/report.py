"""What a run says: a line for each photo or JSON for machines, a bar while it works, a table at the end."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipeline.atomic import write_bytes
from pipeline.job import Outcome
from pipeline.remote import Place
from pipeline.text import shown

REPORT_FILE = "report.csv"
COLUMNS = ("file", "status", "seconds", "area", "score", "error", "output", "label")
# tqdm's own format turns to seconds a photo below one a second; what is asked for is the rate.
_BAR = "{desc}{percentage:3.0f}% |{bar}| {n_fmt} of {total_fmt}, {rate_noinv_fmt}, {remaining} left"


class Reporter:
    """Says what becomes of the photos of one run, while it runs and at its end."""

    def __init__(self, command: str, total: int, *, quiet: bool, json_lines: bool, debug: bool):
        """command: "erase", ... total: of photos. quiet: errors alone. json_lines: JSON on stdout, no other lines."""
        from tqdm import tqdm

        self._command, self._quiet, self._json_lines, self._debug = command, quiet, json_lines, debug
        self._many = total > 1
        # No bar where nobody looks at it: in a log it would be a line for each photo.
        shown = self._many and not quiet
        self._bar = tqdm(total=total, unit=" photos", bar_format=_BAR, disable=None if shown else True, leave=False)
        self._start = time.perf_counter()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def earlier(self, number: int) -> None:
        """So many photos were done by an earlier run."""
        self._bar.update(number)
        self._bar.start_t = time.time()  # their time is not this run's
        self._bar.initial = self._bar.n

    def tell(self, outcome: Outcome) -> None:
        """What became of one photo."""
        if outcome.trace and self._debug:
            self._bar.write(outcome.trace, file=sys.stderr)
        if self._json_lines:
            self._bar.write(json.dumps(as_json(outcome)), file=sys.stdout)
        elif outcome.error:
            self._bar.write(f"clickaway {self._command}: {shown(outcome.error)}", file=sys.stderr)
        elif not self._quiet:
            for note in outcome.notes:
                self._bar.write(shown(f"{outcome.source}: note: {note}"), file=sys.stderr)
            self._bar.write(shown(said(outcome)), file=sys.stdout)
        sys.stdout.flush()  # whoever reads it as it comes is not kept waiting
        self._bar.update()

    def summary(self, outcomes: Sequence[Outcome], *, earlier: int, report: Place | None) -> None:
        """The last line."""
        seconds = time.perf_counter() - self._start
        counts = Counter(outcome.status for outcome in outcomes)
        rate = (len(outcomes) - earlier - counts["skipped"]) / seconds
        if self._json_lines:
            numbers: dict[str, Any] = {name: counts[name] for name in ("done", "failed", "skipped")}
            numbers |= {"done_earlier": earlier, "seconds": round(seconds, 3), "photos_per_second": round(rate, 3)}
            print(json.dumps({"type": "summary", **numbers, "report": str(report) if report else None}), flush=True)
        elif (self._many or report is not None) and not self._quiet:
            self._bar.clear()
            skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
            before = f" ({earlier} of them by an earlier run)" if earlier else ""
            where = f"; see {shown(str(report))}" if report else ""
            print(
                f"{counts['done']} done{before}, {counts['failed']} failed{skipped} "
                f"in {seconds:.1f} s, {rate:.2g} photos a second{where}"
            )


def said(outcome: Outcome) -> str:
    """One line for a person."""
    if outcome.skipped:
        return f"{outcome.source}: left out: {outcome.skipped}"
    written = outcome.target if outcome.files else outcome.source  # a dry run writes nothing
    return f"{written}: {described(outcome)}, {outcome.seconds:.1f} s"


def described(outcome: Outcome) -> str:
    """What was selected: "dog 0.83, 7.0% of the photo"."""
    score = f" {outcome.score:.2f}" if outcome.score is not None and outcome.label else ""
    share = f", {outcome.share:.1%} of the photo" if outcome.share is not None else ""
    return f"{outcome.label or 'selection'}{score}{share}"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """One line for a machine."""
    return {
        "type": "photo",
        "file": str(outcome.source),
        "status": outcome.status,
        "seconds": round(outcome.seconds, 3),
        "area": outcome.area_px,
        "share": outcome.share,
        "score": outcome.score,
        "label": outcome.label,
        "error": outcome.error or outcome.skipped,
        "notes": outcome.notes,
        "output": str(outcome.target) if outcome.files else None,
    }


def check_report(out: Place) -> None:
    """Raises FileExistsError if a report.csv is there that is not one of these."""
    path = out / REPORT_FILE
    if path.exists() and not path.read_bytes().startswith(",".join(COLUMNS).encode()):
        raise FileExistsError(f"{path} is there and is no report of Clickaway: give another --out folder")


def write_report(outcomes: Sequence[Outcome], out: Place) -> Place:
    """The table of all photos, whole or not at all. Returns its file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for outcome in outcomes:
        values = as_json(outcome)
        writer.writerow("" if values[name] is None else values[name] for name in COLUMNS)
    path = out / REPORT_FILE
    write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"), overwrite=True)
    return path
