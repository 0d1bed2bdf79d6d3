"""How well a segmenter answers clicks on one object after another, and the figures of a table's row."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segment import Click, Mask, NoObjectError, Segmenter
from segment.metrics import CLICK_LIMIT, clicks_to_iou, iou, iou_recall, mean_iou, median_iou
from train_segment.clicks import first_click, next_click
from train_segment.data import BrokenSampleError, Labelled, Sample
from training.split import hash_share

TARGET_IOU = 0.85
RECALL_IOU = 0.7
SHOWN_CLICKS = (1, 3)  # numbers of clicks that the table and the contact sheet show


@dataclass(frozen=True)
class Measured:
    """One segmenter's answers on one object."""

    ious: tuple[float, ...]  # after the first, second, ... click; at least 3
    clicks: tuple[Click, ...]  # fewer than ious if nothing was left to correct
    masks: tuple[Mask, Mask]  # after 1 and after 3 clicks
    score: float  # the segmenter's own, after the first click; 0 if it found nothing
    encode_s: float
    select_s: tuple[float, ...]  # one a click


def cases(
    labelled: Labelled, numbers: Sequence[int], *, min_share: float = 0.005, max_share: float = 0.9
) -> Iterator[Sample]:
    """One object of each readable photo that has one of that size (share of the photo), photos in order of their hash.

    The first n are the same however many follow. Which object of a photo it is, is decided by a hash too.
    """
    for number in sorted(numbers, key=lambda n: hash_share(labelled.names[n], "evaluation order")):
        try:
            found = labelled.samples(number, min_share=min_share, max_share=max_share)
        except BrokenSampleError:
            continue
        if found:
            yield found[int(hash_share(labelled.names[number], "object") * len(found))]


def measure(segmenter: Segmenter, sample: Sample, *, limit: int = CLICK_LIMIT) -> Measured:
    """Clicks on the object until the best answer reaches TARGET_IOU, 3 times at least and limit times at most.

    A segmenter that finds nothing gave an empty mask. Raises ValueError if limit is below 3.
    """
    if limit < max(SHOWN_CLICKS):
        raise ValueError(f"limit must be {max(SHOWN_CLICKS)} or more, got {limit}")
    started = time.perf_counter()
    encoding = segmenter.encode(sample.image)
    encode_s = time.perf_counter() - started

    clicks = [first_click(sample.mask)]
    ious: list[float] = []
    masks: list[Mask] = []
    select_s: list[float] = []
    score = 0.0
    while True:
        started = time.perf_counter()
        try:
            best = segmenter.select(encoding, tuple(clicks))[0]
            mask, found = best.mask, best.score
        except NoObjectError:
            mask, found = np.zeros_like(sample.mask), 0.0
        select_s.append(time.perf_counter() - started)
        score = score if ious else found
        ious.append(iou(mask, sample.mask, sample.ignore))
        masks.append(mask)
        enough = len(ious) >= max(SHOWN_CLICKS) and max(ious) >= TARGET_IOU
        if enough or len(ious) == limit:
            break
        correction = next_click(sample.mask, mask, clicks, ignore=sample.ignore)
        if correction is None:  # all is right, or every wrong pixel has been clicked: nothing will change
            ious += [ious[-1]] * (limit - len(ious))
            masks += [mask] * (max(SHOWN_CLICKS) - len(masks))
            break
        clicks.append(correction)
    shown = masks[SHOWN_CLICKS[0] - 1], masks[SHOWN_CLICKS[1] - 1]
    return Measured(tuple(ious), tuple(clicks), shown, score, encode_s, tuple(select_s))


def summarise(measured: Sequence[Measured], *, limit: int = CLICK_LIMIT) -> dict[str, float]:
    """A row of the table: IoUs and shares 0..1, score_error the mean distance of score and IoU after one click.

    Seconds are medians, so that the first photo, on which nets are compiled, does not count.
    Raises ValueError without any object.
    """
    first, third = ([m.ious[number - 1] for m in measured] for number in SHOWN_CLICKS)
    return {
        "objects": len(measured),
        "iou_1": mean_iou(first),
        "median_1": median_iou(first),
        "recall_1": iou_recall(first, RECALL_IOU),
        "iou_3": mean_iou(third),
        "median_3": median_iou(third),
        "recall_3": iou_recall(third, RECALL_IOU),
        "clicks_85": float(np.mean([clicks_to_iou(m.ious, TARGET_IOU, limit=limit) for m in measured])),
        "never_85": float(np.mean([max(m.ious) < TARGET_IOU for m in measured])),
        "score_error": float(np.mean([abs(m.score - value) for m, value in zip(measured, first, strict=True)])),
        "encode_s": float(np.median([m.encode_s for m in measured])),
        "select_s": float(np.median([seconds for m in measured for seconds in m.select_s])),
    }
