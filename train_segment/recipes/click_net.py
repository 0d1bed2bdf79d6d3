"""ClickNet: any object from clicks, taught by clicks on what it gets wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from segment.base import Click, Image, Mask
from segment.click_planes import head_planes
from segment.mask_ops import box_xyxy
from segment.metrics import iou
from segment.windows import cut_square, middle_corner
from train_segment.augment import copy_paste, worsened
from train_segment.clicks import first_click, next_click
from train_segment.data import Labelled, Sample, Samples, colour, flip
from train_segment.measure import cases
from train_segment.recipe import Batch, Recipe, Task
from train_segment.sheet import panel, sheet
from training.options import option
from training.report import Shown

_SMALLEST_VIEW_PX = 48  # of the photo: less shows nothing but blur
_VALIDATED_CLICKS = 3
_BACKGROUND_SHARE = 0.05  # of a photo: where less is left between objects and unclear rims, nobody clicks on nothing


@dataclass(frozen=True)
class ClickNetRecipe(Recipe):
    """ClickNet: any object, one click; SqueezeNet features, clicks simulated on the net's own errors."""

    steps_per_epoch: int = option(500, "steps between two validations")
    rate: float = option(1e-3, "its learning rate")
    warmup_steps: int = option(200, "steps over which the rate grows from 0")
    clip_norm: float = option(1.0, "bound of the gradient's norm; 0: none")
    ema: float = option(0.998, "decay of the running mean of the weights that is validated and exported; 0: none")

    input_px: int = option(192, "side of the square that the net sees")
    embedding: int = option(64, "channels of the photo's embedding")
    trunk: int = option(128, "channels at a sixteenth of the picture")
    blocks: int = option(4, "residual blocks there")
    fine: int = option(32, "channels at a quarter")
    encoder_weights: str = option(
        "", "SqueezeNet 1.1's ImageNet weights, or a bundle of ClickNet (.npz), to start from"
    )
    encoder_rate: float = option(1 / 15, "factor on the rate of the encoder, which knows ImageNet already")
    frozen: tuple[str, ...] = option(
        ("conv1", "fire2", "fire3"), "encoder layers that stay as they are", metavar="NAME"
    )
    rounds: int = option(2, "clicks on errors after the first, at most")
    whole: float = option(0.4, "share of samples that show the whole photo; the others a window round the object")
    paste: float = option(0.25, "share of samples onto which an object of another photo is pasted")
    nothing: float = option(0.08, "share of samples whose click is on no object: they teach the score alone")
    colour: float = option(0.3, "strength of brightness, contrast and saturation changes, 0 to 1")
    min_share: float = option(0.003, "smallest object, share of its photo")

    def task(self, labelled: Labelled, training: Sequence[int], held_out: Sequence[int]) -> Task:
        return ClickNetTask(self, labelled, training, held_out)


@dataclass
class _View:
    """A square of a photo, its object, and the clicks made so far."""

    image: Image
    mask: Mask  # (side, side)
    ignore: Mask
    clicks: list[Click]
    rng: Generator


class ClickNetTask:
    """The net, its samples and its losses."""

    inputs = ("image", "planes")
    shown = Shown(
        training={"loss": ".4f", "iou": ".4f", "score_error": ".4f"},
        validation=dict.fromkeys(("iou", "iou_2", "iou_3", "recall", "score_error", "nothing"), ".4f"),
        panel="clicks_and_answers",
    )

    def __init__(
        self, recipe: ClickNetRecipe, labelled: Labelled, training: Sequence[int], held_out: Sequence[int]
    ) -> None:
        from segment.nets import squeezenet
        from segment.nets.click_net import build_click_net, read_click_net
        from segment.nets.configs import ClickNetConfig
        from train_segment.encoders import hold_back

        self._recipe = recipe
        self.config = ClickNetConfig(
            input_px=recipe.input_px,
            embedding=recipe.embedding,
            trunk=recipe.trunk,
            blocks=recipe.blocks,
            fine=recipe.fine,
        )
        self.net = build_click_net(self.config)
        encoder = self._encoder = self.net.get_layer("encoder")
        self._head = self.net.get_layer("head")
        if recipe.start_from:
            start, config = read_click_net(recipe.start_from)
            if replace(config, input_px=recipe.input_px) != self.config:
                raise ValueError(f"{recipe.start_from} is of another size: it has {config}")
            self.net.set_weights(start.get_weights())
        elif recipe.encoder_weights:
            squeezenet.start_from(encoder, recipe.encoder_weights)
        known = bool(recipe.start_from or recipe.encoder_weights)
        self.rate_factors: Mapping[str, float] = hold_back(
            encoder, known=known, rate=recipe.encoder_rate, frozen=recipe.frozen
        )
        hooks = [flip, copy_paste(labelled, training, recipe.paste), colour(recipe.colour)]
        self._samples = Samples(labelled, training, augment=hooks, min_share=recipe.min_share, seed=recipe.seed)
        held = [case for _, case in zip(range(recipe.validation_photos), cases(labelled, held_out), strict=False)]
        if not held:
            raise ValueError("none of the photos kept for validation has a usable object: see --validation-fraction")
        self._cases = [_whole_view(case, recipe.input_px) for case in held]
        self._grounds = [_whole_view(ground, recipe.input_px) for case in held if (ground := _ground(case))]

    def sample(self, index: int) -> _View:
        """A view of a photo with the first click on its object."""
        recipe, rng = self._recipe, np.random.default_rng([self._recipe.seed, 1, index])
        nothing = rng.random() < recipe.nothing
        while True:
            sample = self._samples.sample(index)
            ground = _ground(sample) if nothing else None
            nothing = ground is not None
            whole = nothing or rng.random() < recipe.whole
            image, mask, ignore = _cut(ground or sample, rng, recipe.input_px, whole=whole)
            if mask.sum() >= 12:
                break
            index += 1_000_003  # far behind any run's end: another object
        click = first_click(mask, rng=rng, depth_share=float(rng.uniform(0.2, 1.0)))
        if nothing:
            # Some region may well be wanted there, which nobody has drawn: no answer is wrong, but none is sure.
            mask, ignore = np.zeros_like(mask), np.ones_like(ignore)
        return _View(worsened(image, rng), mask, ignore, [click], rng)

    def collate(self, samples: Sequence[_View]) -> Batch:
        # What the clicks of the next rounds are decided from stays with the batch.
        self_views = np.empty(len(samples), object)
        self_views[:] = samples
        return {
            "image": np.stack([view.image for view in samples]).astype(np.float32),
            "mask": np.stack([_halved(view.mask) for view in samples])[..., None],
            "counts": np.stack([1 - _halved(view.ignore) for view in samples])[..., None],
            "views": self_views,
        }

    def prepare(self, batch: Batch, step: int) -> Batch:
        """Up to `rounds` times the net answers, and the largest error of each answer is clicked."""
        rng = np.random.default_rng([self._recipe.seed, 2, step])
        batch = dict(batch)
        views: list[_View] = list(batch.pop("views"))
        side = self._recipe.input_px
        previous: list[NDArray[np.float32] | None] = [None] * len(views)
        rounds = int(rng.integers(self._recipe.rounds + 1))
        maps = self._encoder.predict_on_batch(batch["image"]) if rounds else {}
        for _ in range(rounds):
            planes = np.stack([head_planes(v.clicks, p, side) for v, p in zip(views, previous, strict=True)])
            logits = np.asarray(self._head.predict_on_batch({**maps, "planes": planes})["mask"])
            for place, view in enumerate(views):
                answer = _sigmoid(logits[place, ..., 0])
                # Now and then the same clicks again: what a second look at a part of the photo is asked.
                if view.rng.random() < 0.8:
                    view.clicks += _corrections(view, answer > 0.5)
                previous[place] = _halved_twice(answer) if view.rng.random() < 0.9 else None
        batch["planes"] = np.stack([head_planes(v.clicks, p, side) for v, p in zip(views, previous, strict=True)])
        return batch

    def losses(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Cross entropy and soft IoU of the mask, cross entropy of the score with the IoU that the mask has.

        Where no pixel counts there is no object: the score should be 0, and the mask is not judged.
        """
        from keras import ops

        logits, target, counts = outputs["mask"], batch["mask"], batch["counts"]
        entropy = ops.maximum(logits, 0) - logits * target + ops.log1p(ops.exp(-ops.abs(logits)))
        area = ops.sum(counts, (1, 2, 3))
        entropy = ops.sum(entropy * counts, (1, 2, 3)) / ops.maximum(area, 1)
        answer = ops.sigmoid(logits) * counts
        target = target * counts
        both, either = _overlap(answer, target)
        there = ops.cast(area > 0, logits.dtype)
        soft = there - both / ops.maximum(either, 1)
        hard = ops.cast(logits > 0, logits.dtype) * counts
        both, either = _overlap(hard, ops.cast(target >= 0.5, logits.dtype))
        reached = ops.stop_gradient(both / ops.maximum(either, 1))
        score = outputs["score"][:, 0]
        scoring = ops.maximum(score, 0) - score * reached + ops.log1p(ops.exp(-ops.abs(score)))
        return {
            "loss": ops.mean(entropy) + ops.mean(soft) + 0.2 * ops.mean(scoring),
            "iou": ops.sum(reached) / ops.maximum(ops.sum(there), 1),
            "score_error": ops.mean(ops.abs(ops.sigmoid(score) - reached)),
        }

    def validate(self) -> tuple[dict[str, float], Image]:
        """Whole held-out photos at the net's size, the first click in the middle of the object, then on its errors."""
        side, size = self._recipe.input_px, self._recipe.batch
        rows: list[list[float]] = []
        errors: list[float] = []
        shown: list[list[Image]] = []
        for start in range(0, len(self._cases), size):
            part = self._cases[start : start + size]
            clicks = [[first_click(case.mask)] for case in part]
            previous: list[NDArray[np.float32] | None] = [None] * len(part)
            reached: list[list[float]] = [[] for _ in part]
            pictures = [[panel(case.image, width_px=side, truth=case.mask)] for case in part]
            for number in range(_VALIDATED_CLICKS):
                answers, scores = self._asked(part, clicks, previous)
                for place, case in enumerate(part):
                    answer = answers[place]
                    mask = cv2.resize(answer, (side, side), interpolation=cv2.INTER_LINEAR) > 0.5
                    reached[place].append(iou(mask, case.mask, case.ignore))
                    if number == 0:
                        errors.append(abs(float(scores[place]) - reached[place][0]))
                    if number != 1:
                        text = f"{reached[place][-1]:.2f}"
                        pictures[place].append(
                            panel(case.image, width_px=side, answer=mask, clicks=clicks[place], text=text)
                        )
                    correction = next_click(case.mask, mask, clicks[place], ignore=case.ignore)
                    clicks[place] += [correction] if correction else []
                    previous[place] = _halved_twice(answer)
            rows += reached
            shown += pictures
        table = np.array(rows)
        means = {
            "iou": float(table[:, 0].mean()),
            "iou_2": float(table[:, 1].mean()),
            "iou_3": float(table[:, 2].mean()),
            "recall": float((table[:, 0] >= 0.7).mean()),
            "score_error": float(np.mean(errors)),
            "nothing": self._score_of_nothing(),
        }
        captions = ["object", "1 click", "3 clicks"]
        return means, sheet(shown[: self._recipe.panel_photos], captions, blocks_per_row=2)

    def _score_of_nothing(self) -> float:
        """The mean score of clicks on the middle of what is no object: none of them should look sure."""
        scores: list[NDArray[np.float32]] = []
        for start in range(0, len(self._grounds), self._recipe.batch):
            part = self._grounds[start : start + self._recipe.batch]
            scores.append(self._asked(part, [[first_click(view.mask)] for view in part], [None] * len(part))[1])
        return float(np.concatenate(scores).mean()) if scores else math.nan

    def _asked(
        self, views: Sequence[_View], clicks: Sequence[Sequence[Click]], previous: Sequence[NDArray[np.float32] | None]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(N, S/2, S/2) probabilities and (N,) scores of up to a batch of views."""
        images = np.stack([view.image for view in views]).astype(np.float32)
        planes = np.stack([head_planes(c, p, self._recipe.input_px) for c, p in zip(clicks, previous, strict=True)])
        padded = self._recipe.batch - len(views)  # one shape for every batch: no second graph is made
        given = {"image": images, "planes": planes}
        outputs = self.net.predict_on_batch(
            {name: np.pad(array, ((0, padded), (0, 0), (0, 0), (0, 0))) for name, array in given.items()}
        )
        mask, score = (np.asarray(outputs[name][: len(views), ..., 0], np.float32) for name in ("mask", "score"))
        return _sigmoid(mask), _sigmoid(score)

    def write(self, path: Path, extra: Mapping[str, Any]) -> None:
        from segment.nets.click_net import write_click_net

        write_click_net(path, self.net, self.config, dict(extra))


def _cut(sample: Sample, rng: Generator, side_px: int, *, whole: bool) -> tuple[Image, Mask, Mask]:
    """A square view of the sample at side_px: the whole photo, or a window that holds all or most of the object."""
    height, width = sample.mask.shape
    x0, y0, x1, y1 = box_xyxy(sample.mask)
    longer = max(x1 - x0, y1 - y0)
    if whole:
        side = round(max(height, width) * rng.uniform(1.0, 1.1))
        corner = middle_corner((height, width), side)
    else:
        side = max(_SMALLEST_VIEW_PX, round(longer * float(np.exp(rng.uniform(np.log(1.1), np.log(3.5))))))
        spare = max(0.0, side - longer) / 2 + 0.1 * longer
        x, y = ((a + b) / 2 + rng.uniform(-spare, spare) for a, b in ((x0, x1), (y0, y1)))
        corner = round(x - side / 2), round(y - side / 2)
    return _square(sample, corner, side, side_px)


def _ground(sample: Sample) -> Sample | None:
    """The sample with what belongs to no object of the photo in the object's place; None where that is too little."""
    ground = ~np.logical_or.reduce([sample.mask, sample.ignore, *sample.others])
    return replace(sample, mask=ground) if ground.mean() >= _BACKGROUND_SHARE else None


def _whole_view(sample: Sample, side_px: int) -> _View:
    side = max(sample.mask.shape)
    image, mask, ignore = _square(sample, middle_corner(sample.mask.shape, side), side, side_px)
    return _View(image, mask, ignore, [], np.random.default_rng(0))


def _square(sample: Sample, corner: tuple[int, int], side: int, side_px: int) -> tuple[Image, Mask, Mask]:
    how = cv2.INTER_AREA if side > side_px else cv2.INTER_LINEAR
    image = cv2.resize(cut_square(sample.image, corner, side), (side_px, side_px), interpolation=how)
    # Beyond the photo's border there is no object, which the net has to learn: what it says there joins the score.
    mask, ignore = (
        cv2.resize(part.astype(np.float32), (side_px, side_px), interpolation=how) >= 0.5
        for part in (cut_square(whole.view(np.uint8), corner, side, border=0) for whole in (sample.mask, sample.ignore))
    )
    return np.asarray(image, np.uint8), mask, ignore & ~mask


def _corrections(view: _View, answer: Mask) -> list[Click]:
    """The next click on an answer of half the view's side, in pixels of the view."""
    small_mask, small_ignore = _halved(view.mask) >= 0.5, _halved(view.ignore) >= 0.5
    click = next_click(small_mask, answer, ignore=small_ignore, rng=view.rng, depth_share=0.5)
    return [Click(2 * click.x + 1, 2 * click.y + 1, click.positive)] if click else []


def _halved(mask: Mask) -> NDArray[np.float32]:
    height, width = mask.shape
    return mask.reshape(height // 2, 2, width // 2, 2).mean((1, 3), dtype=np.float32)


def _halved_twice(answer: NDArray[np.float32]) -> NDArray[np.float32]:
    """From the mask's resolution to the planes'."""
    height, width = answer.shape
    return answer.reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def _overlap(a: Any, b: Any) -> tuple[Any, Any]:
    from keras import ops

    both = ops.sum(a * b, (1, 2, 3))
    return both, ops.sum(a, (1, 2, 3)) + ops.sum(b, (1, 2, 3)) - both


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)
