"""`python -m benchmarks.click`: what reading a photo and answering a click cost, segmenter by segmenter.

Each segmenter runs in a process of its own, one after the other, on the same photos; ratios are to the first named.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import measure as measuring

PHOTO_HW = ((480, 640), (1200, 1600), (3000, 4000))
CLICKS = 8  # a photo, of which the first is the warm-up


def measure(name: str) -> dict[str, object]:
    """Seconds of encode and select (medians after the first click) by photo size, and the process's peak MiB."""
    import resource

    import cv2
    import numpy as np
    from skimage import data

    from segment import Click, NoObjectError, load_segmenter

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    segmenter = load_segmenter(name)
    seconds: dict[str, object] = {"load_s": time.perf_counter() - started}
    rng = np.random.default_rng(0)
    for height, width in PHOTO_HW:
        photo = np.asarray(cv2.resize(data.astronaut(), (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        segmenter.encode(photo)
        started = time.perf_counter()
        encoding = segmenter.encode(photo)
        encode_s = time.perf_counter() - started
        taken = []
        for _ in range(CLICKS):
            click = Click(int(width * rng.uniform(0.35, 0.55)), int(height * rng.uniform(0.15, 0.7)))
            started = time.perf_counter()
            try:
                segmenter.select(encoding, [click])
            except NoObjectError:
                continue
            taken.append(time.perf_counter() - started)
        seconds[f"{width}x{height}"] = {"encode_s": encode_s, "select_s": statistics.median(taken[1:])}
    seconds["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds["imports_mib"] = before
    return seconds


def usual_segmenters() -> list[str]:
    """Those that need no download."""
    from segment.click_net import bundled

    return ["clicknet", "grabcut"] if bundled() else ["grabcut"]


def table(results: dict[str, dict[str, object]]) -> str:
    """A Markdown table."""
    sizes = [f"{width}x{height}" for height, width in PHOTO_HW]
    heads = [f"{size}: encode, select (ms)" for size in sizes]
    lines = ["| segmenter | " + " | ".join(heads) + " | select, ratio at the first size | peak MiB |"]
    lines.append("|---" * (3 + len(sizes)) + "|")
    first: float | None = None
    for name, result in results.items():
        cells = []
        for size in sizes:
            taken = result[size]
            assert isinstance(taken, dict)
            cells.append(f"{1000 * taken['encode_s']:.0f}, {1000 * taken['select_s']:.0f}")
        small = result[sizes[0]]
        assert isinstance(small, dict)
        first = first or small["select_s"]
        cells += [f"{small['select_s'] / first:.2f}", f"{result['peak_mib']:.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.click", description=__doc__)
    parser.add_argument("--segmenters", metavar="NAMES", help="separated by commas")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where click.md goes")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)  # this process measures one and prints JSON
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.one)))
        return 0
    results = {}
    for name in options.segmenters.split(",") if options.segmenters else usual_segmenters():
        command = [sys.executable, "-m", "benchmarks.click", "--one", name]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
        if done.returncode:
            print(f"click: {name}: {(done.stderr.splitlines() or ['failed'])[-1]}", file=sys.stderr)
            return 1
        results[name] = json.loads(done.stdout.splitlines()[-1])
    measuring.write_report(options.out, "click", table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
