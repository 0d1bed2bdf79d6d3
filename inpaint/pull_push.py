"""Pull-push fill: known colours averaged down a pyramid until nothing is unknown, then spread back up.

Gortler et al., "The Lumigraph", 1996, section 3.4.2. It is partial convolution with a fixed kernel: smooth, right in
colour, without texture, and the place from which a net need only learn what is missing.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

# The four pixels that one becomes, two rows of two, each from the 3x3 round it: a quarter of the neighbour, along
# each axis. (3, 3, 1, 4)
_PAIR = np.array([[0.25, 0.75, 0], [0, 0.75, 0.25]], np.float32)
_FOUR_PIXELS = np.einsum("rk,sl->klrs", _PAIR, _PAIR).reshape(3, 3, 1, 4)


@keras.saving.register_keras_serializable(package="clickaway")
class PullPush(keras.layers.Layer):
    """The image with its holes filled smoothly from what is known around them. Nothing is learned.

    Called as `layer(image, valid)`: image (B, H, W, C) in any range, valid (B, H, W, 1), 1 where known, 0 where not.
    Returns (B, H, W, C) float32: the image where valid, the fill elsewhere; zero everywhere if nothing is known.

    levels: halvings. What is unknown even then (a hole of more than 2**levels pixels) gets the mean known colour.
    """

    def __init__(self, levels: int = 10, *, dtype: Any = "float32", **layer_options: Any):
        super().__init__(dtype=dtype, **layer_options)
        if levels < 0:
            raise ValueError(f"levels must be 0 or more, got {levels}")
        self.levels = levels

    def build(self, image_shape: Any, valid_shape: Any) -> None:
        pass  # nothing to learn

    def call(self, image: Any, valid: Any) -> Any:
        image = image * valid
        pyramid = [(image, valid)]
        for _ in range(self.levels):
            total, weight = (_halve(x) for x in pyramid[-1])
            known = ops.cast(weight > 0, weight.dtype)
            pyramid.append((total / ops.where(weight > 0, weight, 1.0), known))

        colour, known = pyramid[-1]
        count = ops.sum(known, axis=(1, 2), keepdims=True)
        mean = ops.sum(colour * known, axis=(1, 2), keepdims=True) / ops.maximum(count, 1.0)
        filled = colour + mean * (1.0 - known)
        for colour, known in reversed(pyramid[:-1]):
            shape = ops.shape(colour)
            # Odd sizes: the last row or column of the coarser level stood for one row or column only.
            finer = bilinear_2x(filled)[:, : shape[1], : shape[2]]
            filled = colour + finer * (1.0 - known)
        return filled

    def compute_output_shape(self, image_shape: Any, valid_shape: Any) -> Any:
        return image_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}


def _halve(x: Any) -> Any:
    """Means over 2x2 pixels; what the border's odd row counts for cancels, since colours and weights shrink alike."""
    return ops.average_pool(x, 2, strides=2, padding="same", data_format="channels_last")


def bilinear_2x(x: Any) -> Any:
    """(B, H, W, C) at twice the height and width; pixel centres as in every image library, borders repeated.

    Written out because resize differs between backends in what it takes as a size and where it puts the centres.
    """
    batch, height, width, channels = ops.shape(x)
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    kernel = ops.convert_to_tensor(np.tile(_FOUR_PIXELS, (1, 1, channels, 1)), dtype=x.dtype)
    x = ops.depthwise_conv(x, kernel, data_format="channels_last")  # (B, H, W, C * 2 * 2)
    x = ops.transpose(ops.reshape(x, (batch, height, width, channels, 2, 2)), (0, 1, 4, 2, 5, 3))
    return ops.reshape(x, (batch, 2 * height, 2 * width, channels))
