"""`python -m train_segment RECIPE --data DIR --out RUN`: trains one of the nets of segment/ on photos with masks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from train_segment.mask_rcnn.recipe import MaskRCNNRecipe
from train_segment.recipes import RECIPES
from training.checkpoint import CheckpointError, run_config
from training.command import TrainingStopped, fail, run_to_end
from training.options import add_arguments, read_config, with_values


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m train_segment", description=__doc__)
    recipes = parser.add_subparsers(dest="recipe", required=True, metavar="RECIPE")
    for name, start in RECIPES.items():
        text = (type(start).__doc__ or "").strip().split("\n")[0]
        recipe_parser = recipes.add_parser(name, help=text, description=text)
        recipe_parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
        recipe_parser.add_argument("--find-rate", action="store_true", help="print the loss at rising rates, and stop")
        if name == "extractnet":
            recipe_parser.add_argument("--table", action="store_true", help="train every variant of the report's table")
        add_arguments(recipe_parser, start)
    text = (MaskRCNNRecipe.__doc__ or "").strip()
    recipe_parser = recipes.add_parser("mask-rcnn", help=text, description=text)
    recipe_parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    add_arguments(recipe_parser, MaskRCNNRecipe)
    given = vars(parser.parse_args(arguments))
    name, resume, find_rate = given.pop("recipe"), given.pop("resume"), given.pop("find_rate", False)
    if name == "mask-rcnn":
        return _mask_rcnn(given, resume=resume)
    as_table = given.pop("table", False)
    try:
        start = RECIPES[name]
        if resume and not as_table:  # of a table, each run resumes for itself
            start = read_config(run_config(given.get("out", "")), start)
        recipe = with_values(start, given)
        if not as_table:  # a table checks each of its runs
            recipe.check()
    except (ValueError, OSError, CheckpointError) as error:
        return fail("train_segment", error)

    from train_segment.fit import Run  # Keras and its backend load here: --help answers at once
    from weights import WeightsError

    try:
        if as_table:
            from train_segment.extractnet_table import run_table

            print("\n".join(run_table(recipe)))  # type: ignore[arg-type]
            return 0
        run = Run(recipe, name, resume=resume)
    except (ValueError, OSError, ImportError, CheckpointError, WeightsError, TrainingStopped) as error:
        return fail("train_segment", error)
    if find_rate:
        from train_segment.find_rate import find

        print(find(run))
        return 0

    return run_to_end(run, "train_segment")


def _mask_rcnn(given: dict[str, Any], *, resume: bool) -> int:
    """Trains the one net that is torch's and mmdet's. Returns the exit status."""
    start = MaskRCNNRecipe()
    try:
        recipe = with_values(read_config(run_config(given.get("out", "")), start) if resume else start, given)
        recipe.check()
    except (ValueError, OSError, CheckpointError) as error:
        return fail("train_segment", error)

    from weights import WeightsError

    try:
        from train_segment.mask_rcnn.fit import train  # torch, mmcv and mmdet load here

        train(recipe, resume=resume)
    except (ValueError, OSError, ImportError, CheckpointError, WeightsError, TrainingStopped) as error:
        return fail("train_segment", error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
