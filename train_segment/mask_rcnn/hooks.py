"""What happens between the steps: the rate, checkpoints that hold nothing but data, bundles, and the end of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from segment.small_mask_rcnn import ARCHITECTURE, SmallMaskRCNN
from train_segment.mask_rcnn.recipe import MaskRCNNRecipe
from training.checkpoint import BEST_FILE, LAST_FILE
from training.command import TrainingStopped
from training.schedule import rate_at
from weights.bundle import read_bundle_config, write_bundle

SCORE = "coco/segm_mAP_50"  # decides the best


class RateHook(Hook):
    """Sets the rate of every step by training.schedule: a function of the step alone, so that --epochs may change."""

    priority = "VERY_HIGH"

    def __init__(self, recipe: MaskRCNNRecipe) -> None:
        self._recipe = recipe
        self._factors: list[float] = []

    def before_run(self, runner: Any) -> None:
        """Before a state is resumed: the groups' rates are the recipe's times their factors."""
        self._factors = [group["lr"] / self._recipe.rate for group in runner.optim_wrapper.optimizer.param_groups]

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        recipe = self._recipe
        length = recipe.epochs * recipe.steps_per_epoch
        rate = rate_at(
            runner.iter, rate=recipe.rate, decay=recipe.decay, length=length, warmup_steps=recipe.warmup_steps
        )
        for group, factor in zip(runner.optim_wrapper.optimizer.param_groups, self._factors, strict=True):
            group["lr"] = rate * factor


class FiniteHook(Hook):
    """Ends the run when the loss is no number any more."""

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if outputs is not None and not math.isfinite(float(outputs["loss"])):
            raise TrainingStopped(
                f"the loss is not finite at step {runner.iter}: lower --rate or --clip-norm, and go on from the last "
                "checkpoint with --resume"
            )


class PlainCheckpointHook(Hook):
    """Leaves mmengine's histories of scalars out of checkpoints.

    They are objects, which torch.load has refused since 2.6 unless it may run code from the file.
    """

    priority = "VERY_LOW"

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}


class BundleHook(Hook):
    """Writes the mean weights as RUN/last.npz after each validation, and as best.npz where they are the best so far."""

    priority = "HIGH"  # before EMAHook, at NORMAL, takes the mean weights out of the net again

    def __init__(self, out: Path, net: SmallMaskRCNN, extra: Mapping[str, Any]) -> None:
        self._out, self._net, self._extra = out, net, extra

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        # mmengine counts an epoch after its validation within training, before it otherwise.
        figures = {name.rpartition("/")[2]: round(float(value), 4) for name, value in (metrics or {}).items()}
        extra = {**self._extra, "step": runner.iter, "epoch": runner.epoch, "validation": figures}
        write_net(self._out / LAST_FILE, runner.model, self._net, extra)
        best = self._out / BEST_FILE
        before = read_bundle_config(best)["extra"]["validation"] if best.is_file() else {}
        score = SCORE.rpartition("/")[2]
        if figures.get(score, -1.0) > before.get(score, -1.0):
            write_net(best, runner.model, self._net, extra)


def write_net(path: Path, model: torch.nn.Module, net: SmallMaskRCNN, extra: Mapping[str, Any]) -> None:
    """Writes the net as a bundle, float16. extra: plain data to keep with it. Raises ValueError beyond that type."""
    arrays = {name: value.detach().cpu().contiguous().numpy() for name, value in model.state_dict().items()}
    write_bundle(path, {"architecture": ARCHITECTURE, "net": asdict(net), "extra": dict(extra)}, arrays)
