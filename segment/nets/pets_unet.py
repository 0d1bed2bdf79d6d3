"""The pets U-Net: pet, background and the border between them (the pets report, section 4; Ronneberger et al. 2015).

Five blocks of two convolutions and a max-pool, then five transposed convolutions. The first four are joined by the
features of their size before the pool; the last, as the report's table has it, is followed by one convolution alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers

from weights.bundle import read_net_config
from weights.nets import read_net, write_net

ARCHITECTURE = "pets_unet"
PET, BACKGROUND, BORDER = 0, 1, 2  # the labels of Oxford-IIIT Pet's trimaps minus 1


@dataclass(frozen=True)
class PetsUNetConfig:
    """Everything that decides which variables the net has and what it computes with them."""

    filters: tuple[int, ...] = (32, 64, 128, 256, 512)  # of each block on the way down
    classes: int = 3
    slope: float = 0.3  # of LeakyReLU below 0; the report names none: Keras' default at its time
    equalise: bool = False  # photos with their luma's histogram equalised first, which did not help the report
    input_px: int = 128

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", tuple(self.filters))  # a bundle gives a list
        if not self.filters or min(self.filters) < 1 or self.classes < 2:
            raise ValueError(f"filters must be 1 or more, classes 2 or more: {self}")
        stride = 2 ** len(self.filters)
        if self.input_px < stride or self.input_px % stride:
            raise ValueError(f"input_px must be a multiple of {stride}, got {self.input_px}")


def build_pets_unet(config: PetsUNetConfig | None = None) -> keras.Model:
    """The net: `net({"image": ...})` gives {"mask": ...}, float32 logits of pet, background, border.

    image: (B, S, S, 3) float RGB 0..255, S = config.input_px. mask: (B, S, S, classes).
    """
    config = config or PetsUNetConfig()
    image = keras.Input((config.input_px, config.input_px, 3), name="image")
    x = layers.Rescaling(1 / 255, name="normalise")(image)
    skips = []
    for level, filters in enumerate(config.filters, start=1):
        x = _convolved(x, filters, config, f"down{level}a")
        x = _convolved(x, filters, config, f"down{level}b")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"pool{level}")(x)  # (B, S / 2**level, S / 2**level, filters)
    for level in range(len(config.filters), 1, -1):
        filters = config.filters[level - 2]
        x = layers.Conv2DTranspose(filters, 3, 2, "same", name=f"up{level}")(x)
        x = layers.Concatenate(name=f"skip{level}")([x, skips[level - 1]])
        x = _convolved(x, filters, config, f"up{level}a")
        x = _convolved(x, filters, config, f"up{level}b")  # (B, S / 2**(level-1), ..., filters)
    x = layers.Conv2DTranspose(config.filters[0], 3, 2, "same", name="up1")(x)
    x = layers.Conv2D(config.classes, 3, padding="same", name="mask_layer")(x)
    mask = layers.Activation("linear", dtype="float32", name="mask")(x)
    return keras.Model({"image": image}, {"mask": mask}, name=ARCHITECTURE)


def _convolved(x: Any, filters: int, config: PetsUNetConfig, name: str) -> Any:
    x = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal", name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.LeakyReLU(config.slope, name=f"{name}_relu")(x)


def write_pets_unet(
    path: str | Path,
    net: keras.Model,
    config: PetsUNetConfig,
    extra: dict[str, Any] | None = None,
    *,
    float16: bool = True,
) -> None:
    """Writes the net as a bundle (weights.bundle), with extra, plain data. ValueError for NaN or infinity."""
    write_net(Path(path), net, ARCHITECTURE, config, extra, float16=float16)


def read_pets_unet_config(path: str | Path) -> tuple[PetsUNetConfig, dict[str, Any]]:
    """The config and the extra data of a bundle. Raises WeightsError as read_pets_unet does."""
    return read_net_config(Path(path), ARCHITECTURE, PetsUNetConfig)


def read_pets_unet(path: str | Path) -> tuple[keras.Model, PetsUNetConfig]:
    """The net of a bundle, with its weights. Raises WeightsError if the file is damaged, or of another net."""
    net, config, _ = read_net(Path(path), ARCHITECTURE, PetsUNetConfig, build_pets_unet)
    return net, config
