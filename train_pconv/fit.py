"""The training loop: steps, validations, checkpoints, and how a run goes on after a stop."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from inpaint.pconv_unet import freeze_encoder_bn, write_pconv
from train_pconv import build
from train_pconv.config import LOSS_FIELDS, TrainConfig
from train_pconv.data import Batch, validation_batches
from train_pconv.distribute import is_chief, open_strategy, scope
from train_pconv.photos import BrokenPhotoError, Photos, choose, open_photos
from train_pconv.steps import steps_of
from train_pconv.trainee import Trainee, compile_for
from train_pconv.validate import validate
from training import state
from training.average import WeightAverage
from training.checkpoint import BEST_FILE, CONFIG_FILE, LAST_FILE, STATE_FILE, CheckpointError, read_state
from training.command import TrainingStopped
from training.options import write_config
from training.report import Report, Shown
from training.schedule import rate_at
from weights.nets import named_variables

SHOWN = Shown(
    training={"loss": ".4f", "hole": ".4f", "psnr_hole": ".2f"},
    validation={"loss": ".4f", "psnr": ".2f", "psnr_hole": ".2f", "ssim": ".4f"},
    panel="masked_filled_true",
)


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
        self.config, self.out, self.stop_requested = config, Path(config.out), False
        state_file = self.out / STATE_FILE
        if not resume and state_file.exists():
            raise CheckpointError(f"{state_file} is another run's: continue it with --resume, or give another --out")
        self._strategy = open_strategy(config.distribute)
        if self._strategy is not None and config.batch % self._strategy.num_replicas_in_sync:
            raise ValueError(
                f"--batch {config.batch} must be a multiple of {self._strategy.num_replicas_in_sync} replicas"
            )
        saved = read_state(state_file) if resume else None

        store = open_photos(config.images, config.exclude)
        training, held_out = choose(
            store.names, fraction=config.fraction, validation_fraction=config.validation_fraction
        )
        self.photos = Photos(store, cache_gib=config.cache_ram, cache_side_px=config.cache_side_px)
        self._holes = holes = build.hole_mix(config)
        self.samples = build.samples_of(config, self.photos, training, holes)
        self.validation = validation_batches(
            self.photos,
            held_out,
            holes,
            count=config.validation_photos,
            side_px=config.validation_px or config.crop_px,
            batch=config.batch,
        )
        if not self.validation:
            raise ValueError("none of the photos kept for validation can be read: see --validation-fraction")

        keras.utils.set_random_seed(config.seed)
        with scope(self._strategy):
            self.net = build.net_of(config, fresh=saved is None)
            self.trainee = Trainee(self.net, config, build.features_of(config, self.samples))
            self.average = WeightAverage(named_variables(self.net), config.ema)
        self.step, self.best = 0, math.inf
        self._start_phase(0 if config.epochs else 1)
        if saved is not None:
            self._restore(*saved)

        left = config.total_epochs() * config.steps_per_epoch - self.step
        self._feed = build.feed_of(config, self.samples, first_step=self.step, steps=left, strategy=self._strategy)
        self._history = build.history_of(config)
        self.report: Report | None = None
        if is_chief(config.distribute):
            self.out.mkdir(parents=True, exist_ok=True)
            write_config(config, self.out / CONFIG_FILE)
            names = "".join(f"{store.names[number]}\n" for number in held_out)
            (self.out / "validation.txt").write_text(names, encoding="utf-8")
            self.report = Report(self.out, batch=config.batch, log_every=config.log_every, shown=SHOWN)
            self.report.line(f"{len(training)} photos to train on, {len(held_out)} held out")

    def run(self) -> None:
        """Trains to the end, or until stop_requested.

        Raises TrainingStopped if the loss is no number any more, the disk is full or the photos are broken.
        """
        config = self.config
        feed = self._feed
        try:
            if self.report:
                self.report.start(self.step, config.total_epochs() * config.steps_per_epoch)
            for batch in feed:
                if self._phase == 0 and self.step >= config.epochs * config.steps_per_epoch:
                    self._start_phase(1)
                rate = self._set_rates()
                logs = self._train(batch)
                self.step += 1
                self.average.update(self.step)
                if self.report:
                    self.report.step(self.step, logs, rate=rate, waited_s=feed.waited_s)
                    self.report.broken(self.photos.broken | self._holes.broken)
                epoch_ended = self.step % config.steps_per_epoch == 0
                if epoch_ended:
                    self._validate()
                if epoch_ended or self.stop_requested or self.step % config.save_every == 0:
                    self._save()
                if self.stop_requested:
                    if self.report:
                        self.report.line(f"stopped after step {self.step}: go on with --resume")
                    break
        except BrokenPhotoError as error:
            raise TrainingStopped(f"stopped after step {self.step}: {error}") from error
        except OSError as error:
            raise state.cannot_write(error, out=self.out, step=self.step) from error
        finally:
            if self.report:
                self.report.close()

    def _train(self, batch: Batch) -> dict[str, float]:
        """One step. Raises TrainingStopped if its loss is not finite."""
        logs = self._steps.train(batch)
        if not math.isfinite(logs["loss"]):
            arrays = {"truth": self._local(batch.truth), "valid": self._local(batch.valid)}
            state.check_finite(logs, arrays, out=self.out, step=self.step)
        return logs

    def _local(self, values: Any) -> NDArray[np.float32]:
        if self._strategy is not None:
            values = np.concatenate(
                [ops.convert_to_numpy(v) for v in self._strategy.experimental_local_results(values)]
            )
        return np.asarray(ops.convert_to_numpy(values))

    def _validate(self) -> None:
        """Scores the mean weights on the held-out photos and writes their bundle, twice if it is the best so far."""
        config, epoch = self.config, self.step // self.config.steps_per_epoch
        with self.average.swapped_in():
            means, panel = validate(self._steps, self.validation, panel_photos=config.panel_photos)
            if self.report is None:
                return
            self.report.validated(self.step, epoch, means, panel)
            # max_size_px: what PConvInpainter asks of the net at most; beyond twice its crops it has never looked.
            extra = {"step": self.step, "epoch": epoch, "validation": means, "max_size_px": 2 * config.crop_px}
            extra["history"] = self._history
            write_pconv(self.out / LAST_FILE, self.net, build.net_config(config), extra)
            score = means["loss"] if config.best_by == "loss" else -means["psnr_hole"]
            if score < self.best:
                self.best = score
                write_pconv(self.out / BEST_FILE, self.net, build.net_config(config), extra)

    def _start_phase(self, phase: int) -> None:
        """Phase 0 trains everything, phase 1 all but the encoder's batch norm; each starts a new Adam."""
        self._phase = phase
        freeze_encoder_bn(self.net, frozen=phase == 1)
        with scope(self._strategy):
            compile_for(self.trainee, self.config, rate=self._rate())
            self._steps = steps_of(self.trainee, self._strategy)

    def _rate(self) -> float:
        """This step's rate."""
        config = self.config
        rate = config.fine_tune_rate if self._phase else config.rate
        first = config.epochs * config.steps_per_epoch if self._phase else 0
        length = (config.fine_tune_epochs if self._phase else config.epochs) * config.steps_per_epoch
        return rate_at(
            self.step - first, rate=rate, decay=config.decay, length=length, warmup_steps=config.warmup_steps
        )

    def _set_rates(self) -> float:
        """Sets the rate and the share of the style weight for the step to come. Returns the rate."""
        rate = self._rate()
        optimizer: Any = self.trainee.optimizer
        getattr(optimizer, "inner_optimizer", optimizer).learning_rate = rate
        ramp = self.config.style_ramp_steps
        self.trainee.style_share.assign(min(1.0, self.step / ramp) if ramp else 1.0)
        return rate

    def _save(self) -> None:
        if self.report is None:
            return
        meta = {
            "step": self.step,
            "phase": self._phase,
            "best": self.best if math.isfinite(self.best) else None,
            "config": dataclasses.asdict(self.config),
        }
        state.save(self.out / STATE_FILE, meta, self.net, self.average, self.trainee.optimizer)

    def _restore(self, meta: Mapping[str, Any], groups: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        self.step = int(meta["step"])
        # Scores under another loss cannot be compared: the next validation is the best one then.
        comparable = all(meta["config"].get(name) == getattr(self.config, name) for name in LOSS_FIELDS)
        self.best = float(meta["best"]) if comparable and meta["best"] is not None else math.inf
        self._start_phase(int(meta["phase"]))
        state.restore(self.out / STATE_FILE, groups, self.net, self.average, self.trainee.optimizer)
