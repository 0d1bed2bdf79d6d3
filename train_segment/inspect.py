"""`python -m train_segment.inspect RUN PHOTO`: any run and any photo: input, truth, prediction, error and IoU.

RUN is a run's folder, a bundle, or a segmenter's name such as otsu_watershed. The truth is masks/NAME.png beside
images/NAME.jpg, or --truth FILE; without one the photo and the answer are shown. Nets that want a click get one in the
middle of the true subject, or --at X,Y.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from segment import SEGMENTERS, Click, NoObjectError, Segmenter, load_segmenter
from segment.base import Image
from segment.metrics import iou
from train_segment.clicks import first_click
from train_segment.error_view import four_panels
from train_segment.sheet import sheet
from train_segment.sources import IGNORE, Annotated, read_labels, read_manifest, read_photo
from train_segment.subjects import RULES, Subject, rule_named, subject_of
from training.checkpoint import CONFIG_FILE
from weights import WeightsError

# A bundle's architecture -> the segmenter that reads it, and whether it wants a click.
_READERS = {
    "extractnet": ("extractnet", False),
    "tiramisu": ("tiramisu", False),
    "pets_unet": ("pets", False),
    "subject": ("subject", False),
    "deepcrop": ("deepcrop", True),
    "click_net": ("clicknet", True),
}
_WITHOUT_CLICK = ("otsu_watershed", "subject")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        inspect(options)
    except (ValueError, OSError, WeightsError, ImportError) as error:
        print(f"train_segment.inspect: {error}", file=sys.stderr)
        return 1
    return 0


def inspect(options: argparse.Namespace) -> Path:
    """Shows every photo, prints its IoU, and writes the sheet; returns its path. Raises ValueError, WeightsError."""
    segmenter, wants_click = load_run(options.run)
    settings = _settings(options.run)
    select = options.select or settings.get("select", "all")
    manifest = options.manifest or settings.get("manifest")
    blocks, values = [], []
    for photo in options.photos:
        image = read_photo(photo)
        truth = truth_of(photo, image, select, Path(manifest) if manifest else None, options.truth)
        clicks: list[Click] = []
        if wants_click:
            if options.at is None and truth is None:
                raise ValueError(f"{options.run} wants a click: give --at X,Y, or a photo with a true mask")
            clicks = [Click(*options.at)] if options.at else [first_click(truth.mask)]  # type: ignore[union-attr]
        try:
            answer = segmenter.select(segmenter.encode(image), clicks)[0].mask
        except NoObjectError:
            answer = np.zeros(image.shape[:2], bool)
        if truth is None:
            print(f"{photo.name}: the answer covers {answer.mean():.1%}; no true mask was found")
            panels = four_panels(image, None, answer, width_px=options.width)
            panels += [np.full_like(panels[0], 255)] * 2
        else:
            values.append(iou(answer, truth.mask, truth.ignore))
            print(f"{photo.name}: IoU {values[-1]:.3f}")
            panels = four_panels(image, truth.mask, answer, truth.ignore, width_px=options.width)
        blocks.append(panels)
    if len(values) > 1:
        print(f"mean IoU {np.mean(values):.3f} on {len(values)} photos")
    captions = ["photo", "truth", "answer", "error"] if values else ["photo", "answer", "", ""]
    picture = sheet(blocks, captions)
    PillowImage.fromarray(picture).save(options.out)
    print(f"written to {options.out}")
    return Path(options.out)


def load_run(run: str) -> tuple[Segmenter, bool]:
    """The segmenter of a run's folder, a bundle or a name, and whether it wants a click.

    Raises ValueError if there is no net, WeightsError if it is damaged.
    """
    from weights.bundle import read_bundle_config

    path = Path(run).expanduser()
    file = path / "best.npz" if path.is_dir() else path
    if not file.is_file():
        if run.partition(":")[0] in SEGMENTERS:
            kind = run.partition(":")[0]
            wants = kind not in (*_WITHOUT_CLICK, *(name for name, click in _READERS.values() if not click))
            return load_segmenter(run), wants
        raise ValueError(f"{run} is no run's folder with a best.npz, no bundle and no segmenter's name")
    architecture = str(read_bundle_config(file).get("architecture"))
    if architecture not in _READERS:
        raise ValueError(f"{file} holds a {architecture}, which is no segmenter's net")
    name, wants_click = _READERS[architecture]
    return load_segmenter(f"{name}:{file}"), wants_click


def truth_of(
    photo: Path, image: Image, select: str, manifest: Path | None = None, mask_file: Path | None = None
) -> Subject | None:
    """The photo's true subject by that rule, or None where no mask is known.

    A photo that the rule drops is taken with all of its objects. Raises ValueError for a mask of another size.
    """
    rule = rule_named(select)
    file = mask_file or _mask_beside(photo)
    if file is None:
        return None
    labels = read_labels(file)
    if labels.shape != image.shape[:2]:
        raise ValueError(f"{file} is {labels.shape} but the photo is {image.shape[:2]}: are they of the same photo?")
    if mask_file is not None and set(np.unique(labels)) <= {0, 255}:
        labels = labels // 255  # a plain black and white mask
    classes = read_manifest(manifest).get(photo.resolve(), {}) if manifest else {}
    found = [int(label) for label in np.unique(labels) if label not in (0, IGNORE)]
    objects = tuple((labels == label, classes.get(label)) for label in found)
    annotated = Annotated(image, objects, labels == IGNORE)
    for one in (rule, RULES["all"]):
        subject = subject_of(annotated, one, photo.name)
        if isinstance(subject, Subject):
            return subject
    return None


def _mask_beside(photo: Path) -> Path | None:
    folder = next((parent for parent in photo.parents if parent.name == "images"), None)
    if folder is None:
        return None
    mask = folder.with_name("masks") / photo.relative_to(folder).with_suffix(".png")
    return mask if mask.is_file() else None


def _settings(run: str) -> dict[str, Any]:
    """The configuration of the run's folder, or nothing."""
    path = Path(run).expanduser()
    file = (path if path.is_dir() else path.parent) / CONFIG_FILE
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _parser() -> argparse.ArgumentParser:
    def point(text: str) -> tuple[int, int]:
        x, _, y = text.partition(",")
        return int(x), int(y)

    parser = argparse.ArgumentParser(prog="python -m train_segment.inspect", description=__doc__)
    parser.add_argument("run", help="a run's folder, a bundle (.npz), or a segmenter's name")
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="the true mask, white on the subject, or labels")
    parser.add_argument("--select", choices=list(RULES), help="whose rule says what the subject is (the run's)")
    parser.add_argument("--manifest", metavar="FILE", help="a CSV with the classes of the labels (the run's)")
    parser.add_argument("--at", type=point, metavar="X,Y", help="the click, for nets that want one")
    parser.add_argument("--width", type=int, default=320, metavar="PX", help="of a picture (320)")
    parser.add_argument("--out", type=Path, default=Path("inspect.png"), metavar="FILE", help="(inspect.png)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
