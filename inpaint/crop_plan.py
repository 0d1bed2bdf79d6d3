"""Which crops of a photo to fill, in which order, so that an inpainter with a favourite size sees what it needs.

Holes whose contexts meet form a group, and a group that fits gets one crop. Of those that do not fit, a thin one (a
wire, a scratch, specks of dust) is tiled at full resolution, and one of several holes is taken hole by hole; only a
hole that is itself too large gets a crop that is larger than the inpainter likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaint.base import Mask

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, x1 and y1 exclusive

_THIN = 8  # a hole nowhere deeper than size / 8 has known pixels all around it in any tile of that size
_LEAST_CONTEXT = 0.25  # of a hole's longer side: below this a smaller picture serves better than less context


@dataclass(frozen=True)
class Job:
    """One crop to fill."""

    crop: Box  # what the inpainter sees
    paste: Box  # inside it: where its fill is taken over
    labels: Sequence[int]  # of which holes


class CropPlan:
    """The holes of a photo, numbered from 1, and the crops to fill them by.

    hole: (H, W) bool with at least one True. context: as a share of a hole's longer side, on every side; less where
    that keeps a crop within size_px, but not below a quarter; never below min_context_px.
    size_px: the longest crop side that the inpainter likes; None: any.
    Looks only at the part of the photo that holds the holes and their context.
    """

    def __init__(self, hole: Mask, *, context: float, min_context_px: int, size_px: int | None):
        self._hole = hole
        self._context, self._min_context_px = context, min_context_px
        self._size_px = size_px if size_px is not None else 4 * max(hole.shape)  # nothing is larger
        columns, rows = np.flatnonzero(hole.any(axis=0)), np.flatnonzero(hole.any(axis=1))
        self._x0, self._y0 = int(columns[0]), int(rows[0])
        holes = hole[self._y0 : rows[-1] + 1, self._x0 : columns[-1] + 1]
        _, self._labels, stats, _ = cv2.connectedComponentsWithStats(holes.view(np.uint8), connectivity=8)
        self.boxes: dict[int, Box] = {  # the tight box of each hole
            label: (self._x0 + x, self._y0 + y, self._x0 + x + width, self._y0 + y + height)
            for label, (x, y, width, height, _) in enumerate(stats.tolist())
            if label > 0  # 0 is what is no hole
        }
        self._areas = stats[:, cv2.CC_STAT_AREA]

    def jobs(self) -> Iterator[Job]:
        """The crops in order: each may take what the ones before it filled as known."""
        for labels in self._groups():
            yield from self._jobs_of(labels)

    def belongs(self, box: Box, labels: Sequence[int]) -> Mask:
        """Where in the box, which must lie within the holes' bounds, one of those holes is."""
        chosen = np.zeros(len(self._areas), bool)
        chosen[list(labels)] = True
        return chosen[cut(self._labels, box, self._x0, self._y0)]

    def _groups(self) -> list[list[int]]:
        """The labels of the holes, those together whose contexts meet."""
        crops = {label: self._crop(box) for label, box in self.boxes.items()}
        x0, y0, x1, y1 = _union(list(crops.values()))
        drawn = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for crop in crops.values():
            cut(drawn, crop, x0, y0)[:] = 1
        _, group_at = cv2.connectedComponents(drawn, connectivity=4)
        groups: dict[int, list[int]] = {}
        for label, crop in crops.items():
            groups.setdefault(int(group_at[crop[1] - y0, crop[0] - x0]), []).append(label)
        return list(groups.values())

    def _jobs_of(self, labels: list[int]) -> Iterator[Job]:
        box = _union([self.boxes[label] for label in labels])
        crop = self._crop(box)
        if _longer_side(crop) <= self._size_px:
            yield Job(crop, box, labels)
        elif self._is_thin(box):
            yield from self._tiles(box, labels)
        elif len(labels) > 1:
            for label in sorted(labels, key=self._areas.__getitem__):  # the small ones become context of the large
                yield from self._jobs_of([label])
        else:
            yield Job(crop, box, labels)

    def _crop(self, box: Box) -> Box:
        """The box with its context, inside the photo."""
        side = _longer_side(box)
        fitting = max(_LEAST_CONTEXT * side, (self._size_px - side) // 2)
        return self._grown(box, max(self._min_context_px, int(min(self._context * side, fitting))))

    def _is_thin(self, box: Box) -> bool:
        around = cut(self._hole, self._grown(box, 1))
        depth = cv2.distanceTransform(around.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
        return float(depth.max()) <= self._size_px / _THIN

    def _tiles(self, box: Box, labels: list[int]) -> Iterator[Job]:
        """Cells of half the size, each seen with a quarter of it all round."""
        cell, margin = self._size_px // 2, self._size_px // 4
        for y in range(box[1], box[3], cell):
            for x in range(box[0], box[2], cell):
                inner = (x, y, min(x + cell, box[2]), min(y + cell, box[3]))
                if self.belongs(inner, labels).any():
                    yield Job(self._grown(inner, margin), inner, labels)

    def _grown(self, box: Box, by_px: int) -> Box:
        return grown(box, by_px, self._hole.shape)


def grown(box: Box, by_px: int, image_hw: tuple[int, ...]) -> Box:
    """The box with by_px more on every side, inside the photo."""
    x0, y0, x1, y1 = box
    return max(0, x0 - by_px), max(0, y0 - by_px), min(image_hw[1], x1 + by_px), min(image_hw[0], y1 + by_px)


def cut(pixels: NDArray, box: Box, x: int = 0, y: int = 0) -> NDArray:
    """The view of a box of the photo in pixels, whose first one is the photo's (x, y)."""
    x0, y0, x1, y1 = box
    return pixels[y0 - y : y1 - y, x0 - x : x1 - x]


def _union(boxes: list[Box]) -> Box:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _longer_side(box: Box) -> int:
    return max(box[2] - box[0], box[3] - box[1])
