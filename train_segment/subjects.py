"""Which objects of a photo are its subject, and which photos serve to learn that: the reports' rules, and our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segment.base import Image, Mask
from train_segment.sources import Annotated

PEOPLE = frozenset({"person"})
# COCO's supercategories, with VOC's spellings.
VEHICLES = frozenset(
    {"bicycle", "car", "motorcycle", "motorbike", "airplane", "aeroplane", "bus", "train", "truck", "boat"}
)
ANIMALS = frozenset(
    {"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"},
)
PETS = frozenset({"cat", "dog"})
# What a photo is rarely of, and what label sets of single objects name while the photo holds more.
SCENERY = frozenset(
    {"tree", "building", "house", "rock", "bush", "plant", "dining table", "diningtable", "bed", "sofa", "couch"}
    | {"bench", "sink", "oven", "refrigerator", "chair", "toilet", "traffic light", "parking meter", "stop sign"}
)


@dataclass(frozen=True)
class Rule:
    """Shares are of the photo, 0..1. Of the tiers the first with an object large enough counts, the others do not."""

    tiers: tuple[frozenset[str] | None, ...]  # classes; None: objects of any class or none but SCENERY's
    least: float = 0.0  # smaller objects do not belong to the subject
    largest_least: float = 0.0  # photos whose largest object is smaller are dropped
    of_largest: float = 0.0  # objects smaller than this share of the largest do not belong
    count: int = 4  # the largest objects so many belong
    drop_beyond: int | None = None  # photos with more objects of the classes are dropped
    total: tuple[float, float] = (0.0, 0.9)  # photos whose subject is smaller or larger are dropped
    unsure: bool = False  # objects of the classes that do not belong count as neither


RULES = {
    # ExtractNet's report, section 3.
    "extractnet": Rule((PEOPLE | VEHICLES,), least=0.10, largest_least=0.30),
    # greenScreen.AI's article, "The data". Of a crowd COCO names no number of people: its pixels count as neither.
    "greenscreen": Rule((PEOPLE,), count=2, drop_beyond=2, total=(0.20, 0.70)),
    "pets": Rule((PETS,), largest_least=0.02, total=(0.02, 0.95)),
    # This project's own, for the bundled net: people, animals and vehicles first, other things where there are none.
    "subject": Rule(
        (PEOPLE | VEHICLES | ANIMALS, None),
        least=0.015,
        largest_least=0.04,
        of_largest=0.25,
        count=8,
        unsure=True,
    ),
    # Every labelled object: for folders that hold nothing else, such as those that prepare wrote.
    "all": Rule((), count=254, total=(0.0, 1.0)),
}


@dataclass(frozen=True)
class Subject:
    """A photo and its subject."""

    name: str
    image: Image
    mask: Mask
    ignore: Mask  # counts neither as subject nor as background


def subject_of(annotated: Annotated, rule: Rule, name: str = "") -> Subject | str:
    """The photo's subject by that rule, or why the photo is dropped, in a few words."""
    objects = [(mask, label) for mask, label in annotated.objects if mask.any()]
    if not objects:
        return "no objects"
    if not rule.tiers:
        found = [mask for mask, _ in objects]
    else:
        tiers = [[mask for mask, label in objects if _belongs(label, tier)] for tier in rule.tiers]
        tiers = [tier for tier in tiers if tier]
        if not tiers:
            return "no object of the classes"
        large = [tier for tier in tiers if max(mask.mean() for mask in tier) >= rule.largest_least]
        if not large:
            return f"no object of {rule.largest_least:.0%} of the photo"
        found = large[0]
    if rule.drop_beyond is not None and len(found) > rule.drop_beyond:
        return f"more than {rule.drop_beyond} objects"
    found = sorted(found, key=lambda mask: -np.count_nonzero(mask))
    largest = found[0].mean()
    if largest < rule.largest_least:
        return f"no object of {rule.largest_least:.0%} of the photo"
    chosen = [mask for mask in found if mask.mean() >= max(rule.least, rule.of_largest * largest)][: rule.count]
    if not chosen:
        return f"no object of {rule.least:.0%} of the photo"
    union: Mask = np.logical_or.reduce(chosen)
    share = float(union.mean())
    if share < rule.total[0]:
        return f"less than {rule.total[0]:.0%} of the photo"
    if share > rule.total[1]:
        return f"more than {rule.total[1]:.0%} of the photo"
    ignore = annotated.ignore & ~union
    if rule.unsure:
        ignore = np.logical_or.reduce([ignore, *found]) & ~union
    return Subject(name, annotated.image, union, ignore)


def rule_named(name: str) -> Rule:
    """Raises ValueError for a name that is not one of RULES."""
    if name not in RULES:
        raise ValueError(f"no selection is called {name!r}: choose one of {', '.join(RULES)}")
    return RULES[name]


def _belongs(label: str | None, classes: frozenset[str] | None) -> bool:
    if classes is None:
        return label not in SCENERY
    return label in classes


def summary(kept: int, dropped: Sequence[str]) -> list[str]:
    """Lines that say how many photos were kept, how many dropped, and why."""
    reasons = sorted(set(dropped), key=lambda reason: -dropped.count(reason))
    lines = [f"kept {kept} of {kept + len(dropped)} photos"]
    return lines + [f"  {dropped.count(reason):6d} dropped: {reason}" for reason in reasons]
