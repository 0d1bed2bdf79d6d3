"""VGG features at six scales (Simonyan and Zisserman 2014, configurations A and E), without batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

FILTERS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {"vgg11": (1, 1, 2, 2, 2), "vgg19": (2, 2, 4, 4, 4)}  # of each block


def features(x: Any, encoder: str) -> dict[int, Any]:
    """Stride -> features of (B, H, W, 3) normalised pixels: before each max-pool (1 to 16) and after the last (32).

    H and W must be multiples of 32. Raises ValueError for another encoder.
    """
    if encoder not in CONVOLUTIONS:
        raise ValueError(f"no encoder is called {encoder!r}: choose one of {', '.join(CONVOLUTIONS)}")
    found = {}
    for block, (count, filters) in enumerate(zip(CONVOLUTIONS[encoder], FILTERS, strict=True), start=1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"  # keras.applications' names: its weights are copied by them
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
        found[2 ** (block - 1)] = x
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return {**found, 32: x}


def copy_vgg19(source: keras.Model, net: keras.Model) -> None:
    """Copies the convolutions of keras.applications' VGG-19 into the net. They read BGR; the net will read RGB."""
    for name in _names("vgg19"):
        kernel, bias = (keras.ops.convert_to_numpy(v) for v in source.get_layer(name).weights)
        net.get_layer(name).set_weights([kernel[:, :, ::-1] if name == "block1_conv1" else kernel, bias])


def copy_torchvision(arrays: Mapping[str, NDArray[np.floating]], net: keras.Model, encoder: str) -> None:
    """Gives the net the weights of torchvision's VGG, which keras.applications lacks for VGG-11.

    arrays: its state dict as arrays, "features.0.weight" (out, in, 3, 3) and so on.
    Raises ValueError if one is missing or has another shape.
    """
    for name, place in zip(_names(encoder), _torchvision_places(encoder), strict=True):
        layer = net.get_layer(name)
        weight, bias = (arrays.get(f"features.{place}.{kind}") for kind in ("weight", "bias"))
        expected = tuple(layer.kernel.shape)
        if weight is None or bias is None or weight.transpose(2, 3, 1, 0).shape != expected:
            raise ValueError(f"this is not torchvision's {encoder}: features.{place}.weight must give {expected}")
        layer.set_weights([weight.transpose(2, 3, 1, 0), bias])


def _names(encoder: str) -> list[str]:
    counts = CONVOLUTIONS[encoder]
    return [f"block{block}_conv{n}" for block, count in enumerate(counts, start=1) for n in range(1, count + 1)]


def _torchvision_places(encoder: str) -> list[int]:
    """The convolutions' places in torchvision's list, where each has a ReLU behind it and each block a pool."""
    places, place = [], 0
    for count in CONVOLUTIONS[encoder]:
        places += [place + 2 * number for number in range(count)]
        place += 2 * count + 1
    return places
