"""DeepCrop's nets as a segmenter: the photo at several sizes, every window that can hold the click, the best mask.

Of a whole photo only the windows round the click are computed, which are those that could win: the time depends on the
number of sizes and not on the photo's. Distances are in the pixels of each size, as they are in training patches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Image, Mask, NoObjectError, Selection, check_clicks, check_image
from segment.click_planes import colour_distance_plane, distance_plane, luminance_difference_plane
from segment.mask_ops import parts_under
from segment.metrics import iou
from segment.windows import cut_square, middle_corner, moved_click, resized_to, scaled_click
from weights import WeightsError, named_file
from weights.frameworks import load_keras

# The photo's longer side at each size, over the side of what the net's mask covers. The net knows objects of 4/7 of
# that: from those that fill the photo to an eighth of it, half an octave apart as DeepMask's.
SIDES = (0.6, 0.85, 1.2, 1.7, 2.4, 3.4, 4.8)
ALTERNATIVES = 3
SAME_ANSWER_IOU = 0.85  # masks that agree so well are one answer
_TRIED = 30  # windows turned into masks at most, best first


@dataclass(frozen=True)
class DeepCropEncoding:
    """The photo's height and width, and the photo at each size, (h, w, 3) uint8 RGB."""

    image_hw: tuple[int, int]
    sizes: tuple[Image, ...]


@dataclass(frozen=True)
class _Window:
    """One answer of the net: a mask of logits over a square of one size."""

    logits: NDArray[np.float32]  # (mask_px, mask_px)
    score: float  # a logit
    right: int  # clicks on the right side of the mask
    corner_xy: tuple[float, float]  # of the square, in pixels of that size
    size_hw: tuple[int, int]  # of the photo at that size


class DeepCropSegmenter:
    """Any object under a click, by DeepMask or DeepCrop V1, V2 or V2_50 from a bundle file."""

    def __init__(self, model: str | Path | None = None):
        """model: the bundle (.npz) that train_segment wrote. Raises WeightsError if there is none or it is damaged."""
        if model is None or not named_file(model).is_file():
            raise WeightsError(
                f"deepcrop needs its weights, got {model}: train a net with train_segment and give 'deepcrop:FILE'"
            )
        load_keras()
        from segment.nets.deepcrop import MARGIN_PX, read_deepcrop

        self.name = f"deepcrop:{model}"
        self.net, self.config = read_deepcrop(named_file(model))
        self._margin_px = MARGIN_PX

    def encode(self, image: Image) -> DeepCropEncoding:
        """The photo at the sizes that the net will see. image: (H, W, 3) uint8 RGB."""
        check_image(image)
        sides = (1.0,) if self.config.variant == "v1" else SIDES
        sizes = tuple(resized_to(image, round(side * self.config.input_px)) for side in sides)
        return DeepCropEncoding(image.shape[:2], sizes)

    def select(self, encoding: DeepCropEncoding, clicks: Sequence[Click]) -> list[Selection]:
        """The masks that hold the first positive click, best first: most clicks right, then the net's own score.

        Raises NoObjectError if no window's mask holds the click, ValueError if a click is outside the photo.
        """
        check_clicks(clicks, encoding.image_hw)
        first = next(click for click in clicks if click.positive)
        find = self._whole_photo if self.config.variant == "v1" else self._windows
        selections: list[Selection] = []
        ranked = sorted(find(encoding, clicks, first), key=lambda w: (-w.right, -w.score))
        for window in ranked[:_TRIED]:
            mask = parts_under(self._at_photo_size(window, encoding.image_hw), clicks)
            if mask[first.y, first.x] and all(iou(mask, other.mask) < SAME_ANSWER_IOU for other in selections):
                selections.append(Selection(mask, None, round(float(_sigmoid(window.score)), 4)))
            if len(selections) == ALTERNATIVES:
                break
        if not selections:
            raise NoObjectError(f"the net finds no object at ({first.x}, {first.y}): click nearer to its middle")
        return selections

    def _windows(self, encoding: DeepCropEncoding, clicks: Sequence[Click], first: Click) -> Iterator[_Window]:
        """Every window of every size whose mask holds the first click."""
        config = self.config
        side = config.window_px + config.input_px  # every window whose mask can reach the click in the middle
        crops, scaled = [], []
        for picture in encoding.sizes:
            placed = [scaled_click(click, encoding.image_hw, picture.shape[:2]) for click in [first, *clicks]]
            corner = placed[0].x - side // 2, placed[0].y - side // 2
            crops.append(cut_square(picture, corner, side))
            scaled.append(([moved_click(click, corner) for click in placed[1:]], corner, picture.shape[:2]))
        inputs = {"image": np.stack(crops).astype(np.float32)}
        if config.variant == "v2":
            planes = [distance_plane(moved, (side, side), unit_px=config.unit_px) for moved, _, _ in scaled]
            inputs["planes"] = np.stack(planes)[..., None]
        outputs = self._answers(inputs)
        for masks, scores, (moved, corner, size_hw) in zip(outputs["mask"], outputs["score"], scaled, strict=True):
            for row, column in np.ndindex(scores.shape[:2]):
                logits = masks[row, column].reshape(config.mask_px, config.mask_px)
                x0, y0 = (self._margin_px + _STRIDE_PX * step for step in (column, row))
                held = [_holds(logits, click, (x0, y0), config.input_px) for click in moved]
                if held[next(i for i, click in enumerate(clicks) if click.positive)]:
                    right = sum(hold == click.positive for hold, click in zip(held, clicks, strict=True))
                    yield _Window(
                        logits, float(scores[row, column, 0]), right, (corner[0] + x0, corner[1] + y0), size_hw
                    )

    def _whole_photo(self, encoding: DeepCropEncoding, clicks: Sequence[Click], first: Click) -> Iterator[_Window]:
        """V1's one window, which is the whole photo."""
        config, picture = self.config, encoding.sizes[0]
        height, width = picture.shape[:2]
        corner = middle_corner((height, width), config.window_px)
        crop = cut_square(picture, corner, config.window_px)
        moved = [moved_click(scaled_click(click, encoding.image_hw, (height, width)), corner) for click in clicks]
        planes = photo_planes(crop, moved, unit_px=config.unit_px)
        inputs = {"image": crop[None].astype(np.float32), "planes": planes[None]}
        logits = self._answers(inputs)["mask"].reshape(config.mask_px, config.mask_px)
        inside = logits[logits > 0]
        score = float(inside.mean()) if inside.size else 0.0  # V1 has no score: how sure the mask is of itself
        place = corner[0] + self._margin_px, corner[1] + self._margin_px
        yield _Window(logits, score, 0, place, (height, width))

    def _answers(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        return {name: np.asarray(a, np.float32) for name, a in self.net.predict_on_batch(inputs).items()}

    def _at_photo_size(self, window: _Window, image_hw: tuple[int, int]) -> Mask:
        """(H, W) bool: where the window's logits, interpolated, are above 0."""
        scale_y, scale_x = (small / large for small, large in zip(window.size_hw, image_hw, strict=True))
        (x, y), side = window.corner_xy, self.config.input_px
        x0, x1 = (int(np.clip(round(v / scale_x), 0, image_hw[1])) for v in (x, x + side))
        y0, y1 = (int(np.clip(round(v / scale_y), 0, image_hw[0])) for v in (y, y + side))
        mask = np.zeros(image_hw, bool)
        if x0 < x1 and y0 < y1:
            cell = self.config.mask_px / side
            # Pixel centres of the photo seen from the mask's cells.
            back = np.array(
                [
                    [scale_x * cell, 0, ((x0 + 0.5) * scale_x - x) * cell - 0.5],
                    [0, scale_y * cell, ((y0 + 0.5) * scale_y - y) * cell - 0.5],
                ]
            )
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            logits = cv2.warpAffine(
                window.logits, back, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE
            )
            mask[y0:y1, x0:x1] = logits > 0
        return mask


_STRIDE_PX = 16  # between windows, as segment.nets.resnet's features are


def photo_planes(image: Image, clicks: Sequence[Click], *, unit_px: float) -> NDArray[np.float32]:
    """(H, W, 3) float32, what V1 is told of the clicks: distance, colour distance, luminance difference."""
    distance = distance_plane(clicks, image.shape[:2], unit_px=unit_px)
    return np.stack([distance, colour_distance_plane(image, clicks), luminance_difference_plane(image, clicks)], -1)


def _holds(logits: NDArray[np.float32], click: Click, corner_xy: tuple[int, int], side_px: int) -> bool:
    """Whether the window's mask holds the click; a click outside the window it does not."""
    cells = logits.shape[0]
    column = int((click.x + 0.5 - corner_xy[0]) * cells // side_px)
    row = int((click.y + 0.5 - corner_xy[1]) * cells // side_px)
    return 0 <= row < cells and 0 <= column < cells and bool(logits[row, column] > 0)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + float(np.exp(-np.clip(logit, -50, 50))))
