"""`python -m benchmarks.erase`: what pipeline.edit.erase costs, by the photo's size and the hole's.

The promise measured: the cost grows with the hole and not with the photo, except that a new photo must be written.
Each inpainter runs in a process of its own, one after the other. "encode + decode" is the same photo as a JPEG, once
written and once read, which every edit of a file needs as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure

MEGAPIXELS = (1, 3, 12, 40)
HOLE_PX = (60, 250, 600)  # diameters of a disk
SHAPE = 4 / 3  # width by height
GROW_PX = 8  # the same at every size: by default a hole grows a little with the photo
PACKAGES = ("numpy", "opencv-python", "numba", "keras", "tensorflow")
JPEG = "encode + decode"


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


def disk(image_hw: tuple[int, int], diameter_px: int) -> np.ndarray:
    """A disk in the photo's middle, (H, W) bool."""
    import cv2

    mask = np.zeros(image_hw, np.uint8)
    cv2.circle(mask, (image_hw[1] // 2, image_hw[0] // 2), diameter_px // 2, 1, cv2.FILLED)
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
    """The classical inpainters and the net's; without a bundled net, "auto" is patch_match and "pconv" a download."""
    from inpaint.auto import bundled_inpainter

    nets = ["pconv", "auto"] if bundled_inpainter() else ["pconv-random"]
    return ["telea", "navier_stokes", "patch_match", *nets]


def run_one(name: str, megapixels: Sequence[float], holes_px: Sequence[int], budget_s: float) -> list[dict[str, Any]]:
    """For each photo and hole: seconds, CPU seconds, and how far the memory rose above the photo and its mask."""
    from pipeline.edit import erase

    with tempfile.TemporaryDirectory() as folder:
        inpainter = None if name == JPEG else load(name, Path(folder))
    results = []
    for size in megapixels:
        photo = photo_of(size)
        for hole_px in (0,) if inpainter is None else holes_px:
            if hole_px > 0.8 * photo.shape[0]:
                continue
            if inpainter is None:
                call = _jpeg(photo)
            else:
                mask = disk(photo.shape[:2], hole_px)

                def call(photo: Any = photo, mask: Any = mask) -> Any:
                    return erase(photo, mask, inpainter, grow_px=GROW_PX)

            with measure.PeakMemory() as peak:
                call()  # the first of its kind, which may compile
            timing = measure.least(call, budget_s=budget_s)
            mib = None if peak.bytes is None else peak.bytes / 2**20
            at = {"mp": size, "hole_px": hole_px, "s": timing.seconds, "cpu_s": timing.cpu_seconds, "mib": mib}
            results.append({**at, "photo_mib": photo.nbytes / 2**20})
    return results


def _jpeg(photo: np.ndarray) -> Any:
    import cv2

    return lambda: cv2.imdecode(cv2.imencode(".jpg", photo)[1], cv2.IMREAD_COLOR)


def rows(results: dict[str, list[dict[str, Any]]], megapixels: Sequence[float]) -> list[list[str]]:
    """A row an inpainter and hole: at each photo size CPU seconds, clock seconds, MiB as a share of the photo's."""
    lines = []
    for name, measured in results.items():
        for hole_px in dict.fromkeys(at["hole_px"] for at in measured):
            by_size = {at["mp"]: at for at in measured if at["hole_px"] == hole_px}
            cells = [_cell(by_size[size]) if size in by_size else "-" for size in megapixels]
            lines.append([name, str(hole_px or "-"), *cells])
    return lines


def _cell(at: dict[str, Any]) -> str:
    memory = "" if at["mib"] is None else f", {at['mib']:.0f} MiB ({at['mib'] / at['photo_mib']:.1f})"
    return f"{at['cpu_s']:.3f} ({at['s']:.3f}){memory}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.erase", description=__doc__)
    parser.add_argument("--inpainters", metavar="NAMES", help="as for --inpainter, or pconv-random")
    parser.add_argument("--megapixels", default=",".join(map(str, MEGAPIXELS)), metavar="MP")
    parser.add_argument("--holes", default=",".join(map(str, HOLE_PX)), metavar="PX", help="diameters of a disk")
    parser.add_argument("--budget", type=float, default=2.0, metavar="S", help="seconds for a photo and a hole")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where erase.md and erase.png go")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)  # this process measures one and prints JSON
    options = parser.parse_args(arguments)
    megapixels = [float(size) for size in options.megapixels.split(",")]
    holes_px = [int(size) for size in options.holes.split(",")]
    if options.one:
        print(json.dumps(run_one(options.one, megapixels, holes_px, options.budget)))
        return 0
    passed = [f"--megapixels={options.megapixels}", f"--holes={options.holes}", f"--budget={options.budget}"]
    results = {
        name: measure.in_own_process("benchmarks.erase", [*passed, f"--one={name}"])
        for name in (JPEG, *(options.inpainters.split(",") if options.inpainters else usual_inpainters()))
    }
    command = "python -m benchmarks.erase " + " ".join(sys.argv[1:] if arguments is None else arguments)
    heads = ["inpainter", "hole px", *(f"{size:g} MP" for size in megapixels)]
    text = "\n\n".join(
        [
            measure.described(command.strip(), PACKAGES),
            measure.markdown(heads, rows(results, megapixels)),
            "CPU seconds (seconds on the clock), peak memory above photo, mask and loaded model (in photos).",
        ]
    )
    measure.write_report(options.out, "erase", text)
    if options.out:
        curves: dict[str, dict[float, float]] = {}
        for name, measured in results.items():
            for at in measured:
                label = name if name == JPEG else f"{name}, hole of {at['hole_px']} px"
                curves.setdefault(label, {})[at["mp"]] = at["cpu_s"]
        measure.plot(options.out, "erase", curves, x="megapixels", y="CPU seconds", title="Erasing by photo and hole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
