"""What training does to samples besides data.flip and data.colour: objects on other backgrounds, poor photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.random import Generator

from segment.base import Image
from segment.mask_ops import box_xyxy
from train_segment.data import Augment, BrokenSampleError, Labelled, Sample

_LEFT_SHARE = 0.5  # of an object that a pasted one may hide before it is no longer asked for


def copy_paste(labelled: Labelled, numbers: Sequence[int], share: float) -> Augment:
    """A hook that pastes an object of another photo onto that share of the samples (Ghiasi et al. 2021).

    Half of the times the pasted object is the one that is asked for; else it may hide a part of the sample's own.
    """

    def change(sample: Sample, rng: Generator) -> Sample:
        if rng.random() >= share:
            return sample
        try:
            found = labelled.samples(numbers[int(rng.integers(len(numbers)))], min_share=0.02, max_share=0.7)
        except BrokenSampleError:
            return sample
        return paste(sample, found[int(rng.integers(len(found)))], rng) if found else sample

    return change


def paste(sample: Sample, other: Sample, rng: Generator) -> Sample:
    """The sample with the other's object on it, at a random place and size, its rim softened by a pixel."""
    height, width = sample.mask.shape
    x0, y0, x1, y1 = box_xyxy(other.mask)
    factor = rng.uniform(0.2, 0.8) * min(height, width) / max(x1 - x0, y1 - y0)
    size = max(4, round((x1 - x0) * factor)), max(4, round((y1 - y0) * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    object_ = cv2.resize(other.image[y0:y1, x0:x1], size, interpolation=how).astype(np.float32)
    mask = cv2.resize(other.mask[y0:y1, x0:x1].astype(np.float32), size, interpolation=how)
    if rng.random() < 0.5:
        object_, mask = object_[:, ::-1], mask[:, ::-1]
    # Up to a third of it may lie beyond the border.
    x = int(rng.integers(-size[0] // 3, max(1, width - size[0] + size[0] // 3)))
    y = int(rng.integers(-size[1] // 3, max(1, height - size[1] + size[1] // 3)))
    left, top = max(0, x), max(0, y)
    right, bottom = min(width, x + size[0]), min(height, y + size[1])
    part = np.s_[top - y : bottom - y, left - x : right - x]
    alpha = np.zeros((height, width), np.float32)
    alpha[top:bottom, left:right] = cv2.GaussianBlur(mask, (0, 0), 0.7)[part]
    layer = np.zeros((height, width, 3), np.float32)
    layer[top:bottom, left:right] = object_[part]
    image = sample.image * (1 - alpha[..., None]) + layer * alpha[..., None]
    pasted = alpha >= 0.5
    if not pasted.any():
        return sample
    own = sample.mask & ~pasted
    wanted = rng.random() < 0.5 or own.sum() < _LEFT_SHARE * sample.mask.sum()
    others = tuple(rest for rest in (o & ~pasted for o in sample.others) if rest.any())
    return replace(
        sample,
        image=np.rint(image).astype(np.uint8),
        mask=pasted if wanted else own,
        ignore=sample.ignore & ~pasted,
        label=other.label if wanted else sample.label,
        others=(*others, own if wanted and own.any() else pasted),
    )


def worsened(image: Image, rng: Generator) -> Image:
    """The picture, now and then blurred, without colour, or as a coarse JPEG: what visitors' photos look like."""
    luck = rng.random()
    if luck < 0.1:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5)), np.uint8)
    if luck < 0.15:
        return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if luck < 0.25:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 80))])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)  # the channels' order goes in and comes out
    return image
