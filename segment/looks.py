"""What a net says about a square window of the photo, and where to look and click next for it.

ClickNet looks at the whole photo, then at the window round its own answer, then there again with a click of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Mask
from segment.mask_ops import box_xyxy, parts_under

Plane = NDArray[np.float32]
Square = tuple[tuple[int, int], int]  # corner (x, y) and side, in pixels of the photo; it may lie beyond the photo

THRESHOLD = 0.5
ZOOM = 1.4  # side of the next look's window over the object's longer side, which one click may have left too short
ZOOM_OF_SEVERAL = 1.25  # the same once several clicks have settled how far the object goes
SMALLEST_VIEW_PX = 48  # of the photo: less shows nothing but blur
CUT_SHARE = 0.1  # of a side of the window that an answer may touch


@dataclass(frozen=True)
class Look:
    """One answer of the net about a square of the photo."""

    corner_xy: tuple[int, int]
    side_px: int  # in pixels of the photo
    probability: Plane  # (S/2, S/2)
    score: float  # the IoU that the net expects, 0..1

    @property
    def cells(self) -> float:
        """A pixel of the photo in cells of the answer."""
        return self.probability.shape[0] / self.side_px

    def held(self, clicks: Sequence[Click]) -> Mask:
        """(S/2, S/2) bool: the parts of the answer that hold a positive click."""
        return parts_under(self.probability > THRESHOLD, self._placed(clicks))

    def holds(self, clicks: Sequence[Click]) -> bool:
        """Whether the answer holds a positive click."""
        return bool(self.held(clicks).any())

    def is_cut_off(self) -> bool:
        """Whether the answer runs on beyond its window: a mask that ends in a straight line is no object."""
        answer = self.probability > THRESHOLD
        rim = max(line.mean() for line in (answer[0], answer[-1], answer[:, 0], answer[:, -1]))
        return bool(rim > CUT_SHARE)

    def window_round(self, clicks: Sequence[Click]) -> Square:
        """The window round the answer's parts that hold a positive click, and those clicks.

        Round the clicks alone, and larger, where there is no answer.
        """
        held = self.held(clicks)
        boxes = [(float(click.x), float(click.y), click.x + 1.0, click.y + 1.0) for click in clicks if click.positive]
        longer = 0.0 if held.any() else self.side_px / 4
        if held.any():
            x0, y0, x1, y1 = (value / self.cells for value in box_xyxy(held))
            x, y = self.corner_xy
            boxes.append((x0 + x, y0 + y, x1 + x, y1 + y))
        left, top = (min(box[i] for box in boxes) for i in (0, 1))
        right, bottom = (max(box[i] for box in boxes) for i in (2, 3))
        zoom = ZOOM if len(clicks) == 1 else ZOOM_OF_SEVERAL
        side = max(SMALLEST_VIEW_PX, round(zoom * max(right - left, bottom - top, longer)))
        return (round((left + right - side) / 2), round((top + bottom - side) / 2)), side

    def own_click(self, clicks: Sequence[Click]) -> Click | None:
        """A positive click where the answer under the clicks is deep and far from them; None where there is none."""
        held = self.held(clicks)
        if not held.any():
            return None
        depth = cv2.distanceTransform(np.pad(held, 1).view(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        rows, columns = np.ogrid[: held.shape[0], : held.shape[1]]
        away = np.min([np.hypot(rows - click.y, columns - click.x) for click in self._placed(clicks)], axis=0)
        row, column = np.unravel_index(np.argmax(np.minimum(depth, 0.5 * away)), held.shape)
        x, y = ((value + 0.5) / self.cells + start for value, start in zip((column, row), self.corner_xy, strict=True))
        return Click(int(x), int(y))

    def part(self, box_xyxy: tuple[int, int, int, int], size_wh: tuple[int, int]) -> Plane:
        """The probabilities within a box of the photo, at that size; beyond the window its rim goes on."""
        x0, y0, x1, y1 = box_xyxy
        step_x, step_y = (x1 - x0) / size_wh[0] * self.cells, (y1 - y0) / size_wh[1] * self.cells
        back = np.array(
            [
                [step_x, 0, (x0 - self.corner_xy[0]) * self.cells + step_x / 2 - 0.5],
                [0, step_y, (y0 - self.corner_xy[1]) * self.cells + step_y / 2 - 0.5],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(self.probability, back, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
        )

    def seen_from(self, corner_xy: tuple[int, int], side_px: int, cells: int) -> Plane:
        """(cells, cells): the probabilities in another square, 0 beyond the look's own."""
        seen = self.part((*corner_xy, corner_xy[0] + side_px, corner_xy[1] + side_px), (cells, cells))
        centres = (np.arange(cells) + 0.5) * side_px / cells
        inside = [
            (start + centres >= own) & (start + centres < own + self.side_px)
            for start, own in zip(corner_xy, self.corner_xy, strict=True)
        ]
        return np.where(inside[1][:, None] & inside[0][None], seen, 0).astype(np.float32)

    def _placed(self, clicks: Sequence[Click]) -> list[Click]:
        return [placed(click, self.corner_xy, self.cells) for click in clicks]


def grown(corner_xy: tuple[int, int], side_px: int, factor: float) -> Square:
    """The square with the same middle and so many times the side."""
    x, y = corner_xy
    larger = round(side_px * factor)
    return (x - (larger - side_px) // 2, y - (larger - side_px) // 2), larger


def placed(click: Click, corner_xy: tuple[int, int], scale: float) -> Click:
    """The click in pixels of a square with that corner, shrunk by scale."""
    x, y = (
        int(np.floor((value + 0.5 - start) * scale)) for value, start in zip((click.x, click.y), corner_xy, strict=True)
    )
    return replace(click, x=x, y=y)
