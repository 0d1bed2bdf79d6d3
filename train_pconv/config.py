"""The one description of a run. The command line is made from its fields, and it is written beside the checkpoints."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path

from training.options import check_counts, command_words, option

LABEL_IMAGES = ("masks/*", "*/masks/*")  # where they usually lie, beside the photos: no photos themselves


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes. The defaults are Liu et al. 2018 where the paper states a value."""

    # photos
    images: tuple[str, ...] = option((), "folders of photos (any depth), or TFRecord shards")
    out: str = option("", "the run's folder: configuration, checkpoints, panels, scalars")
    exclude: tuple[str, ...] = option(
        LABEL_IMAGES, "photos whose relative path matches one of these are left out", metavar="PATTERN"
    )
    fraction: float = option(1.0, "share of the photos to use, chosen by a hash of the relative path")
    validation_fraction: float = option(0.05, "share of the photos kept out of training, chosen by another hash")
    crop_px: int = option(512, "side of the square that the net sees")
    zoom_out_max: float = option(100.0, "a crop covers up to this many times crop_px of the photo, then is shrunk")
    zoom_out_min: float = option(1.0, "and at least this many times: below 1 enlarges")
    flip: bool = option(True, "mirror half of the crops")
    colour: float = option(0.0, "strength of brightness, contrast and saturation changes, 0 to 1")
    cache_ram: float = option(0.0, "GiB of decoded photos to keep in memory")
    cache_side_px: int = option(0, "shorter side to which a photo is shrunk before it is kept; 0: as it is")

    # holes
    strokes: float = option(1.0, "weight of pen strokes in the mix of holes")
    objects: float = option(0.0, "weight of object shapes: from shapes, or drawn blobs where there are none")
    boxes: float = option(0.0, "weight of boxes")
    files: float = option(0.0, "weight of hole_files")
    shapes: tuple[str, ...] = option((), "folders of label PNGs, or COCO annotation files, whose objects become holes")
    hole_files: tuple[str, ...] = option((), "folders of hole images, such as NVIDIA's irregular masks")
    hole_colour: str = option("white", "which pixels of hole_files are the hole", ("white", "black"))
    area_min: float = option(0.01, "smallest hole, share of the crop")
    area_max: float = option(0.6, "largest hole, share of the crop")
    at_border: float = option(0.5, "share of holes that may touch the border")

    # net
    width: int = option(64, "filters of the first layer")
    levels: int = option(8, "times the net halves the picture: crop_px is a multiple of 2**levels")
    head_width: int = option(0, "filters of one more full-size layer before the output; 0: none, as published")
    residuals: int = option(0, "layers behind each decoder layer below full size, added to what they read")
    base: str = option("none", "what the net's output is added to", ("none", "pull_push"))
    base_input: bool = option(False, "the base and the validity are inputs too: the net sees what it corrects")
    kernels: tuple[int, ...] = option((7, 5, 5), "kernel sizes of the encoder's first levels, 3 below them")
    start_from: str = option("", "a bundle whose weights the net starts with")

    # losses
    valid_weight: float = option(1.0, "L1 where the photo is known")
    hole_weight: float = option(6.0, "L1 in the hole")
    perceptual_weight: float = option(0.05, "L1 between features")
    style_weight: float = option(120.0, "L1 between Gram matrices of features")
    tv_weight: float = option(0.1, "total variation in the hole grown by one pixel")
    style_ramp_steps: int = option(0, "steps over which the style weight grows from 0")
    perceptual: str = option("vgg16", "the net whose features are compared", ("vgg16", "vgg19-conv3", "none"))
    vgg_weights: str = option("", "its weights: a file, or nothing to download vgg16's")
    perceptual_on: str = option("both", "compare the output and the composite, or only that", ("both", "composite"))
    perceptual_share: float = option(1.0, "share of each batch whose features are compared")

    perceptual_px: int = option(0, "side of the window round each hole whose features are compared; 0: everything")

    # schedule
    batch: int = option(6, "photos a step, over all machines")
    epochs: int = option(32, "epochs with batch normalisation trained")
    fine_tune_epochs: int = option(8, "epochs after that, the encoder's batch normalisation frozen")
    steps_per_epoch: int = option(10_000, "steps between two validations")
    rate: float = option(2e-4, "Adam's rate")
    fine_tune_rate: float = option(5e-5, "Adam's rate in the second phase")
    decay: str = option("constant", "how the rate falls within a phase", ("constant", "cosine"))
    warmup_steps: int = option(0, "steps over which a phase's rate grows from 0")
    clip_norm: float = option(0.0, "bound of the gradient's norm; 0: none")
    ema: float = option(0.999, "decay of the running mean of the weights that is validated and exported; 0: none")
    precision: str = option("float32", "arithmetic of the net", ("float32", "float16", "bfloat16"))
    jit: bool = option(False, "compile with XLA (TensorFlow) or torch.compile; JAX always compiles")
    seed: int = option(0, "the same seed gives the same photos, crops and holes everywhere")
    distribute: str = option("none", "tf.distribute: the GPUs here, or TF_CONFIG's", ("none", "gpus", "machines"))

    # running
    workers: int = option(8, "threads that make samples")
    prefetch: int = option(4, "batches made ahead")
    feed: str = option("auto", "what runs the workers; auto: tf.data under TensorFlow", ("auto", "threads", "tf.data"))
    validation_photos: int = option(100, "photos validated, always the same with the same holes")
    validation_px: int = option(0, "side of the validated crops; 0: crop_px")
    panel_photos: int = option(8, "of which so many are shown in the panel")
    best_by: str = option("loss", "what makes a checkpoint the best one", ("loss", "psnr_hole"))
    save_every: int = option(1_000, "steps between two checkpoints, besides each epoch's")
    log_every: int = option(50, "steps between two lines of scalars")

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
        counted = ("batch", "steps_per_epoch", "workers", "prefetch", "log_every", "save_every")
        check_counts(self, (*counted, "validation_photos", "panel_photos"))


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
    # Two cores and an hour or two: small pictures, and a narrow net that sees the pull-push fill it corrects. L1 in the
    # hole alone; start with --crop-px 32 --batch 64 --rate 2e-3 and go on from that (see EXPERIMENTS.md).
    "cpu": TrainConfig(
        crop_px=64,
        zoom_out_max=2.25,
        colour=0.15,
        cache_ram=4.0,
        cache_side_px=144,
        strokes=0.4,
        objects=0.5,
        boxes=0.1,
        area_min=0.03,
        area_max=0.4,
        at_border=0.3,
        width=32,
        levels=5,
        head_width=32,
        base="pull_push",
        base_input=True,
        kernels=(5,),
        valid_weight=0.0,
        tv_weight=0.0,
        perceptual="none",
        batch=32,
        epochs=8,
        fine_tune_epochs=0,
        steps_per_epoch=250,
        rate=1e-3,
        decay="cosine",
        warmup_steps=50,
        clip_norm=1.0,
        ema=0.99,
        workers=2,
        validation_photos=192,
        best_by="psnr_hole",
        save_every=250,
    ),
}


def command_of(config: TrainConfig) -> str:
    """The shortest command that gives this configuration, with names of files and folders in place of their paths."""

    def changes(preset: str) -> list[str]:
        return command_words(config, PRESETS[preset], without=("images", "out"))

    preset = min(PRESETS, key=lambda name: len(changes(name)))
    images = " ".join(shlex.quote(Path(path).name) for path in config.images)
    return " ".join([f"python -m train_pconv --preset {preset} --images {images} --out RUN", *changes(preset)])
