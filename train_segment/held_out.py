"""Which photos a measurement is made on: the same options, and the same words of its command, for every measurer."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from train_segment.data import Labelled, open_named, split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --data and what chooses among its photos."""
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="PATH", help="folders with masks, or COCO JSON files: as the run's"
    )
    parser.add_argument("--exclude", nargs="*", default=[], metavar="PATTERN", help="relative paths to leave out")
    parser.add_argument("--manifest", metavar="FILE", help="a CSV with the classes of the objects in label folders")
    parser.add_argument("--photo-folder", metavar="FOLDER", help="where the photos of COCO files are")
    parser.add_argument("--validation-fraction", type=float, default=0.05, help="as in the run: only those photos")
    parser.add_argument("--all", action="store_true", help="every photo, for data that no run has seen")


def open_held_out(options: argparse.Namespace) -> tuple[Labelled, Sequence[int]]:
    """The data, and the numbers of the photos that no run trained on (--all: of every photo).

    Raises ValueError if a path holds no photos, or none is held out.
    """
    labelled = open_named(options)
    if options.all:
        return labelled, range(len(labelled.names))
    return labelled, split(labelled.names, options.validation_fraction)[1]


def command_words(options: argparse.Namespace) -> list[str]:
    """The options as they were given, with names of files and folders in place of their paths."""
    words = ["--data", *(shlex.quote(Path(path).name) for path in options.data)]
    words += ["--exclude", *map(shlex.quote, options.exclude)] if options.exclude else []
    for option in ("manifest", "photo_folder"):
        if path := getattr(options, option):
            words += ["--" + option.replace("_", "-"), shlex.quote(Path(path).name)]
    return [*words, *(["--all"] if options.all else ["--validation-fraction", f"{options.validation_fraction:g}"])]


def plain_names(segmenters: str) -> list[str]:
    """The names of --segmenters without this machine's folders: "mask_rcnn:configs/a.py" is "mask_rcnn:a.py"."""
    return [plain_name(name) for name in segmenter_names(segmenters)]


def segmenter_names(segmenters: str) -> list[str]:
    """The names of --segmenters, separated by commas, each once."""
    return list(dict.fromkeys(name.strip() for name in segmenters.split(",") if name.strip()))


def plain_name(name: str) -> str:
    kind, colon, file = name.partition(":")
    return f"{kind}{colon}{file.replace(chr(92), '/').rpartition('/')[2]}"
