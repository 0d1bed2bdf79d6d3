"""The training loop of every recipe: steps, validations, checkpoints, and how a run goes on after a stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from numpy.typing import NDArray

from train_segment.data import open_named, split
from train_segment.recipe import Recipe
from train_segment.recipes import RECIPES
from train_segment.trainee import POLICIES, Trainee, compile_for
from training import state
from training.average import WeightAverage
from training.checkpoint import BEST_FILE, CONFIG_FILE, LAST_FILE, STATE_FILE, CheckpointError, read_state
from training.command import TrainingStopped
from training.feed import ThreadFeed
from training.options import command_words, write_config
from training.report import Report
from training.schedule import rate_at
from weights.bundle import read_bundle_config
from weights.nets import named_variables


class Run:
    """One training run: everything that it holds, and its loop.

    stop_requested may be set at any time (by a signal, say): the run then saves its state after the step in progress.
    """

    def __init__(self, recipe: Recipe, name: str, *, resume: bool = False) -> None:
        """Reads the folders, builds the net, and takes up the state in recipe.out if resume is True.

        name: the recipe's, kept with the weights. Raises ValueError for options or data that cannot work,
        CheckpointError if there is no state to resume or, without resume, one that would be overwritten.
        """
        recipe.check()
        self.recipe, self.name, self.out, self.stop_requested = recipe, name, Path(recipe.out), False
        state_file = self.out / STATE_FILE
        if not resume and state_file.exists():
            raise CheckpointError(f"{state_file} is another run's: continue it with --resume, or give another --out")
        saved = read_state(state_file) if resume else None
        self.labelled = open_named(recipe)
        training, held_out = split(self.labelled.names, recipe.validation_fraction)
        keras.utils.set_random_seed(recipe.seed)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(POLICIES[recipe.precision])
        try:
            self.task = recipe.task(self.labelled, training, held_out)
        finally:
            keras.config.set_dtype_policy(before)
        self.trainee = Trainee(self.task)
        self.average = WeightAverage(named_variables(self.task.net), recipe.ema)
        compile_for(self.trainee, recipe, self.task.rate_factors)
        earlier = read_bundle_config(Path(recipe.start_from)).get("extra", {}) if recipe.start_from else {}
        self._earlier: list[str] = earlier.get("history", [])
        self.step, self.best = 0, -math.inf
        if saved is not None:
            self._restore(*saved)
        self.out.mkdir(parents=True, exist_ok=True)
        write_config(recipe, self.out / CONFIG_FILE)
        (self.out / "recipe.txt").write_text(name + "\n", encoding="utf-8")
        kept_out = "".join(f"{self.labelled.names[number]}\n" for number in held_out)
        (self.out / "validation.txt").write_text(kept_out, encoding="utf-8")
        self.report = Report(self.out, batch=recipe.batch, log_every=recipe.log_every, shown=self.task.shown)
        self.report.line(f"{len(training)} photos to train on, {len(held_out)} held out")

    def run(self) -> None:
        """Trains to the end, or until stop_requested.

        Raises TrainingStopped if the loss is no number any more, the disk is full or the photos are broken.
        """
        recipe, total = self.recipe, self.recipe.epochs * self.recipe.steps_per_epoch
        feed = ThreadFeed(
            self.task.sample,
            self.task.collate,
            batch=recipe.batch,
            first_step=self.step,
            steps=total - self.step,
            workers=recipe.workers,
            prefetch=recipe.prefetch,
        )
        try:
            self.report.start(self.step, total)
            for batch in feed:
                rate = self._set_rate(total)
                logs = self._train(self.task.prepare(batch, self.step))
                self.step += 1
                self.average.update(self.step)
                self.report.step(self.step, logs, rate=rate, waited_s=feed.waited_s)
                self.report.broken(self.labelled.broken)
                epoch_ended = self.step % recipe.steps_per_epoch == 0
                if epoch_ended:
                    self._validate()
                if epoch_ended or self.stop_requested or self.step % recipe.save_every == 0:
                    self._save()
                if self.stop_requested:
                    self.report.line(f"stopped after step {self.step}: go on with --resume")
                    break
        except ValueError as error:  # the samples' own: no photo that could be used is left
            raise TrainingStopped(f"stopped after step {self.step}: {error}") from error
        except OSError as error:
            raise state.cannot_write(error, out=self.out, step=self.step) from error
        finally:
            self.report.close()

    def _train(self, batch: dict[str, NDArray[Any]]) -> dict[str, float]:
        """One step. Raises TrainingStopped if its loss is not finite."""
        logs = self.trainee.step(batch)
        state.check_finite(logs, batch, out=self.out, step=self.step)
        return logs

    def _set_rate(self, total: int) -> float:
        recipe = self.recipe
        rate = rate_at(self.step, rate=recipe.rate, decay=recipe.decay, length=total, warmup_steps=recipe.warmup_steps)
        optimizer: Any = self.trainee.optimizer
        getattr(optimizer, "inner_optimizer", optimizer).learning_rate = rate
        return rate

    def _validate(self) -> None:
        """Scores the mean weights on the held-out photos and writes their bundle, twice if it is the best so far."""
        epoch = self.step // self.recipe.steps_per_epoch
        with self.average.swapped_in():
            means, panel = self.task.validate()
            self.report.validated(self.step, epoch, means, panel)
            extra = {"recipe": self.name, "step": self.step, "epoch": epoch, "validation": means}
            extra["history"] = [*self._earlier, command_of(self.recipe, self.name)]
            self.task.write(self.out / LAST_FILE, extra)
            if means["iou"] > self.best:
                self.best = means["iou"]
                self.task.write(self.out / BEST_FILE, extra)

    def _save(self) -> None:
        meta = {"step": self.step, "best": self.best if math.isfinite(self.best) else None, "recipe": self.name}
        state.save(self.out / STATE_FILE, meta, self.task.net, self.average, self.trainee.optimizer)

    def _restore(self, meta: Mapping[str, Any], groups: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        self.step = int(meta["step"])
        self.best = float(meta["best"]) if meta["best"] is not None else -math.inf
        state.restore(self.out / STATE_FILE, groups, self.task.net, self.average, self.trainee.optimizer)


def command_of(recipe: Recipe, name: str) -> str:
    """The command that gives this recipe, with names of files and folders in place of their paths."""
    words = command_words(recipe, RECIPES[name], without=("out",))
    return " ".join(["python", "-m", "train_segment", name, *words, "--out", "RUN"])
