"""What a run is made of, from its configuration: photos, holes, the net, its weights, the feature net."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from inpaint.pconv_config import PConvUNetConfig, read_config
from inpaint.pconv_unet import build_pconv_unet, read_pconv
from train_pconv.config import TrainConfig, command_of
from train_pconv.data import Samples, to_batch
from train_pconv.feed import Feed, TfDataFeed
from train_pconv.holes import HoleMix
from train_pconv.photos import Photos
from train_pconv.shapes import Blobs, HoleFiles, ObjectShapes
from train_pconv.trainee import dtype_policy
from train_pconv.vgg import Vgg
from training.feed import ThreadFeed
from weights.nets import named_variables

_NORMALISE_ON = 16  # crops whose mean activations scale VGG16's features


def hole_mix(config: TrainConfig) -> HoleMix:
    """The holes that the configuration asks for. Raises ValueError for folders that hold none."""
    weights = {name: getattr(config, name) for name in ("strokes", "objects", "boxes", "files")}
    return HoleMix(
        weights,
        shapes=ObjectShapes(config.shapes) if config.shapes else Blobs(),
        files=HoleFiles(config.hole_files, hole_colour=config.hole_colour) if config.hole_files else None,
        area=(config.area_min, config.area_max),
        at_border=config.at_border,
    )


def samples_of(config: TrainConfig, photos: Photos, numbers: list[int], holes: HoleMix) -> Samples:
    """The run's training samples."""
    return Samples(
        photos,
        numbers,
        holes,
        crop_px=config.crop_px,
        zoom_out=(config.zoom_out_min, config.zoom_out_max),
        flip=config.flip,
        colour=config.colour,
        seed=config.seed,
    )


def feed_of(config: TrainConfig, samples: Samples, *, first_step: int, steps: int, strategy: Any) -> Feed:
    """The run's batches from a step on. Raises ValueError if they cannot be shared out."""
    options: dict[str, Any] = {
        "batch": config.batch,
        "first_step": first_step,
        "steps": steps,
        "workers": config.workers,
        "prefetch": config.prefetch,
    }
    tensorflow = keras.backend.backend() == "tensorflow"
    if config.feed == "tf.data" and not tensorflow:
        raise ValueError("--feed tf.data is TensorFlow's: leave it out, or set KERAS_BACKEND=tensorflow")
    if config.feed == "tf.data" or strategy is not None or (config.feed == "auto" and tensorflow):
        return TfDataFeed(samples, strategy=strategy, **options)
    return ThreadFeed(samples.sample, to_batch, **options)


def net_config(config: TrainConfig) -> PConvUNetConfig:
    """The part of the configuration that the net itself keeps."""
    return PConvUNetConfig(
        levels=config.levels,
        width=config.width,
        head_width=config.head_width,
        residuals=config.residuals,
        pull_push_base=config.base == "pull_push",
        base_input=config.base_input,
        kernels=config.kernels,
    )


def net_of(config: TrainConfig, *, fresh: bool) -> keras.Model:
    """The net, with the weights of config.start_from if it is fresh and there are any.

    Residual layers that those lack start at zero: the net then begins with what the bundle's answers.
    Raises ValueError if those are of another net, weights.WeightsError if the file is damaged.
    """
    net = build_pconv_unet(net_config(config), dtype=dtype_policy(config.precision))
    if config.start_from and fresh:
        start, own = named_variables(read_pconv(config.start_from, dtype="float32")), named_variables(net)
        new = {name for name in own.keys() - start.keys() if "_res" in name}
        if {name: v.shape for name, v in start.items()} != {
            name: v.shape for name, v in own.items() if name not in new
        }:
            raise ValueError(
                f"{config.start_from} is of another size: give its --width, --levels, --head-width and --kernels, "
                "and at least its --residuals"
            )
        for name, variable in start.items():
            own[name].assign(ops.convert_to_numpy(variable))
    return net


def history_of(config: TrainConfig) -> list[str]:
    """The commands that led to this run's weights: those of the bundle it starts from, and its own."""
    earlier = read_config(config.start_from)[1].get("history", []) if config.start_from else []
    return [*earlier, command_of(config)]


def features_of(config: TrainConfig, samples: Samples) -> Vgg | None:
    """The net whose features are compared, or None. Raises ValueError if its weights cannot be had."""
    if config.perceptual == "none" or not (config.perceptual_weight or config.style_weight):
        return None
    vgg = Vgg(config.perceptual, config.vgg_weights, dtype=dtype_policy(config.precision))
    if config.perceptual == "vgg16":
        crops = [samples.sample(index)[0] for index in range(_NORMALISE_ON)]
        vgg.normalise(np.stack(crops).astype(np.float32) / 127.5 - 1)
    return vgg
