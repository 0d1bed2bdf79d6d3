"""DeepCrop: DeepMask's shape, told where the click is (Kurenkov, "DeepCrop: directed object segmentation").

DeepMask (Pinheiro et al. 2015; layer sizes from its public code) looks at a window with an object in its middle:
ResNet features, a mask branch and a score branch that says whether there is one. DeepMask itself knows no click.
V1 sees the whole photo small, has no score branch, and three planes join its features: distance from the click,
distance from its colour, difference in luminance. V2 is DeepMask with the distance as a fourth plane of the window.

Every dense layer of the paper is a convolution here: of one window it computes the same, of a larger picture one
answer for every window, 16 pixels apart.

The published encoders are ResNet-18 and ResNet-50. SqueezeNet 1.1 can take their place: a fifth of the work, and its
ImageNet weights are 3 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers

from segment.nets import resnet, squeezenet
from segment.nets.blocks import BN
from segment.nets.resnet import STRIDE_PX
from weights.bundle import read_net_config
from weights.nets import read_net, write_net

ARCHITECTURE = "deepcrop"
ENCODERS = (*resnet.ENCODERS, "squeezenet")
PLANES = {"deepmask": 0, "v1": 3, "v2": 1}  # variant -> planes that tell the click
MARGIN_PX = STRIDE_PX  # seen round the part that the mask covers, so that features at its edge are no padding's


@dataclass(frozen=True)
class DeepCropConfig:
    """Everything that decides which variables the net has and what it computes with them."""

    variant: str = "v2"
    encoder: str = "resnet18"
    width: int = 64  # filters of ResNet-18's first layer; the others have their own
    input_px: int = 160  # side of the part of the window that the mask covers
    mask_px: int = 56  # side of the mask that comes out
    bottleneck: int = 128  # channels to which the features are reduced
    hidden: int = 512  # the low rank through which both branches see the window
    score_hidden: int = 1024
    dropout: float = 0.5  # in the score branch
    unit_px: int = 224  # pixels of the net's input that count as a distance of 1: the same in patches and photos

    def __post_init__(self) -> None:
        if self.variant not in PLANES:
            raise ValueError(f"no variant is called {self.variant!r}: choose one of {', '.join(PLANES)}")
        if self.encoder not in ENCODERS:
            raise ValueError(f"no encoder is called {self.encoder!r}: choose one of {', '.join(ENCODERS)}")
        if self.input_px < STRIDE_PX or self.input_px % STRIDE_PX:
            raise ValueError(f"input_px must be a multiple of {STRIDE_PX}, got {self.input_px}")
        if min(self.width, self.mask_px, self.bottleneck, self.hidden, self.score_hidden, self.unit_px) < 1:
            raise ValueError(f"sizes must be 1 or more: {self}")

    @property
    def window_px(self) -> int:
        """Side of the window that the net looks at."""
        return self.input_px + 2 * MARGIN_PX

    @property
    def object_px(self) -> int:
        """The longer side that an object has in a training window: 128 of 224 pixels in the paper."""
        return -(-self.input_px * 128 // 224)

    @property
    def has_score(self) -> bool:
        return self.variant != "v1"


DEEPMASK = DeepCropConfig(variant="deepmask")
V1 = DeepCropConfig(variant="v1")
V2 = DeepCropConfig(variant="v2")
V2_50 = DeepCropConfig(variant="v2", encoder="resnet50")
PUBLISHED = {"deepmask": DEEPMASK, "deepcrop-v1": V1, "deepcrop-v2": V2, "deepcrop-v2-50": V2_50}


def build_deepcrop(config: DeepCropConfig = V2) -> keras.Model:
    """The net: `net({"image": ..., "planes": ...})` gives {"mask": ..., "score": ...}, float32 logits.

    image: (B, H, W, 3) float RGB 0..255; 128 beyond the photo's border.
    planes: (B, H, W, 1) for V2, segment.click_planes' distance in pixels of the image over config.unit_px;
        (B, H, W, 3) for V1: distance, colour distance, luminance difference, 0..1. DeepMask takes the image alone.
    H and W: config.window_px for training (and always for V1), or any larger multiple of 16.
    mask: (B, h, w, mask_px**2), for each window its mask row by row; it covers the window without its margin.
    score: (B, h, w, 1), whether the window holds an object in its middle; V1 has none.
    h = 1 + (H - window_px) / 16, and so for w: 1 for a single window.
    """
    side = config.window_px if config.variant == "v1" else None
    inputs = {"image": keras.Input((side, side, 3), name="image")}
    if PLANES[config.variant]:
        inputs["planes"] = keras.Input((side, side, PLANES[config.variant]), name="planes")

    distance = None
    if config.variant == "v2":
        # Centred and scaled like the pixels beside it, in reach of the same learning rate.
        distance = layers.Rescaling(*_like_pixels(config.encoder), name="distance")(inputs["planes"])
    x = _features(inputs["image"], distance, config)
    x = layers.Cropping2D(1, name="without_margin")(x)  # (B, H/16 - 2, W/16 - 2, C)
    x = layers.Conv2D(config.bottleneck, 1, activation="relu", name="bottleneck")(x)
    if config.variant == "v1":
        planes = layers.Cropping2D(MARGIN_PX, name="planes_without_margin")(inputs["planes"])
        planes = layers.AveragePooling2D(STRIDE_PX, name="planes_small")(planes)
        x = layers.Concatenate(name="with_planes")([x, planes])
    cells = config.input_px // STRIDE_PX
    # No activation: this and the mask layer are one linear map of low rank (DeepMask, section 3.1).
    x = layers.Conv2D(config.hidden, cells, name="hidden")(x)  # (B, h, w, hidden)

    mask = layers.Conv2D(config.mask_px**2, 1, name="mask_layer")(x)
    outputs = {"mask": layers.Activation("linear", dtype="float32", name="mask")(mask)}
    if config.has_score:
        y = layers.Dropout(config.dropout, name="score_drop1")(x)
        y = layers.Conv2D(config.score_hidden, 1, activation="relu", name="score_hidden")(y)
        y = layers.Dropout(config.dropout, name="score_drop2")(y)
        y = layers.Conv2D(1, 1, name="score_layer")(y)
        outputs["score"] = layers.Activation("linear", dtype="float32", name="score")(y)
    return keras.Model(inputs, outputs, name=f"{ARCHITECTURE}_{config.variant}")


def write_deepcrop(
    path: str | Path,
    net: keras.Model,
    config: DeepCropConfig,
    extra: dict[str, Any] | None = None,
    *,
    float16: bool = True,
) -> None:
    """Writes the net as a bundle (weights.bundle), with extra, plain data. ValueError for NaN or infinity."""
    write_net(Path(path), net, ARCHITECTURE, config, extra, float16=float16)


def read_deepcrop_config(path: str | Path) -> tuple[DeepCropConfig, dict[str, Any]]:
    """The config and the extra data of a bundle. Raises WeightsError as read_deepcrop does."""
    return read_net_config(Path(path), ARCHITECTURE, DeepCropConfig)


def read_deepcrop(path: str | Path) -> tuple[keras.Model, DeepCropConfig]:
    """The net of a bundle, with its weights. Raises WeightsError if the file is damaged, or of another net."""
    net, config, _ = read_net(Path(path), ARCHITECTURE, DeepCropConfig, build_deepcrop)
    return net, config


def _features(image: Any, distance: Any, config: DeepCropConfig) -> Any:
    """(B, H/16, W/16, C) features of the pixels and, where it is there, the distance plane beside them."""
    if config.encoder == "squeezenet":
        # Without batch norm its activations reach the hundreds, beyond what SGD's rate can carry.
        x = squeezenet.features(image, planes=distance)[STRIDE_PX]
        return layers.BatchNormalization(name="normal", **BN)(x)
    x = resnet.normalised(image, config.encoder)
    if distance is not None:
        x = layers.Concatenate(name="with_distance")([x, distance])
    return resnet.features(x, config.encoder, width=config.width)


def _like_pixels(encoder: str) -> tuple[float, float]:
    """Scale and offset that bring 0..1 to the range of the encoder's normalised pixels."""
    return (4.0, -2.0) if encoder == "resnet18" else (255.0, -127.5)
