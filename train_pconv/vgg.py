"""The fixed nets whose features the perceptual and style terms compare.

The published weights (0.05 and 120) were chosen for features of order one (VGG16 fed with pictures of unit variance).
The weights of keras.applications expect 0..255 and give features in the hundreds, so each compared map is divided by
its mean over some training crops. The truncated VGG-19 is stored with mean activations of one already.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

_MEAN_RGB = (123.68, 116.779, 103.939)
_POOL = "pool"
# Convolutions in order; _POOL halves. Maps marked with * are compared.
_PLANS: dict[str, tuple[str, ...]] = {
    "vgg16": (
        *("block1_conv1", "block1_conv2", "*pool", "block2_conv1", "block2_conv2", "*pool"),
        *("block3_conv1", "block3_conv2", "block3_conv3", "*pool"),
    ),
    "vgg19-conv3": ("conv1_1", "conv1_2", "*pool", "conv2_1", "conv2_2", "*pool", "*conv3_1"),
}


class Vgg:
    """Feature maps of pictures: `vgg(pictures)` for (B, H, W, 3) float RGB in -1..1, shallow to deep, float32."""

    def __init__(self, name: str, weights: str = "", *, dtype: str = "float32") -> None:
        """name: "vgg16" or "vgg19-conv3". weights: a .npz, or for vgg16 also Keras' .h5 or "" to download it.

        dtype: a Keras policy such as "mixed_bfloat16".
        Raises ValueError if the file is missing or lacks a layer.
        """
        self.net = _build(_PLANS[name], _read_weights(name, weights), dtype)
        self.net.trainable = False
        self.scales: tuple[float, ...] = (1.0,) * len(self.net.outputs)

    def __call__(self, pictures: Any) -> list[Any]:
        maps = self.net((pictures + 1) * 127.5 - ops.convert_to_tensor(_MEAN_RGB, "float32"))
        return [ops.cast(m, "float32") * scale for m, scale in zip(maps, self.scales, strict=True)]

    def normalise(self, pictures: NDArray[np.float32]) -> None:
        """Scales every map so that its mean over these pictures, (B, H, W, 3) in -1..1, is one."""
        self.scales = (1.0,) * len(self.net.outputs)
        means = [float(ops.convert_to_numpy(ops.mean(m))) for m in self(ops.convert_to_tensor(pictures))]
        self.scales = tuple(1.0 / max(mean, 1e-6) for mean in means)


def _build(plan: Sequence[str], weights: dict[str, tuple[Any, Any]], dtype: str) -> keras.Model:
    x = pictures = keras.Input((None, None, 3))
    outputs = []
    for step in plan:
        name = step.removeprefix("*")
        if name == _POOL:
            x = layers.MaxPooling2D(2, dtype=dtype)(x)
        else:
            kernel, bias = weights[name]
            conv = layers.Conv2D(kernel.shape[-1], 3, padding="same", activation="relu", name=name, dtype=dtype)
            x = conv(x)
            # The files were trained on BGR: turning the first kernel's inputs round makes it take RGB.
            conv.set_weights([kernel[:, :, ::-1] if kernel.shape[2] == 3 else kernel, bias])
        if step.startswith("*"):
            outputs.append(x)
    return keras.Model(pictures, outputs, name="features")


def _read_weights(name: str, file: str) -> dict[str, tuple[Any, Any]]:
    """Layer -> (kernel (3, 3, in, out), bias)."""
    wanted = [step.removeprefix("*") for step in _PLANS[name] if step.removeprefix("*") != _POOL]
    if file and not Path(file).is_file():
        raise ValueError(f"{file} is not there: --vgg-weights wants the weights of {name}")
    if file.endswith(".npz"):
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        found = {}
        for layer in wanted:
            kernel = next((arrays[key] for key in (f"{layer}/kernel", f"{layer}_kernel") if key in arrays), None)
            bias = next((arrays[key] for key in (f"{layer}/bias", f"{layer}_bias") if key in arrays), None)
            if kernel is None or bias is None:
                raise ValueError(f"{file} lacks {layer}/kernel or {layer}/bias: it holds {', '.join(sorted(arrays))}")
            found[layer] = (kernel, bias)
        return found
    if name != "vgg16":
        raise ValueError(f"--vgg-weights of {name} must be an .npz file, got {file or 'nothing'}")
    try:
        full = keras.applications.VGG16(include_top=False, weights=file or "imagenet")
    except Exception as error:  # urllib, h5py and Keras each raise their own: one line serves all of them
        raise ValueError(f"VGG16's weights cannot be had ({error}): give --vgg-weights FILE") from error
    return {layer: tuple(full.get_layer(layer).get_weights()) for layer in wanted}
