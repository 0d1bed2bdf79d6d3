"""SqueezeNet 1.1 features at four scales (Iandola et al. 2016): 722,496 numbers that know ImageNet's objects."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from weights import WeightsError

# Caffe's means, here in RGB: what the public weights subtract.
MEANS = (123.0, 117.0, 104.0)
CHANNELS = {2: 64, 4: 128, 8: 256, 16: 512}  # stride -> channels of its features
_FIRES = {  # name -> filters squeezed to, expanded to by each of its two kernels
    "fire2": (16, 64),
    "fire3": (16, 64),
    "fire4": (32, 128),
    "fire5": (32, 128),
    "fire6": (48, 192),
    "fire7": (48, 192),
    "fire8": (64, 256),
    "fire9": (64, 256),
}

LAYERS = {"conv1": "conv1"} | {  # layer -> its name in the public file
    f"{fire}_{part}": f"{fire}/{part}" for fire in _FIRES for part in ("squeeze1x1", "expand1x1", "expand3x3")
}


def features(image: Any, *, prefix: str = "", planes: Any = None) -> dict[int, Any]:
    """Stride -> features, (B, H/stride, W/stride, CHANNELS[stride]), for strides 2, 4, 8 and 16.

    image: (B, H, W, 3) float RGB 0..255; H and W multiples of 16. prefix: of the layers' names.
    planes: (B, H, W, n) that join the centred pixels, in their range.
    Padded so that sizes halve exactly; the classifier, which the features here come before, did not pad.
    """
    x = layers.Rescaling(1.0, [-mean for mean in MEANS], name=f"{prefix}centred")(image)
    if planes is not None:
        x = layers.Concatenate(name=f"{prefix}with_planes")([x, planes])
    x = layers.Conv2D(64, 3, 2, "same", activation="relu", name=f"{prefix}conv1")(x)
    found = {2: x}
    for stride, fires in ((4, ("fire2", "fire3")), (8, ("fire4", "fire5")), (16, ("fire6", "fire7", "fire8", "fire9"))):
        x = layers.MaxPooling2D(3, 2, "same", name=f"{prefix}pool{stride}")(x)
        for name in fires:
            x = _fire(x, *_FIRES[name], prefix + name)
        found[stride] = x
    return found


def start_from(net: keras.Model, file: str | Path, *, prefix: str = "") -> None:
    """Gives the layers of features the weights of a file: ImageNet's, or those of a net trained here.

    file: .npz with "conv1/kernel", "fire2/squeeze1x1/kernel" and so on, kernels (kh, kw, in, out), for BGR pixels as
    the public ImageNet weights are; or a bundle of ClickNet. Planes beyond the third start with weights of zero.
    Raises ValueError if an array is missing or has another shape, WeightsError if the file is no whole .npz.
    """
    try:
        with np.load(Path(file), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{file} is not a whole .npz file ({error})") from error
    ours = "encoder/conv1/kernel" in arrays
    for layer_name, key in LAYERS.items():
        layer = net.get_layer(prefix + layer_name)
        for variable, kind in ((layer.kernel, "kernel"), (layer.bias, "bias")):
            name = f"encoder/{layer_name}/{kind}" if ours else f"{key}/{kind}"
            first = layer_name == "conv1" and kind == "kernel"
            shape = (3, 3, 3, 64) if first else tuple(variable.shape)
            if name not in arrays or arrays[name].shape != shape:
                raise ValueError(f"{file} is not SqueezeNet 1.1: {name} must be there and {shape}")
            array = arrays[name].astype(np.float32)
            if first:
                # The public weights see BGR: turned once here, the net sees RGB like everything else.
                array = array if ours else array[:, :, ::-1]
                array = np.pad(array, ((0, 0), (0, 0), (0, variable.shape[2] - 3), (0, 0)))
            variable.assign(array)


def _fire(x: Any, squeezed: int, expanded: int, name: str) -> Any:
    x = layers.Conv2D(squeezed, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
    one = layers.Conv2D(expanded, 1, activation="relu", name=f"{name}_expand1x1")(x)
    three = layers.Conv2D(expanded, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(x)
    return layers.Concatenate(name=name)([one, three])
