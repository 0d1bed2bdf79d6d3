"""What training does to a subject's photo: crops that keep the subject, other light, gamma.

Hooks like those of train_segment.data. greenScreen.AI's article lists what its net failed on without them: poor light,
dark clothes, bites out of large areas.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from segment.base import Mask
from segment.mask_ops import box_xyxy
from train_segment.data import Augment, Sample

_SUBJECT_LEFT = 0.6  # of the subject's pixels: a crop that leaves fewer is not taken
_TRIES = 5


def crop(least: float) -> Augment:
    """A hook that cuts a window out of the photo, each side at least that share of the photo's, 0..1. 1: none."""
    if not 0 < least <= 1:
        raise ValueError(f"least must be above 0 and at most 1, got {least}")

    def change(sample: Sample, rng: Generator) -> Sample:
        height, width = sample.mask.shape
        if least == 1 or not sample.mask.any():
            return sample
        for _ in range(_TRIES):
            h, w = (max(1, round(side * rng.uniform(least, 1))) for side in (height, width))
            y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            window = np.s_[y : y + h, x : x + w]
            left = np.count_nonzero(sample.mask[window]) / np.count_nonzero(sample.mask)
            if left >= _SUBJECT_LEFT and sample.mask[window].mean() < 0.95:
                return replace(
                    sample,
                    image=sample.image[window].copy(),
                    mask=sample.mask[window].copy(),
                    ignore=sample.ignore[window].copy(),
                    others=tuple(other[window].copy() for other in sample.others),
                )
        return sample

    return change


def gamma(strength: float) -> Augment:
    """A hook that brightens or darkens the middle tones: photo ** g, g from 1 / (1 + strength) to 1 + strength."""
    if strength < 0:
        raise ValueError(f"strength must be 0 or more, got {strength}")

    def change(sample: Sample, rng: Generator) -> Sample:
        power = float(np.exp(rng.uniform(-1, 1) * np.log1p(strength)))
        curve = np.rint(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
        return replace(sample, image=curve[sample.image])

    return change


def shadow(share: float) -> Augment:
    """A hook that darkens a half-plane of that share of the samples, softly: light from one side."""

    def change(sample: Sample, rng: Generator) -> Sample:
        if rng.random() >= share:
            return sample
        height, width = sample.mask.shape
        angle = rng.uniform(0, 2 * np.pi)
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        x0, y0, x1, y1 = box_xyxy(sample.mask) if sample.mask.any() else (0, 0, width, height)
        through = rng.uniform(x0, x1), rng.uniform(y0, y1)  # across the subject: half of it lies in the shadow
        distance = (columns - through[0]) * np.cos(angle) + (rows - through[1]) * np.sin(angle)
        lit = 1 / (1 + np.exp(-np.clip(distance / (0.05 * max(height, width)), -30, 30)))
        factor = 1 - rng.uniform(0.3, 0.7) * (1 - lit)
        return replace(sample, image=np.rint(sample.image * factor[..., None]).astype(np.uint8))

    return change


def unclear_rim(mask: Mask, ignore: Mask) -> Mask:
    """Of the ignored pixels those that lie along the mask, within a 25th of its box: a label set's own rim."""
    if not mask.any() or not ignore.any():
        return np.zeros_like(mask)
    from segment.mask_ops import grow

    x0, y0, x1, y1 = box_xyxy(mask)
    return grow(mask, max(2, round(max(x1 - x0, y1 - y0) / 25))) & ignore
