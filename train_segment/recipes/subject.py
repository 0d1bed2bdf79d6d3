"""The bundled main-subject net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from train_segment.data import Labelled
from train_segment.prominent import ProminentRecipe, ProminentTask, Taught, start_net, subject_or_nothing
from train_segment.recipe import Task
from training.options import option


@dataclass(frozen=True)
class SubjectRecipe(ProminentRecipe):
    """The main-subject net: people, animals, vehicles, else things; SqueezeNet features, a light U-Net decoder."""

    select: str = option("subject", "whose rule says what a photo's subject is")
    input_px: int = option(256, "side of the square that photos are resized to")
    batch: int = option(16, "samples a step")
    warmup_steps: int = option(200, "steps over which the rate grows from 0")
    weight_decay: float = option(1e-4, "decoupled weight decay")
    clip_norm: float = option(1.0, "bound of the gradient's norm; 0: none")
    ema: float = option(0.998, "decay of the running mean of the weights that is validated and exported; 0: none")
    crop: float = option(0.6, "smallest share of a photo's side that a crop has; 1: no crops")
    colour: float = option(0.3, "strength of brightness, contrast and saturation changes, 0 to 1")
    gamma: float = option(0.5, "how far the middle tones are brightened or darkened; 0: not")
    shadow: float = option(0.1, "share of samples with a shadow across the subject")
    soft_iou: float = option(1.0, "weight of 1 - soft IoU beside the cross entropy")

    trunk: int = option(160, "channels at a sixteenth of the picture")
    blocks: int = option(4, "residual blocks there")
    encoder_weights: str = option(
        "", "SqueezeNet 1.1's ImageNet weights, or a bundle of ClickNet (.npz), to start from"
    )
    encoder_rate: float = option(1 / 15, "factor on the rate of the encoder, which knows ImageNet already")
    frozen: tuple[str, ...] = option(
        ("conv1", "fire2", "fire3"), "encoder layers that stay as they are", metavar="NAME"
    )

    def task(self, labelled: Labelled, training: Sequence[int], held_out: Sequence[int]) -> Task:
        from segment.nets import squeezenet
        from segment.nets.configs import SubjectConfig
        from segment.nets.subject import build_subject, read_subject, write_subject
        from train_segment.encoders import hold_back

        config = SubjectConfig(trunk=self.trunk, blocks=self.blocks, input_px=self.input_px)
        net = build_subject(config)
        if self.start_from:
            start_net(net, config, read_subject(self.start_from), self.start_from)
        elif self.encoder_weights:
            squeezenet.start_from(net, self.encoder_weights)
        known = bool(self.start_from or self.encoder_weights)
        factors = hold_back(net, known=known, rate=self.encoder_rate, frozen=self.frozen)
        taught = Taught(net, config, write_subject, subject_or_nothing, rate_factors=factors)
        return ProminentTask(self, taught, labelled, training, held_out)
