"""`python -m benchmarks.training`: photos a second that training does, and the share of time its steps wait for data.

Runs `python -m train_pconv` and `python -m train_segment subject` as they are, on drawn photos that are written here,
and reads what they say of themselves in scalars.jsonl. The first lines, in which graphs are made, are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure

PHOTOS = 24
PHOTO_PX = 640
LINES = 4  # of scalars that count, after one that does not
PACKAGES = ("keras", "tensorflow", "opencv-python", "numpy")
ROOT = Path(__file__).parent.parent


def draw_photos(folder: Path, count: int = PHOTOS) -> None:
    """images/NNN.jpg and masks/NNN.png, as train_segment wants them; train_pconv takes the images."""
    from PIL import Image

    from tools.shapes import draw_scene

    for kind in ("images", "masks"):
        (folder / "drawn" / kind).mkdir(parents=True)
    for number in range(count):
        scene = draw_scene(number, PHOTO_PX)
        labels = np.zeros((PHOTO_PX, PHOTO_PX), np.uint8)
        for label, mask in enumerate(scene.masks, 1):
            labels[mask] = label
        Image.fromarray(scene.image).save(folder / "drawn" / "images" / f"{number:03}.jpg", quality=92)
        Image.fromarray(labels).save(folder / "drawn" / "masks" / f"{number:03}.png")


def commands(photos: Path, out: Path, every: int) -> dict[str, list[str]]:
    """What is run: name -> words after `python -m`. every: steps for each line of scalars."""
    steps = str(every * (LINES + 1))
    shared = ["--epochs", "1", "--steps-per-epoch", steps, "--log-every", str(every), "--save-every", "1000000"]
    shared += ["--validation-fraction", "0.2", "--workers", "2", "--warmup-steps", "0"]
    pconv = ["--fine-tune-epochs", "0", "--validation-photos", "2", "--panel-photos", "1", "--perceptual", "none"]
    pconv += ["--crop-px", "256", "--levels", "7", "--width", "32", "--batch", "4"]
    return {
        "train_pconv": ["train_pconv", "--images", str(photos), "--out", str(out / "pconv"), *shared, *pconv],
        "train_segment subject": [
            *("train_segment", "subject", "--data", str(photos), "--out", str(out / "subject")),
            *("--validation-photos", "2", "--batch", "8", *shared),
        ],
    }


def run(words: Sequence[str]) -> dict[str, float]:
    """Photos a second and the waiting share, from the run's own scalars. Raises RuntimeError if it fails."""
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {measure.why(done)}")
    scalars = Path(words[words.index("--out") + 1], "scalars.jsonl")
    return summary([json.loads(line) for line in scalars.read_text().splitlines()])


def summary(scalars: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The best rate and the mean share of waiting of the training's lines but the first."""
    lines = [line for line in scalars if line["kind"] == "train"][1:]
    if not lines:
        raise RuntimeError("the run wrote too few scalars to say anything")
    return {
        "photos_a_second": max(line["photos_per_second"] for line in lines),
        "waiting_share": float(np.mean([line["waiting_share"] for line in lines])),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--every", type=int, default=4, metavar="STEPS", help="in a line (default: %(default)s)")
    parser.add_argument("--only", metavar="NAME", help="one of them alone, train_pconv or train_segment")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where training.md goes")
    options = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory(prefix="clickaway-training-") as folder:
        draw_photos(Path(folder, "photos"))
        for name, words in commands(Path(folder, "photos"), Path(folder), options.every).items():
            if options.only and words[0] != options.only:
                continue
            try:
                found = run(words)
            except RuntimeError as error:
                return measure.fail("training", str(error))
            said = [word.replace(folder, "") for word in words]
            cells = [name, f"{found['photos_a_second']:.1f}", f"{100 * found['waiting_share']:.1f} %"]
            rows.append([*cells, f"`{' '.join(said)}`"])
    if not rows:
        parser.error(f"no training is called {options.only!r}: train_pconv or train_segment")
    text = "\n\n".join(
        [
            measure.described(measure.command_line("benchmarks.training", arguments), PACKAGES),
            measure.markdown(["training", "photos a second", "of the time, steps wait for data", "command"], rows),
        ]
    )
    measure.write_report(options.out, "training", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
