"""ExtractNet: the mask of a photo's prominent people and vehicles (Hasan, Khan and Patel 2019, section 4).

One builder for every model of the report: the simple autoencoder, the interconnected one, and the frozen encoders
that ImageNet trained with a decoder of transposed convolutions. The report gives kernels, strides and depths (6 layers
for VGG, 7 for ResNet) but not the channels, which are this project's choice: those of the encoder, mirrored.
SqueezeNet is one more encoder than the report's, for machines that cannot fetch or run the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers

from segment.nets import resnet, squeezenet, vgg
from weights.bundle import read_net_config
from weights.nets import read_net, write_net

ARCHITECTURE = "extractnet"
PLAIN = "plain"  # three convolutions of stride 2, trained with the rest
ENCODERS = (PLAIN, *vgg.CONVOLUTIONS, *resnet.PYRAMIDS, "squeezenet")
ACTIVATIONS = ("relu", "prelu")
# Stride -> channels of the decoder's layer that ends there.
_CHANNELS = {32: 512, 16: 512, 8: 256, 4: 128, 2: 64, 1: 32}


@dataclass(frozen=True)
class ExtractNetConfig:
    """Everything that decides which variables the net has and what it computes with them."""

    encoder: str = "resnet50"
    links: bool = True  # the encoder's features join the decoder's of the same size
    batch_norm: bool = True  # in the decoder, and in the plain encoder
    activation: str = "relu"  # of the decoder
    frozen: bool = True  # the encoder keeps its weights; "plain" is trained anyway
    width: int = 64  # channels of the plain encoder's first layer; doubled at each
    input_px: int = 224  # side of the square that photos are resized to

    def __post_init__(self) -> None:
        if self.encoder not in ENCODERS:
            raise ValueError(f"no encoder is called {self.encoder!r}: choose one of {', '.join(ENCODERS)}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"no activation is called {self.activation!r}: choose one of {', '.join(ACTIVATIONS)}")
        if self.width < 1 or self.input_px < 32 or self.input_px % 32:
            raise ValueError(f"width must be 1 or more and input_px a multiple of 32: {self}")


# The rows of the report's table 1 that are nets, by the report's words.
PUBLISHED = {
    "Simple Autoencoder": ExtractNetConfig(PLAIN, links=False, batch_norm=False),
    "Interconnected Autoencoder": ExtractNetConfig(PLAIN, batch_norm=False),
    "VGG-11 Encoder (R)": ExtractNetConfig("vgg11", batch_norm=False),
    "VGG-11 Encoder (BN)": ExtractNetConfig("vgg11"),
    "VGG-11 Encoder (BN), (P)": ExtractNetConfig("vgg11", activation="prelu"),
    "VGG-19 Encoder (R)": ExtractNetConfig("vgg19", batch_norm=False),
    "VGG-19 Encoder (BN)": ExtractNetConfig("vgg19"),
    "VGG-19 Encoder (BN), (P)": ExtractNetConfig("vgg19", activation="prelu"),
    "ResNet-50 Encoder (R), (BN)": ExtractNetConfig("resnet50"),
    "ResNet-50 Encoder (P), (BN)": ExtractNetConfig("resnet50", activation="prelu"),
    "ResNet-152 Encoder (R), (BN)": ExtractNetConfig("resnet152"),
    "ResNet-152 Encoder (P), (BN)": ExtractNetConfig("resnet152", activation="prelu"),
}


def build_extractnet(config: ExtractNetConfig | None = None) -> keras.Model:
    """The net: `net({"image": ...})` gives {"mask": ...}, float32 logits of being prominent.

    image: (B, S, S, 3) float RGB 0..255, S = config.input_px. mask: (B, S, S, 1).
    """
    config = config or ExtractNetConfig()
    image = keras.Input((config.input_px, config.input_px, 3), name="image")
    found = _encoded(image, config)
    encoder = keras.Model(image, found)
    if config.frozen and config.encoder != PLAIN:
        for layer in encoder.layers:  # one by one: the encoder as a whole is no part of the net
            layer.trainable = False
    deepest = max(found)
    x = found[deepest]
    if config.encoder in resnet.PYRAMIDS:
        # 2048 channels are too many to be upsampled: the seventh of the ResNet decoders' layers.
        x = layers.Conv2D(_CHANNELS[32], 1, use_bias=not config.batch_norm, name="reduce")(x)
        x = _activated(x, config, "reduce")
    stride = deepest // 2
    while stride >= 1:
        filters = min(_CHANNELS[stride], config.width * stride) if config.encoder == PLAIN else _CHANNELS[stride]
        name = f"up{stride}"
        x = layers.Conv2DTranspose(filters, 3, 2, "same", use_bias=not config.batch_norm, name=name)(x)
        x = _activated(x, config, name)  # (B, S/stride, S/stride, filters)
        if config.links and stride in found:
            x = layers.Concatenate(name=f"link{stride}")([x, found[stride]])
        stride //= 2
    x = layers.Conv2D(1, 3, padding="same", name="mask_layer")(x)
    mask = layers.Activation("linear", dtype="float32", name="mask")(x)
    return keras.Model({"image": image}, {"mask": mask}, name=ARCHITECTURE)


def _encoded(image: Any, config: ExtractNetConfig) -> dict[int, Any]:
    """Stride -> features of the encoder."""
    if config.encoder == "squeezenet":
        return squeezenet.features(image)
    if config.encoder in vgg.CONVOLUTIONS:
        return vgg.features(resnet.normalised(image, config.encoder), config.encoder)
    if config.encoder in resnet.PYRAMIDS:
        return resnet.pyramid(resnet.normalised(image, config.encoder), config.encoder)
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    found = {}
    for number, stride in enumerate((2, 4, 8)):
        name = f"down{stride}"
        x = layers.Conv2D(config.width * 2**number, 3, 2, "same", use_bias=not config.batch_norm, name=name)(x)
        if config.batch_norm:
            x = layers.BatchNormalization(name=f"{name}_bn")(x)
        found[stride] = x = layers.ReLU(name=f"{name}_relu")(x)
    return found


def _activated(x: Any, config: ExtractNetConfig, name: str) -> Any:
    if config.batch_norm:
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
    if config.activation == "relu":
        return layers.ReLU(name=f"{name}_relu")(x)
    return layers.PReLU("zeros", shared_axes=[1, 2, 3], name=f"{name}_prelu")(x)  # one number a layer, as PyTorch's


def write_extractnet(
    path: str | Path,
    net: keras.Model,
    config: ExtractNetConfig,
    extra: dict[str, Any] | None = None,
    *,
    float16: bool = True,
) -> None:
    """Writes the net as a bundle (weights.bundle), with extra, plain data. ValueError for NaN or infinity."""
    write_net(Path(path), net, ARCHITECTURE, config, extra, float16=float16)


def read_extractnet_config(path: str | Path) -> tuple[ExtractNetConfig, dict[str, Any]]:
    """The config and the extra data of a bundle. Raises WeightsError as read_extractnet does."""
    return read_net_config(Path(path), ARCHITECTURE, ExtractNetConfig)


def read_extractnet(path: str | Path) -> tuple[keras.Model, ExtractNetConfig]:
    """The net of a bundle, with its weights. Raises WeightsError if the file is damaged, or of another net."""
    net, config, _ = read_net(Path(path), ARCHITECTURE, ExtractNetConfig, build_extractnet)
    return net, config
