"""Tiramisu for people: greenScreen.AI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from train_segment.data import Labelled
from train_segment.prominent import ProminentRecipe, ProminentTask, Taught, start_net, subject_or_nothing
from train_segment.recipe import Task
from training.options import option
from training.schedule import DECAYS


@dataclass(frozen=True)
class TiramisuRecipe(ProminentRecipe):
    """Tiramisu, FC-DenseNet-56, 67 or 103 (greenScreen.AI, 2018): the one or two people of a photo."""

    # The article: RMSProp 1e-3 with a small decay, epochs of 500 photos, about 300 of them, best by validation IoU.
    # It trained without augmentation and names what failed for it: poor light, dark clothes, bites.
    select: str = option("greenscreen", "whose rule says what a photo's subject is")
    batch: int = option(5, "samples a step")
    epochs: int = option(300, "epochs; the net is validated after each")
    steps_per_epoch: int = option(100, "steps between two validations")
    optimizer: str = option("rmsprop", "how the weights are changed", ("adam", "sgd", "rmsprop"))
    momentum: float = option(0.0, "of sgd and rmsprop")
    decay: str = option("cosine", "how the rate falls", DECAYS)
    crop: float = option(0.6, "smallest share of a photo's side that a crop has; 1: no crops")
    colour: float = option(0.3, "strength of brightness, contrast and saturation changes, 0 to 1")
    gamma: float = option(0.8, "how far the middle tones are brightened or darkened; 0: not")
    shadow: float = option(0.2, "share of samples with a shadow across the subject")

    layers: int = option(103, "of the net: 56, 67 or 103")
    dropout: float = option(0.2, "in each of them")

    def check(self) -> None:
        super().check()
        if self.layers not in (56, 67, 103):
            raise ValueError(f"--layers must be 56, 67 or 103, got {self.layers}")

    def task(self, labelled: Labelled, training: Sequence[int], held_out: Sequence[int]) -> Task:
        from dataclasses import replace

        from segment.nets.tiramisu import PUBLISHED, build_tiramisu, read_tiramisu, write_tiramisu

        config = replace(PUBLISHED[self.layers], dropout=self.dropout, input_px=self.input_px)
        net = build_tiramisu(config)
        if self.start_from:
            start_net(net, config, read_tiramisu(self.start_from), self.start_from)
        taught = Taught(net, config, write_tiramisu, subject_or_nothing)
        return ProminentTask(self, taught, labelled, training, held_out)
