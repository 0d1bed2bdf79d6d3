"""The one description of a run. The command line is made from its fields, and it is written beside the checkpoints."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def _option(default: Any, text: str, choices: Sequence[str] | None = None) -> Any:
    """A field with its help text and, where the values are words, the words allowed."""
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes. The defaults are Liu et al. 2018 where the paper states a value."""

    # photos
    images: tuple[str, ...] = _option((), "folders of photos (any depth), or TFRecord shards")
    out: str = _option("", "the run's folder: configuration, checkpoints, panels, scalars")
    exclude: tuple[str, ...] = _option(("*/masks/*",), "photos whose relative path matches one of these are left out")
    fraction: float = _option(1.0, "share of the photos to use, chosen by a hash of the relative path")
    validation_fraction: float = _option(0.05, "share of the photos kept out of training, chosen by another hash")
    crop_px: int = _option(512, "side of the square that the net sees")
    zoom_out_max: float = _option(100.0, "a crop covers up to this many times crop_px of the photo, then is shrunk")
    zoom_out_min: float = _option(1.0, "and at least this many times: below 1 enlarges")
    flip: bool = _option(True, "mirror half of the crops")
    colour: float = _option(0.0, "strength of brightness, contrast and saturation changes, 0 to 1")
    cache_ram: float = _option(0.0, "GiB of decoded photos to keep in memory")
    cache_side_px: int = _option(0, "shorter side to which a photo is shrunk before it is kept; 0: as it is")

    # holes
    strokes: float = _option(1.0, "weight of pen strokes in the mix of holes")
    objects: float = _option(0.0, "weight of object shapes: from shapes, or drawn blobs where there are none")
    boxes: float = _option(0.0, "weight of boxes")
    files: float = _option(0.0, "weight of hole_files")
    shapes: tuple[str, ...] = _option((), "folders of label PNGs, or COCO annotation files, whose objects become holes")
    hole_files: tuple[str, ...] = _option((), "folders of hole images, such as NVIDIA's irregular masks")
    hole_colour: str = _option("white", "which pixels of hole_files are the hole", ("white", "black"))
    area_min: float = _option(0.01, "smallest hole, share of the crop")
    area_max: float = _option(0.6, "largest hole, share of the crop")
    at_border: float = _option(0.5, "share of holes that may touch the border")

    # net
    width: int = _option(64, "filters of the first layer")
    levels: int = _option(8, "times the net halves the picture: crop_px is a multiple of 2**levels")
    head_width: int = _option(0, "filters of one more full-size layer before the output; 0: none, as published")
    base: str = _option("none", "what the net's output is added to", ("none", "pull_push"))
    start_from: str = _option("", "a bundle whose weights the net starts with")

    # losses
    valid_weight: float = _option(1.0, "L1 where the photo is known")
    hole_weight: float = _option(6.0, "L1 in the hole")
    perceptual_weight: float = _option(0.05, "L1 between features")
    style_weight: float = _option(120.0, "L1 between Gram matrices of features")
    tv_weight: float = _option(0.1, "total variation in the hole grown by one pixel")
    style_ramp_steps: int = _option(0, "steps over which the style weight grows from 0")
    perceptual: str = _option("vgg16", "the net whose features are compared", ("vgg16", "vgg19-conv3", "none"))
    vgg_weights: str = _option("", "its weights: a file, or nothing to download vgg16's")
    perceptual_on: str = _option("both", "compare the output and the composite, or only that", ("both", "composite"))
    perceptual_share: float = _option(1.0, "share of each batch whose features are compared")

    perceptual_px: int = _option(0, "side of the window round each hole whose features are compared; 0: everything")

    # schedule
    batch: int = _option(6, "photos a step, over all machines")
    epochs: int = _option(32, "epochs with batch normalisation trained")
    fine_tune_epochs: int = _option(8, "epochs after that, the encoder's batch normalisation frozen")
    steps_per_epoch: int = _option(10_000, "steps between two validations")
    rate: float = _option(2e-4, "Adam's rate")
    fine_tune_rate: float = _option(5e-5, "Adam's rate in the second phase")
    decay: str = _option("constant", "how the rate falls within a phase", ("constant", "cosine"))
    warmup_steps: int = _option(0, "steps over which a phase's rate grows from 0")
    clip_norm: float = _option(0.0, "bound of the gradient's norm; 0: none")
    ema: float = _option(0.999, "decay of the running mean of the weights that is validated and exported; 0: none")
    precision: str = _option("float32", "arithmetic of the net", ("float32", "float16", "bfloat16"))
    jit: bool = _option(False, "compile with XLA (TensorFlow) or torch.compile; JAX always compiles")
    seed: int = _option(0, "the same seed gives the same photos, crops and holes everywhere")
    distribute: str = _option("none", "tf.distribute: the GPUs here, or TF_CONFIG's", ("none", "gpus", "machines"))

    # running
    workers: int = _option(8, "threads that make samples")
    prefetch: int = _option(4, "batches made ahead")
    feed: str = _option("auto", "what runs the workers; auto: tf.data under TensorFlow", ("auto", "threads", "tf.data"))
    validation_photos: int = _option(100, "photos validated, always the same with the same holes")
    validation_px: int = _option(0, "side of the validated crops; 0: crop_px")
    panel_photos: int = _option(8, "of which so many are shown in the panel")
    best_by: str = _option("loss", "what makes a checkpoint the best one", ("loss", "psnr_hole"))
    save_every: int = _option(1_000, "steps between two checkpoints, besides each epoch's")
    log_every: int = _option(50, "steps between two lines of scalars")

    def total_epochs(self) -> int:
        """Epochs of both phases."""
        return self.epochs + self.fine_tune_epochs

    def check(self) -> None:
        """Raises ValueError for values that cannot work together, with the fix."""
        if not self.images:
            raise ValueError("no photos: give --images FOLDER")
        if not self.out:
            raise ValueError("no place for the run: give --out FOLDER")
        for name in ("fraction", "at_border", "perceptual_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name.replace('_', '-')} must be 0 to 1, got {getattr(self, name)}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"--validation-fraction must be between 0 and 1, got {self.validation_fraction}")
        if not 0 < self.area_min < self.area_max < 1:
            raise ValueError(
                f"--area-min {self.area_min} must be below --area-max {self.area_max}, both between 0 and 1"
            )
        step_px = 2**self.levels
        for name in ("crop_px", "validation_px"):
            if getattr(self, name) % step_px:
                raise ValueError(
                    f"--{name.replace('_', '-')} {getattr(self, name)} must be a multiple of {step_px} "
                    f"(2 to the power of --levels {self.levels}): change one of them"
                )
        if min(self.strokes, self.objects, self.boxes, self.files) < 0 or not (
            self.strokes + self.objects + self.boxes + self.files
        ):
            raise ValueError("the weights of --strokes, --objects, --boxes and --files must be 0 or more, one above 0")
        if not 0 <= self.perceptual_px <= self.crop_px:
            raise ValueError(f"--perceptual-px must be 0 to --crop-px {self.crop_px}, got {self.perceptual_px}")
        if self.jit and self.distribute != "none":
            raise ValueError("--jit cannot compile across replicas: leave out --jit or --distribute")
        if self.files and not self.hole_files:
            raise ValueError("--files asks for hole files: give --hole-files FOLDER")
        if self.perceptual == "vgg19-conv3" and not self.vgg_weights:
            raise ValueError("--perceptual vgg19-conv3 needs --vgg-weights FILE (the .npz with its five layers)")
        if min(self.batch, self.steps_per_epoch, self.workers, self.prefetch, self.log_every, self.save_every) < 1:
            raise ValueError("--batch, --steps-per-epoch, --workers, --prefetch, --log-every, --save-every: 1 or more")


# Validation scores of two runs can be compared only where these agree.
LOSS_FIELDS = (
    *("valid_weight", "hole_weight", "perceptual_weight", "style_weight", "tv_weight", "best_by"),
    *("perceptual", "perceptual_on", "perceptual_px", "validation_px", "validation_photos"),
)

_PAPER = TrainConfig(epochs=100, fine_tune_epochs=20)  # 1.2 M photos at batch 6, ten days: about a million steps

PRESETS: dict[str, TrainConfig] = {
    # Liu et al. 2018 on the whole of ImageNet or Places2: 512 px, 8 levels, strokes.
    "paper": _PAPER,
    # The removal report: 10 % of ImageNet, 5 % to validate, 32 epochs of 10,000 steps on one A100.
    "report": dataclasses.replace(
        _PAPER, fraction=0.10, epochs=26, fine_tune_epochs=6, crop_px=256, levels=7, batch=16, clip_norm=0.0
    ),
    # Two cores and a few hours: small crops, a narrow net over a pull-push fill, cheap features.
    "cpu": TrainConfig(
        crop_px=128,
        zoom_out_max=2.25,
        colour=0.1,
        cache_ram=4.0,
        strokes=0.4,
        objects=0.5,
        boxes=0.1,
        area_max=0.4,
        width=32,
        levels=6,
        base="pull_push",
        style_ramp_steps=1_000,
        perceptual_on="composite",
        batch=8,
        epochs=8,
        fine_tune_epochs=2,
        steps_per_epoch=1_000,
        clip_norm=1.0,
        workers=2,
        validation_photos=48,
        save_every=500,
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one option a field of TrainConfig. Options not given are absent from the parsed arguments."""
    hints = typing.get_type_hints(TrainConfig)
    for spec in dataclasses.fields(TrainConfig):
        kind, text = hints[spec.name], spec.metadata["help"].replace("%", "%%")
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": f"{text} (default: {spec.default})"}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif isinstance(kind, types.GenericAlias):  # tuple[str, ...]
            options |= {"nargs": "*", "metavar": "PATH" if spec.name != "exclude" else "PATTERN"}
        else:
            options |= {"type": kind, "choices": spec.metadata["choices"]}
            if not spec.metadata["choices"]:
                options["metavar"] = {int: "N", float: "X", str: "PATH"}[kind]
        parser.add_argument("--" + spec.name.replace("_", "-"), **options)


def command_of(config: TrainConfig) -> str:
    """The shortest command that gives this configuration, with names of files and folders in place of their paths."""

    def changes(preset: TrainConfig) -> list[str]:
        words = []
        for spec in dataclasses.fields(TrainConfig):
            value = getattr(config, spec.name)
            if value == getattr(preset, spec.name) or spec.name in ("images", "out"):
                continue
            option = spec.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            elif isinstance(value, tuple):
                shown = value if spec.name == "exclude" else [Path(path).name for path in value]
                words.append(f"--{option} {' '.join(map(shlex.quote, shown))}".rstrip())
            else:
                shown_value = Path(value).name if spec.name in ("vgg_weights", "start_from") else value
                words.append(f"--{option} {shlex.quote(str(shown_value))}")
        return words

    preset = min(PRESETS, key=lambda name: len(changes(PRESETS[name])))
    images = " ".join(shlex.quote(Path(path).name) for path in config.images)
    return " ".join([f"python -m train_pconv --preset {preset} --images {images} --out RUN", *changes(PRESETS[preset])])


def with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """The configuration with some fields changed; lists become tuples.

    Raises ValueError for a field that does not exist.
    """
    known = {spec.name for spec in dataclasses.fields(TrainConfig)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"no option is called {', '.join(unknown)}: is this configuration from another version?")
    changes: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return dataclasses.replace(config, **changes)


def write_config(config: TrainConfig, path: Path) -> None:
    """Writes the configuration as JSON, one field a line."""
    path.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")


def read_config(path: Path) -> TrainConfig:
    """The configuration in a JSON file. Raises ValueError if it is not one, FileNotFoundError if it is not there."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no configuration ({error})") from error
    return with_values(TrainConfig(), values)
