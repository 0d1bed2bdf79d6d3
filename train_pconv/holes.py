"""Training holes: pen strokes, boxes, object shapes and files, mixed by weight and fitted to a bucket of areas.

Everything is drawn from a numpy Generator, so that a seed gives the same holes on every machine and backend.
A hole is (H, W) bool, True = to be filled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import cv2
import numpy as np
from numpy.random import Generator

from inpaint.base import Mask

# Share of the picture, upper end exclusive: the test masks of Liu et al. 2018, section 4.1.
AREA_BUCKETS = ((0.01, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6))

# The strokes of MMagic's training of the published net, in pixels of a 256-pixel picture.
_STROKES_SIDE_PX = 256
_VERTICES = (4, 10)
_BRUSH_PX = (10, 45)
_LENGTH_PX = (20, 128)
_MAX_ANGLE = 6.0
_SEGMENTS = 5  # a stroke starts again somewhere else after at most so many segments

# "Without border": 50 of 512 pixels stay known along every side, as in the published test masks.
_FRAME = 50 / 512
_TRIES = 4


class ShapeSource(Protocol):
    """Where object shapes or whole holes come from."""

    @property
    def broken(self) -> Mapping[str, str]:
        """The files that could not be read so far, and why: drawn shapes stood in for theirs."""

    def draw(self, rng: Generator) -> Mask:
        """One shape: a (h, w) bool array of any size with something True in it."""


Kind = Callable[[Generator, tuple[int, int], float], Mask]  # (rng, hw, wanted area) -> hole of about that area


class HoleMix:
    """Draws holes: a kind by weight, a bucket of areas, with or without border."""

    def __init__(
        self,
        weights: Mapping[str, float],
        *,
        shapes: ShapeSource | None = None,
        files: ShapeSource | None = None,
        area: tuple[float, float] = (0.01, 0.6),
        at_border: float = 0.5,
    ) -> None:
        """weights: of "strokes", "objects", "boxes", "files". at_border: share of holes that may touch the border.

        Raises ValueError for another kind, or a kind without its source.
        """
        kinds: dict[str, Kind] = {"strokes": strokes, "boxes": box}
        if shapes is not None:
            kinds["objects"] = lambda rng, hw, share: place(shapes.draw(rng), rng, hw, share)
        if files is not None:
            kinds["files"] = lambda rng, hw, share: from_file(files.draw(rng), rng, hw)
        wanted = {name: weight for name, weight in weights.items() if weight > 0}
        if unknown := sorted(wanted.keys() - kinds.keys()):
            raise ValueError(f"no holes of kind {unknown[0]!r} can be drawn here: give its source, or weight 0")
        if not wanted:
            raise ValueError("every kind of hole has weight 0: give one a weight")
        self._kinds = [kinds[name] for name in wanted]
        self._shares = np.cumsum(list(wanted.values())) / sum(wanted.values())
        self.buckets = buckets_between(*area)
        self._at_border = at_border
        self._sources = [source for source in (shapes, files) if source is not None]

    @property
    def broken(self) -> dict[str, str]:
        """The files of shapes and holes that could not be read so far, and why."""
        return {name: why for source in self._sources for name, why in list(source.broken.items())}

    def draw(self, rng: Generator, hw: tuple[int, int], bucket: tuple[float, float] | None = None) -> Mask:
        """One hole of size hw whose area lies in the bucket, or in a random one of the mix's."""
        kind = self._kinds[int(np.searchsorted(self._shares, rng.random(), side="right"))]
        low, high = bucket or self.buckets[int(rng.integers(len(self.buckets)))]
        border = bool(rng.random() < self._at_border)
        wanted = float(rng.uniform(low, high))
        for _ in range(_TRIES):
            hole = kind(rng, hw, wanted)
            if not border:
                hole = hole & inside(hw)
            if low <= hole.mean() < high:
                return hole
        return fit_area(hole, low, high, wanted, border=border)


def buckets_between(low: float, high: float) -> tuple[tuple[float, float], ...]:
    """The published buckets, cut to low..high."""
    cut = [(max(a, low), min(b, high)) for a, b in AREA_BUCKETS if max(a, low) < min(b, high)]
    return tuple(cut) or ((low, high),)


def strokes(rng: Generator, hw: tuple[int, int], share: float = 0.3) -> Mask:
    """Random walks of a round pen: brush 10-45 px and segments of 20-128 px for a picture of 256 px, scaled with it."""
    height, width = hw
    scale = min(hw) / _STROKES_SIDE_PX
    canvas = np.zeros(hw, np.uint8)
    for vertex in range(int(rng.integers(_VERTICES[0], _VERTICES[1] + 1))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        for _ in range(int(rng.integers(1, _SEGMENTS + 1))):
            angle = float(rng.uniform(0, _MAX_ANGLE))
            angle = 2 * math.pi - angle if vertex % 2 == 0 else angle
            length = float(rng.uniform(*_LENGTH_PX)) * scale
            brush = max(1, round(float(rng.uniform(*_BRUSH_PX)) * scale))
            to_x = int(np.clip(x + length * math.sin(angle), 0, width - 1))
            to_y = int(np.clip(y + length * math.cos(angle), 0, height - 1))
            cv2.line(canvas, (x, y), (to_x, to_y), 1, brush)
            x, y = to_x, to_y
    return canvas > 0


def box(rng: Generator, hw: tuple[int, int], share: float) -> Mask:
    """An upright rectangle of about that share of the picture, sides up to 1:2.5."""
    height, width = hw
    aspect = math.exp(rng.uniform(-0.9, 0.9))
    box_h = min(height, max(1, round(math.sqrt(share * height * width * aspect))))
    box_w = min(width, max(1, round(share * height * width / box_h)))
    y, x = int(rng.integers(height - box_h + 1)), int(rng.integers(width - box_w + 1))
    hole = np.zeros(hw, bool)
    hole[y : y + box_h, x : x + box_w] = True
    return hole


def place(shape: Mask, rng: Generator, hw: tuple[int, int], share: float) -> Mask:
    """A shape turned by up to 20 degrees, mirrored, stretched, scaled to about that share and put somewhere.

    It is also grown a little, since people grow masks before they erase.
    """
    height, width = hw
    shape_h, shape_w = shape.shape
    scale = math.sqrt(share * height * width / max(1, int(shape.sum())))
    aspect = math.exp(rng.uniform(-0.2, 0.2))
    angle = math.radians(rng.uniform(-20, 20))
    mirror = -1 if rng.random() < 0.5 else 1
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = turn @ np.diag([mirror * scale * aspect, scale / aspect])
    centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
    half = np.abs(linear) @ np.array([shape_w, shape_h]) / 2
    # Mostly in the picture: a centre near the border would cut most of a large shape away.
    room = np.array([width, height]) - half
    centre = np.where(half < room, np.clip(centre, 0.5 * half, np.array([width, height]) - 0.5 * half), centre)
    offset = centre - linear @ np.array([shape_w, shape_h]) / 2
    matrix = np.column_stack([linear, offset])
    placed = cv2.warpAffine(shape.astype(np.uint8) * 255, matrix, (width, height), flags=cv2.INTER_LINEAR) > 127
    radius = float(rng.uniform(0, 0.03)) * min(hw)
    if radius >= 1 and placed.any() and not placed.all():
        placed = cv2.distanceTransform((~placed).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius
    return placed


def from_file(hole: Mask, rng: Generator, hw: tuple[int, int]) -> Mask:
    """A hole file dilated, turned by any angle, mirrored and cropped at random, as Liu et al. 2018 did with theirs."""
    height, width = hw
    file_h, file_w = hole.shape
    if rng.random() < 0.5:
        hole = hole[:, ::-1]
    # The crop covers 0.6 to 1 of the file's shorter side, at any angle; outside the file nothing is missing.
    scale = max(hw) / (float(rng.uniform(0.6, 1.0)) * min(hole.shape))
    matrix = cv2.getRotationMatrix2D((file_w / 2, file_h / 2), float(rng.uniform(0, 360)), scale)
    reach = 0.15 * min(hw) * scale
    shift = np.array([width - file_w, height - file_h]) / 2 + rng.uniform(-reach, reach, 2)
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + shift])
    turned = cv2.warpAffine(hole.astype(np.uint8) * 255, matrix, (width, height), flags=cv2.INTER_LINEAR) > 127
    kernel_px = round(float(rng.uniform(0, 49)) * min(hw) / 512)  # 9 to 49 pixels of 512 as published, or none
    if kernel_px > 1:
        kernel = np.ones((kernel_px, kernel_px), np.uint8)
        turned = cv2.dilate(turned.view(np.uint8), kernel) > 0
    return turned


def inside(hw: tuple[int, int]) -> Mask:
    """True where holes without border may be: all but a frame of 50 of 512 pixels."""
    frame_px = max(1, round(_FRAME * min(hw)))
    allowed = np.zeros(hw, bool)
    allowed[frame_px:-frame_px, frame_px:-frame_px] = True
    return allowed


def fit_area(hole: Mask, low: float, high: float, wanted: float, *, border: bool) -> Mask:
    """The hole grown or shrunk evenly until its area lies in low..high: as near to wanted as the frame allows.

    A hole with nothing in it starts from the middle of the picture.
    """
    hw = hole.shape
    if not hole.any() or hole.all():
        hole = np.zeros(hw, bool)
        hole[hw[0] // 2, hw[1] // 2] = True
    out = cv2.distanceTransform((~hole).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    depth = cv2.distanceTransform(hole.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    score = (depth - out).ravel()
    if not border:
        score[~inside(hw).ravel()] = -np.inf
    room = int(np.isfinite(score).sum())
    count = min(
        room, max(1, math.ceil(low * score.size), min(round(wanted * score.size), math.ceil(high * score.size) - 1))
    )
    fitted = np.zeros(score.size, bool)
    fitted[np.argsort(-score, kind="stable")[:count]] = True
    return fitted.reshape(hw)
