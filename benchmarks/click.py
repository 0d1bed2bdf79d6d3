"""`python -m benchmarks.click`: what reading a photo and answering a click cost, segmenter by segmenter.

Each segmenter runs in a process of its own, one after the other. "first click" is reading the photo and answering;
"next click" is one click elsewhere in it; "second on the object" is a click added to the one before. The photo comes
with scikit-image; for "mask_rcnn-tiny", the net in tests/data that knows drawn shapes, it is drawn. Medians, for one
waits for the click that one makes and not for the fastest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure

PHOTO_WH = ((640, 480), (1600, 1200), (4000, 3000))
CLICKS = 7  # a photo, of which the first two are the warm-up
TINY = "mask_rcnn-tiny"
TINY_MODEL = Path(__file__).parent.parent / "tests" / "data" / "tiny_mask_rcnn.py"
GOALS_MS = {"clicknet": 150, "mask_rcnn": 10, TINY: 10}
PACKAGES = ("keras", "tensorflow", "torch", "opencv-python", "numpy")


def load(name: str) -> Any:
    from segment import load_segmenter

    return load_segmenter("mask_rcnn", model=TINY_MODEL, device="cpu") if name == TINY else load_segmenter(name)


def photo_and_places(name: str, size_wh: tuple[int, int], count: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """A photo of that size, (H, W, 3) uint8, and where to click in it: on the person, or on the shapes in turn."""
    import cv2

    if name == TINY:
        from segment.mask_ops import deepest_point
        from tools.shapes import draw_scene

        scene = draw_scene(7, 640, 6)
        picture, points = scene.image, [deepest_point(mask) for mask in scene.masks]
        relative = [(x / 640, y / 640) for x, y in points]
    else:
        from skimage import data

        picture = data.astronaut()
        rng = np.random.default_rng(0)
        relative = [(rng.uniform(0.35, 0.55), rng.uniform(0.15, 0.7)) for _ in range(count)]
    photo = np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_CUBIC), np.uint8)
    places = [(int(x * size_wh[0]), int(y * size_wh[1])) for x, y in relative]
    return photo, [places[number % len(places)] for number in range(count)]


def run_one(name: str, sizes_wh: Sequence[tuple[int, int]], clicks: int) -> dict[str, Any]:
    """Seconds and CPU seconds by photo size, and the process's peak MiB above what it held before the photos."""
    from segment import Click, NoObjectError

    started = time.perf_counter()
    segmenter = load(name)
    result: dict[str, Any] = {"load_s": time.perf_counter() - started, "sizes": {}}
    loaded = measure.resident_bytes()
    with measure.PeakMemory(above=loaded) as peak:
        for size_wh in sizes_wh:
            photo, places = photo_and_places(name, size_wh, clicks)
            segmenter.encode(photo)
            encoding, encode = _timed(segmenter.encode, photo)
            once, twice = [], []
            for x, y in places:
                try:
                    first = Click(x, y)
                    once.append(_timed(segmenter.select, encoding, [first])[1])
                    both = [first, Click(min(x + size_wh[0] // 50, size_wh[0] - 1), y)]
                    twice.append(_timed(segmenter.select, encoding, both)[1])
                except NoObjectError:
                    continue
            if not twice:
                raise RuntimeError(f"{name} found nothing under any click")
            usual = [_median(taken[2:] or taken) for taken in (once, twice)]
            result["sizes"]["x".join(map(str, size_wh))] = {"encode": encode, "next": usual[0], "second": usual[1]}
    result["mib"] = None if peak.bytes is None else peak.bytes / 2**20
    return result


def _timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, tuple[float, float]]:
    """What the call gives, and its seconds and CPU seconds."""
    started, cpu_started = time.perf_counter(), time.process_time()
    found = call(*arguments)
    return found, (time.perf_counter() - started, time.process_time() - cpu_started)


def _median(taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(one[0] for one in taken), statistics.median(one[1] for one in taken)


def usual_segmenters() -> list[str]:
    """Those that need no download and are installed."""
    from segment import click_net, small_mask_rcnn

    names = ["clicknet"] if click_net.bundled() else []
    names.append("grabcut")
    if not measure.not_installed("mmdet", "mmcv", "torch"):
        names += [TINY, *(["mask_rcnn:small"] if small_mask_rcnn.bundled() else [])]
    return names


def rows(results: dict[str, dict[str, Any]]) -> list[list[str]]:
    lines = []
    for name, result in results.items():
        for size, at in result["sizes"].items():
            encode, following, second = (at[key] for key in ("encode", "next", "second"))
            first = [a + b for a, b in zip(encode, following, strict=True)]
            cells = [f"{1000 * one[0]:.0f} ({1000 * one[1]:.0f})" for one in (first, following, second)]
            memory = "-" if result["mib"] is None else f"{result['mib']:.0f}"
            lines.append([name, size, *cells, f"{result['load_s']:.1f}", memory])
    return lines


def verdict(results: dict[str, dict[str, Any]]) -> str:
    """What became of the goals, a line for each segmenter that has one."""
    lines = []
    for name, result in results.items():
        goal = GOALS_MS.get(name) or GOALS_MS.get(name.partition(":")[0])
        if goal is None:
            continue
        slowest = max(1000 * at["next"][0] for at in result["sizes"].values())
        each = ", ".join(f"{1000 * at['next'][0]:.0f}" for at in result["sizes"].values())
        reached = "reached" if slowest <= goal else "not reached"
        lines.append(f"- {name}: next click {each} ms by the clock (goal {goal}): {reached}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.click", description=__doc__)
    parser.add_argument("--segmenters", metavar="NAMES", help=f"separated by commas; {TINY} is the net in tests/data")
    sizes = ",".join(f"{width}x{height}" for width, height in PHOTO_WH)
    parser.add_argument("--sizes", default=sizes, metavar="WxH", help="of photos (default: %(default)s)")
    parser.add_argument("--clicks", type=int, default=CLICKS, metavar="N", help="in a photo (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where click.md and click.png go")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)  # this process measures one and prints JSON
    options = parser.parse_args(arguments)
    if options.one:
        sizes_wh = [measure.parsed_size(text) for text in options.sizes.split(",")]
        print(json.dumps(run_one(options.one, sizes_wh, options.clicks)))
        return 0
    passed = [f"--sizes={options.sizes}", f"--clicks={options.clicks}"]
    names = options.segmenters.split(",") if options.segmenters else usual_segmenters()
    try:
        results = {name: measure.in_own_process("benchmarks.click", [*passed, f"--one={name}"]) for name in names}
    except RuntimeError as error:
        return measure.fail("click", str(error))
    heads = [
        "segmenter",
        "photo",
        "first click, ms",
        "next click, ms",
        "second on the object, ms",
        "load, s",
        "peak MiB",
    ]
    text = "\n\n".join(
        [
            measure.described(measure.command_line("benchmarks.click", arguments), PACKAGES),
            measure.markdown(heads, rows(results)),
            "Milliseconds on the clock (CPU milliseconds); peak memory above the loaded model, photos included.",
            verdict(results),
        ]
    )
    measure.write_report(options.out, "click", text)
    if options.out:
        curves = {
            name: {
                float(np.prod(measure.parsed_size(size))) / 1e6: 1000 * at["next"][0]
                for size, at in result["sizes"].items()
            }
            for name, result in results.items()
        }
        measure.plot(options.out, "click", curves, x="megapixels", y="ms", title="The next click")
    return 0


if __name__ == "__main__":
    sys.exit(main())
