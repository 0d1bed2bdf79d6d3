"""How good the net is on photos it never trained on: the losses, PSNR and SSIM, and the pictures to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inpaint.base import Image
from inpaint.metrics import ssim
from train_pconv.data import Batch
from train_pconv.panel import grid, masked
from train_pconv.steps import Steps

_TRIPLES_A_ROW = 2


def validate(steps: Steps, batches: Sequence[Batch], *, panel_photos: int) -> tuple[dict[str, float], Image]:
    """The mean scalars over all photos of the batches, and the panel: masked, filled and true side by side."""
    scores: dict[str, list[float]] = {}
    sizes: list[int] = []
    triples: list[list[Image]] = []
    for batch in batches:
        for name, value in steps.test(batch).items():
            scores.setdefault(name, []).append(value)
        pictures = as_pictures(batch, steps.predict(batch))
        scores.setdefault("ssim", []).append(float(np.mean([ssim(filled, true) for _, filled, true in pictures])))
        sizes.append(len(batch.truth))
        triples += pictures
    means = {name: float(np.average(values, weights=sizes)) for name, values in scores.items()}
    shown = triples[:panel_photos]
    rows = [
        [picture for triple in shown[i : i + _TRIPLES_A_ROW] for picture in triple]
        for i in range(0, len(shown), _TRIPLES_A_ROW)
    ]
    return means, grid(rows)


def as_pictures(batch: Batch, output: NDArray[np.float32]) -> list[list[Image]]:
    """Masked, filled and true, as uint8 pictures, a list a photo."""
    filled = batch.valid * batch.truth + (1 - batch.valid) * output
    truths, fills = (np.clip((x + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8) for x in (batch.truth, filled))
    holes = batch.valid[..., 0] < 0.5
    return [[masked(true, hole), fill, true] for true, fill, hole in zip(truths, fills, holes, strict=True)]
