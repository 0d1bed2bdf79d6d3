"""`python -m benchmarks.batch`: photos a second of `clickaway erase FOLDER`, from one worker upward.

Beside it: a shell's loop that starts the command anew for every photo, and the pieces (load, encode, select, erase,
save) called one after another in one Python process. Photos are drawn, each with a click on a shape of its own; with
"classic" models (grabcut, telea), which load at once, and with the bundled "nets" (clicknet, pconv), which do not.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure

MODELS = {"classic": ("grabcut", "telea"), "nets": ("clicknet", "pconv")}
SIZE_WH = (1600, 1200)
LOOPED = 2  # photos for which the command is started anew: each takes as long as the one before
PACKAGES = ("keras", "tensorflow", "opencv-python", "numpy")
ROOT = Path(__file__).parent.parent


def draw_photos(folder: Path, count: int) -> None:
    """That many JPEGs, and points.csv with a click on one shape of each."""
    import cv2
    from PIL import Image

    from segment.mask_ops import deepest_point
    from tools.shapes import draw_scene

    folder.mkdir(parents=True)
    with (folder.parent / "points.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "x", "y"])
        for number in range(count):
            scene = draw_scene(number, 600, 4)
            x, y = deepest_point(scene.masks[-1])
            photo = cv2.resize(scene.image, SIZE_WH, interpolation=cv2.INTER_CUBIC)
            Image.fromarray(photo).save(folder / f"{number:03}.jpg", quality=92)
            writer.writerow([f"{number:03}.jpg", x * SIZE_WH[0] // 600, y * SIZE_WH[1] // 600])


def run_pieces(photos: Path, models: str) -> dict[str, Any]:
    """Seconds to load the models, and to do all photos after that, one after another, in this process."""
    from inpaint import load_inpainter
    from pipeline import image_io
    from pipeline.edit import erase
    from segment import Click, load_segmenter

    started = time.perf_counter()
    segmenter_name, inpainter_name = MODELS[models]
    segmenter, inpainter = load_segmenter(segmenter_name), load_inpainter(inpainter_name)
    loaded = time.perf_counter()
    with (photos.parent / "points.csv").open(newline="") as file, tempfile.TemporaryDirectory() as folder:
        for row in csv.DictReader(file):
            photo = image_io.load(photos / row["file"])
            selected = segmenter.select(segmenter.encode(photo.rgb), [Click(int(row["x"]), int(row["y"]))])
            erased = erase(photo.pixels, selected[0].mask, inpainter)
            image_io.save(photo.edited(erased, alpha=photo.alpha), Path(folder) / row["file"])
    return {"load_s": loaded - started, "s": time.perf_counter() - loaded}


def timed(command: Sequence[str]) -> dict[str, float]:
    """Seconds and CPU seconds of a command and its children. Raises RuntimeError with its last line if it fails."""
    import resource

    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    started, cpu_started = time.perf_counter(), cpu()
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:6])} ...: {measure.why(done)}")
    return {"s": time.perf_counter() - started, "cpu_s": cpu() - cpu_started}


def erase_command(photos: Path, out: Path, models: str, *options: str) -> list[str]:
    segmenter, inpainter = MODELS[models]
    words = ["erase", str(photos), "--segmenter", segmenter, "--inpainter", inpainter, "--offline"]
    return [sys.executable, "-m", "pipeline", *words, "--out", str(out), *options]


def run(models: str, photos: Path, workers: Sequence[int], count: int) -> list[dict[str, Any]]:
    """A dictionary for each way: its name, photos done, seconds, CPU seconds."""
    results = []
    points = ["--points", str(photos.parent / "points.csv")]
    with (photos.parent / "points.csv").open(newline="") as file:
        clicks = list(csv.DictReader(file))[:LOOPED]
    loop_out = photos.parent / f"loop-{models}"
    at = {row["file"]: f"{row['x']},{row['y']}" for row in clicks}
    looped = [timed(erase_command(photos / file, loop_out, models, "--at", at[file])) for file in at]
    total = {key: sum(one[key] for one in looped) for key in ("s", "cpu_s")}
    results.append({"way": "a shell's loop over one-photo commands", "photos": len(looped), **total})
    pieces = timed([sys.executable, "-m", "benchmarks.batch", "--pieces", str(photos), models])
    results.append({"way": "the pieces one after another in Python", "photos": count, **pieces})
    for way in (*(f"--workers {number}" for number in workers), "--workers 1 --together 2"):
        out = photos.parent / f"{models}{way.replace(' ', '')}"
        done = timed(erase_command(photos, out, models, *points, *way.split(), "--quiet"))
        if (written := len(list(out.rglob("*.jpg")))) != count:
            raise RuntimeError(f"{way} wrote {written} of {count} photos")
        results.append({"way": f"clickaway erase FOLDER {way}", "photos": count, **done})
    return [{"models": models, **one} for one in results]


def rows(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    lines = []
    for at in results:
        loop, pieces = [one for one in results if one["models"] == at["models"]][:2]
        rate, loop_rate, piece_rate = (one["photos"] / one["s"] for one in (at, loop, pieces))
        cells = [at["models"], at["way"], str(at["photos"]), f"{at['s']:.1f}", f"{at['cpu_s']:.1f}", f"{rate:.2f}"]
        lines.append([*cells, f"{rate / loop_rate:.1f}", f"{rate / piece_rate:.2f}"])
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS), metavar="NAMES", help="of %(default)s")
    parser.add_argument("--photos", type=int, default=16, metavar="N", help="default: %(default)s")
    # One more than there are cores, to see where it ends.
    usual = ",".join(str(number) for number in range(1, min(os.cpu_count() or 1, 8) + 2))
    parser.add_argument("--workers", default=usual, metavar="N,N", help="default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where batch.md and batch.png go")
    parser.add_argument("--pieces", nargs=2, metavar=("DIR", "MODELS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.pieces:
        print(json.dumps(run_pieces(Path(options.pieces[0]), options.pieces[1])))
        return 0
    if unknown := [name for name in options.models.split(",") if name not in MODELS]:
        parser.error(f"no models are called {unknown[0]!r}: choose of {', '.join(MODELS)}")
    workers = [int(number) for number in options.workers.split(",")]
    results = []
    try:
        with tempfile.TemporaryDirectory(prefix="clickaway-batch-") as folder:
            photos = Path(folder, "photos")
            draw_photos(photos, options.photos)
            for models in options.models.split(","):
                results += run(models, photos, workers, options.photos)
    except RuntimeError as error:
        return measure.fail("batch", str(error))
    heads = ["models", "way", "photos", "s", "CPU s", "photos a second", "times the loop", "times the pieces"]
    text = "\n\n".join(
        [
            measure.described(measure.command_line("benchmarks.batch", arguments), PACKAGES),
            measure.markdown(heads, rows(results)),
            f"Photos of {SIZE_WH[0]}x{SIZE_WH[1]}. Every figure holds the start of Python and of the models, "
            "which weighs less the more photos a folder holds.",
        ]
    )
    measure.write_report(options.out, "batch", text)
    if options.out:
        curves: dict[str, dict[float, float]] = {}
        for at in results:
            if "--workers" in at["way"] and "--together" not in at["way"]:
                curves.setdefault(at["models"], {})[float(at["way"].split()[-1])] = at["photos"] / at["s"]
        measure.plot(options.out, "batch", curves, x="workers", y="photos a second", title="A folder of photos")
    return 0


if __name__ == "__main__":
    sys.exit(main())
