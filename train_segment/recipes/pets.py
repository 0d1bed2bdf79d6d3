"""The pets U-Net: pet, background, border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segment.base import Mask
from segment.mask_ops import grow, shrink
from train_segment.data import Labelled
from train_segment.light import unclear_rim
from train_segment.prominent import NOTHING, ProminentRecipe, ProminentTask, Taught, start_net
from train_segment.recipe import Task
from training.options import option
from training.schedule import DECAYS

PET, BACKGROUND, BORDER = 0, 1, 2  # segment.nets.pets_unet's, named again: that module loads Keras


@dataclass(frozen=True)
class PetsRecipe(ProminentRecipe):
    """The pets U-Net: cats and dogs in three classes, 128 px (Oxford-IIIT Pet folders, or label folders)."""

    # The report: Adam 1e-2, 64 photos, 40 epochs of 3,680 photos, flips.
    select: str = option("pets", "whose rule says what a photo's subject is; all for Oxford-IIIT Pet folders")
    input_px: int = option(128, "side of the square that photos are resized to")
    batch: int = option(64, "samples a step")
    epochs: int = option(40, "epochs; the net is validated after each")
    steps_per_epoch: int = option(58, "steps between two validations")
    rate: float = option(1e-2, "its learning rate")
    decay: str = option("constant", "how the rate falls", DECAYS)
    equalise: bool = option(False, "the histogram of the photo's luma is equalised first")

    def task(self, labelled: Labelled, training: Sequence[int], held_out: Sequence[int]) -> Task:
        from segment.nets.pets_unet import PetsUNetConfig, build_pets_unet, read_pets_unet, write_pets_unet

        config = PetsUNetConfig(equalise=self.equalise, input_px=self.input_px)
        net = build_pets_unet(config)
        if self.start_from:
            start_net(net, config, read_pets_unet(self.start_from), self.start_from)
        taught = Taught(net, config, write_pets_unet, trimap_classes, (1.0, 0.0, 0.5), equalise=self.equalise)
        return ProminentTask(self, taught, labelled, training, held_out)


def trimap_classes(mask: Mask, ignore: Mask) -> NDArray[np.uint8]:
    """The trimap minus 1: the unclear rim that a label set has, as Oxford-IIIT Pet and VOC do, is the border.

    A set without one gets a band along the edge. Unclear pixels that are no rim count for nothing.
    """
    rim = unclear_rim(mask, ignore)
    if not rim.any():
        band = max(1, round(max(mask.shape) / 64))
        rim = grow(mask, band) & ~shrink(mask, band)
        mask = mask & ~rim
    classes = np.where(rim, BORDER, np.where(mask, PET, BACKGROUND))
    return np.where(ignore & ~rim, NOTHING, classes).astype(np.uint8)
