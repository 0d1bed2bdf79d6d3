"""All objects of a photo, kept small, and which of them the clicks mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Mask, NoObjectError, Selection, check_clicks
from segment.mask_ops import deepest_point

NEARLY_TIED = 0.1  # scores this close say nothing: then the smaller object is meant, since it can be hit by less luck
MOST_SELECTIONS = 6  # more alternatives than anyone steps through


@dataclass(frozen=True)
class Instance:
    """One object as a detector found it; its mask is cropped."""

    mask: Mask  # (h, w) bool
    corner_xy: tuple[int, int]  # where the mask's first pixel lies in the photo
    box_xyxy: tuple[int, int, int, int]  # the detector's own box, x1 and y1 exclusive
    label: str
    score: float  # 0..1


@dataclass(frozen=True)
class Instances:
    """The objects of a photo, highest score first: plain data that can be copied and kept for a visitor.

    Masks are cropped and packed to bits, so that a hundred objects in a photo of 12 megapixels take some megabytes.
    """

    image_hw: tuple[int, int]
    packed: tuple[NDArray[np.uint8], ...]  # N of (h, ceil(w / 8)): np.packbits of the cropped masks' rows
    crops_xyxy: NDArray[np.int32]  # (N, 4): where the crops lie
    boxes_xyxy: NDArray[np.int32]  # (N, 4): the detector's own boxes
    areas_px: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float32]  # (N,)
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def holds(self, index: int, x: int, y: int) -> bool:
        """True if the pixel is in the mask."""
        x0, y0, x1, y1 = self.crops_xyxy[index]
        if not (x0 <= x < x1 and y0 <= y < y1):
            return False
        byte, bit = divmod(int(x - x0), 8)
        return bool(self.packed[index][y - y0, byte] >> (7 - bit) & 1)

    def box_holds(self, index: int, x: int, y: int) -> bool:
        """True if the pixel is in the detector's box."""
        x0, y0, x1, y1 = self.boxes_xyxy[index]
        return bool(x0 <= x < x1 and y0 <= y < y1)

    def crop(self, index: int) -> Mask:
        """A new (h, w) bool array: the mask inside crops_xyxy[index]."""
        x0, _, x1, _ = self.crops_xyxy[index]
        return np.unpackbits(self.packed[index], axis=1, count=int(x1 - x0)).view(bool)

    def mask(self, *indices: int) -> Mask:
        """A new (H, W) bool mask of one object, or of several joined."""
        mask = np.zeros(self.image_hw, bool)  # untouched pages cost nothing: the time goes with the crops
        for index in indices:
            x0, y0, x1, y1 = self.crops_xyxy[index]
            mask[y0:y1, x0:x1] |= self.crop(index)
        return mask

    def selection(self, index: int) -> Selection:
        return Selection(self.mask(index), self.labels[index], float(self.scores[index]))


def pack(found: Iterable[Instance], image_hw: tuple[int, int]) -> Instances:
    """The instances sorted by score and packed; those whose mask is empty are left out."""
    kept = sorted((one for one in found if one.mask.any()), key=lambda one: -one.score)
    corners = np.array([one.corner_xy for one in kept], np.int32).reshape(-1, 2)
    sizes = np.array([one.mask.shape[::-1] for one in kept], np.int32).reshape(-1, 2)
    return Instances(
        image_hw=image_hw,
        packed=tuple(np.packbits(one.mask, axis=1) for one in kept),
        crops_xyxy=np.concatenate([corners, corners + sizes], axis=1),
        boxes_xyxy=np.array([one.box_xyxy for one in kept], np.int32).reshape(-1, 4),
        areas_px=np.array([one.mask.sum() for one in kept], np.int64),
        scores=np.array([one.score for one in kept], np.float32),
        labels=tuple(one.label for one in kept),
    )


def select(found: Instances, clicks: Sequence[Click]) -> list[Selection]:
    """What the clicks mean, best first.

    First come the objects whose mask holds all positive clicks; if there is none, the clicks join objects, each click
    the best one under it. Then come those whose box holds the clicks, then whatever overlaps the first answer.
    A negative click takes the objects under it away: out of the list, with the clicks that wanted them, and, where they
    overlap it, out of the selection. A later positive click brings an object back.
    Raises NoObjectError if nothing remains, ValueError if a click is outside the photo.
    """
    check_clicks(clicks, found.image_hw)
    taken, cut = _taken_away(found, clicks)
    left = [index for index in range(len(found)) if index not in taken]
    wanted = still_wanted(found, clicks)
    if not wanted:
        first = next(click for click in clicks if click.positive)
        gone = sorted({found.labels[i] for i in taken if found.holds(i, first.x, first.y)})
        raise NoObjectError(
            f"the clicks that take away leave nothing of the {' and the '.join(gone)} at ({first.x}, {first.y}): "
            f"undo one of them"
        )
    by_mask = _ranked(found, [i for i in left if all(found.holds(i, click.x, click.y) for click in wanted)])
    by_box = _ranked(found, [i for i in left if all(found.box_holds(i, click.x, click.y) for click in wanted)])
    joined = () if by_mask else tuple(dict.fromkeys(_best_under(found, left, click) for click in wanted))

    groups = ([joined] if joined else []) + [(index,) for index in (*by_mask, *joined, *by_box)]
    groups += [(index,) for index in _overlapping(found, left, groups[0])]
    selections = [_selection(found, group, cut) for group in list(dict.fromkeys(groups))[:MOST_SELECTIONS]]
    if cut:
        selections = [selection for selection in selections if selection.mask.any()]
    if not selections:
        raise NoObjectError("the clicks that take away leave nothing of the object: undo one of them")
    return selections


def still_wanted(found: Instances, clicks: Sequence[Click]) -> list[Click]:
    """The positive clicks but those under which negative clicks have taken every object away."""
    taken, _ = _taken_away(found, clicks)
    wanted = []
    for click in clicks:
        under = {index for index in range(len(found)) if found.holds(index, click.x, click.y)}
        if click.positive and (not under or under - taken):
            wanted.append(click)
    return wanted


def _taken_away(found: Instances, clicks: Sequence[Click]) -> tuple[set[int], list[int]]:
    """The objects that the negative clicks take away, and those of them that are cut out of what stays.

    An object that an earlier positive click holds as well is only cut, by the other object under the negative click
    (a tie out of a person); where there is no such other, it goes as a whole.
    """
    taken: set[int] = set()
    cut: list[int] = []
    for number, click in enumerate(clicks):
        if click.positive:
            continue
        earlier = [other for other in clicks[:number] if other.positive]
        later = [other for other in clicks[number:] if other.positive]
        under = [i for i in range(len(found)) if found.holds(i, click.x, click.y) and not _hold_any(found, i, later)]
        others = [i for i in under if not _hold_any(found, i, earlier)]
        taken.update(others or under)
        cut += others
    return taken, cut


def _hold_any(found: Instances, index: int, clicks: Sequence[Click]) -> bool:
    return any(found.holds(index, click.x, click.y) for click in clicks)


def _best_under(found: Instances, left: list[int], click: Click) -> int:
    """The object that this one click means."""
    by_mask = _ranked(found, [i for i in left if found.holds(i, click.x, click.y)])
    by_box = _ranked(found, [i for i in left if found.box_holds(i, click.x, click.y)])
    if by_mask or by_box:
        return (by_mask or by_box)[0]
    raise NoObjectError(f"no object was found at ({click.x}, {click.y}); {_nearest(found, left, click)}")


def _ranked(found: Instances, indices: list[int]) -> list[int]:
    """The indices by score, but the smallest first among those nearly tied with the best that is left."""
    rest, ranked = sorted(indices, key=lambda i: -found.scores[i]), []
    while rest:
        tied = [i for i in rest if found.scores[i] >= found.scores[rest[0]] - NEARLY_TIED]
        best = min(tied, key=lambda i: int(found.areas_px[i]))
        rest.remove(best)
        ranked.append(best)
    return ranked


def _overlapping(found: Instances, left: list[int], group: tuple[int, ...]) -> list[int]:
    """The objects whose box overlaps one of the group's, the most alike first."""
    boxes = found.boxes_xyxy.astype(np.int64)
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alike = np.zeros(len(found))
    for index in group:
        sides = np.minimum(boxes[:, 2:], boxes[index, 2:]) - np.maximum(boxes[:, :2], boxes[index, :2])
        shared = sides.clip(0).prod(axis=1)
        alike = np.maximum(alike, shared / np.maximum(sizes + sizes[index] - shared, 1))
    return sorted((i for i in left if alike[i] > 0), key=lambda i: -alike[i])


def _selection(found: Instances, group: tuple[int, ...], cut: list[int]) -> Selection:
    mask = found.mask(*group)
    for index in cut:
        x0, y0, x1, y1 = found.crops_xyxy[index]
        mask[y0:y1, x0:x1] &= ~found.crop(index)
    label = " + ".join(dict.fromkeys(found.labels[index] for index in group))
    return Selection(mask, label, float(min(found.scores[index] for index in group)))


def _nearest(found: Instances, left: list[int], click: Click) -> str:
    """Names up to three objects near the click, with a pixel to click on."""
    if not left:
        return "nothing else was found in the photo either: a lower score threshold finds more"

    def distance_px(index: int) -> float:
        x0, y0, x1, y1 = found.crops_xyxy[index]
        return float(np.hypot(max(x0 - click.x, 0, click.x - x1 + 1), max(y0 - click.y, 0, click.y - y1 + 1)))

    near = sorted(left, key=distance_px)[:3]
    places = []
    for index in near:
        x0, y0 = found.crops_xyxy[index, :2]
        x, y = deepest_point(found.crop(index))
        places.append(f"{found.labels[index]} at ({x0 + x}, {y0 + y})")
    return "nearest: " + ", ".join(places)
