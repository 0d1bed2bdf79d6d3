"""ClickNet as a segmenter: any object under a click, from the weights that ship with Clickaway.

The photo is read once as a whole. A click is answered on that first; then a window round the answer is read and
answered again, with the first answer as a hint, so that small objects and edges are seen at the net's full resolution;
and once more with a click of the net's own, deep in its answer and far from the user's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Image, Mask, NoObjectError, Selection, check_clicks, check_image
from segment.click_planes import head_planes
from segment.mask_ops import box_xyxy, fill_holes, parts_under
from segment.metrics import iou
from segment.refine import guided
from segment.windows import Scales, middle_corner, moved_click, scaled_click
from segment.working_size import working_wh
from weights import WEIGHTS, WeightsError, locate, named_file
from weights.frameworks import compiled, load_keras
from weights.shared_passes import SharedPasses

Plane = NDArray[np.float32]
Maps = dict[str, NDArray[np.float32]]  # the encoder's, by name

BUNDLED = "clicknet"  # the name of the bundled net in weights.WEIGHTS
THRESHOLD = 0.5
ZOOM = 1.4  # side of the second look's window over the object's longer side
FAR = 0.25  # a window smaller than this share of the one before is too far a jump
WORTH_ZOOMING = 0.85  # a window larger than this share of the first one would show nothing new
SMALLEST_VIEW_PX = 48  # of the photo: less shows nothing but blur
ROUNDS = 3  # clicks that are answered one after the other, each with the answer before as a hint; earlier ones together
REFINED_PX = 768  # largest side of the window in which edges are moved to the photo's
SAME_ANSWER_IOU = 0.8  # masks that agree so well are one answer
ALTERNATIVES = 3
CUT_SHARE = 0.1  # of a side of the window that an answer may touch
HOLE_SHARE = 0.01  # holes below this share of the mask are filled
SQUARES_A_PASS = 8  # of all threads together; a click has two, the square and its mirror image
_STEPS = 2**16 - 2


@dataclass(frozen=True)
class ClickNetEncoding:
    """The photo, not copied, at several sizes, and what the net has read of it as a whole: half floats by name."""

    photo: Scales
    maps: dict[str, NDArray[np.float16]]


@dataclass(frozen=True)
class Look:
    """One answer of the net about a square of the photo."""

    corner_xy: tuple[int, int]
    side_px: int  # in pixels of the photo
    probability: Plane  # (S/2, S/2)
    score: float  # the IoU that the net expects, 0..1


class ClickNetSegmenter:
    """Any object under a click, by ClickNet."""

    def __init__(self, model: str | Path | None = None):
        """model: a bundle (.npz) that train_segment wrote; None: the one that ships with Clickaway.

        Raises WeightsError if there is none or it is damaged.
        """
        path = named_file(model) if model is not None else bundled()
        if path is None or not path.is_file():
            raise WeightsError(
                f"clicknet needs its weights, got {model}: give 'clicknet:FILE', a net that train_segment wrote"
            )
        load_keras()
        from segment.nets.click_net import read_click_net

        self.name = "clicknet" if model is None else f"clicknet:{model}"
        net, self.config = read_click_net(path)
        self._encoder, self._head = (
            SharedPasses(compiled(net.get_layer(part)), most=SQUARES_A_PASS) for part in ("encoder", "head")
        )
        # The graphs are made at the first call: now, so that the first click takes no longer than the others.
        maps = self._read(Scales(np.zeros((2, 2, 3), np.uint8), 2), (0, 0), self.config.input_px)
        self._answer(maps, (0, 0), self.config.input_px, [Click(0, 0)], None)

    def encode(self, image: Image) -> ClickNetEncoding:
        """What the net reads of the whole photo. image: (H, W, 3) uint8 RGB, kept, not copied."""
        check_image(image)
        corner, side = _whole(image)
        photo = Scales(image, self.config.input_px)
        maps = self._read(photo, corner, side, mirrored=True)
        return ClickNetEncoding(photo, {name: part.astype(np.float16) for name, part in maps.items()})

    def select(self, encoding: ClickNetEncoding, clicks: Sequence[Click]) -> list[Selection]:
        """The object under the clicks first; then, for a single click, what a closer and a wider look would take.

        Raises NoObjectError if the net finds nothing there, ValueError if a click is outside the photo.
        """
        photo, image = encoding.photo, encoding.photo.image
        check_clicks(clicks, image.shape[:2])
        corner, side = _whole(image)
        maps = {name: part.astype(np.float32) for name, part in encoding.maps.items()}
        first = self._answer(maps, corner, side, clicks, None)
        final = self._closer(photo, maps, first, clicks)
        with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:

            def outlined(look: Look) -> tuple[Look, Future[Mask]]:
                return look, pool.submit(self._mask, photo, look, clicks)

            answers = [outlined(final)]  # while the net looks for others
            if len(clicks) == 1:
                answers += [outlined(look) for look in self._others(photo, first, final, clicks)]
        selections: list[Selection] = []
        for look, outline in answers:
            mask = outline.result()
            if mask.any() and all(iou(mask, other.mask) < SAME_ANSWER_IOU for other in selections):
                # The first look knows best whether there is an object, the closer one how well it is outlined.
                selections.append(Selection(mask, None, round(math.sqrt(first.score * look.score), 4)))
        if not selections:
            x, y = next((click.x, click.y) for click in clicks if click.positive)
            raise NoObjectError(f"ClickNet finds no object at ({x}, {y}): click nearer to its middle")
        return selections[:ALTERNATIVES]

    def _closer(self, photo: Scales, maps: Maps, first: Look, clicks: Sequence[Click]) -> Look:
        """The look at the window round the answer; by way of a wider one if the first answer was of very few pixels.

        maps: those of the first look.
        """
        look = first
        for _ in range(2):
            corner, side = _window_round(look, clicks)
            if side > WORTH_ZOOMING * look.side_px:
                break
            far = side < FAR * look.side_px
            if far:  # an answer of so few pixels says little about its own size
                corner, side = _grown(corner, side, 2.0)
            read = self._read(photo, corner, side, mirrored=not far)
            closer = self._answer(read, corner, side, clicks, look)
            if not _holds(closer, clicks):  # lost on the way: what was seen before is better than nothing
                break
            look, maps = closer, read
            if not far:
                break
        own = _own_click(look, clicks)
        if own is None:
            return look
        # What one click leaves open, a part or the whole, a second one far off settles; training knew several clicks.
        surer = self._answer(maps, look.corner_xy, look.side_px, [*clicks, own], look, rounds=1)
        return surer if _holds(surer, clicks) else look

    def _others(self, photo: Scales, first: Look, final: Look, clicks: Sequence[Click]) -> list[Look]:
        """Looks at a smaller and at a larger window round the click, asked afresh: a part, and a larger whole."""
        looks = [first] if final is not first else []
        click = next(click for click in clicks if click.positive)
        sides = [max(SMALLEST_VIEW_PX, round(final.side_px * factor)) for factor in (0.5, 2.0)]
        windows = [((click.x - side // 2, click.y - side // 2), side) for side in sides if side < 0.9 * first.side_px]
        if windows:
            size = self.config.input_px
            maps = self._encoded([photo.square(corner, side, size) for corner, side in windows])
            planes = [head_planes([_placed(click, corner, size / side)], None, size) for corner, side in windows]
            logits, scores = self._asked(maps, planes)
            looks += [
                Look(corner, side, _sigmoid(one), float(score))
                for (corner, side), one, score in zip(windows, logits, scores, strict=True)
            ]
        return sorted((look for look in looks if not _cut_off(look)), key=lambda look: -look.score)

    def _read(self, photo: Scales, corner_xy: tuple[int, int], side_px: int, *, mirrored: bool = False) -> Maps:
        """The encoder's maps of a square of the photo; with mirrored, of its mirror image too."""
        square = photo.square(corner_xy, side_px, self.config.input_px)
        return self._encoded([square, square[:, ::-1]] if mirrored else [square])

    def _encoded(self, squares: Sequence[Image]) -> Maps:
        """The encoder's maps of squares of the net's size, (N, ...) each."""
        maps: Maps = self._encoder(np.stack(squares).astype(np.float32))
        return maps

    def _asked(self, maps: Maps, planes: Sequence[NDArray[np.float32]]) -> tuple[Plane, NDArray[np.float32]]:
        """The head's logits, (N, S/2, S/2), and scores, (N,), for maps and planes of N squares."""
        outputs = self._head({**maps, "planes": np.stack(planes)})
        return outputs["mask"][..., 0], _sigmoid(outputs["score"][:, 0])

    def _answer(
        self,
        maps: Maps,
        corner_xy: tuple[int, int],
        side_px: int,
        clicks: Sequence[Click],
        before: Look | None,
        *,
        rounds: int = ROUNDS,
    ) -> Look:
        """The answer to the last clicks one after the other, as in training; the mean over the mirrored too."""
        size = self.config.input_px
        placed = [_placed(click, corner_xy, size / side_px) for click in clicks]
        first_round = max(1, len(placed) - rounds + 1)
        while not any(click.positive for click in placed[:first_round]):
            first_round += 1
        previous = None if before is None else _seen_from(before, corner_xy, side_px, size // 4)
        for number in range(first_round, len(placed) + 1):
            planes = head_planes(placed[:number], previous, size)
            both = [planes, _mirrored(planes)] if len(maps["p2"]) > 1 else [planes]
            logits, scores = self._asked(maps, both)
            if len(logits) > 1:
                logits = (logits[:1] + logits[1:, :, ::-1]) * np.float32(0.5)
            probability = _sigmoid(logits[0])
            previous = np.asarray(cv2.resize(probability, (size // 4,) * 2, interpolation=cv2.INTER_AREA), np.float32)
        return Look(corner_xy, side_px, probability, float(scores.mean()))

    def _mask(self, photo: Scales, look: Look, clicks: Sequence[Click]) -> Mask:
        """(H, W) bool: the parts of the answer that hold a positive click, their edges moved to the photo's."""
        height, width = photo.image.shape[:2]
        (x, y), side = look.corner_xy, look.side_px
        window = max(0, x), max(0, y), min(width, x + side), min(height, y + side)
        seen, window = photo.crop(window, REFINED_PX)
        x0, y0, x1, y1 = window
        # Fitted at the net's own resolution, used at the window's: fitting each pixel would take ten times as long.
        refined = guided(_part(look, window, working_wh(seen.shape[:2], self.config.input_px)), seen)
        # Parts and holes are found in the window and at that size, whatever the photo's: beyond it there is nothing.
        window_hw, seen_hw = (y1 - y0, x1 - x0), seen.shape[:2]
        placed = [scaled_click(moved_click(click, (x0, y0)), window_hw, seen_hw) for click in clicks]
        kept = parts_under(refined > THRESHOLD, placed)
        filled = fill_holes(kept, at_most_px=round(HOLE_SHARE * kept.sum()))
        refined[~filled] = np.minimum(refined[~filled], THRESHOLD)  # the slopes at the edge stay: they place it
        refined[filled & ~kept] = 1
        # Enlarged in whole steps: a third of the time of floats.
        large = cv2.resize((refined * _STEPS).astype(np.uint16), window_hw[::-1], interpolation=cv2.INTER_LINEAR)
        mask = np.zeros((height, width), bool)
        mask[y0:y1, x0:x1] = large[: height - y0, : width - x0] > round(THRESHOLD * _STEPS)
        return mask


def bundled() -> Path | None:
    """The file of the ClickNet that ships with Clickaway, or None. Nothing is loaded."""
    spec = WEIGHTS.get(BUNDLED)
    return locate(spec) if spec else None


def _whole(image: Image) -> tuple[tuple[int, int], int]:
    """Corner and side of the square in whose middle the photo lies."""
    side = max(image.shape[:2])
    return middle_corner(image.shape[:2], side), side


def _window_round(look: Look, clicks: Sequence[Click]) -> tuple[tuple[int, int], int]:
    """Corner and side of the window round the answer's parts that hold a positive click, and those clicks.

    Round the first click alone where there is no answer.
    """
    cells = look.probability.shape[0]
    scale = cells / look.side_px
    held = _held(look, clicks)
    boxes = [(float(click.x), float(click.y), click.x + 1.0, click.y + 1.0) for click in clicks if click.positive]
    if held.any():
        x0, y0, x1, y1 = (value / scale for value in box_xyxy(held))
        boxes.append((x0 + look.corner_xy[0], y0 + look.corner_xy[1], x1 + look.corner_xy[0], y1 + look.corner_xy[1]))
        longer = 0.0
    else:
        longer = look.side_px / 4
    left, top = (min(box[i] for box in boxes) for i in (0, 1))
    right, bottom = (max(box[i] for box in boxes) for i in (2, 3))
    side = max(SMALLEST_VIEW_PX, round(ZOOM * max(right - left, bottom - top, longer)))
    return (round((left + right - side) / 2), round((top + bottom - side) / 2)), side


def _own_click(look: Look, clicks: Sequence[Click]) -> Click | None:
    """A positive click where the answer under the clicks is deep and far from them; None where there is no answer."""
    cells = look.probability.shape[0]
    scale = cells / look.side_px
    placed = [_placed(click, look.corner_xy, scale) for click in clicks]
    held = _held(look, clicks)
    if not held.any():
        return None
    depth = cv2.distanceTransform(np.pad(held, 1).view(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    rows, columns = np.mgrid[:cells, :cells]
    away = np.min([np.hypot(rows - click.y, columns - click.x) for click in placed], axis=0)
    row, column = np.unravel_index(np.argmax(np.minimum(depth, 0.5 * away)), held.shape)
    x, y = ((value + 0.5) / scale + start for value, start in zip((column, row), look.corner_xy, strict=True))
    return Click(int(x), int(y))


def _held(look: Look, clicks: Sequence[Click]) -> Mask:
    """(S/2, S/2) bool: the parts of the answer that hold a positive click."""
    scale = look.probability.shape[0] / look.side_px
    placed = [_placed(click, look.corner_xy, scale) for click in clicks]
    return parts_under(look.probability > THRESHOLD, placed)


def _holds(look: Look, clicks: Sequence[Click]) -> bool:
    """Whether the answer holds a positive click."""
    return bool(_held(look, clicks).any())


def _cut_off(look: Look) -> bool:
    """Whether the answer runs on beyond its window: a mask that ends in a straight line is no object."""
    answer = look.probability > THRESHOLD
    rim = max(line.mean() for line in (answer[0], answer[-1], answer[:, 0], answer[:, -1]))
    return bool(rim > CUT_SHARE)


def _grown(corner_xy: tuple[int, int], side: int, factor: float) -> tuple[tuple[int, int], int]:
    x, y = corner_xy
    larger = round(side * factor)
    return (x - (larger - side) // 2, y - (larger - side) // 2), larger


def _placed(click: Click, corner_xy: tuple[int, int], scale: float) -> Click:
    """The click in pixels of a square with that corner, shrunk by scale."""
    x, y = (
        int(np.floor((value + 0.5 - start) * scale)) for value, start in zip((click.x, click.y), corner_xy, strict=True)
    )
    return replace(click, x=x, y=y)


def _part(look: Look, box_xyxy: tuple[int, int, int, int], size_wh: tuple[int, int]) -> Plane:
    """The look's probabilities within a box of the photo, at that size."""
    x0, y0, x1, y1 = box_xyxy
    cells = look.probability.shape[0] / look.side_px  # a pixel of the photo in cells
    step_x, step_y = (x1 - x0) / size_wh[0] * cells, (y1 - y0) / size_wh[1] * cells
    back = np.array(
        [
            [step_x, 0, (x0 - look.corner_xy[0]) * cells + step_x / 2 - 0.5],
            [0, step_y, (y0 - look.corner_xy[1]) * cells + step_y / 2 - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(look.probability, back, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _seen_from(look: Look, corner_xy: tuple[int, int], side_px: int, cells: int) -> Plane:
    """(cells, cells): the look's probabilities in another square, 0 beyond the look's own."""
    box = *corner_xy, corner_xy[0] + side_px, corner_xy[1] + side_px
    seen = _part(look, box, (cells, cells))
    centres = (np.arange(cells) + 0.5) * side_px / cells
    inside = [
        (start + centres >= own) & (start + centres < own + look.side_px)
        for start, own in zip(corner_xy, look.corner_xy, strict=True)
    ]
    return np.where(inside[1][:, None] & inside[0][None], seen, 0).astype(np.float32)


def _mirrored(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """head_planes' planes of the mirror image."""
    turned = planes[:, ::-1].copy()
    turned[..., 4] = -turned[..., 4]  # columns to the click
    return turned


def _sigmoid(logits: NDArray[np.float32]) -> Plane:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)
