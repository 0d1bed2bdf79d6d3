"""Training samples: a crop of a photo and its hole, each a function of the seed and its number alone.

That makes a resumed run continue exactly, and gives the same samples whatever makes them: one thread or many,
tf.data, one machine of a cluster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from inpaint.base import Image, Mask
from train_pconv.holes import HoleMix
from train_pconv.photos import BrokenPhotoError, Photos
from training.split import hash_share

_ORDER, _SAMPLE, _VALIDATION = 1, 2, 3  # streams of random numbers that never meet
_REPLACEMENTS = 50  # photos tried in place of a broken one


class Batch(NamedTuple):
    """truth: (B, H, W, 3) float32 RGB in -1..1; valid: (B, H, W, 1) float32, 1 where known."""

    truth: NDArray[np.float32]
    valid: NDArray[np.float32]


class Samples:
    """Sample number n of a run: a random crop of a photo, and a hole."""

    def __init__(
        self,
        photos: Photos,
        numbers: Sequence[int],
        holes: HoleMix,
        *,
        crop_px: int,
        zoom_out: tuple[float, float] = (1.0, 1.0),
        flip: bool = True,
        colour: float = 0.0,
        seed: int = 0,
    ) -> None:
        """numbers: the photos to use. The others are as in TrainConfig."""
        self._photos, self._numbers, self._holes = photos, numbers, holes
        self.crop_px = crop_px
        self._zoom_out, self._flip, self._colour, self._seed = zoom_out, flip, colour, seed
        self._order = lru_cache(maxsize=3)(self._shuffled)

    def sample(self, index: int) -> tuple[Image, Mask]:
        """(crop_px, crop_px, 3) uint8 and (crop_px, crop_px) bool: every photo once, in random order, then again.

        A broken photo gives its place to another one. Raises BrokenPhotoError if too many are broken.
        """
        rng = np.random.default_rng([self._seed, _SAMPLE, index])
        turn, place = divmod(index, len(self._numbers))
        number = self._numbers[self._order(turn)[place]]
        for _ in range(_REPLACEMENTS):
            try:
                photo = self._photos.get(number)
                break
            except BrokenPhotoError:
                number = self._numbers[int(rng.integers(len(self._numbers)))]
        else:
            raise BrokenPhotoError(f"{_REPLACEMENTS} photos in a row are broken, such as {self._photos.names[number]}")
        crop = random_crop(photo, rng, self.crop_px, zoom_out=self._zoom_out)
        if self._flip and rng.random() < 0.5:
            crop = crop[:, ::-1]
        if self._colour:
            crop = vary_colour(crop, rng, self._colour)
        return crop, self._holes.draw(rng, (self.crop_px, self.crop_px))

    def _shuffled(self, turn: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, _ORDER, turn]).permutation(len(self._numbers))


def random_crop(photo: Image, rng: Generator, crop_px: int, *, zoom_out: tuple[float, float]) -> Image:
    """A square of crop_px from a random place of the photo, shrunk from zoom_out times as much where there is room.

    A photo smaller than the crop is enlarged.
    """
    short = min(photo.shape[:2])
    low = min(short, crop_px * zoom_out[0])
    high = max(low, min(short, crop_px * zoom_out[1]))
    # Even in the logarithm, so that twice as large is as likely as half as large.
    side = min(short, max(1, round(math.exp(rng.uniform(math.log(low), math.log(high))))))
    y, x = (int(rng.integers(extent - side + 1)) for extent in photo.shape[:2])
    return fit_square(photo[y : y + side, x : x + side], crop_px)


def fit_square(square: Image, side_px: int) -> Image:
    """The square at side_px, averaged when it shrinks; a new array."""
    if square.shape[0] == side_px:
        return square.copy()
    how = cv2.INTER_AREA if square.shape[0] > side_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (side_px, side_px), interpolation=how), np.uint8)


def vary_colour(photo: Image, rng: Generator, strength: float) -> Image:
    """Brightness, contrast, saturation and white balance changed by up to that share; a new array."""
    brightness, contrast, saturation = 1 + strength * rng.uniform(-1, 1, 3)
    balance = 1 + 0.3 * strength * rng.uniform(-1, 1, 3)
    x = photo.astype(np.float32)
    grey = x.mean(axis=2, keepdims=True)
    x = grey + saturation * (x - grey)
    x = (x - 127.5) * contrast + 127.5 * brightness
    return np.clip(x * balance, 0, 255).astype(np.uint8)


def to_batch(samples: Sequence[tuple[Image, Mask]]) -> Batch:
    """The samples stacked, in the net's ranges."""
    truth = np.stack([crop for crop, _ in samples]).astype(np.float32) / 127.5 - 1
    valid = (~np.stack([hole for _, hole in samples]))[..., None].astype(np.float32)
    return Batch(truth, valid)


def validation_batches(
    photos: Photos, numbers: Sequence[int], holes: HoleMix, *, count: int, side_px: int, batch: int
) -> list[Batch]:
    """The middles of the first `count` photos that can be read, with the same holes in every run, in batches.

    Buckets of hole areas take turns. The order of the photos is by hash, so that folders mix.
    """
    ordered = sorted(numbers, key=lambda number: hash_share(photos.names[number], "validation order"))
    samples: list[tuple[Image, Mask]] = []
    for number in ordered:
        if len(samples) == count:
            break
        try:
            photo = photos.get(number)
        except BrokenPhotoError:
            continue
        rng = np.random.default_rng([_VALIDATION, len(samples)])
        bucket = holes.buckets[len(samples) % len(holes.buckets)]
        samples.append((middle_square(photo, side_px), holes.draw(rng, (side_px, side_px), bucket)))
    return [to_batch(samples[i : i + batch]) for i in range(0, len(samples), batch)]


def middle_square(photo: Image, side_px: int) -> Image:
    """The largest square round the photo's middle, at side_px."""
    height, width = photo.shape[:2]
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    return fit_square(photo[y : y + side, x : x + side], side_px)
