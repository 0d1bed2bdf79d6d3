"""`python -m train_pconv.export RUN --out weights/files/NAME.npz`: the bundle to ship, its sha256, its model card."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train_pconv.config import TrainConfig, command_of
from training.card import Sets, data_lines, data_sets
from training.checkpoint import CONFIG_FILE, write_whole
from training.options import read_config
from weights import WeightsError, sha256_of

_COLUMNS = ("photos", "l1_percent", "psnr", "ssim", "psnr_hole", "ssim_hole", "texture", "texture_median")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m train_pconv.export", description=__doc__)
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("--out", required=True, metavar="FILE", help="the bundle, NAME.npz")
    parser.add_argument("--checkpoint", choices=["best", "last"], default="best", help="which weights (default: best)")
    parser.add_argument("--card", metavar="FILE", help="the model card (default: cards/NAME.md beside files/)")
    parser.add_argument("--evaluation", nargs="*", default=[], metavar="FILE", help="what train_pconv.evaluate wrote")
    parser.add_argument("--manifest", metavar="FILE", help="a CSV with set, file, source and licence of every photo")
    parser.add_argument("--license", default="", metavar="TEXT", help="terms under which the weights are given")
    parser.add_argument("--notes", metavar="FILE", help="Markdown for the card: failures that were seen")
    parser.add_argument("--max-size-px", type=int, metavar="PX", help="largest crop the net should be asked to fill")
    return parser.parse_args(arguments)


def export(options: argparse.Namespace) -> str:
    """Writes the bundle and its card. Returns the bundle's sha256.

    Raises ValueError, OSError or weights.WeightsError if the run lacks something, in one line.
    """
    run, out = Path(options.run), Path(options.out)
    config = read_config(run / CONFIG_FILE, TrainConfig())
    evaluations = [json.loads(Path(file).read_text(encoding="utf-8")) for file in options.evaluation]
    notes = Path(options.notes).read_text(encoding="utf-8").strip() if options.notes else ""
    sets = data_sets(Path(options.manifest), photos_of(config)) if options.manifest else {}

    from inpaint import pconv_config, pconv_unet  # Keras loads here: wrong paths are told at once

    source = run / f"{options.checkpoint}.npz"
    net_config, extra = pconv_config.read_config(source)
    extra.setdefault("history", [command_of(config)])
    if options.max_size_px:
        extra["max_size_px"] = options.max_size_px
    net = pconv_unet.read_pconv(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    pconv_unet.write_pconv(out, net, net_config, extra)
    digest = sha256_of(out)

    folder = out.parent.parent / "cards" if out.parent.name == "files" else out.parent
    path = Path(options.card) if options.card else folder / f"{out.stem}.md"
    text = card(
        out,
        digest,
        config=config,
        net=f"{net.count_params():,} numbers, {net_config.levels} levels, width {net_config.width}"
        + (", over a pull-push fill" if net_config.pull_push_base else ""),
        extra=extra,
        sets=sets,
        license_text=options.license,
        evaluations=evaluations,
        notes=notes,
        measured=source,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(text.encode()))
    print(f"{out}  {out.stat().st_size / 2**20:.1f} MiB\nsha256 {digest}\n{path}")
    return digest


def photos_of(config: TrainConfig) -> list[str]:
    """The names of the photos that the run trained on."""
    from train_pconv.photos import choose, open_photos

    names = open_photos(config.images, config.exclude).names
    used, _ = choose(names, fraction=config.fraction, validation_fraction=config.validation_fraction)
    return [names[number] for number in used]


def card(
    out: Path,
    digest: str,
    *,
    config: TrainConfig,
    net: str,
    extra: Mapping[str, Any],
    sets: Sets,
    license_text: str,
    evaluations: Sequence[Mapping[str, Any]],
    notes: str,
    measured: Path,
) -> str:
    """The model card as Markdown. measured: the run's file that became the bundle, as evaluations name it."""
    lines = [f"# {out.stem}", ""]
    lines += [f"A partial-convolution U-Net that fills holes in photos: {net}.", ""]
    lines += [f"- file: `{out.name}`, {out.stat().st_size / 2**20:.1f} MiB, float16", f"- sha256: `{digest}`"]
    lines += [f"- trained for {extra.get('step', 0):,} steps of {config.batch} crops of {config.crop_px} px"]
    lines += [f"- largest crop it should fill at once: {extra.get('max_size_px', 2 * config.crop_px)} px", ""]
    lines += data_lines(sets, [Path(path).name for path in config.images])
    lines += ["", "## Licence", "", license_text or "No terms were stated when this card was written.", ""]
    lines += ["## Figures", ""]
    for evaluation in evaluations:
        for size, content in evaluation["sizes"].items():
            lines += [f"{size} px, {content['note']}:", ""]
            lines += ["| hole | inpainter | " + " | ".join(_COLUMNS) + " |", "|---" * (2 + len(_COLUMNS)) + "|"]
            lines += _figure_rows(content["means"], out.stem, measured)
            lines.append("")
        lines += [f"    {evaluation['command']}", ""]
    if not evaluations:
        lines += ["Not measured yet.", ""]
    lines += ["## Failures", ""]
    lines += [notes, ""] if notes else []
    lines += [
        f"Holes in training covered {config.area_min:.0%} to {config.area_max:.0%} of the crop, not more.",
        "",
        "## Made by",
        "",
        *(f"    {command}" for command in extra.get("history", [])),
        f"    python -m train_pconv.export RUN --out {out.name}",
        "",
    ]
    return "\n".join(lines)


def _figure_rows(means: Mapping[str, Any], stem: str, measured: Path) -> list[str]:
    rows = []
    for bucket in dict.fromkeys(bucket for buckets in means.values() for bucket in buckets):
        for name, buckets in means.items():
            if bucket in buckets:
                values = (buckets[bucket].get(column) for column in _COLUMNS)
                shown = ("" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in values)
                rows.append(f"| {bucket} | {_shown_name(name, stem, measured)} | {' | '.join(shown)} |")
    return rows


def _shown_name(name: str, stem: str, measured: Path) -> str:
    """ "pconv:RUN/best.npz" names a folder of the machine that trained: the bundle's name, or the file's, says more."""
    model, _, file = name.partition(":")
    if model != "pconv" or not file:
        return name
    return stem if Path(file).resolve() == measured.resolve() else f"pconv:{Path(file).name}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    options = parse(arguments)
    try:
        export(options)
    except (ValueError, OSError, WeightsError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
