"""The main-subject net (this project's own): what a photo is of, without a click, in a few megabytes.

SqueezeNet 1.1 reads the photo; each scale is normalised; residual blocks of growing dilation and the photo's mean
decide at a sixteenth what the subject is; a light U-Net decoder draws its edge at half of the input's size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import layers

from segment.nets.blocks import BN, conv, residual
from segment.nets.configs import SUBJECT, SubjectConfig
from segment.nets.squeezenet import features
from weights.nets import read_net, write_net

_DILATIONS = (1, 2, 4, 1)


def build_subject(config: SubjectConfig | None = None) -> keras.Model:
    """The net: `net({"image": ...})` gives {"mask": ...}, float32 logits of belonging to the main subject.

    image: (B, S, S, 3) float RGB 0..255, S = config.input_px. mask: (B, S, S, 1).
    """
    config = config or SubjectConfig()
    image = keras.Input((config.input_px, config.input_px, 3), name="image")
    # SqueezeNet has no batch norm and its activations reach the hundreds: unscaled, the large ones drown the others.
    found = {
        stride: layers.BatchNormalization(name=f"normal{stride}", **BN)(x) for stride, x in features(image).items()
    }
    x = conv(found[16], config.trunk, 1, "trunk")
    for number in range(config.blocks):
        x = residual(x, config.trunk, _DILATIONS[number % len(_DILATIONS)], f"block{number + 1}")
    # What the whole photo is of goes to every place: the blocks alone do not see all of it.
    everywhere = layers.GlobalAveragePooling2D(keepdims=True, name="everywhere")(x)
    everywhere = layers.Conv2D(config.trunk, 1, name="everywhere_mixed")(everywhere)
    x = layers.ReLU(name="with_everywhere_relu")(layers.Add(name="with_everywhere")([x, everywhere]))
    for stride, filters in zip((8, 4, 2), config.decoder, strict=True):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"doubled{stride}")(x)
        lateral = conv(found[stride], max(1, filters // 2), 1, f"lateral{stride}")
        x = layers.Concatenate(name=f"join{stride}")([x, lateral])
        x = conv(x, filters, 3, f"at{stride}")
        x = conv(x, filters, 3, f"at{stride}_again")  # (B, S/stride, S/stride, filters)
    x = layers.Conv2D(1, 3, padding="same", name="mask_layer")(x)
    mask = layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name="mask")(x)
    return keras.Model({"image": image}, {"mask": mask}, name=SUBJECT)


def write_subject(
    path: str | Path,
    net: keras.Model,
    config: SubjectConfig,
    extra: dict[str, Any] | None = None,
    *,
    float16: bool = True,
) -> None:
    """Writes the net as a bundle (weights.bundle), with extra, plain data. ValueError for NaN or infinity."""
    write_net(Path(path), net, SUBJECT, config, extra, float16=float16)


def read_subject(path: str | Path) -> tuple[keras.Model, SubjectConfig]:
    """The net of a bundle, with its weights. Raises WeightsError if the file is damaged, or of another net."""
    net, config, _ = read_net(Path(path), SUBJECT, SubjectConfig, build_subject)
    return net, config
