"""`python -m benchmarks.erase`: what pipeline.edit.erase costs, by the photo's size and the object's share of it.

Each inpainter runs in a process of its own, one after the other. "decode + encode" is the same photo as a JPEG, once
read and once written, which every edit of a file needs as well; "net pass" is one pass of the PConv net over a square
of the largest side that it is ever given. The goals: at 12 megapixels no more than twice these two together, and no
more memory above photo, mask and loaded model than eight photos.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure

MEGAPIXELS = (1, 4, 12, 24, 48)
SHARES = (2, 10)  # of the photo, percent: a disk
SHAPE = 4 / 3  # width by height
GOAL_MP, GOAL_RATIO, GOAL_PHOTOS = 12, 2, 8
PACKAGES = ("numpy", "opencv-python", "numba", "keras", "tensorflow")
JPEG, PASS = "decode + encode", "net pass"


def photo_of(megapixels: float) -> np.ndarray:
    """A photo of that many pixels, (H, W, 3) uint8: one that comes with scikit-image, enlarged, with grain."""
    import cv2
    from skimage import data

    height = round((megapixels * 1e6 / SHAPE) ** 0.5)
    size_wh = round(height * SHAPE), height
    large = cv2.resize(data.astronaut(), size_wh, interpolation=cv2.INTER_LINEAR)
    tile = np.random.default_rng(0).integers(0, 9, (512, 512, 1), np.uint8)
    grain = np.tile(tile, (-(-height // 512), -(-size_wh[0] // 512), 1))[:height, : size_wh[0]]
    return np.asarray(cv2.add(large, np.repeat(grain, 3, axis=2)), np.uint8)


def disk(image_hw: tuple[int, int], share: float) -> np.ndarray:
    """A disk in the photo's middle that covers that share of it, 0..1: (H, W) bool."""
    import cv2

    mask = np.zeros(image_hw, np.uint8)
    radius = math.sqrt(share * mask.size / math.pi)
    cv2.circle(mask, (image_hw[1] // 2, image_hw[0] // 2), round(radius), 1, cv2.FILLED)
    return mask.view(bool)


def load(name: str, folder: Path) -> Any:
    """The inpainter of that name. "pconv-random" is the published net with random weights: as slow as trained ones."""
    from inpaint import load_inpainter

    if name != "pconv-random":
        return load_inpainter(name)
    from benchmarks.pconv import write_random_net

    write_random_net(folder / "net.npz", levels=8, width=64)
    return load_inpainter(f"pconv:{folder / 'net.npz'}")


def usual_inpainters() -> list[str]:
    """What people use."""
    return ["auto", _net(), "telea"]


def _net() -> str:
    """The bundled net; where none is, the one with random weights, for "pconv" would be a download then."""
    from inpaint.bundled import bundled_inpainter

    return "pconv" if bundled_inpainter() else "pconv-random"


def run_one(name: str, megapixels: Sequence[float], shares: Sequence[float], budget_s: float) -> list[dict[str, Any]]:
    """For each photo and object: seconds, CPU seconds, and how far the memory rose above the photo and its mask."""
    if name == JPEG:
        return [_measured(_jpeg(photo_of(size)), budget_s, mp=size, share=0) for size in megapixels]
    from pipeline.edit import erase

    with tempfile.TemporaryDirectory() as folder:
        inpainter = load(_net() if name == PASS else name, Path(folder))
    # The first call ever makes graphs and loads compiled loops: that is benchmarks.start's.
    inpainter.inpaint(np.ascontiguousarray(photo_of(0.1)), disk(photo_of(0.1).shape[:2], 0.02))
    if name == PASS:
        side = inpainter.max_size_px
        square = np.ascontiguousarray(photo_of(2 * side * side / 1e6)[:side, :side])
        return [_measured(lambda: inpainter.inpaint(square, disk((side, side), 0.1)), budget_s, mp=0, share=0)]
    results = []
    for size in megapixels:
        photo = photo_of(size)
        for share in shares:
            mask = disk(photo.shape[:2], share / 100)

            def call(photo: Any = photo, mask: Any = mask) -> Any:
                return erase(photo, mask, inpainter)

            at = _measured(call, budget_s, mp=size, share=share)
            results.append({**at, "photo_mib": photo.nbytes / 2**20})
    return results


def _measured(call: Callable[[], Any], budget_s: float, **what: float) -> dict[str, Any]:
    started, cpu_started = time.perf_counter(), time.process_time()
    with measure.PeakMemory() as peak:
        call()  # the first of its kind, which may compile
    first = measure.Timing(time.perf_counter() - started, time.process_time() - cpu_started)
    again = measure.least(call, budget_s=budget_s) if first.seconds < 4 * budget_s else first
    mib = None if peak.bytes is None else peak.bytes / 2**20
    return {
        **what,
        "s": min(first.seconds, again.seconds),
        "cpu_s": min(first.cpu_seconds, again.cpu_seconds),
        "mib": mib,
    }


def _jpeg(photo: np.ndarray) -> Callable[[], Any]:
    import cv2

    encoded = cv2.imencode(".jpg", photo)[1]

    def call() -> None:
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        if decoded is None:
            raise RuntimeError("OpenCV cannot read the JPEG that it has written")
        cv2.imencode(".jpg", decoded)

    return call


def rows(results: dict[str, list[dict[str, Any]]], megapixels: Sequence[float]) -> list[list[str]]:
    """A row an inpainter and object: at each photo size seconds, CPU seconds, MiB, and these in photos."""
    lines = []
    for name, measured in results.items():
        for share in dict.fromkeys(at["share"] for at in measured if at["mp"]):
            by_size = {at["mp"]: at for at in measured if at["share"] == share}
            cells = [_cell(by_size[size]) for size in megapixels]
            lines.append([name, f"{share:g} %" if share else "-", *cells])
    return lines


def _cell(at: dict[str, Any]) -> str:
    has_memory = at["mib"] is not None and "photo_mib" in at
    memory = f", {at['mib']:.0f} MiB ({at['mib'] / at['photo_mib']:.1f})" if has_memory else ""
    return f"{at['s']:.2f} ({at['cpu_s']:.2f}){memory}"


def verdict(results: dict[str, list[dict[str, Any]]]) -> str:
    """What became of the goals, a line for each inpainter and object."""
    jpeg, one_pass = next((at for at in results[JPEG] if at["mp"] == GOAL_MP), None), results[PASS][0]
    lines = [f"- one {PASS}: {one_pass['s']:.2f} s ({one_pass['cpu_s']:.2f} CPU s)"]
    for name, measured in results.items():
        for at in measured:
            if at["mp"] != GOAL_MP or not at["share"] or jpeg is None:
                continue
            ratio, cpu_ratio = (at[key] / (jpeg[key] + one_pass[key]) for key in ("s", "cpu_s"))
            reached = "reached" if ratio <= GOAL_RATIO else "not reached"
            lines.append(
                f"- {name}, {at['share']:g} % of {GOAL_MP} MP: {ratio:.2f} times {JPEG} and one {PASS} by the clock, "
                f"{cpu_ratio:.2f} by CPU seconds (goal {GOAL_RATIO}): {reached}"
            )
    known = [(at["mib"] / at["photo_mib"], name, at) for name, m in results.items() for at in m if "photo_mib" in at]
    if known and all(at["mib"] is not None for _, _, at in known):
        most, name, at = max(known, key=lambda one: one[0])
        within = sum(photos <= GOAL_PHOTOS for photos, _, _ in known)
        lines.append(
            f"- memory: {within} of {len(known)} within the goal of {GOAL_PHOTOS} photos; most is {most:.1f} "
            f"({name}, {at['share']:g} % of {at['mp']:g} MP)"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.erase", description=__doc__)
    parser.add_argument("--inpainters", metavar="NAMES", help="as for --inpainter, or pconv-random")
    parser.add_argument("--megapixels", default=",".join(map(str, MEGAPIXELS)), metavar="MP")
    parser.add_argument("--shares", default=",".join(map(str, SHARES)), metavar="PERCENT", help="of the photo")
    parser.add_argument("--budget", type=float, default=2.0, metavar="S", help="seconds for a photo and a hole")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where erase.md and erase.png go")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)  # this process measures one and prints JSON
    options = parser.parse_args(arguments)
    megapixels = [float(size) for size in options.megapixels.split(",")]
    shares = [float(share) for share in options.shares.split(",")]
    if options.one:
        print(json.dumps(run_one(options.one, megapixels, shares, options.budget)))
        return 0
    passed = [f"--megapixels={options.megapixels}", f"--shares={options.shares}", f"--budget={options.budget}"]
    names = [JPEG, PASS, *(options.inpainters.split(",") if options.inpainters else usual_inpainters())]
    try:
        results = {name: measure.in_own_process("benchmarks.erase", [*passed, f"--one={name}"]) for name in names}
    except RuntimeError as error:
        return measure.fail("erase", str(error))
    heads = ["inpainter", "object", *(f"{size:g} MP" for size in megapixels)]
    text = "\n\n".join(
        [
            measure.described(measure.command_line("benchmarks.erase", arguments), PACKAGES),
            measure.markdown(heads, rows(results, megapixels)),
            "Seconds on the clock (CPU seconds), peak memory above photo, mask and loaded model (in photos).",
            verdict(results),
        ]
    )
    measure.write_report(options.out, "erase", text)
    if options.out:
        curves: dict[str, dict[float, float]] = {}
        for name, measured in results.items():
            for at in (one for one in measured if one["mp"]):
                label = name if name == JPEG else f"{name}, object of {at['share']:g} %"
                curves.setdefault(label, {})[at["mp"]] = at["s"]
        measure.plot(options.out, "erase", curves, x="megapixels", y="seconds", title="Erasing by photo and object")
    return 0


if __name__ == "__main__":
    sys.exit(main())
