"""`python -m train_segment.export RUN --out weights/files/NAME.npz`: the bundle to ship, its sha256, its model card."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train_segment.data import open_data, open_named, split
from train_segment.evaluate import table
from train_segment.mask_rcnn.recipe import MaskRCNNRecipe
from train_segment.recipe import Recipe
from train_segment.recipes import RECIPES
from training.card import Sets, data_lines, data_sets
from training.checkpoint import CONFIG_FILE, write_whole
from training.options import read_config
from weights import WeightsError, sha256_of
from weights.bundle import read_bundle, write_bundle


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m train_segment.export", description=__doc__)
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("--out", required=True, metavar="FILE", help="the bundle, NAME.npz")
    parser.add_argument("--checkpoint", choices=["best", "last"], default="best", help="which weights (default: best)")
    parser.add_argument("--card", metavar="FILE", help="the model card (default: cards/NAME.md beside files/)")
    parser.add_argument(
        "--evaluation", nargs="*", default=[], metavar="FILE", help="figures.json of train_segment.evaluate or no_click"
    )
    parser.add_argument("--manifest", metavar="FILE", help="a CSV with set, file, source and licence of every photo")
    parser.add_argument("--license", default="", metavar="TEXT", help="terms under which the weights are given")
    parser.add_argument("--notes", metavar="FILE", help="Markdown for the card: failures that were seen")
    return parser.parse_args(arguments)


def export(options: argparse.Namespace) -> str:
    """Writes the bundle and its card. Returns the bundle's sha256.

    Raises ValueError, OSError or weights.WeightsError if the run lacks something, in one line.
    """
    run, out = Path(options.run), Path(options.out)
    name = (run / "recipe.txt").read_text(encoding="utf-8").strip()
    recipes: dict[str, Recipe | MaskRCNNRecipe] = {**RECIPES, "mask-rcnn": MaskRCNNRecipe()}
    if name not in recipes:
        raise ValueError(f"{run} is a run of {name!r}, which this version does not know")
    recipe = read_config(run / CONFIG_FILE, recipes[name])
    evaluations = [json.loads(Path(file).read_text(encoding="utf-8")) for file in options.evaluation]
    notes = Path(options.notes).read_text(encoding="utf-8").strip() if options.notes else ""
    sets: Sets = {}
    if options.manifest:
        photos = open_named(recipe) if isinstance(recipe, Recipe) else open_data(recipe.data, exclude=recipe.exclude)
        names = photos.names
        training, _ = split(names, recipe.validation_fraction)
        sets = data_sets(Path(options.manifest), [names[number] for number in training])

    config, arrays = read_bundle(run / f"{options.checkpoint}.npz")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(out, config, arrays)
    digest = sha256_of(out)
    folder = out.parent.parent / "cards" if out.parent.name == "files" else out.parent
    path = Path(options.card) if options.card else folder / f"{out.stem}.md"
    count = sum(array.size for array in arrays.values())
    text = card(out, digest, recipe, config, count, sets, options.license, evaluations, notes)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(text.encode()))
    print(f"{out}  {out.stat().st_size / 2**20:.1f} MiB\nsha256 {digest}\n{path}")
    return digest


def card(
    out: Path,
    digest: str,
    recipe: Recipe | MaskRCNNRecipe,
    config: Mapping[str, Any],
    count: int,
    sets: Sets,
    license_text: str,
    evaluations: Sequence[Mapping[str, Any]],
    notes: str,
) -> str:
    """The model card as Markdown. config: the bundle's. count: numbers in it."""
    extra = config.get("extra", {})
    first_line = (type(recipe).__doc__ or "").strip().split("\n")[0]
    lines = [f"# {out.stem}", "", first_line, ""]
    lines += [f"- file: `{out.name}`, {out.stat().st_size / 2**20:.1f} MiB, float16", f"- sha256: `{digest}`"]
    lines += [f"- net: `{config.get('architecture')}`, {count:,} numbers, `{json.dumps(config.get('net'))}`"]
    lines += [f"- trained for {extra.get('step', 0):,} steps of {recipe.batch} samples", ""]
    lines += data_lines(sets, [Path(path).name for path in recipe.data])
    if objects := extra.get("objects"):
        lines += ["", "Objects by class:", "", *(f"    {line}" for line in objects)]
    lines += ["", "## Licence", "", license_text or "No terms were stated when this card was written.", ""]
    lines += ["## Figures", ""]
    for evaluation in evaluations:
        # train_segment.no_click brings its table along, for there are no clicks to count in it.
        figures = evaluation.get("table") or table(evaluation["means"], limit=evaluation["limit"])
        lines += [figures, "", f"    {evaluation['command']}", ""]
    if not evaluations:
        lines += ["Not measured yet.", ""]
    validation = extra.get("validation", {})
    if validation:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in validation.items())
        lines += [f"The run's own validation, at the net's size: {shown}.", ""]
    lines += ["## Failures", "", notes or "None were written down.", "", "## Made by", ""]
    lines += [f"    {command}" for command in extra.get("history", [])]
    lines += [f"    python -m train_segment.export RUN --out {out.name}", ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    try:
        export(parse(arguments))
    except (ValueError, OSError, WeightsError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
