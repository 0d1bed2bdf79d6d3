"""The learning-rate finder (Smith 2015): rates that rise step by step, and what each does to the loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from train_segment.fit import Run
from training.feed import ThreadFeed

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 60
_SMOOTH = 0.8  # share of the loss before in the smoothed one
_LOST = 4.0  # a loss this many times the best one ends the search


def find(run: Run) -> str:
    """A table of rates and smoothed losses, and the rate to take: a third of where the loss falls fastest.

    Trains the run's net for up to STEPS steps; no weights are written. The run is not to be used afterwards.
    """
    recipe = run.recipe
    feed = ThreadFeed(
        run.task.sample,
        run.task.collate,
        batch=recipe.batch,
        first_step=0,
        steps=STEPS,
        workers=recipe.workers,
        prefetch=recipe.prefetch,
    )
    optimizer: Any = run.trainee.optimizer
    rates: list[float] = []
    losses: list[float] = []
    smooth = 0.0
    for number, batch in enumerate(feed):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / (STEPS - 1))
        getattr(optimizer, "inner_optimizer", optimizer).learning_rate = rate
        loss = run.trainee.step(run.task.prepare(batch, number))["loss"]
        smooth = _SMOOTH * smooth + (1 - _SMOOTH) * loss
        rates.append(rate)
        losses.append(smooth / (1 - _SMOOTH ** (number + 1)))
        if not math.isfinite(losses[-1]) or losses[-1] > _LOST * min(losses):
            break
    kept = np.array([value for value in losses if math.isfinite(value)])
    lines = [f"{rate:.1e}  {loss:.4f}" for rate, loss in zip(rates, kept, strict=False)]
    falls = np.gradient(kept) if len(kept) > 1 else np.zeros(1)
    best = rates[int(falls.argmin())] / 3
    return "\n".join(["rate     loss", *lines, f"try --rate {best:.1e}"])
