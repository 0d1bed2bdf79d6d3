"""DeepMask and DeepCrop as published: windows with the clicked object in their middle, and windows without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segment.base import Image
from segment.metrics import iou, iou_recall, mean_iou, median_iou
from train_segment.data import Labelled, Samples, colour, flip
from train_segment.measure import cases
from train_segment.recipe import Batch, Recipe, Task
from train_segment.sheet import panel, sheet
from training.options import option
from training.report import Shown

if TYPE_CHECKING:  # Keras loads with it: --help answers at once
    from train_segment.patches import Patch

SCORE_WEIGHT = 1 / 32  # DeepMask, section 3.3
VARIANTS = ("deepmask", "deepcrop-v1", "deepcrop-v2", "deepcrop-v2-50")


@dataclass(frozen=True)
class DeepCropRecipe(Recipe):
    """DeepMask, or DeepCrop V1, V2 or V2_50, on windows round objects, by SGD as published."""

    optimizer: str = option("sgd", "how the weights are changed", ("adam", "sgd", "rmsprop"))
    rate: float = option(1e-3, "its learning rate")
    batch: int = option(32, "samples a step")
    weight_decay: float = option(5e-5, "decoupled weight decay")
    clip_norm: float = option(5.0, "bound of the gradient's norm; 0: none")
    ema: float = option(0.99, "decay of the running mean of the weights that is validated and exported; 0: none")

    variant: str = option("deepcrop-v2", "which of the published nets", VARIANTS)
    encoder: str = option("", "another encoder than the published one, such as squeezenet")
    width: int = option(64, "filters of ResNet-18's first layer")
    hidden: int = option(512, "the low rank through which both branches see the window")
    encoder_weights: str = option(
        "",
        'ImageNet weights to start from: "imagenet" or a file of keras.applications (ResNet-50), an .npz (SqueezeNet)',
    )
    encoder_rate: float = option(0.1, "factor on the rate of a SqueezeNet that starts from weights")
    colour: float = option(0.2, "strength of brightness, contrast and saturation changes, 0 to 1")
    positives: float = option(0.5, "share of the windows that have the clicked object in their middle")
    min_share: float = option(0.005, "smallest object, share of its photo")

    def task(self, labelled: Labelled, training: Sequence[int], held_out: Sequence[int]) -> Task:
        return DeepCropTask(self, labelled, training, held_out)


class DeepCropTask:
    """The net, its windows and its losses."""

    def __init__(
        self, recipe: DeepCropRecipe, labelled: Labelled, training: Sequence[int], held_out: Sequence[int]
    ) -> None:
        from segment.nets.deepcrop import PUBLISHED, build_deepcrop, read_deepcrop
        from train_segment.encoders import start_encoder

        self._recipe = recipe
        self.config = replace(PUBLISHED[recipe.variant], width=recipe.width, hidden=recipe.hidden)
        if recipe.encoder:
            self.config = replace(self.config, encoder=recipe.encoder)
        if recipe.start_from:
            self.net, config = read_deepcrop(recipe.start_from)
            if config != self.config:
                raise ValueError(f"{recipe.start_from} is another net: it has {config}")
        else:
            self.net = build_deepcrop(self.config)
            if recipe.encoder_weights:
                start_encoder(self.net, self.config.encoder, recipe.encoder_weights)
        self.inputs = tuple(self.net.input)
        known = self.config.encoder == "squeezenet" and bool(recipe.start_from or recipe.encoder_weights)
        factor = recipe.encoder_rate if known else 1.0
        self.rate_factors: Mapping[str, float] = {"conv1": factor, "fire": factor}
        scalars = {"loss": ".4f", "iou": ".4f"} | ({"score_right": ".3f"} if self.config.has_score else {})
        self.shown = Shown(
            training=scalars,
            validation={"iou": ".4f", "median": ".4f", "recall": ".4f"},
            panel="windows_and_answers",
        )
        hooks = [flip, colour(recipe.colour)]
        self._samples = Samples(labelled, training, augment=hooks, min_share=recipe.min_share, seed=recipe.seed)
        self._held_out = [
            self._patch(case, np.random.default_rng([recipe.seed, 3, number]), positive=True)
            for number, case in zip(range(recipe.validation_photos), cases(labelled, held_out), strict=False)
        ]
        if not self._held_out:
            raise ValueError("none of the photos kept for validation has a usable object: see --validation-fraction")

    def _patch(self, sample: Any, rng: np.random.Generator, *, positive: bool) -> Patch:
        from train_segment.patches import photo_patch, window_patch

        if self.config.variant == "v1":
            return photo_patch(sample, self.config, rng)
        return window_patch(sample, self.config, rng, positive=positive)

    def sample(self, index: int) -> Patch:
        rng = np.random.default_rng([self._recipe.seed, 1, index])
        positive = not self.config.has_score or rng.random() < self._recipe.positives
        return self._patch(self._samples.sample(index), rng, positive=bool(positive))

    def collate(self, samples: Sequence[Patch]) -> Batch:
        pixels = self.config.mask_px**2
        batch = {
            "image": np.stack([patch.image for patch in samples]).astype(np.float32),
            "planes": np.stack([patch.planes for patch in samples]),
            "mask": np.stack([patch.mask.reshape(1, 1, pixels) for patch in samples]).astype(np.float32),
            "counts": np.stack([patch.counts.reshape(1, 1, pixels) for patch in samples]).astype(np.float32),
            "right": np.array([patch.score for patch in samples], np.float32),
        }
        return {name: array for name, array in batch.items() if array.size}

    def prepare(self, batch: Batch, step: int) -> Batch:
        return batch

    def losses(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Soft margin of the mask where it counts, and of the score: log(1 + exp(-y * logit)), y = 1 or -1."""
        from keras import ops

        logits, mask, counts = outputs["mask"], batch["mask"], batch["counts"]
        margins = _soft_margin(logits, mask)
        area = ops.sum(counts, (1, 2, 3))
        has_mask = ops.cast(area > 0, "float32")
        each = ops.sum(margins * counts, (1, 2, 3)) / ops.maximum(area, 1)
        loss = ops.sum(each * has_mask) / ops.maximum(ops.sum(has_mask), 1)
        answer = ops.cast(logits > 0, "float32") * counts
        both = ops.sum(answer * mask, (1, 2, 3))
        either = ops.sum(ops.maximum(answer, mask * counts), (1, 2, 3))
        overlaps = both / ops.maximum(either, 1)
        terms = {"iou": ops.sum(overlaps * has_mask) / ops.maximum(ops.sum(has_mask), 1)}
        if self.config.has_score:
            score = outputs["score"][:, 0, 0, 0]
            loss = loss + SCORE_WEIGHT * ops.mean(_soft_margin(score, batch["right"]))
            terms["score_right"] = ops.mean(ops.cast((score > 0) == (batch["right"] > 0.5), "float32"))
        return {"loss": loss, **terms}

    def validate(self) -> tuple[dict[str, float], Image]:
        """Held-out windows (V1: photos) with the object in their middle, as the report measures."""
        side, size = self.config.mask_px, self._recipe.batch
        reached: list[float] = []
        shown: list[list[Image]] = []
        for start in range(0, len(self._held_out), size):
            part = self._held_out[start : start + size]
            batch = self.collate([*part, *[part[0]] * (size - len(part))])  # one shape, no second graph
            outputs = self.net.predict_on_batch({name: batch[name] for name in self.inputs})
            logits = np.asarray(outputs["mask"]).reshape(size, side, side)
            for patch, answer in zip(part, logits > 0, strict=False):
                reached.append(iou(answer, patch.mask, ~patch.counts))
                margin = (self.config.window_px - self.config.input_px) // 2
                window = patch.image[margin : margin + self.config.input_px, margin : margin + self.config.input_px]
                text = f"{reached[-1]:.2f}"
                pair = ({"truth": patch.mask}, {"answer": answer, "text": text})
                shown.append([panel(window, width_px=160, **options) for options in pair])
        means = {"iou": mean_iou(reached), "median": median_iou(reached), "recall": iou_recall(reached, 0.7)}
        return means, sheet(shown[: self._recipe.panel_photos], ["object", "answer"], blocks_per_row=3)

    def write(self, path: Path, extra: Mapping[str, Any]) -> None:
        from segment.nets.deepcrop import write_deepcrop

        write_deepcrop(path, self.net, self.config, dict(extra))


def _soft_margin(logits: Any, truth: Any) -> Any:
    from keras import ops

    return ops.softplus(logits * (1 - 2 * truth))
