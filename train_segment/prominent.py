"""How the nets that need no click are taught: a photo's subject by a rule, the net's square, a loss for each pixel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Image, Mask
from segment.metrics import iou
from segment.prominent import equalised_luma, one_class, softmax, squeezed
from train_segment.data import BrokenSampleError, Labelled, Sample, colour, flip
from train_segment.error_view import four_panels
from train_segment.light import crop, gamma, shadow
from train_segment.recipe import Batch, Recipe
from train_segment.sheet import sheet
from train_segment.subjects import RULES, Rule, Subject, rule_named, subject_of, summary
from training.options import option
from training.report import Shown
from training.split import hash_share

# Mask and ignored pixels at the net's size -> the class of each pixel; 255 counts for nothing.
Targets = Callable[[Mask, Mask], NDArray[np.uint8]]

NOTHING = 255


@dataclass(frozen=True)
class ProminentRecipe(Recipe):
    """What the recipes of these nets share."""

    select: str = option("extractnet", "whose rule says what a photo's subject is", tuple(RULES))
    input_px: int = option(224, "side of the square that photos are resized to")
    flips: bool = option(True, "half of the photos are mirrored")
    crop: float = option(1.0, "smallest share of a photo's side that a crop has; 1: no crops")
    colour: float = option(0.0, "strength of brightness, contrast and saturation changes, 0 to 1")
    gamma: float = option(0.0, "how far the middle tones are brightened or darkened; 0: not")
    shadow: float = option(0.0, "share of samples with a shadow across the subject")
    soft_iou: float = option(0.0, "weight of 1 - soft IoU beside the cross entropy")
    false_negatives: float = option(
        1.0, "how much dearer a missed pixel of the subject is than one too many: ExtractNet's future work"
    )

    def check(self) -> None:
        super().check()
        rule_named(self.select)
        if self.false_negatives <= 0 or self.soft_iou < 0:
            raise ValueError("--false-negatives must be above 0, --soft-iou 0 or more")


@dataclass(frozen=True)
class Taught:
    """A net, and what its channels mean."""

    net: Any
    config: Any
    write: Callable[..., None]  # (path, net, config, extra)
    targets: Targets
    shares: tuple[float, ...] = (0.0, 1.0)  # of each class: how far it is the subject's
    equalise: bool = False
    rate_factors: Mapping[str, float] = field(default_factory=dict)


class ProminentTask:
    """The samples, the losses and the validation of one net."""

    inputs = ("image",)
    shown = Shown(
        training={"loss": ".4f", "iou": ".4f"},
        validation={"iou": ".4f", "median_iou": ".4f", "accuracy": ".4f"},
        panel="photo_truth_answer_error",
    )

    def __init__(
        self,
        recipe: ProminentRecipe,
        taught: Taught,
        labelled: Labelled,
        training: Sequence[int],
        held_out: Sequence[int],
    ) -> None:
        """Raises ValueError if no photo kept out of training has a subject by the rule."""
        self._recipe, self._taught = recipe, taught
        self.net = taught.net
        self.rate_factors = taught.rate_factors
        self._shares = np.array(taught.shares, np.float32)
        rule = rule_named(recipe.select)
        self._subjects = Subjects(labelled, training, rule, seed=recipe.seed)
        hooks = [(recipe.flips, flip), (recipe.crop < 1, crop(recipe.crop)), (recipe.colour > 0, colour(recipe.colour))]
        hooks += [(recipe.gamma > 0, gamma(recipe.gamma)), (recipe.shadow > 0, shadow(recipe.shadow))]
        self._hooks = [hook for wanted, hook in hooks if wanted]
        self._cases = held_out_subjects(labelled, held_out, rule, limit=recipe.validation_photos)

    def sample(self, index: int) -> Batch:
        """A photo and the class of each pixel, at the net's size."""
        rng = np.random.default_rng([self._recipe.seed, 3, index])
        found = self._subjects.get(index)
        sample = Sample(found.name, found.image, found.mask, found.ignore, None)
        for hook in self._hooks:
            sample = hook(sample, rng)
        return self._squared(sample.image, sample.mask, sample.ignore)

    def collate(self, samples: Sequence[Batch]) -> Batch:
        return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}

    def prepare(self, batch: Batch, step: int) -> Batch:
        return batch

    def losses(self, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Cross entropy over the pixels that count, dearer for misses, and 1 - soft IoU of the subject."""
        from keras import ops

        logits, target, counts = outputs["mask"], batch["target"], batch["counts"]
        shares = ops.convert_to_tensor(self._shares)
        subject = ops.take(shares, target)
        if logits.shape[-1] == 1:
            logit = logits[..., 0]
            entropy = ops.maximum(logit, 0) - logit * subject + ops.log1p(ops.exp(-ops.abs(logit)))
            sure = ops.sigmoid(logit)
        else:
            entropy = -ops.sum(ops.one_hot(target, logits.shape[-1]) * ops.log_softmax(logits), -1)
            sure = ops.sum(ops.softmax(logits) * shares, -1)
        weights = counts * (1 + (self._recipe.false_negatives - 1) * subject)
        loss = ops.sum(entropy * weights) / ops.maximum(ops.sum(weights), 1)
        both, either = _overlap(sure, subject, counts)
        soft = ops.mean(1 - both / ops.maximum(either, 1))
        # A class that is half the subject's, such as the pets' border, is on neither side.
        clear = counts * ops.cast(ops.abs(subject - 0.5) > 0.25, counts.dtype)
        both, either = _overlap(ops.cast(sure >= 0.5, sure.dtype), subject, clear)
        return {"loss": loss + self._recipe.soft_iou * soft, "iou": ops.mean(both / ops.maximum(either, 1))}

    def validate(self) -> tuple[dict[str, float], Image]:
        """Held-out photos at the net's size, as the reports measure: IoU of each, and the pixels' right classes."""
        side, size = self._recipe.input_px, self._recipe.batch
        ious: list[float] = []
        right: list[float] = []
        shown: list[list[Image]] = []
        for start in range(0, len(self._cases), size):
            part = self._cases[start : start + size]
            arrays = [self._squared(case.image, case.mask, case.ignore) for case in part]
            images = np.stack([one["image"] for one in arrays])
            images = np.pad(images, ((0, size - len(part)), *((0, 0),) * 3))  # one shape: no second graph is made
            logits = np.asarray(self.net.predict_on_batch({"image": images})["mask"], np.float32)[: len(part)]
            for case, one, logit in zip(part, arrays, logits, strict=True):
                sure = one_class(logit) if logit.shape[-1] == 1 else softmax(logit) @ self._shares
                counts, subject = one["counts"] > 0, self._shares[one["target"]]
                unclear = ~counts | (np.abs(subject - 0.5) < 0.25)
                answer, truth = sure >= 0.5, subject > 0.5
                ious.append(iou(answer, truth, unclear))
                classes = logit.argmax(-1) if logit.shape[-1] > 1 else answer
                right.append(float((classes == one["target"])[counts].mean()) if counts.any() else 1.0)
                if len(shown) < self._recipe.panel_photos:
                    shown.append(four_panels(squeezed(case.image, side), truth, answer, unclear))
        means = {"iou": float(np.mean(ious)), "accuracy": float(np.mean(right)), "median_iou": float(np.median(ious))}
        return means, sheet(shown, ["photo", "truth", "answer", "error"], blocks_per_row=2)

    def write(self, path: Path, extra: Mapping[str, Any]) -> None:
        self._taught.write(path, self.net, self._taught.config, dict(extra))

    def _squared(self, image: Image, mask: Mask, ignore: Mask) -> Batch:
        side = self._recipe.input_px
        photo = squeezed(image, side)
        small, unclear = (_resized(part, side) for part in (mask, ignore))
        target = self._taught.targets(small, unclear & ~small)
        return {
            "image": (equalised_luma(photo) if self._taught.equalise else photo).astype(np.float32),
            "target": np.where(target == NOTHING, 0, target).astype(np.int32),
            "counts": (target != NOTHING).astype(np.float32),
        }


class Subjects:
    """Training photos with their subjects by index: each photo of the rule about once an epoch.

    The same seed and index give the same photo on every machine. What the rule drops is found out once.
    """

    def __init__(self, labelled: Labelled, numbers: Sequence[int], rule: Rule, *, seed: int = 0) -> None:
        self._labelled, self._numbers, self._rule, self._seed = labelled, list(numbers), rule, seed
        self._dropped: dict[int, str] = {}
        self._lock = threading.Lock()

    def get(self, index: int) -> Subject:
        """The photo of that index, 0 and up, or the next in its order that the rule keeps.

        Raises ValueError if it keeps none.
        """
        epoch, place = divmod(index, len(self._numbers))
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._numbers))
        for step in range(len(order)):
            number = self._numbers[order[(place + step) % len(order)]]
            if number in self._dropped:
                continue
            found = _subject(self._labelled, number, self._rule)
            if isinstance(found, Subject):
                return found
            with self._lock:
                self._dropped[number] = found
        raise ValueError("; ".join(line.strip() for line in summary(0, list(self._dropped.values()))))


def held_out_subjects(
    labelled: Labelled, numbers: Sequence[int], rule: Rule, *, limit: int, truth: Rule | None = None
) -> list[Subject]:
    """The first photos kept out of training, in the order of a hash, that the rule keeps. ValueError without any.

    truth: the rule that says what their subject is, if another than that which chooses them; both must keep them.
    """
    found: list[Subject] = []
    dropped: list[str] = []
    for number in sorted(numbers, key=lambda n: hash_share(labelled.names[n], "evaluation order")):
        subject = _subject(labelled, number, rule)
        if isinstance(subject, Subject) and truth is not None:
            subject = _subject(labelled, number, truth)
        if isinstance(subject, Subject):
            found.append(subject)
        else:
            dropped.append(subject)
        if len(found) == limit:
            break
    if not found:
        reasons = "; ".join(line.strip() for line in summary(0, dropped))
        raise ValueError(f"of the photos kept for validation {reasons}: is --manifest missing, or --select another's?")
    return found


def start_net(net: Any, config: Any, start: tuple[Any, Any], source: str) -> None:
    """Gives the net the weights of another of the same layers. start: (net, config). ValueError if they differ."""
    other, other_config = start
    if replace(other_config, input_px=config.input_px) != config:
        raise ValueError(f"{source} is of another shape: it has {other_config}, this run {config}")
    net.set_weights(other.get_weights())


def subject_or_nothing(mask: Mask, ignore: Mask) -> NDArray[np.uint8]:
    """Targets of two classes: 0 background, 1 subject."""
    return np.where(ignore, NOTHING, mask).astype(np.uint8)


def _subject(labelled: Labelled, number: int, rule: Rule) -> Subject | str:
    try:
        return subject_of(labelled.get(number), rule, labelled.names[number])
    except BrokenSampleError:
        return "broken"


def _resized(mask: Mask, side_px: int) -> Mask:
    return cv2.resize(mask.astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_AREA) >= 0.5


def _overlap(a: Any, b: Any, counts: Any) -> tuple[Any, Any]:
    from keras import ops

    a, b = a * counts, b * counts
    both = ops.sum(a * b, (1, 2))
    return both, ops.sum(a, (1, 2)) + ops.sum(b, (1, 2)) - both
