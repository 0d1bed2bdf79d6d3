"""Segmentation without a net: GrabCut grown from clicks, and ExtractNet's Otsu-watershed baseline.

GrabCut: Rother, Kolmogorov and Blake 2004, "GrabCut: interactive foreground extraction using iterated graph cuts".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Image, Mask, NoObjectError, Selection, check_clicks, check_image
from segment.mask_ops import box_xyxy, fill_holes, grow, parts_under, shrink
from segment.metrics import iou

WORKING_SIZE_PX = 320  # longer side at which the graph is cut: 0.1 s a cut on two cores, colours still speak
EDGE_SIZE_PX = 700  # longer side of the crop in which a large photo's edge is cut again; 1200 costs three times as much
SCALES = (0.08, 0.15, 0.27, 0.45)  # guessed half sizes of the object, as shares of the working size
CLICK_RADIUS_PX = 3  # a click is surely right on a small disk, at working size
SAME_ANSWER_IOU = 0.9  # candidates that agree so well are one answer


@dataclass(frozen=True)
class ClassicalEncoding:
    """The photo (H, W, 3) uint8 RGB and the same at working size."""

    image: Image
    small: Image


class GrabCutSegmenter:
    """An object of any class, from its colours alone: GrabCut grown from the clicks at several scales."""

    def encode(self, image: Image) -> ClassicalEncoding:
        """The photo and its working size. image: (H, W, 3) uint8 RGB."""
        check_image(image)
        return ClassicalEncoding(image.copy(), _fit(image, WORKING_SIZE_PX))

    def select(self, encoding: ClassicalEncoding, clicks: Sequence[Click]) -> list[Selection]:
        """One selection for each scale at which a region of its own colours lies under the clicks, best first.

        The score is the contrast of the region's colours with those around it, less where the region was cut off at the
        limit of the search, averaged with how well the scales agree.
        Raises NoObjectError if no region stands out, ValueError if a click is outside the photo.
        """
        image, small = encoding.image, encoding.small
        check_clicks(clicks, image.shape[:2])
        lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8)
        seeds = _seed_map(clicks, image.shape[:2], small.shape[:2])
        if not (seeds > 0).any():
            raise NoObjectError("the clicks that take away lie on those that select: click farther apart")
        candidates = []
        for scale in SCALES:
            reach = max(4, round(scale * max(seeds.shape)))
            near = grow(seeds > 0, reach)
            mask = _cut_within(small, seeds, near, reach)
            if mask is not None:
                candidates.append((mask, _contrast(lab, mask) * (1 - _cut_off(mask, near))))
        if not candidates:
            first = next(click for click in clicks if click.positive)
            raise NoObjectError(
                f"nothing at ({first.x}, {first.y}) stands out by its colours: click nearer to the object's middle, "
                "or draw it with the brush"
            )
        selections: list[Selection] = []
        for mask, score in _ranked(candidates):
            if all(iou(mask, _shrink_to(other.mask, small.shape[:2])) < SAME_ANSWER_IOU for other in selections):
                selections.append(Selection(_cut_edge_again(image, mask, clicks), None, round(score, 3)))
        return selections


class OtsuWatershedSegmenter:
    """The main subject without a click: the classical baseline of the ExtractNet report, section 4.2.

    Grey, Otsu's threshold, connected components, watershed, then the segment with the largest weight under a
    matrix that prefers the centre. The report measured 0.379 IoU for it.
    """

    def encode(self, image: Image) -> ClassicalEncoding:
        """The photo and its working size. image: (H, W, 3) uint8 RGB."""
        check_image(image)
        return ClassicalEncoding(image.copy(), _fit(image, WORKING_SIZE_PX))

    def select(self, encoding: ClassicalEncoding, clicks: Sequence[Click] = ()) -> list[Selection]:
        """The segments by their weight under the centre matrix, heaviest first; with clicks only those that hold them.

        Raises NoObjectError if Otsu's threshold leaves no segment, or none under the clicks.
        """
        small = encoding.small
        image_hw = encoding.image.shape[:2]
        if clicks:
            check_clicks(clicks, image_hw)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        weights = _centre_weights(grey.shape)
        # Otsu tells two classes of brightness apart, not which of them is the subject: the centre prior decides.
        _, bright = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        segments = [
            segment
            for side in (bright == 1, bright == 0)
            for segment in _watershed_segments(small, side)
            if not segment.all()
        ]
        scored = sorted(((float(weights[s].sum() / weights.sum()), s) for s in segments), key=lambda item: -item[0])
        selections = [Selection(_grow_to(mask, image_hw), None, round(score, 3)) for score, mask in scored]
        selections = [s for s in selections if all(s.mask[click.y, click.x] == click.positive for click in clicks)]
        if not selections:
            raise NoObjectError("no part of the photo stands out by its brightness: click an object instead")
        return selections


def _seed_map(clicks: Sequence[Click], image_hw: tuple[int, int], small_hw: tuple[int, int]) -> NDArray[np.int8]:
    """(h, w) int8 at working size: 1 on disks round positive clicks, -1 round negative ones, 0 elsewhere."""
    seeds = np.zeros(small_hw, np.int8)
    for click in clicks:
        x = (click.x + 0.5) * small_hw[1] / image_hw[1] - 0.5
        y = (click.y + 0.5) * small_hw[0] / image_hw[0] - 0.5
        cv2.circle(seeds, (round(x), round(y)), CLICK_RADIUS_PX, 1 if click.positive else -1, -1)
    return seeds


def _cut_within(small: Image, seeds: NDArray[np.int8], near: Mask, reach: int) -> Mask | None:
    """The region that GrabCut finds when the object is guessed to lie within reach of the clicks, or None."""
    likely = grow(seeds > 0, reach // 2) & _nearer_to(seeds > 0, seeds < 0)
    labels = np.full(seeds.shape, cv2.GC_BGD, np.uint8)
    labels[near] = cv2.GC_PR_BGD
    labels[likely] = cv2.GC_PR_FGD
    labels[seeds > 0] = cv2.GC_FGD
    labels[seeds < 0] = cv2.GC_BGD
    x0, y0, x1, y1 = box_xyxy(grow(near, reach))
    labels = np.ascontiguousarray(labels[y0:y1, x0:x1])
    if (labels != cv2.GC_BGD).all():
        labels[[0, -1]] = labels[:, [0, -1]] = cv2.GC_BGD  # GrabCut needs some pixels that are surely behind
        labels[seeds[y0:y1, x0:x1] > 0] = cv2.GC_FGD
    labels = _grab_cut(np.ascontiguousarray(small[y0:y1, x0:x1]), labels, iterations=4)
    mask = np.zeros(seeds.shape, bool)
    mask[y0:y1, x0:x1] = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    mask = _parts_under(mask, seeds > 0)
    holes = fill_holes(mask) & ~mask
    mask = (mask | (holes & ~_parts_under(holes, seeds < 0))) & (seeds >= 0)  # a hole that was clicked away stays one
    # A cut that kept no more than the disks of the clicks has found nothing; one that kept everything neither.
    if np.count_nonzero(mask) <= 1.5 * np.count_nonzero(seeds > 0) or np.count_nonzero(mask) > 0.9 * mask.size:
        return None
    return mask


def _grab_cut(image: Image, labels: NDArray[np.uint8], iterations: int) -> NDArray[np.uint8]:
    """GrabCut's labels after some iterations, from labels to start with. The same input gives the same answer."""
    labels = labels.copy()
    cv2.setRNGSeed(0)  # its colour models start from k-means with random centres
    try:
        no_box = (0, 0, 0, 0)
        cv2.grabCut(image, labels, no_box, np.zeros((1, 65)), np.zeros((1, 65)), iterations, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        # No foreground or no background sample is left, in a photo of one colour say: nothing is told apart.
        labels[labels == cv2.GC_PR_FGD] = cv2.GC_PR_BGD
    return labels


def _parts_under(mask: Mask, seeds: Mask) -> Mask:
    """The connected parts of the mask that hold a seed."""
    _, labels = cv2.connectedComponents((mask | seeds).view(np.uint8), connectivity=8)
    return np.isin(labels, np.unique(labels[seeds])) & (labels > 0)


def _nearer_to(these: Mask, others: Mask) -> Mask:
    """Where these are not farther than the others; everywhere if there are no others."""
    if not others.any():
        return np.ones_like(these)
    to_these, to_others = (
        cv2.distanceTransform((~points).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for points in (these, others)
    )
    return to_these <= to_others


def _cut_off(mask: Mask, near: Mask) -> float:
    """The share of the mask's edge that is not its own but the limit of the search, 0..1."""
    edge = mask & ~shrink(mask, 1)
    return np.count_nonzero(edge & grow(~near, 2)) / np.count_nonzero(edge) if edge.any() else 0.0


def _contrast(lab: Image, mask: Mask) -> float:
    """How much the colours inside differ from those in a ring around: 0 the same, 1 disjoint."""
    radius = max(3, round(0.35 * np.sqrt(np.count_nonzero(mask))))
    ring = grow(mask, radius) & ~grow(mask, 1)
    if not ring.any():
        return 0.0
    inside, outside = (
        cv2.calcHist([lab], [0, 1, 2], region.view(np.uint8), [8, 16, 16], [0, 256] * 3).ravel()
        for region in (mask, ring)
    )
    overlap = np.sqrt(inside / inside.sum() * (outside / outside.sum())).sum()  # Bhattacharyya coefficient
    return float(np.sqrt(max(0.0, 1.0 - overlap)))


def _ranked(candidates: list[tuple[Mask, float]]) -> list[tuple[Mask, float]]:
    """The candidates with their scores, best first: contrast, averaged with the best agreement with another scale."""
    ranked = []
    for i, (mask, contrast) in enumerate(candidates):
        agreement = max((iou(mask, other) for j, (other, _) in enumerate(candidates) if j != i), default=0.0)
        ranked.append((mask, (contrast + agreement) / 2))
    return sorted(ranked, key=lambda item: -item[1])


def _cut_edge_again(image: Image, small_mask: Mask, clicks: Sequence[Click]) -> Mask:
    """The mask at photo size, its edge cut again in a crop of the photo at up to EDGE_SIZE_PX."""
    image_hw = image.shape[:2]
    mask = _grow_to(small_mask, image_hw)
    if image_hw == small_mask.shape:
        return mask
    x0, y0, x1, y1 = box_xyxy(mask)
    pad = round(0.1 * max(x1 - x0, y1 - y0)) + 8
    rows = slice(max(0, y0 - pad), min(image_hw[0], y1 + pad))
    columns = slice(max(0, x0 - pad), min(image_hw[1], x1 + pad))
    crop = _fit(image[rows, columns], EDGE_SIZE_PX)
    inside = _shrink_to(mask[rows, columns], crop.shape[:2])
    # The true edge lies within about a pixel of the working size.
    band = max(2, round(1.5 * max(crop.shape[0] / (rows.stop - rows.start) * image_hw[0] / small_mask.shape[0], 1)))
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[~grow(inside, band)] = cv2.GC_BGD
    labels[~grow(~inside, band)] = cv2.GC_FGD
    if not ((labels == cv2.GC_FGD).any() and (labels == cv2.GC_BGD).any()):
        return mask
    cut = _grab_cut(crop, labels, iterations=1)
    cut_mask = (cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD)
    refined = np.zeros(image_hw, bool)
    refined[rows, columns] = _grow_to(cut_mask, (rows.stop - rows.start, columns.stop - columns.start))
    kept = parts_under(refined, clicks)
    return kept if kept.any() else mask


def _watershed_segments(small: Image, side: Mask) -> list[Mask]:
    """The parts of one side of Otsu's threshold, split by the watershed of its distance transform."""
    opened = cv2.morphologyEx(side.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8), iterations=2)
    if not opened.any() or opened.all():
        return []
    distance = cv2.distanceTransform(opened, cv2.DIST_L2, 5)
    components = np.asarray(cv2.connectedComponents(opened)[1], np.intp)
    # The sure core is 0.5 of each component's own depth: one threshold for all loses the small components.
    deepest = np.zeros(components.max() + 1)
    np.maximum.at(deepest, components.ravel(), distance.ravel())
    core = (opened == 1) & (distance > 0.5 * deepest[components])
    count, markers = cv2.connectedComponents(core.view(np.uint8))
    markers += 1  # 1 is surely behind, 0 is for the watershed to decide
    markers[(cv2.dilate(opened, np.ones((3, 3), np.uint8), iterations=3) == 1) & ~core] = 0
    cv2.watershed(small, markers)
    return [markers == label for label in range(2, count + 1) if (markers == label).any()]


def _centre_weights(hw: tuple[int, int]) -> NDArray[np.float64]:
    """A Gaussian hill on the photo's centre, with a quarter of each side as its standard deviation."""
    rows = (np.arange(hw[0]) - (hw[0] - 1) / 2) / (hw[0] / 4)
    columns = (np.arange(hw[1]) - (hw[1] - 1) / 2) / (hw[1] / 4)
    return np.exp(-0.5 * (rows[:, None] ** 2 + columns[None] ** 2))


def _fit(image: Image, size_px: int) -> Image:
    """A copy whose longer side is at most size_px."""
    scale = size_px / max(image.shape[:2])
    if scale >= 1:
        return image.copy()
    size_wh = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _grow_to(mask: Mask, hw: tuple[int, int]) -> Mask:
    """The mask at a larger size, its edge interpolated."""
    if mask.shape == hw:
        return mask.copy()
    return cv2.resize(mask.astype(np.float32), hw[::-1], interpolation=cv2.INTER_LINEAR) > 0.5


def _shrink_to(mask: Mask, hw: tuple[int, int]) -> Mask:
    """The mask at a smaller size: True where at least half of the pixel's area is."""
    if mask.shape == hw:
        return mask.copy()
    return cv2.resize(mask.astype(np.float32), hw[::-1], interpolation=cv2.INTER_AREA) >= 0.5
