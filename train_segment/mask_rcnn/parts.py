"""What the training needs and mmdet lacks, registered with it: unclear pixels, copy-paste, draws that resume."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmdet.registry import DATA_SAMPLERS, TASK_UTILS, TRANSFORMS
from mmdet.structures.mask import BitmapMasks
from torch import Tensor
from torch.utils.data import Sampler


@TASK_UTILS.register_module()
class UnclearPixelsAssigner(MaxIoUAssigner):
    """As MaxIoUAssigner; but a box that is no object and lies mostly on unclear pixels is learned nothing from.

    mmdet's own ignore_iof_thr goes by the boxes of what is to be ignored, and the box of VOC's thin unclear rims holds
    the object that they are round; it also keeps boxes from the objects that they do fit.
    """

    def __init__(self, *, unclear_share: float = 0.5, **options: Any) -> None:
        """unclear_share: of a box's pixels, above which it is not background. options: MaxIoUAssigner's."""
        super().__init__(**options)
        self._unclear_share = unclear_share

    def assign(self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **_: Any) -> AssignResult:
        """gt_instances_ignore: its masks are the unclear pixels."""
        result = super().assign(pred_instances, gt_instances)
        if gt_instances_ignore is not None and len(gt_instances_ignore):
            unclear = torch.from_numpy(gt_instances_ignore.masks.masks.any(axis=0)).to(pred_instances.priors.device)
            share = share_inside(pred_instances.priors, unclear)
            result.gt_inds[(result.gt_inds == 0) & (share > self._unclear_share)] = -1
        return result


def share_inside(boxes_xyxy: Tensor, mask: Tensor) -> Tensor:
    """(N,) the share of each box's pixels that are in the mask; what lies beyond the photo does not count.

    boxes_xyxy: (N, 4) float. mask: (H, W) bool.
    """
    height, width = mask.shape
    # Sums over all that lies above and to the left: four of them give the sum over a box.
    sums = torch.nn.functional.pad(mask.to(torch.float64).cumsum(0).cumsum(1), (1, 0, 1, 0))
    x0, x1 = (boxes_xyxy[:, side].round().long().clamp(0, width) for side in (0, 2))
    y0, y1 = (boxes_xyxy[:, side].round().long().clamp(0, height) for side in (1, 3))
    inside = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    return (inside / ((x1 - x0) * (y1 - y0)).clamp(min=1)).float()


@TRANSFORMS.register_module()
class PasteObjects(BaseTransform):
    """Objects of another photo, pasted where they were there (Ghiasi et al. 2021, simple copy-paste).

    For MultiImageMixDataset, of samples of one size. mmdet's CopyPaste would paste unclear pixels too, and draws a
    photo beyond the last one now and then.
    """

    def __init__(self, share: float, most: int = 3) -> None:
        """share: of the samples that are pasted onto. most: objects pasted at most."""
        self._share, self._most = share, most

    def get_indexes(self, dataset: Any) -> list[int]:
        """The photo to paste from, or none."""
        return [random.randrange(len(dataset))] if random.random() < self._share else []

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """The sample with what was pasted; what is hidden by it is hidden from all masks."""
        for other in results.pop("mix_results", []):
            clear = np.flatnonzero(~np.asarray(other["gt_ignore_flags"], bool))
            if clear.size == 0:
                continue
            chosen = random.sample(clear.tolist(), min(clear.size, random.randint(1, self._most)))
            pasted = other["gt_masks"].masks[chosen]
            over = pasted.any(axis=0)
            results["img"] = np.where(over[..., None], other["img"], results["img"])
            behind = np.where(over, 0, results["gt_masks"].masks).astype(np.uint8)
            left = behind.any(axis=(1, 2))
            masks = BitmapMasks(np.concatenate([behind[left], pasted]), *over.shape)
            boxes = type(results["gt_bboxes"])
            results["gt_masks"] = masks
            results["gt_bboxes"] = masks.get_bboxes(boxes)
            for key in ("gt_bboxes_labels", "gt_ignore_flags"):
                results[key] = np.concatenate([results[key][left], other[key][chosen]])
        return results


@DATA_SAMPLERS.register_module()
class EpochDraws(Sampler[int]):
    """So many samples an epoch, in an order that the seed and the epoch alone decide: a resumed run draws the same.

    Each photo comes once before any comes again, whatever the length of an epoch.
    """

    def __init__(self, dataset: Any, samples: int, seed: int | None = 0) -> None:
        self._length, self._samples, self._seed, self._epoch = len(dataset), samples, seed or 0, 0

    def set_epoch(self, epoch: int) -> None:
        """mmengine tells it before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._samples

    def __iter__(self) -> Iterator[int]:
        start = self._epoch * self._samples
        order, of_round = np.zeros(0, int), -1
        for draw in range(start, start + self._samples):
            this_round, place = divmod(draw, self._length)
            if this_round != of_round:
                order, of_round = np.random.default_rng([self._seed, this_round]).permutation(self._length), this_round
            yield int(order[place])
