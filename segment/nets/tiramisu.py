"""Tiramisu, a fully convolutional DenseNet (Jégou et al. 2017, "The one hundred layers tiramisu").

Dense blocks: each layer sees all that the block's layers before it made, and adds `growth` channels. On the way up a
block hands on only what it made itself, or the channels would grow without end (section 3.2).
greenScreen.AI used the largest for people, with two classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers

from weights.bundle import read_net_config
from weights.nets import read_net, write_net

ARCHITECTURE = "tiramisu"
PERSON = 1  # class 0 is background


@dataclass(frozen=True)
class TiramisuConfig:
    """Everything that decides which variables the net has and what it computes with them."""

    down: tuple[int, ...] = (4, 5, 7, 10, 12)  # layers of each dense block on the way down; the way up mirrors it
    bottleneck: int = 15  # layers of the block in the middle
    growth: int = 16  # channels that each layer adds
    first: int = 48  # channels of the first convolution
    classes: int = 2  # background, person
    dropout: float = 0.2
    input_px: int = 224

    def __post_init__(self) -> None:
        object.__setattr__(self, "down", tuple(self.down))  # a bundle gives a list
        if not self.down or min(*self.down, self.bottleneck, self.growth, self.first) < 1 or self.classes < 2:
            raise ValueError(f"layers and channels must be 1 or more, classes 2 or more: {self}")
        if self.input_px < self.stride_px or self.input_px % self.stride_px:
            raise ValueError(f"input_px must be a multiple of {self.stride_px}, got {self.input_px}")

    @property
    def stride_px(self) -> int:
        """How much smaller the features in the middle are."""
        return 2 ** len(self.down)


# Table 1 of the paper: 103 layers as above; the smaller ones have blocks of one size.
TIRAMISU_56 = TiramisuConfig(down=(4,) * 5, bottleneck=4, growth=12)
TIRAMISU_67 = TiramisuConfig(down=(5,) * 5, bottleneck=5)
TIRAMISU_103 = TiramisuConfig()
PUBLISHED = {56: TIRAMISU_56, 67: TIRAMISU_67, 103: TIRAMISU_103}


def build_tiramisu(config: TiramisuConfig = TIRAMISU_103) -> keras.Model:
    """The net: `net({"image": ...})` gives {"mask": ...}, float32 logits of the classes.

    image: (B, H, W, 3) float RGB 0..255; H and W multiples of config.stride_px. mask: (B, H, W, classes).
    """
    image = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    x = layers.Conv2D(config.first, 3, padding="same", kernel_initializer="he_uniform", name="first")(x)
    skips = []
    channels = config.first
    for level, count in enumerate(config.down, start=1):
        made = _dense_block(x, count, config, f"down{level}")
        x = layers.Concatenate(name=f"down{level}")([x, *made])
        channels += count * config.growth
        skips.append(x)
        x = _unit(x, channels, 1, config, f"transition{level}")
        x = layers.MaxPooling2D(2, name=f"pool{level}")(x)  # (B, H / 2**level, W / 2**level, channels)

    made = _dense_block(x, config.bottleneck, config, "middle")
    for level in range(len(config.down), 0, -1):
        new = layers.Concatenate(name=f"new{level}")(made) if len(made) > 1 else made[0]
        x = layers.Conv2DTranspose(
            new.shape[-1], 3, 2, "same", kernel_initializer="he_uniform", name=f"transition_up{level}"
        )(new)
        x = layers.Concatenate(name=f"skip{level}")([x, skips[level - 1]])
        made = _dense_block(x, config.down[level - 1], config, f"up{level}")
    x = layers.Concatenate(name="last")([x, *made])
    x = layers.Conv2D(config.classes, 1, kernel_initializer="he_uniform", name="mask_layer")(x)
    mask = layers.Activation("linear", dtype="float32", name="mask")(x)
    return keras.Model({"image": image}, {"mask": mask}, name=ARCHITECTURE)


def _dense_block(x: Any, count: int, config: TiramisuConfig, name: str) -> list[Any]:
    """What each of the block's layers made: count tensors of `growth` channels."""
    made: list[Any] = []
    for number in range(1, count + 1):
        new = _unit(x, config.growth, 3, config, f"{name}_{number}")
        made.append(new)
        if number < count:
            x = layers.Concatenate(name=f"{name}_{number}_seen")([x, new])
    return made


def _unit(x: Any, filters: int, kernel_px: int, config: TiramisuConfig, name: str) -> Any:
    """Batch norm, ReLU, convolution, dropout: the paper's table 1."""
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.Conv2D(filters, kernel_px, padding="same", kernel_initializer="he_uniform", name=name)(x)
    return layers.Dropout(config.dropout, name=f"{name}_drop")(x)


def write_tiramisu(
    path: str | Path,
    net: keras.Model,
    config: TiramisuConfig,
    extra: dict[str, Any] | None = None,
    *,
    float16: bool = True,
) -> None:
    """Writes the net as a bundle (weights.bundle), with extra, plain data. ValueError for NaN or infinity."""
    write_net(Path(path), net, ARCHITECTURE, config, extra, float16=float16)


def read_tiramisu_config(path: str | Path) -> tuple[TiramisuConfig, dict[str, Any]]:
    """The config and the extra data of a bundle. Raises WeightsError as read_tiramisu does."""
    return read_net_config(Path(path), ARCHITECTURE, TiramisuConfig)


def read_tiramisu(path: str | Path) -> tuple[keras.Model, TiramisuConfig]:
    """The net of a bundle, with its weights. Raises WeightsError if the file is damaged, or of another net."""
    net, config, _ = read_net(Path(path), ARCHITECTURE, TiramisuConfig, build_tiramisu)
    return net, config
