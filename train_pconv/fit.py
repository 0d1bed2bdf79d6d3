"""The training loop: steps, validations, checkpoints, and how a run goes on after a stop."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from inpaint.pconv_unet import (
    PConvUNetConfig,
    build_pconv_unet,
    freeze_encoder_bn,
    named_variables,
    read_pconv,
    write_pconv,
)
from train_pconv.average import WeightAverage
from train_pconv.checkpoint import STATE_FILE, CheckpointError, read_state, write_state, write_whole
from train_pconv.config import TrainConfig, write_config
from train_pconv.data import Batch, Feed, Samples, validation_batches
from train_pconv.holes import HoleMix
from train_pconv.panel import encode_png, grid, masked
from train_pconv.photos import Photos, choose, open_photos
from train_pconv.report import Report
from train_pconv.shapes import Blobs, HoleFiles, ObjectShapes
from train_pconv.trainee import Trainee, compile_for, dtype_policy
from train_pconv.vgg import Vgg

BEST_FILE, LAST_FILE, CONFIG_FILE = "best.npz", "last.npz", "config.json"
_NORMALISE_ON = 16  # crops whose mean activations scale the features


class TrainingStopped(RuntimeError):
    """The run cannot go on. The message says at which step, why, and where the last checkpoint is."""


class Run:
    """One training run: everything that it holds, and its loop.

    stop_requested may be set at any time (by a signal, say): the run then saves its state after the step in progress.
    """

    def __init__(self, config: TrainConfig, *, resume: bool = False) -> None:
        """Reads the folders, builds the net, and takes up the state in config.out if resume is True.

        Raises ValueError for a configuration or folder that cannot work, CheckpointError if there is no state to resume
        or, without resume, one that would be overwritten.
        """
        config.check()
        self.config, self.out = config, Path(config.out)
        self.stop_requested = False
        state_file = self.out / STATE_FILE
        if not resume and state_file.exists():
            raise CheckpointError(f"{state_file} is another run's: continue it with --resume, or give another --out")
        state = read_state(state_file) if resume else None

        keras.utils.set_random_seed(config.seed)
        store = open_photos(config.images, config.exclude)
        training, validation = choose(
            store.names, fraction=config.fraction, validation_fraction=config.validation_fraction
        )
        self.photos = Photos(store, cache_gib=config.cache_ram, cache_side_px=config.cache_side_px)
        self.holes = hole_mix(config)
        self.samples = Samples(
            self.photos,
            training,
            self.holes,
            crop_px=config.crop_px,
            zoom_out=(config.zoom_out_min, config.zoom_out_max),
            flip=config.flip,
            colour=config.colour,
            seed=config.seed,
        )
        self.validation = validation_batches(
            self.photos,
            validation,
            self.holes,
            count=config.validation_photos,
            side_px=config.validation_px or config.crop_px,
            batch=min(config.batch, config.validation_photos),
        )
        if not self.validation:
            raise ValueError("none of the photos kept for validation can be read: see --validation-fraction")

        self.net_config = net_config(config)
        self.net = build_pconv_unet(self.net_config, dtype=dtype_policy(config.precision))
        if config.start_from and state is None:
            copy_weights(config, self.net)
        self.trainee = Trainee(self.net, config, self._features())
        self.average = WeightAverage(named_variables(self.net), config.ema)
        self.step, self.best = 0, math.inf
        self._phase = 0 if config.epochs else 1
        self._start_phase()
        if state is not None:
            self._restore(*state)

        self.out.mkdir(parents=True, exist_ok=True)
        write_config(config, self.out / CONFIG_FILE)
        held_out = "".join(f"{store.names[number]}\n" for number in validation)
        (self.out / "validation.txt").write_text(held_out, encoding="utf-8")
        self.report = Report(self.out, config, photos=len(training), held_out=len(validation))

    def run(self) -> None:
        """Trains to the end, or until stop_requested.

        Raises TrainingStopped if the loss is no number any more or the disk is full.
        """
        config = self.config
        total = config.total_epochs() * config.steps_per_epoch
        feed = self._feed(total - self.step)
        self.report.start(self.step, total)
        try:
            for batch in feed:
                if self._phase == 0 and self.step >= config.epochs * config.steps_per_epoch:
                    self._phase = 1
                    self._start_phase()
                self._set_rates()
                logs = self._train(batch)
                self.step += 1
                self.average.update(self.step)
                self.report.step(self.step, logs, rate=self._rate(), waited_s=feed.waited_s, broken=self.photos.broken)
                ended = self.step % config.steps_per_epoch == 0
                if ended:
                    self._validate()
                if ended or self.stop_requested or self.step % config.save_every == 0:
                    self._save()
                if self.stop_requested:
                    self.report.line(f"stopped after step {self.step}: go on with --resume")
                    break
        except OSError as error:
            raise TrainingStopped(
                f"stopped after step {self.step}: {self.out} cannot be written to ({error.strerror or error}); "
                f"the last checkpoint there is whole: make room and go on with --resume"
            ) from error
        finally:
            self.report.close()

    def _feed(self, steps: int) -> Feed:
        config = self.config
        return Feed(
            self.samples,
            batch=config.batch,
            first_step=self.step,
            steps=steps,
            workers=config.workers,
            prefetch=config.prefetch,
        )

    def _train(self, batch: Batch) -> dict[str, float]:
        logs = self.trainee.train_on_batch([batch.truth, batch.valid], return_dict=True)
        logs = {name: float(value) for name, value in logs.items()}
        if not math.isfinite(logs["loss"]):
            file = self.out / f"not_finite_step_{self.step}.npz"
            write_whole(file, lambda f: np.savez(f, truth=batch.truth, valid=batch.valid, step=self.step))
            terms = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
            raise TrainingStopped(
                f"the loss is not finite at step {self.step} ({terms}): the batch is in {file}; "
                "lower --rate or set --clip-norm, and go on from the last checkpoint with --resume"
            )
        return logs

    def _validate(self) -> None:
        """Scalars of the held-out photos and the panel, both with the mean weights; keeps the bundle if it is best."""
        with self.average.swapped_in():
            scores: dict[str, list[float]] = {}
            sizes, rows = [], []
            for batch in self.validation:
                inputs = [batch.truth, batch.valid]
                for name, value in self.trainee.test_on_batch(inputs, return_dict=True).items():
                    scores.setdefault(name, []).append(float(value))
                sizes.append(len(batch.truth))
                if len(rows) < self.config.panel_photos:
                    output = ops.convert_to_numpy(self.trainee.predict_on_batch(inputs))
                    rows += panel_rows(batch, output)
            means = {name: float(np.average(values, weights=sizes)) for name, values in scores.items()}
            epoch = self.step // self.config.steps_per_epoch
            self.report.validated(self.step, epoch, means, grid(rows[: self.config.panel_photos]))
            score = means["loss"] if self.config.best_by == "loss" else -means["psnr_hole"]
            # max_size_px: what PConvInpainter asks of the net at most; beyond twice its crops it has never looked.
            extra = {"step": self.step, "epoch": epoch, "validation": means, "max_size_px": 2 * self.config.crop_px}
            write_pconv(self.out / LAST_FILE, self.net, self.net_config, extra)
            if score < self.best:
                self.best = score
                write_pconv(self.out / BEST_FILE, self.net, self.net_config, extra)

    def _start_phase(self) -> None:
        frozen = self._phase == 1
        freeze_encoder_bn(self.net, frozen=frozen)
        compile_for(self.trainee, self.config, rate=self._base_rate())

    def _base_rate(self) -> float:
        return self.config.fine_tune_rate if self._phase else self.config.rate

    def _rate(self) -> float:
        """This step's rate: warm-up from 0, then constant, or falling as half a cosine to a hundredth."""
        config = self.config
        first = config.epochs * config.steps_per_epoch if self._phase else 0
        length = (config.fine_tune_epochs if self._phase else config.epochs) * config.steps_per_epoch
        done = self.step - first
        rate = self._base_rate()
        if config.decay == "cosine":
            rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done / length)))
        return rate * min(1.0, (done + 1) / config.warmup_steps) if config.warmup_steps else rate

    def _set_rates(self) -> None:
        self._inner_optimizer().learning_rate = self._rate()
        ramp = self.config.style_ramp_steps
        self.trainee.style_share.assign(min(1.0, self.step / ramp) if ramp else 1.0)

    def _inner_optimizer(self) -> Any:
        return getattr(self.trainee.optimizer, "inner_optimizer", self.trainee.optimizer)

    def _features(self) -> Vgg | None:
        config = self.config
        if config.perceptual == "none" or not (config.perceptual_weight or config.style_weight):
            return None
        vgg = Vgg(config.perceptual, config.vgg_weights, dtype=dtype_policy(config.precision))
        if config.perceptual == "vgg16":
            crops = [self.samples.sample(index)[0] for index in range(_NORMALISE_ON)]
            vgg.normalise(np.stack(crops).astype(np.float32) / 127.5 - 1)
        return vgg

    def _optimizer_variables(self) -> dict[str, Any]:
        return {f"{number:04d}": variable for number, variable in enumerate(self.trainee.optimizer.variables)}

    def _save(self) -> None:
        meta = {
            "step": self.step,
            "phase": self._phase,
            "best": self.best if math.isfinite(self.best) else None,
            "config": dataclasses.asdict(self.config),
        }
        groups = {
            "net": _arrays(named_variables(self.net)),
            "mean": self.average.arrays(),
            "optimizer": _arrays(self._optimizer_variables()),
        }
        write_state(self.out / STATE_FILE, meta, groups)

    def _restore(self, meta: Mapping[str, Any], groups: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        self.step = int(meta["step"])
        self.best = math.inf if meta["best"] is None else float(meta["best"])
        self._phase = int(meta["phase"])
        self._start_phase()
        try:
            self.average.restore(groups["mean"])
            for group, variables in (
                ("net", named_variables(self.net)),
                ("optimizer", self._optimizer_variables()),
            ):
                for name, variable in variables.items():
                    variable.assign(groups[group][name])
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"{self.out / STATE_FILE} does not fit this net ({error}): resume with the options of its config.json"
            ) from error


def net_config(config: TrainConfig) -> PConvUNetConfig:
    """The part of the configuration that the net itself keeps."""
    return PConvUNetConfig(
        levels=config.levels,
        width=config.width,
        head_width=config.head_width,
        pull_push_base=config.base == "pull_push",
    )


def hole_mix(config: TrainConfig) -> HoleMix:
    """The holes that the configuration asks for. Raises ValueError for folders that hold none."""
    weights = {name: getattr(config, name) for name in ("strokes", "objects", "boxes", "files")}
    return HoleMix(
        weights,
        shapes=ObjectShapes(config.shapes) if config.shapes else Blobs(),
        files=HoleFiles(config.hole_files, hole_colour=config.hole_colour) if config.hole_files else None,
        area=(config.area_min, config.area_max),
        at_border=config.at_border,
    )


def copy_weights(config: TrainConfig, net: keras.Model) -> None:
    """Gives the net the weights of the bundle config.start_from. Raises ValueError if it is of another net."""
    start = named_variables(read_pconv(config.start_from, dtype="float32"))
    own = named_variables(net)
    if {name: v.shape for name, v in start.items()} != {name: v.shape for name, v in own.items()}:
        raise ValueError(f"{config.start_from} is of another size: give its --width, --levels and --head-width")
    for name, variable in own.items():
        variable.assign(ops.convert_to_numpy(start[name]))


def panel_rows(batch: Batch, output: NDArray[np.float32]) -> list[list[NDArray[np.uint8]]]:
    """Masked, filled and true, as uint8 pictures, a row a photo."""
    filled = batch.valid * batch.truth + (1 - batch.valid) * output
    truths, fills = (np.clip((x + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8) for x in (batch.truth, filled))
    holes = batch.valid[..., 0] < 0.5
    return [[masked(t, hole), fill, t] for t, fill, hole in zip(truths, fills, holes, strict=True)]


def _arrays(variables: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {name: np.array(ops.convert_to_numpy(variable)) for name, variable in variables.items()}


__all__ = ["Run", "TrainingStopped", "encode_png", "hole_mix", "net_config"]
