"""Samples to train and to measure on: a photo, one of its objects, and the pixels that do not count."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from segment.base import Image, Mask
from train_segment.sources import Annotated, Source, open_source
from training.split import is_held_out

_TRIES = 1000  # photos in a row without a usable object before it is said that there are none


class BrokenSampleError(ValueError):
    """A photo or its masks cannot be read. The message says why."""


@dataclass(frozen=True)
class Sample:
    """One object on its photo."""

    name: str  # the photo's
    image: Image
    mask: Mask  # the object
    ignore: Mask  # counts neither as object nor as background
    label: str | None  # the object's class, where one is known
    others: tuple[Mask, ...] = ()  # the photo's other objects


# What training may do to a sample: a new one comes back, the old one stays as it is.
Augment = Callable[[Sample, Generator], Sample]


class Labelled:
    """Photos with masks from any number of sources, read as one. Broken ones are remembered by name."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._places = [(source, number) for source in sources for number in range(len(source.names))]
        self.names: Sequence[str] = [name for source in sources for name in source.names]
        self._broken: dict[int, str] = {}  # by number: photos of two folders may have one name
        self._lock = threading.Lock()

    @property
    def broken(self) -> dict[str, str]:
        """The names of the photos that could not be read so far, and why."""
        return {self.names[number]: why for number, why in list(self._broken.items())}

    def get(self, number: int) -> Annotated:
        """The photo, decoded now. Raises BrokenSampleError, and remembers it."""
        name = self.names[number]
        if number in self._broken:
            raise BrokenSampleError(f"{name}: {self._broken[number]}")
        source, place = self._places[number]
        try:
            return source.read(place)
        except (OSError, ValueError, SyntaxError) as error:
            with self._lock:
                self._broken[number] = (str(error).splitlines() or [type(error).__name__])[0]
            raise BrokenSampleError(f"{name}: {self._broken[number]}") from error

    def samples(self, number: int, *, min_share: float = 0.0, max_share: float = 1.0) -> list[Sample]:
        """A sample for each object that covers that share of its photo. Raises BrokenSampleError."""
        annotated = self.get(number)
        masks = [mask for mask, _ in annotated.objects]
        return [
            Sample(
                self.names[number],
                annotated.image,
                mask,
                # VOC's unclear rims belong to the photo; a crowd's pixels that are this object's are this object.
                annotated.ignore & ~mask,
                label,
                tuple(other for other in masks if other is not mask),
            )
            for mask, label in annotated.objects
            if min_share <= mask.mean() <= max_share
        ]


def open_data(
    paths: Sequence[str | Path],
    *,
    exclude: Sequence[str] = (),
    manifest: Path | None = None,
    photo_folder: Path | None = None,
) -> Labelled:
    """The photos at all paths; see sources.open_source for what may lie there.

    exclude: patterns of names to leave out. manifest: classes of the objects in label folders.
    photo_folder: where the photos of COCO files are. Raises ValueError in one line if a path holds none.
    """
    return Labelled(
        [open_source(Path(path), exclude=exclude, manifest=manifest, photos=photo_folder) for path in paths]
    )


def open_named(options: Any) -> Labelled:
    """The photos that a recipe or a command's options name: data, exclude, manifest, photo_folder ("" or None: none).

    Raises ValueError as open_data does.
    """
    return open_data(
        options.data,
        exclude=options.exclude,
        manifest=Path(options.manifest) if options.manifest else None,
        photo_folder=Path(options.photo_folder) if options.photo_folder else None,
    )


def split(names: Sequence[str], validation_fraction: float) -> tuple[list[int], list[int]]:
    """The numbers of the photos to train on and to validate on, the same on every machine.

    A hash of the name alone decides, so adding photos never moves one from one side to the other.
    Raises ValueError if either side is empty.
    """
    validation = [number for number, name in enumerate(names) if is_held_out(name, validation_fraction)]
    held_out = set(validation)
    training = [number for number in range(len(names)) if number not in held_out]
    if not training or not validation:
        raise ValueError(
            f"{len(names)} photos leave {len(training)} to train on and {len(validation)} to validate on: "
            "give more photos, or change --validation-fraction"
        )
    return training, validation


class Samples:
    """Training samples by index: each photo once an epoch, one of its objects, changed by the hooks.

    The same seed and index give the same sample on every machine, whatever was drawn before.
    """

    def __init__(
        self,
        labelled: Labelled,
        numbers: Sequence[int],
        *,
        augment: Sequence[Augment] = (),
        min_share: float = 0.003,
        max_share: float = 0.9,
        seed: int = 0,
    ) -> None:
        """numbers: of the photos to draw from. augment: applied in this order. shares: of the photo, see Labelled."""
        self._labelled, self._numbers, self._augment = labelled, list(numbers), tuple(augment)
        self._shares, self._seed = (min_share, max_share), seed

    def sample(self, index: int) -> Sample:
        """The sample of that index, 0 and up. Broken photos and those without a fitting object are passed over.

        Raises ValueError if there is none but such.
        """
        epoch, place = divmod(index, len(self._numbers))
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._numbers))
        rng = np.random.default_rng([self._seed, epoch, place])
        for step in range(min(_TRIES, len(self._numbers))):
            number = self._numbers[order[(place + step) % len(order)]]
            try:
                found = self._labelled.samples(number, min_share=self._shares[0], max_share=self._shares[1])
            except BrokenSampleError:
                continue
            if found:
                sample = found[int(rng.integers(len(found)))]
                for change in self._augment:
                    sample = change(sample, rng)
                return sample
        broken = len(self._labelled.broken)
        raise ValueError(
            f"no photo in a row of {step + 1} has a fitting object ({broken} are broken): is --data right?"
        )


def flip(sample: Sample, rng: Generator) -> Sample:
    """The sample, mirrored left to right half of the times."""
    if rng.random() < 0.5:
        return sample

    def mirrored(mask: Mask) -> Mask:
        return np.ascontiguousarray(mask[:, ::-1])

    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        mask=mirrored(sample.mask),
        ignore=mirrored(sample.ignore),
        others=tuple(mirrored(other) for other in sample.others),
    )


def colour(strength: float) -> Augment:
    """A hook that changes brightness, contrast and saturation by up to that share, 0..1. Masks stay."""
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be 0..1, got {strength}")

    def change(sample: Sample, rng: Generator) -> Sample:
        brightness, contrast, saturation = 1 + rng.uniform(-strength, strength, 3)
        # One linear map of a pixel: away from black, from the photo's mean, and from the pixel's own grey.
        mixed = saturation * np.eye(3) + (1 - saturation) / 3
        mean = brightness * float(np.mean(cv2.mean(sample.image)[:3]))
        change_by = np.column_stack([brightness * contrast * mixed, np.full(3, mean * (1 - contrast))])
        return replace(sample, image=np.asarray(cv2.transform(sample.image, change_by), np.uint8))

    return change


if __name__ == "__main__":  # `python -m train_segment.data extractnet --coco ...`
    from train_segment.prepare import main

    sys.exit(main())
