"""ClickNet: a photo is read once, then every click costs a light head (this project's own net).

The reader is SqueezeNet 1.1 with one normalised projection a scale and a fused embedding at a eighth of the picture.
The head sees that embedding, its product with the mean embedding under the positive and under the negative clicks
(what is like what was clicked), and planes that say where the clicks are and what the answer was before.
Clicks as disks and the previous mask after RITM (Sofiiuk et al. 2021); the rest is smaller than anything published.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from segment.nets.blocks import BN, conv, residual
from segment.nets.configs import CLICK_NET, ClickNetConfig
from segment.nets.squeezenet import features
from weights.nets import read_net, write_net

PLANES = 7  # positive disks, negative disks, near a positive click, near a negative one, dx, dy, previous mask
PLANE_STRIDE_PX = 4


@keras.saving.register_keras_serializable("clickaway")
class UnderClicks(layers.Layer):
    """An embedding (B, h, w, C) times its own mean under the disks (B, h, w, 1): large where it is like the clicked.

    Zero where there is no disk.
    """

    def call(self, embedding: Any, disks: Any) -> Any:
        weight = ops.sum(disks, (1, 2), keepdims=True)
        mean = ops.sum(embedding * disks, (1, 2), keepdims=True) / ops.maximum(weight, 1e-3)
        return embedding * mean

    def compute_output_shape(self, embedding_shape: Any, disks_shape: Any) -> Any:
        return embedding_shape


def build_encoder(config: ClickNetConfig) -> keras.Model:
    """`encoder(image)` gives {"p2", "p4", "p8", "p16"}: what the head needs of a photo, once a photo.

    image: (B, S, S, 3) float RGB 0..255, 128 beyond the photo's border. pN: (B, S/N, S/N, C) float32.
    """
    image = keras.Input((config.input_px, config.input_px, 3), name="image")
    maps = features(image)
    # SqueezeNet has no batch norm and its activations reach the hundreds: unscaled they would drown the clicks.
    normal = {stride: layers.BatchNormalization(name=f"normal{stride}", **BN)(x) for stride, x in maps.items()}
    p16 = conv(normal[16], config.trunk, 1, "lateral16")
    p8 = layers.Concatenate(name="fused8")([normal[8], _doubled(p16, "p16_doubled")])
    p8 = layers.Conv2D(config.embedding, 1, use_bias=False, name="embedding")(p8)
    p8 = layers.BatchNormalization(name="embedding_bn", **BN)(p8)
    p4 = conv(normal[4], config.fine, 1, "lateral4")
    p2 = conv(normal[2], config.fine // 2, 1, "lateral2")
    return keras.Model(image, {"p2": p2, "p4": p4, "p8": p8, "p16": p16}, name="encoder")


def build_head(config: ClickNetConfig) -> keras.Model:
    """`head({"p2": ..., "p16": ..., "planes": ...})` gives {"mask": ..., "score": ...}, float32 logits.

    pN: the encoder's. planes: (B, S/4, S/4, PLANES) float32, see segment.click_planes.head_planes.
    mask: (B, S/2, S/2, 1). score: (B, 1), the logit of the IoU that the mask is expected to have.
    """
    side, e, t, f = config.input_px, config.embedding, config.trunk, config.fine
    shapes = {"p2": (side // 2, f // 2), "p4": (side // 4, f), "p8": (side // 8, e), "p16": (side // 16, t)}
    inputs = {name: keras.Input((px, px, channels), name=name) for name, (px, channels) in shapes.items()}
    inputs["planes"] = keras.Input((side // 4, side // 4, PLANES), name="planes")

    planes8 = layers.AveragePooling2D(2, name="planes8")(inputs["planes"])
    wanted = UnderClicks(name="like_positive")(inputs["p8"], planes8[..., 0:1])
    unwanted = UnderClicks(name="like_negative")(inputs["p8"], planes8[..., 1:2])
    x8 = layers.Concatenate(name="asked8")([inputs["p8"], wanted, unwanted, planes8])
    x8 = conv(x8, e + 32, 1, "asked")

    x = layers.AveragePooling2D(2, name="asked16")(x8)
    x = layers.Concatenate(name="trunk_in")([inputs["p16"], x])
    x = conv(x, t, 1, "trunk")
    for number in range(config.blocks):
        x = residual(x, t, (1, 2, 4, 1)[number % 4], f"block{number + 1}")
    # What the whole picture says goes to every place: the receptive field is otherwise too small for large objects.
    everywhere = layers.GlobalAveragePooling2D(keepdims=True, name="everywhere")(x)
    x = layers.Add(name="with_everywhere")([x, layers.Conv2D(t, 1, name="everywhere_mixed")(everywhere)])

    y = layers.Concatenate(name="join8")([x8, _doubled(x, "trunk_doubled")])
    y = conv(y, e, 3, "at8")
    y = conv(y, e, 3, "at8_again")
    z = layers.Concatenate(name="join4")([inputs["p4"], inputs["planes"], _doubled(y, "at8_doubled")])
    z = conv(z, f, 3, "at4")
    z = conv(z, f, 3, "at4_again")
    w = layers.Concatenate(name="join2")([inputs["p2"], _doubled(z, "at4_doubled")])
    w = conv(w, f // 2, 3, "at2")
    mask = layers.Conv2D(1, 3, padding="same", name="mask_logits")(w)

    sure = layers.AveragePooling2D(8, name="mask16")(layers.Activation("sigmoid", name="mask_now")(mask))
    inside = UnderMask(name="inside_mask")(x, sure)
    outside = layers.GlobalAveragePooling2D(name="whole")(x)
    s = layers.Concatenate(name="seen")([inside, outside])
    s = layers.Dense(64, activation="relu", name="score_hidden")(s)
    score = layers.Dense(1, name="score")(s)
    return keras.Model(inputs, {"mask": mask, "score": score}, name="head")


@keras.saving.register_keras_serializable("clickaway")
class UnderMask(layers.Layer):
    """(B, C + 2): the mean of (B, h, w, C) under (B, h, w, 1), how sharp that mask is and how large. No gradients."""

    def call(self, x: Any, under: Any) -> Any:
        x, under = ops.stop_gradient(x), ops.stop_gradient(under)
        area = ops.maximum(ops.sum(under, (1, 2)), 1e-3)
        mean = ops.sum(x * under, (1, 2)) / area
        sharp = ops.sum(under * under, (1, 2)) / area
        return ops.concatenate([mean, sharp, ops.mean(under, (1, 2))], -1)

    def compute_output_shape(self, x_shape: Any, under_shape: Any) -> Any:
        return (x_shape[0], x_shape[-1] + 2)


def _doubled(x: Any, name: str) -> Any:
    return layers.UpSampling2D(2, name=name)(x)


def build_click_net(config: ClickNetConfig) -> keras.Model:
    """Both parts as one net, for training: `net({"image": ..., "planes": ...})` gives {"mask": ..., "score": ...}.

    Its layers "encoder" and "head" are the parts.
    """
    side = config.input_px
    image = keras.Input((side, side, 3), name="image")
    planes = keras.Input((side // PLANE_STRIDE_PX, side // PLANE_STRIDE_PX, PLANES), name="planes")
    maps = build_encoder(config)(image)
    answer = build_head(config)({**maps, "planes": planes})
    mask = layers.Activation("linear", dtype="float32", name="mask")(answer["mask"])
    score = layers.Activation("linear", dtype="float32", name="score_logit")(answer["score"])
    return keras.Model({"image": image, "planes": planes}, {"mask": mask, "score": score}, name=CLICK_NET)


def write_click_net(
    path: str | Path, net: keras.Model, config: ClickNetConfig, extra: dict[str, Any] | None = None
) -> None:
    """Writes the net as a bundle (weights.bundle), with extra, plain data."""
    write_net(Path(path), net, CLICK_NET, config, extra)


def read_click_net(path: str | Path) -> tuple[keras.Model, ClickNetConfig]:
    """The net of a bundle, with its weights. Raises WeightsError if the file is damaged, or of another net."""
    net, config, _ = read_net(Path(path), CLICK_NET, ClickNetConfig, build_click_net)
    return net, config
