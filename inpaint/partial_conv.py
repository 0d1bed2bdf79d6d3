"""Partial convolution: a convolution that looks only at known pixels.

Liu et al., "Image Inpainting for Irregular Holes Using Partial Convolutions", ECCV 2018, equations 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensors = Any  # one tensor of the backend, or a list of them


@keras.saving.register_keras_serializable(package="clickaway")
class PartialConv2D(keras.layers.Layer):
    """A 2-D convolution over the known pixels of its inputs, and which of its outputs are known.

    Called as `layer(features, valid)`: features is one tensor (B, H, W, C) or a list of them, which are read as if
    concatenated along the channels; valid has one tensor (B, H, W, 1) for each, 1 where known and 0 where not.
    Returns (outputs, new_valid): (B, ceil(H / strides), ceil(W / strides), filters) and the same with 1 channel.

        outputs = (W * (x . valid)) * ratio + b   where the window holds a known value, else 0      (eq. 1)
        ratio = (window size with channels) / (known values in the window, over all channels)
        new_valid = 1 where the window holds a known value, else 0                                   (eq. 2)

    One validity channel serves all channels of a tensor, so that a window of several tensors holds
    sum(C_i * box(valid_i)) known values: the same numbers as validity repeated over every channel, for a fraction of
    the work. What lies in features where valid is 0 is never looked at.

    The window is padded by kernel_size // 2 on every side, as in the published PyTorch code: padding is unknown, and
    with stride 2 the windows are centred on the even rows and columns (TensorFlow's "same" centres them elsewhere when
    the size is even, so weights would not carry over).

    upsample_first: the first tensor and its validity have half the height and width, and are read as if each of their
    pixels were 2x2 (the nearest-neighbour step of the decoder).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        *,
        strides: int = 1,
        use_bias: bool = True,
        upsample_first: bool = False,
        kernel_initializer: Any = "he_normal",
        bias_initializer: Any = "zeros",
        **layer_options: Any,  # name, dtype, trainable: keras.layers.Layer refuses others
    ):
        super().__init__(**layer_options)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}: an even window has no centre")
        if filters < 1 or strides < 1:
            raise ValueError(f"filters and strides must be 1 or more, got {filters} and {strides}")
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.use_bias = use_bias
        self.upsample_first = upsample_first
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, features_shape: Any, valid_shape: Any) -> None:
        channels = [shape[-1] for shape in _shapes(features_shape)]
        if [shape[-1] for shape in _shapes(valid_shape)] != [1] * len(channels):
            raise ValueError(
                f"every feature tensor needs its own validity of one channel: got features {features_shape} "
                f"and validity {valid_shape}"
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, sum(channels), self.filters),
            initializer=self.kernel_initializer,
        )
        self.bias = (
            self.add_weight(name="bias", shape=(self.filters,), initializer=self.bias_initializer)
            if self.use_bias
            else None
        )

    def call(self, features: Tensors, valid: Tensors) -> tuple[Any, Any]:
        features, valid = _as_list(features), _as_list(valid)
        # Batch norm and biases leave values at unknown places: they must not be seen.
        known = [x * v for x, v in zip(features, valid, strict=True)]
        # Counts go beyond what 16-bit floats hold exactly, so they are float32 under mixed precision too.
        weighted = [ops.cast(v, "float32") * x.shape[-1] for x, v in zip(features, valid, strict=True)]
        if self.upsample_first:
            known[0], weighted[0] = _nearest_2x(known[0]), _nearest_2x(weighted[0])

        # Validity has one channel, so counting is one 1-channel convolution whatever the number of features.
        ones = ops.ones((self.kernel_size, self.kernel_size, 1, 1), "float32")
        count = self._convolve(sum(weighted[1:], weighted[0]), ones)  # (B, H', W', 1), a whole number
        window = float(self.kernel_size**2 * sum(x.shape[-1] for x in features))
        found = ops.cast(count > 0.5, self.compute_dtype)
        ratio = ops.cast(ops.where(count > 0.5, window / ops.maximum(count, 1.0), 0.0), self.compute_dtype)

        outputs = self._convolve(ops.concatenate(known, axis=-1) if len(known) > 1 else known[0], self.kernel)
        outputs = outputs * ratio
        if self.bias is not None:
            outputs = outputs + self.bias * found
        return outputs, found

    def _convolve(self, x: Any, kernel: Any) -> Any:
        if self.strides == 1:  # "same" is then kernel_size // 2 on every side, without a padded copy
            return ops.conv(x, kernel, padding="same", data_format="channels_last")
        side = (self.kernel_size // 2, self.kernel_size // 2)
        x = ops.pad(x, ((0, 0), side, side, (0, 0)))
        return ops.conv(x, kernel, strides=self.strides, padding="valid", data_format="channels_last")

    def compute_output_shape(self, features_shape: Any, valid_shape: Any) -> tuple[Any, Any]:
        # The last tensor is at full size; only a lone upsampled one is not.
        shapes = _shapes(features_shape)
        factor = 2 if self.upsample_first and len(shapes) == 1 else 1
        batch, *sizes_hw = shapes[-1][:3]
        height, width = (None if size is None else -(-size * factor // self.strides) for size in sizes_hw)
        return (batch, height, width, self.filters), (batch, height, width, 1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "use_bias": self.use_bias,
            "upsample_first": self.upsample_first,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def _nearest_2x(x: Any) -> Any:
    """(B, H, W, C) to (B, 2 H, 2 W, C), each pixel four times."""
    return ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)


def _as_list(tensors: Tensors) -> list[Any]:
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def _shapes(shape: Any) -> Sequence[Any]:
    """A list of shapes, whether the layer was given one tensor or a list of them."""
    return shape if isinstance(shape[0], (list, tuple)) else [shape]
