"""Where object-shaped holes come from: label PNGs, COCO annotations, drawn blobs; and files of ready holes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from inpaint.base import Mask
from training.files import opened

IGNORE = 255  # in label PNGs: unclear, as in VOC
_MOST_PIXELS = 200_000_000  # of the photo that an annotation speaks of
_SMALLEST, _LARGEST = 0.003, 0.7  # share of its photo that an object must cover to be a shape
_MASK_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_FILE_THRESHOLD = 127


class Blobs:
    """Drawn shapes for those who have no annotations: a wavy body with up to three limbs."""

    broken: Mapping[str, str] = {}

    def draw(self, rng: Generator) -> Mask:
        """One shape, (128, 128) bool."""
        canvas = np.zeros((128, 128), np.uint8)
        theta = np.linspace(0, 2 * math.pi, 64, endpoint=False)
        radius = np.ones_like(theta)
        for wave in range(1, 7):
            radius += rng.normal(0, 0.3 / wave) * np.cos(wave * theta + rng.uniform(0, 2 * math.pi))
        radius = 26 * np.clip(radius, 0.25, 2.0)
        outline = np.stack([64 + radius * np.cos(theta), 64 + radius * np.sin(theta)], axis=1)
        cv2.fillPoly(canvas, [np.round(outline).astype(np.int32)], 1)
        for _ in range(int(rng.integers(0, 4))):
            angle, length = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(25, 55))
            end = (round(64 + length * math.cos(angle)), round(64 + length * math.sin(angle)))
            cv2.line(canvas, (64, 64), end, 1, int(rng.integers(5, 16)))
        return canvas > 0


class ObjectShapes:
    """The objects of label PNGs and COCO annotation files, read when first drawn and kept packed, 1 bit a pixel."""

    def __init__(self, paths: Sequence[str | Path]) -> None:
        """paths: folders of label PNGs (0 background, 1..n objects, 255 to ignore; or masks, black and white), or COCO
        annotation files.

        Raises ValueError if a path is missing or holds no masks.
        """
        self._files: list[Path] = []
        self._ready: list[tuple[tuple[int, int], NDArray[np.uint8]]] = []
        for path in map(Path, paths):
            if path.is_dir():
                # Label PNGs usually lie next to their photos: only folders of masks count where there are any.
                found = sorted(path.rglob("*.png"))
                found = [file for file in found if "mask" in file.parent.name.lower()] or found
                if not found:
                    raise ValueError(f"{path} holds no PNG: --shapes wants folders of label PNGs or COCO JSON files")
                self._files += found
            elif path.is_file():
                self._ready += [_pack(shape) for shape in read_coco(path)]
            else:
                raise ValueError(f"{path} is not there: --shapes wants folders of label PNGs or COCO JSON files")
        self._kept: dict[int, list[tuple[tuple[int, int], NDArray[np.uint8]]]] = {}
        self._blobs = Blobs()
        self.broken: dict[str, str] = {}  # file -> why
        if not self._files and not self._ready:
            raise ValueError(f"no objects in {', '.join(map(str, paths))}: are these COCO instance annotations?")

    def draw(self, rng: Generator) -> Mask:
        """One object's shape in its box. A file without usable objects gives a drawn blob."""
        number = int(rng.integers(len(self._files) + len(self._ready)))
        if number >= len(self._files):
            return _unpack(self._ready[number - len(self._files)])
        if number not in self._kept:
            try:
                labels = read_labels(self._files[number])
            except (OSError, ValueError, SyntaxError) as error:  # SyntaxError: Pillow's for broken PNG chunks
                self.broken[str(self._files[number])] = str(error)
                labels = np.zeros((1, 1), np.uint8)
            self._kept[number] = [_pack(shape) for shape in shapes_of_labels(labels)]
        shapes = self._kept[number]
        return _unpack(shapes[int(rng.integers(len(shapes)))]) if shapes else self._blobs.draw(rng)


class HoleFiles:
    """Ready holes from folders of images, such as NVIDIA's irregular masks."""

    def __init__(self, paths: Sequence[str | Path], *, hole_colour: str = "white") -> None:
        """hole_colour: "white" or "black", which pixels are the hole. Raises ValueError if a folder holds no image."""
        self._files: list[Path] = []
        for path in map(Path, paths):
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in _MASK_SUFFIXES)
            if not found:
                raise ValueError(f"{path} holds no images: --hole-files wants folders of masks")
            self._files += found
        self._white = hole_colour == "white"
        self._blobs = Blobs()
        self.broken: dict[str, str] = {}  # file -> why

    def draw(self, rng: Generator) -> Mask:
        """One hole as it is in its file. A broken or empty file gives a drawn blob."""
        file = self._files[int(rng.integers(len(self._files)))]
        try:
            with opened(file) as image:
                grey = np.asarray(image.convert("L"))
        except (OSError, ValueError, SyntaxError) as error:
            self.broken[str(file)] = str(error)
            return self._blobs.draw(rng)
        hole: Mask = (grey > _FILE_THRESHOLD) == self._white
        return hole if hole.any() and not hole.all() else self._blobs.draw(rng)


def read_labels(path: Path) -> NDArray[Any]:
    """(H, W) whole numbers: a PNG's own values, which for a palette are the indices and not the colours.

    Raises ValueError if the file has colours instead of labels.
    """
    with opened(path) as image:
        labels = np.asarray(image)
    if labels.ndim != 2:
        raise ValueError(f"a label PNG has one channel, this one is {labels.shape}")
    return labels.astype(np.int32)


def shapes_of_labels(labels: NDArray[Any]) -> Iterable[Mask]:
    """The shape of every object that is neither tiny nor nearly the whole photo, cut to its box.

    Where there is nothing but 0 and 255 these are a black and white mask, and its white is the object.
    """
    found = np.unique(labels)
    if set(found) <= {0, IGNORE}:
        labels, found = labels // IGNORE, found // IGNORE
    for label in found:
        if label not in (0, IGNORE):
            mask = labels == label
            if _SMALLEST <= mask.mean() <= _LARGEST:
                yield _cut(mask)


def read_coco(path: Path) -> Iterable[Mask]:
    """The shape of every object of a COCO instance annotation file, cut to its box; crowds are left out.

    Raises ValueError if the file is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sizes = {image["id"]: (int(image["height"]), int(image["width"])) for image in content["images"]}
        annotations = [a for a in content["annotations"] if not a.get("iscrowd") and a.get("segmentation")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no COCO instance annotation file ({error!r})") from error
    for number, annotation in enumerate(annotations, start=1):
        try:
            height, width = sizes[annotation["image_id"]]
            if not 0 < height * width <= _MOST_PIXELS:
                raise ValueError(f"a photo of {width}x{height} pixels")
            mask = decode_segmentation(annotation["segmentation"], (height, width))
        except Exception as error:  # NumPy and pycocotools raise whatever comes to them on numbers that make no sense
            raise ValueError(f"{path}, annotation {number} cannot be read ({error!r})") from error
        if _SMALLEST <= mask.mean() <= _LARGEST:
            yield _cut(mask)


def decode_segmentation(segmentation: Any, hw: tuple[int, int]) -> Mask:
    """(H, W) bool from COCO's polygons, run lengths, or run lengths packed into a string."""
    if isinstance(segmentation, list):
        canvas = np.zeros(hw, np.uint8)
        polygons = [np.round(np.reshape(polygon, (-1, 2))).astype(np.int32) for polygon in segmentation]
        for polygon in polygons:  # one at a time: overlapping parts of an object add up
            cv2.fillPoly(canvas, [polygon], 1)
        return canvas > 0
    counts = segmentation["counts"]
    counts = _unpack_counts(counts) if isinstance(counts, str) else counts
    height, width = segmentation["size"]
    if (height, width) != tuple(hw) or min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"run lengths that do not cover {hw[1]}x{hw[0]} pixels")
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return runs.reshape(width, height).T.copy()  # COCO counts down the columns


def _unpack_counts(text: str) -> list[int]:
    """COCO's compressed run lengths: 5 bits a character, from the third on the difference to the last but one."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts


def _cut(mask: Mask) -> Mask:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _pack(mask: Mask) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    return (mask.shape[0], mask.shape[1]), np.packbits(mask)


def _unpack(packed: tuple[tuple[int, int], NDArray[np.uint8]]) -> Mask:
    (height, width), bits = packed
    return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)
