"""ExtractNet's table 1 again: every variant trained by its recipe, beside the figures that the report has for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from train_segment.recipes.extractnet import ExtractNetRecipe

# The report's table 1: IoU in training (None for the baseline) and in validation, 1000 photos, 80 epochs.
REPORTED: Mapping[str, tuple[float | None, float]] = {
    "Baseline": (None, 0.379),
    "Simple Autoencoder": (0.431, 0.449),
    "Interconnected Autoencoder": (0.424, 0.430),
    "VGG-11 Encoder (R)": (0.978, 0.683),
    "VGG-11 Encoder (BN)": (0.979, 0.694),
    "VGG-11 Encoder (BN), (P)": (0.977, 0.702),
    "VGG-19 Encoder (R)": (0.971, 0.710),
    "VGG-19 Encoder (BN)": (0.973, 0.710),
    "VGG-19 Encoder (BN), (P)": (0.968, 0.724),
    "ResNet-50 Encoder (R), (BN)": (0.978, 0.750),
    "ResNet-50 Encoder (P), (BN)": (0.959, 0.741),
    "ResNet-152 Encoder (R), (BN)": (0.974, 0.745),
    "ResNet-152 Encoder (P), (BN)": (0.971, 0.742),
}
EXTRA = "SqueezeNet Encoder (R), (BN)"  # not the report's: its weights are small
_SUFFIXES = (".h5", ".pth", ".npz")


def run_table(recipe: ExtractNetRecipe) -> list[str]:
    """Trains every variant whose encoder has weights below recipe.out/NAME and returns the table's lines.

    recipe.encoder_weights: a folder with vgg11.pth, vgg19.h5, resnet50.h5, resnet152.h5, squeezenet.npz, or any of
    them; or "imagenet", which downloads those of keras.applications. Variants without weights are said to be left
    out. A table that was stopped goes on where it stopped.
    """
    Path(recipe.out).mkdir(parents=True, exist_ok=True)
    figures: dict[str, tuple[float | None, float] | None] = {"Baseline": (None, _baseline(recipe))}
    for name, variant in variants(recipe).items():
        figures[name] = _trained(variant) if variant is not None else None
        lines = table(figures)
        (Path(recipe.out) / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table(figures)


def variants(recipe: ExtractNetRecipe) -> dict[str, ExtractNetRecipe | None]:
    """The report's rows, and SqueezeNet's, as recipes; None where the encoder has no weights here."""
    from segment.nets.extractnet import PUBLISHED, ExtractNetConfig

    found: dict[str, ExtractNetRecipe | None] = {}
    for name, config in {**PUBLISHED, EXTRA: ExtractNetConfig("squeezenet")}.items():
        weights = "" if config.encoder == "plain" else _weights(recipe.encoder_weights, config.encoder)
        if weights is None:
            found[name] = None
            continue
        given = {key: asdict(config)[key] for key in ("encoder", "links", "batch_norm", "activation", "frozen")}
        out = Path(recipe.out) / name.lower().replace(" ", "-").replace("(", "").replace(")", "").replace(",", "")
        found[name] = replace(recipe, **given, encoder_weights=weights, out=str(out))
    return found


def table(figures: Mapping[str, tuple[float | None, float] | None]) -> list[str]:
    """Markdown lines: our IoU in training and validation, and the report's."""
    lines = [
        "| model | IoU training | IoU validation | report: training | report: validation |",
        "|---|---|---|---|---|",
    ]
    for name, found in figures.items():
        reported = REPORTED.get(name, (None, None))
        ours = ["no weights here", "-"] if found is None else [_shown(found[0]), _shown(found[1])]
        lines.append(f"| {name} | {ours[0]} | {ours[1]} | {_shown(reported[0])} | {_shown(reported[1])} |")
    lines.append("\nThe report's figures are on 1,000 photos of COCO 2014, ours on the photos given.")
    return lines


def _trained(recipe: ExtractNetRecipe) -> tuple[float | None, float]:
    """IoU in the last training steps and the best in validation; trains what is not there yet."""
    import keras

    from train_segment.fit import Run
    from training.checkpoint import BEST_FILE, STATE_FILE
    from weights.bundle import read_bundle_config

    out = Path(recipe.out)
    run = Run(recipe, "extractnet", resume=(out / STATE_FILE).exists())
    if run.step < recipe.epochs * recipe.steps_per_epoch:
        run.run()
    keras.utils.clear_session(free_memory=True)  # a dozen nets after each other
    best: dict[str, Any] = read_bundle_config(out / BEST_FILE)["extra"]["validation"]
    lines = [json.loads(line) for line in (out / "scalars.jsonl").read_text(encoding="utf-8").splitlines()]
    training = [line["iou"] for line in lines if line["kind"] == "train"]
    return (training[-1] if training else None), float(best["iou"])


def _baseline(recipe: ExtractNetRecipe) -> float:
    from segment import load_segmenter
    from train_segment.data import open_named, split
    from train_segment.no_click import measure
    from train_segment.prominent import held_out_subjects
    from train_segment.subjects import rule_named

    labelled = open_named(recipe)
    _, held_out = split(labelled.names, recipe.validation_fraction)
    subjects = held_out_subjects(labelled, held_out, rule_named(recipe.select), limit=recipe.validation_photos)
    return measure(load_segmenter("otsu_watershed"), subjects)[0]["iou"]


def _weights(given: str, encoder: str) -> str | None:
    """The encoder's file in the folder, or "imagenet"; None where there is none."""
    if given == "imagenet":
        return given if encoder in ("vgg19", "resnet50", "resnet152") else None
    files = [Path(given) / f"{encoder}{suffix}" for suffix in _SUFFIXES] if given else []
    return next((str(file) for file in files if file.is_file()), None)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
