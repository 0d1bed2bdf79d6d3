"""What every recipe has: the options of a run, and what the trainer asks of the work that it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from segment.base import Image
from train_segment.data import Labelled
from training.options import check_counts, option
from training.report import Shown
from training.schedule import DECAYS

# What goes through a step: arrays by name, inputs of the net and targets alike, the batch first.
Batch = dict[str, NDArray[Any]]

OPTIMIZERS = ("adam", "sgd", "rmsprop")


class Task(Protocol):
    """A net and how it is taught. Made by a recipe from its data; the trainer knows nothing else of either."""

    net: Any  # keras.Model: a dictionary of arrays to a dictionary of tensors
    rate_factors: Mapping[str, float]  # part of a variable's path -> factor on its rate; the first that matches counts

    @property
    def inputs(self) -> Sequence[str]:
        """Which arrays of a batch the net is given."""

    @property
    def shown(self) -> Shown:
        """Which scalars are printed."""

    def sample(self, index: int) -> Any:
        """The training sample of that index, 0 and up; made in threads. The same index gives the same sample."""

    def collate(self, samples: Sequence[Any]) -> Batch:
        """A batch of samples."""

    def prepare(self, batch: Batch, step: int) -> Batch:
        """The batch as the step takes it: with clicks that answer what the net says now, say."""

    def losses(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Scalars by name, tensors: "loss" is made smaller, the others are shown."""

    def validate(self) -> tuple[dict[str, float], Image]:
        """The means over the held-out photos, "iou" among them, which decides the best; and pictures to look at."""

    def write(self, path: Path, extra: Mapping[str, Any]) -> None:
        """Writes the net as a bundle, whole or not at all. extra: plain data to keep with it."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run computes. A recipe of its own adds fields and makes the task."""

    # data
    data: tuple[str, ...] = option((), "folders of photos with masks, Oxford-IIIT Pet folders, or COCO JSON files")
    out: str = option("", "the run's folder: configuration, checkpoints, panels, scalars")
    exclude: tuple[str, ...] = option((), "photos whose name matches one of these are left out", metavar="PATTERN")
    manifest: str = option("", "a CSV with the classes of the objects in label folders")
    photo_folder: str = option("", "where the photos of COCO files are")
    validation_fraction: float = option(0.05, "share of the photos kept out of training, chosen by a hash of the name")
    start_from: str = option("", "a bundle whose weights the net starts with")

    # schedule
    batch: int = option(16, "samples a step")
    epochs: int = option(20, "epochs; the net is validated after each")
    steps_per_epoch: int = option(500, "steps between two validations")
    optimizer: str = option("adam", "how the weights are changed", OPTIMIZERS)
    rate: float = option(1e-3, "its learning rate")
    momentum: float = option(0.9, "of sgd and rmsprop")
    weight_decay: float = option(0.0, "decoupled weight decay")
    decay: str = option("cosine", "how the rate falls", DECAYS)
    warmup_steps: int = option(0, "steps over which the rate grows from 0")
    clip_norm: float = option(0.0, "bound of the gradient's norm; 0: none")
    ema: float = option(0.0, "decay of the running mean of the weights that is validated and exported; 0: none")
    precision: str = option("float32", "arithmetic of the net", ("float32", "float16", "bfloat16"))
    jit: bool = option(False, "compile with XLA (TensorFlow) or torch.compile; JAX always compiles")
    seed: int = option(0, "the same seed gives the same samples everywhere")

    # running
    workers: int = option(2, "threads that make samples")
    prefetch: int = option(4, "batches made ahead")
    validation_photos: int = option(100, "photos validated, always the same")
    panel_photos: int = option(12, "of which so many are shown in the panel")
    save_every: int = option(500, "steps between two checkpoints, besides each epoch's")
    log_every: int = option(50, "steps between two lines of scalars")

    def check(self) -> None:
        """Raises ValueError for values that cannot work, with the fix."""
        if not self.data:
            raise ValueError("no photos: give --data FOLDER")
        if not self.out:
            raise ValueError("no place for the run: give --out FOLDER")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"--validation-fraction must be between 0 and 1, got {self.validation_fraction}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"--ema must be 0 or more and below 1, got {self.ema}")
        if self.rate <= 0:
            raise ValueError(f"--rate must be above 0, got {self.rate}")
        counted = ("batch", "epochs", "steps_per_epoch", "workers", "prefetch", "save_every", "log_every")
        check_counts(self, (*counted, "validation_photos", "panel_photos"))

    def task(self, labelled: Labelled, training: Sequence[int], held_out: Sequence[int]) -> Task:
        """The work: the numbers of the photos to train on and of those kept out. Keras loads here.

        Raises ValueError if the data or the start cannot serve.
        """
        raise NotImplementedError
