"""ExtractNet: prominent people and vehicles. One recipe for every variant of the report's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from train_segment.data import Labelled
from train_segment.prominent import ProminentRecipe, ProminentTask, Taught, subject_or_nothing
from train_segment.recipe import Task
from training.options import option
from training.schedule import DECAYS

_ENCODERS = ("plain", "vgg11", "vgg19", "resnet50", "resnet152", "squeezenet")


@dataclass(frozen=True)
class ExtractNetRecipe(ProminentRecipe):
    """ExtractNet (2019): prominent people and vehicles, without a click; a frozen encoder, transposed convolutions."""

    # The report, section 5: BCE, Adam, 1e-3, 64 photos, 80 epochs of 1,000 photos; nothing is said of augmentation.
    batch: int = option(64, "samples a step")
    epochs: int = option(80, "epochs; the net is validated after each")
    steps_per_epoch: int = option(10, "steps between two validations")
    decay: str = option("constant", "how the rate falls", DECAYS)
    save_every: int = option(100, "steps between two checkpoints, besides each epoch's")

    encoder: str = option("resnet50", "what reads the photo", _ENCODERS)
    encoder_weights: str = option("", "the encoder's ImageNet weights: a file, or imagenet, which downloads them")
    links: bool = option(True, "the encoder's features join the decoder's")
    batch_norm: bool = option(True, "batch normalisation in the decoder")
    activation: str = option("relu", "of the decoder", ("relu", "prelu"))
    frozen: bool = option(True, "the encoder keeps its weights; plain is trained anyway")

    def check(self) -> None:
        super().check()
        if self.encoder != "plain" and self.frozen and not (self.encoder_weights or self.start_from):
            raise ValueError(
                f"the encoder {self.encoder} would stay random: give --encoder-weights FILE, or --no-frozen to train it"
            )

    def task(self, labelled: Labelled, training: Sequence[int], held_out: Sequence[int]) -> Task:
        from segment.nets.extractnet import ExtractNetConfig, build_extractnet, read_extractnet, write_extractnet
        from train_segment.encoders import start_encoder
        from train_segment.prominent import start_net

        config = ExtractNetConfig(
            self.encoder, self.links, self.batch_norm, self.activation, self.frozen, input_px=self.input_px
        )
        net = build_extractnet(config)
        if self.start_from:
            start_net(net, config, read_extractnet(self.start_from), self.start_from)
        elif self.encoder_weights:
            start_encoder(net, self.encoder, self.encoder_weights)
        taught = Taught(net, config, write_extractnet, subject_or_nothing)
        return ProminentTask(self, taught, labelled, training, held_out)
