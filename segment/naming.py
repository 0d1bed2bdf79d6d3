"""A small detector beside ClickNet: names from the one, edges from the other.

The rule, for clicks and for whole photos alike: an instance counts if the detector gives it, which leaves out those
of which it is less sure than asked for (CONFIDENT), and it is the same object as ClickNet's answer if their masks agree
by AGREES_IOU. Then the object has the instance's name and ClickNet's mask. ClickNet's answers stay as they are and come
first, so that clicks are answered as without a detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from segment.base import Click, NoObjectError, Segmenter, Selection
from segment.instances import Instances
from segment.mask_ops import deepest_point
from segment.metrics import iou

CONFIDENT = 0.5  # of 0..1, the usual threshold of the detector that names: it finds an object likelier than not
# Of two alike objects that ClickNet takes as one, each agrees with it by 0.5; masks of 28 cells a side rarely agree
# with fine edges by more than 0.8.
AGREES_IOU = 0.6


def named(answers: Sequence[Selection], found: Instances, clicks: Sequence[Click]) -> list[Selection]:
    """The answers, with the names of the instances that agree; then the instances under the clicks that do not.

    answers: ClickNet's to the clicks, best first; none where it found nothing.
    """
    under = {
        index: found.selection(index)
        for index in range(len(found))
        if all(found.holds(index, c.x, c.y) == c.positive for c in clicks)
    }
    agreeing: set[int] = set()
    with_names = []
    for answer in answers:
        overlaps = {index: iou(one.mask, answer.mask) for index, one in under.items()}
        same = {index: overlap for index, overlap in overlaps.items() if overlap >= AGREES_IOU}
        agreeing |= set(same)
        with_names.append(replace(answer, label=under[max(same, key=same.__getitem__)].label) if same else answer)
    return [*with_names, *(one for index, one in under.items() if index not in agreeing)]


def with_edges(found: Instances, clicker: Segmenter, encoding: Any) -> list[Selection]:
    """The instances, surest first, with ClickNet's masks where they agree.

    clicker: asked at the deepest point of each instance. encoding: its own, of the same photo.
    """
    selections = []
    for index in range(len(found)):
        own = found.selection(index)
        column, row = deepest_point(found.crop(index))
        x, y = (int(corner) for corner in found.crops_xyxy[index, :2])
        try:
            answers = clicker.select(encoding, [Click(x + column, y + row)])
        except NoObjectError:
            answers = []
        closest = max(answers, key=lambda answer: iou(answer.mask, own.mask), default=own)
        selections.append(replace(own, mask=closest.mask) if iou(closest.mask, own.mask) >= AGREES_IOU else own)
    return selections
