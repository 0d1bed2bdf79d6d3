"""ClickNet as a segmenter: any object under a click, from the weights that ship with Clickaway.

The photo is read once as a whole. A click is answered on that first; then in a window round the answer, so that small
objects and edges are seen at the net's full resolution, with the first answer as a hint unless that was too coarse; and
once more with a click of the net's own, deep in its answer and far from the user's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Image, Mask, NoObjectError, Selection, check_clicks, check_image
from segment.click_planes import head_planes, mirrored
from segment.looks import SMALLEST_VIEW_PX, THRESHOLD, Look, Plane, Square, grown, placed
from segment.mask_ops import fill_holes, parts_under
from segment.metrics import iou
from segment.nets.configs import read_click_net_config
from segment.refine import guided
from segment.windows import Scales, middle_corner, moved_click, scaled_click
from segment.working_size import working_wh
from weights import WEIGHTS, WeightsError, fetch, locate, named_file
from weights.frameworks import compiled, load_keras
from weights.onnx_nets import read_onnx
from weights.shared_passes import SharedPasses

Maps = dict[str, NDArray[np.float32]]  # the encoder's, by name

BUNDLED = "clicknet"  # the name of the bundled net in weights.WEIGHTS
PARTS = ("encoder", "head")  # of the net: the one reads photos, the other answers clicks
FAR = 0.25  # a window smaller than this share of the one before is too far a jump
COARSE = 0.5  # in a window smaller than this share of the first one the first answer misleads: it is asked afresh there
WORTH_ZOOMING = 0.85  # a window larger than this share of the first one would show nothing new
ROUNDS = 3  # clicks that are answered one after the other, each with the answer before as a hint; earlier ones together
REFINED_PX = 768  # largest side of the window in which edges are moved to the photo's
SAME_ANSWER_IOU = 0.8  # masks that agree so well are one answer
COMPARED_PX = 500  # along the longer side, at least so many pixels are compared
ALTERNATIVES = 3
HOLE_SHARE = 0.01  # holes below this share of the mask are filled
SQUARES_A_PASS = 8  # of all threads together; a click has two, the square and its mirror image
_STEPS = 2**16 - 2


@dataclass(frozen=True)
class ClickNetEncoding:
    """The photo, not copied, at several sizes, and what the net has read of it as a whole: half floats by name."""

    photo: Scales
    maps: dict[str, NDArray[np.float16]]


class ClickNetSegmenter:
    """Any object under a click, by ClickNet."""

    def __init__(self, model: str | Path | None = None):
        """model: a bundle (.npz) that train_segment wrote; None: the one that ships with Clickaway.

        Raises WeightsError if there is none or it is damaged.
        """
        path = fetch(WEIGHTS[BUNDLED]) if model is None else named_file(model)
        if not path.is_file():
            raise WeightsError(
                f"clicknet needs its weights, got {model}: give 'clicknet:FILE', a net that train_segment wrote"
            )
        self.name = "clicknet" if model is None else f"clicknet:{model}"
        self.config, _ = read_click_net_config(path)
        nets = (read_onnx(WEIGHTS[BUNDLED], *PARTS, apart=True) if model is None else None) or _read_keras(path)
        self._encoder, self._head = (SharedPasses(net, most=SQUARES_A_PASS) for net in nets)
        # Keras's graphs are made at the first call: now, so that the first click takes no longer than the others.
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
            if mask.any() and not any(_agree(mask, other.mask) for other in selections):
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
            corner, side = look.window_round(clicks)
            if side > WORTH_ZOOMING * look.side_px:
                break
            far = side < FAR * look.side_px
            if far:  # an answer of so few pixels says little about its own size
                corner, side = grown(corner, side, 2.0)
            read = self._read(photo, corner, side, mirrored=not far)
            hint = look if side >= COARSE * first.side_px else None
            closer = self._answer(read, corner, side, clicks, hint)
            if not closer.holds(clicks):  # lost on the way: what was seen before is better than nothing
                break
            look, maps = closer, read
            if not far:
                break
        own = look.own_click(clicks)
        if own is None:
            return look
        # What one click leaves open, a part or the whole, a second one far off settles; training knew several clicks.
        surer = self._answer(maps, look.corner_xy, look.side_px, [*clicks, own], look, rounds=1)
        return surer if surer.holds(clicks) else look

    def _others(self, photo: Scales, first: Look, final: Look, clicks: Sequence[Click]) -> list[Look]:
        """Looks at a smaller and at a larger window round the click, asked afresh: a part, and a larger whole."""
        looks = [first] if final is not first else []
        click = next(click for click in clicks if click.positive)
        sides = [max(SMALLEST_VIEW_PX, round(final.side_px * factor)) for factor in (0.5, 2.0)]
        windows = [((click.x - side // 2, click.y - side // 2), side) for side in sides if side < 0.9 * first.side_px]
        if windows:
            size = self.config.input_px
            maps = self._encoded([photo.square(corner, side, size) for corner, side in windows])
            planes = [head_planes([placed(click, corner, size / side)], None, size) for corner, side in windows]
            logits, scores = self._asked(maps, planes)
            looks += [
                Look(corner, side, _sigmoid(one), float(score))
                for (corner, side), one, score in zip(windows, logits, scores, strict=True)
            ]
        return sorted((look for look in looks if not look.is_cut_off()), key=lambda look: -look.score)

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
        in_square = [placed(click, corner_xy, size / side_px) for click in clicks]
        first_round = max(1, len(in_square) - rounds + 1)
        while not any(click.positive for click in in_square[:first_round]):
            first_round += 1
        previous = None if before is None else before.seen_from(corner_xy, side_px, size // 4)
        for number in range(first_round, len(in_square) + 1):
            planes = head_planes(in_square[:number], previous, size)
            both = [planes, mirrored(planes)] if len(maps["p2"]) > 1 else [planes]
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
        refined = guided(look.part(window, working_wh(seen.shape[:2], self.config.input_px)), seen)
        # Parts and holes are found in the window and at that size, whatever the photo's: beyond it there is nothing.
        window_hw, seen_hw = (y1 - y0, x1 - x0), seen.shape[:2]
        in_seen = [scaled_click(moved_click(click, (x0, y0)), window_hw, seen_hw) for click in clicks]
        kept = parts_under(refined > THRESHOLD, in_seen)
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


def _read_keras(path: Path) -> list[Callable[[Any], Any]]:
    """The net's parts by Keras, where there are none by ONNX Runtime."""
    load_keras()
    from segment.nets.click_net import read_click_net

    net = read_click_net(path)[0]
    return [compiled(net.get_layer(part)) for part in PARTS]


def _whole(image: Image) -> Square:
    """Corner and side of the square in whose middle the photo lies."""
    side = max(image.shape[:2])
    return middle_corner(image.shape[:2], side), side


def _agree(one: Mask, other: Mask) -> bool:
    """Whether two masks are one answer; of large photos some pixels of each row and column are asked."""
    step = max(1, max(one.shape) // COMPARED_PX)
    return iou(one[::step, ::step], other[::step, ::step]) >= SAME_ANSWER_IOU


def _sigmoid(logits: NDArray[np.float32]) -> Plane:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)
