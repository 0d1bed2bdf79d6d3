"""The partial-convolution U-Net for prediction alone: the same numbers as inpaint.pconv_unet, in less time.

What training needs and prediction does not is worked out once, when the weights are loaded:
- batch norm is folded into the kernel before it and into one bias;
- a 3x3 convolution over a nearest-neighbour enlarged map is four 2x2 convolutions over the small map, one for each of
  the four pixels that a small one becomes (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional
  layer?"): 4 multiplications where there were 9, and the large map is never made;
- the skip has a convolution of its own, so that nothing is concatenated;
- features are zero where unknown when they leave a layer, so that no layer masks what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from inpaint.pconv_config import PConvUNetConfig
from inpaint.pconv_unet import BN_EPSILON, LEAKY_SLOPE, read_arrays, residual_names
from inpaint.pull_push import PullPush
from weights import WeightsError

Arrays = Mapping[str, NDArray[np.float32]]

# Which of a 3x3 kernel's rows meet which of two small rows (p - 1, p), for the large rows 2p - 1 and 2p.
_MEETS = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], np.float32)  # [large row, small row, kernel row]


def read_fast_pconv(path: str | Path, *, dtype: str | None = None) -> keras.Model:
    """The net of a bundle for prediction, called as that of inpaint.pconv_unet.build_pconv_unet.

    dtype: of the multiplications and of the weights kept, "float32" or "bfloat16"; None is Keras's global one.
    Raises WeightsError as inpaint.pconv_unet.read_pconv does.
    """
    config, arrays = read_arrays(path)
    return build_fast_pconv(config, arrays, dtype=dtype, source=str(path))


def build_fast_pconv(
    config: PConvUNetConfig, arrays: Arrays, *, dtype: str | None = None, source: str = "the arrays given"
) -> keras.Model:
    """The net with those weights, its outputs within rounding of the trained net's (float32: 1e-4 of a range of 2).

    arrays: the trained net's variables by name, as inpaint.pconv_unet.named_variables calls them; none are written to.
    source: where they come from, for errors. dtype: as in read_fast_pconv.
    Raises WeightsError unless the arrays are those of a net of that config.
    """
    folded = _Folded(arrays, source)
    image = keras.Input((None, None, 3), name="image")
    valid = keras.Input((None, None, 1), name="valid")
    base = PullPush(name="base")(image, valid) if config.pull_push_base else None
    known_image, share = layers.Multiply(name="known_image", dtype=dtype)([image, valid]), valid
    if config.base_input:  # tensors of several validities are read as one whose pixels are known in part
        known_image = layers.Concatenate(name="inputs", dtype=dtype)([known_image, base, valid])
        others = config.input_channels - 3  # known everywhere
        share = (3.0 * valid + others) / config.input_channels
    skips = [(known_image, share)]
    channels = [config.input_channels]
    for level in range(1, config.levels + 1):
        size, filters = config.encoder_kernel(level), config.encoder_filters(level)
        kernel, bias = folded.take(f"enc{level}", (size, size, channels[-1], filters), normed=level > 1)
        layer = _Convolution({"kernel": kernel}, bias, strides=2, slope=0.0, name=f"enc{level}", dtype=dtype)
        skips.append(layer(*skips[-1]))
        channels.append(filters)

    x, known = skips.pop()
    filters = channels.pop()
    for level in range(config.levels, 0, -1):
        below, skip_channels = filters, channels[level - 1]
        name, filters, is_output = _decoder_layer(config, level)
        kernel, bias = folded.take(name, (3, 3, below + skip_channels, filters), normed=not is_output)
        kernels = {"small_kernel": sub_pixel_kernel(kernel[:, :, :below]), "kernel": kernel[:, :, below:]}
        slope = None if is_output else LEAKY_SLOPE
        layer = _UpsampledConvolution(kernels, bias, slope=slope, name=name, dtype=dtype)
        x, known = layer([x, skips[level - 1][0]], [known, skips[level - 1][1]])
        for name in residual_names(config, level):
            kernel, bias = folded.take(name, (3, 3, filters, filters), normed=True)
            x = _Residual({"kernel": kernel}, bias, slope=LEAKY_SLOPE, name=name, dtype=dtype)(x, known)
    if config.head_width:
        kernel, bias = folded.take("head", (3, 3, filters, 3), normed=False)
        x, known = _Convolution({"kernel": kernel}, bias, slope=None, name="head", dtype=dtype)(x, known)
    folded.check_all_taken()

    prediction = layers.Activation("linear", name="prediction", dtype="float32")(x)
    if base is not None:
        prediction = layers.Add(name="base_plus_prediction", dtype="float32")([base, prediction])
    return keras.Model([image, valid], prediction, name="fast_pconv_unet")


def sub_pixel_kernel(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, 3, C, F) to (2, 2, C, 4 F): the four convolutions over a small map that equal one over it enlarged 2x.

    Over the small map with a border of one zero on every side, output (p, q) holds the large pixels (2p - 1, 2q - 1),
    (2p - 1, 2q), (2p, 2q - 1) and (2p, 2q), F channels each.
    """
    small = np.einsum("rtk,sul,klcf->tucrsf", _MEETS, _MEETS, kernel)
    return small.reshape(2, 2, kernel.shape[2], -1)


def _decoder_layer(config: PConvUNetConfig, level: int) -> tuple[str, int, bool]:
    """Its name, its filters, and whether it is the output: neither batch norm nor activation."""
    if level > 1:
        return f"dec{level}", config.encoder_filters(level - 1), False
    return "dec1", config.head_width or 3, not config.head_width


class _Folded:
    """The trained net's arrays, taken out layer by layer with batch norm folded in."""

    def __init__(self, arrays: Arrays, source: str):
        self._left = dict(arrays)
        self._source = source

    def take(self, name: str, shape: tuple[int, ...], *, normed: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """The kernel of that shape and the bias, float32, of a layer and of the batch norm behind it."""
        filters = shape[-1:]
        kernel = self._pop(f"{name}/kernel", shape)
        if not normed:
            return kernel, self._pop(f"{name}/bias", filters)
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (self._pop(f"{name}_bn/{part}", filters).astype(np.float64) for part in names)
        scale = gamma / np.sqrt(variance + BN_EPSILON)
        return (kernel * scale).astype(np.float32), (beta - mean * scale).astype(np.float32)

    def check_all_taken(self) -> None:
        if self._left:
            raise WeightsError(f"{self._source} does not fit the net: {min(self._left)} belongs to no layer of it")

    def _pop(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        array = self._left.pop(name, None)
        if array is None:
            raise WeightsError(f"{self._source} does not fit the net: {name} is missing")
        if array.shape != shape:
            raise WeightsError(f"{self._source} does not fit the net: {name} is {array.shape}, expected {shape}")
        return np.asarray(array, np.float32)


class _Convolution(layers.Layer):
    """PartialConv2D, batch norm and (leaky) ReLU in one: `layer(features, valid)` gives (features, valid).

    features: (B, H, W, C), zero wherever valid, (B, H, W, 1), is 0; and so are those that come back. Between 0 and 1,
    valid says which share of a pixel's channels is known.
    slope: of the activation below zero; None: no activation.
    """

    def __init__(
        self,
        kernels: Mapping[str, NDArray[Any]],
        bias: NDArray[Any],
        *,
        slope: float | None,
        strides: int = 1,
        **layer_options: Any,  # name, dtype: keras.layers.Layer refuses others
    ):
        super().__init__(trainable=False, **layer_options)
        self.strides, self.slope = strides, slope
        self._kernels = {
            name: self.add_weight(name=name, shape=kernel.shape, initializer=_constant(kernel))
            for name, kernel in kernels.items()
        }
        self._bias = self.add_weight(name="bias", shape=bias.shape, initializer=_constant(bias))
        self.built = True

    def call(self, features: Any, valid: Any) -> tuple[Any, Any]:
        kernel = self._kernels["kernel"]
        size, _, channels, _ = kernel.shape
        if self.strides == 1:
            total = ops.conv(features, kernel, padding="same", data_format="channels_last")
        else:
            total = ops.conv(_padded(features, size // 2), kernel, strides=self.strides, data_format="channels_last")
        # Shares of the window, and so of the same size for every number of channels.
        known = box_sum(ops.cast(valid, "float32"), size, self.strides) * channels
        return self._finish(total, known, size * size * channels)

    def compute_output_shape(self, features_shape: Any, valid_shape: Any) -> tuple[Any, Any]:
        # Height and width come with the photo; asked for a shape, Keras need not trace the layer when the net is made.
        return (None, None, None, self._bias.shape[0]), (None, None, None, 1)

    def _finish(self, total: Any, known: Any, window: int) -> tuple[Any, Any]:
        """Equations 1 and 2 (see PartialConv2D), the activation, and zero where nothing is known."""
        found = ops.cast(known > 0.5, self.compute_dtype)
        ratio = ops.cast(window / ops.maximum(known, 1.0), self.compute_dtype)
        x = total * ratio + self._bias
        if self.slope is not None:
            x = ops.leaky_relu(x, self.slope) if self.slope else ops.relu(x)
        return x * found, found


class _Residual(_Convolution):
    """What the layer makes of the features, added to them where they are valid: `layer(features, valid)`."""

    def call(self, features: Any, valid: Any) -> Any:
        more, _ = super().call(features, valid)
        return features + more * ops.cast(valid, self.compute_dtype)

    def compute_output_shape(self, features_shape: Any, valid_shape: Any) -> Any:
        return features_shape


class _UpsampledConvolution(_Convolution):
    """The same over [small, skip] and their validities, small being read as enlarged 2x by nearest neighbour."""

    def call(self, features: Any, valid: Any) -> tuple[Any, Any]:
        (small, skip), (small_valid, skip_valid) = features, valid
        small_kernel, kernel = self._kernels["small_kernel"], self._kernels["kernel"]
        total = ops.conv(_padded(small, 1), small_kernel, data_format="channels_last")  # (B, H/2 + 1, W/2 + 1, 4 F)
        total = _interleaved(total) + ops.conv(skip, kernel, padding="same", data_format="channels_last")
        enlarged = ops.repeat(ops.repeat(ops.cast(small_valid, "float32"), 2, axis=1), 2, axis=2)
        channels, skip_channels = small_kernel.shape[2], kernel.shape[2]
        known = box_sum(enlarged * channels + ops.cast(skip_valid, "float32") * skip_channels, 3)
        return self._finish(total, known, 9 * (channels + skip_channels))


def box_sum(x: Any, size: int, strides: int = 1) -> Any:
    """The sums over size x size windows, beyond the border zero: (B, H, W, 1) to (B, ceil(H / strides), ..., 1)."""
    x = _padded(x, size // 2)
    if strides > 1:
        return ops.conv(x, ops.ones((size, size, 1, 1)), strides=strides, data_format="channels_last")
    # A row and a column of sums: where every window counts, the convolution would take four times as long.
    x = _sum([x[:, i : i - size + 1 or None] for i in range(size)])
    return _sum([x[:, :, i : i - size + 1 or None] for i in range(size)])


def _sum(parts: list[Any]) -> Any:
    return sum(parts[1:], parts[0])


def _padded(x: Any, by: int) -> Any:
    return ops.pad(x, ((0, 0), (by, by), (by, by), (0, 0)))


def _interleaved(x: Any) -> Any:
    """(B, h + 1, w + 1, 4 F) as sub_pixel_kernel leaves it to (B, 2 h, 2 w, F), the outermost rows and columns cut."""
    batch, height, width, _ = ops.shape(x)
    filters = x.shape[-1] // 4
    x = ops.reshape(x, (-1, width, 2, 2 * filters))  # (B (h + 1), w + 1, row, (column, F))
    x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (batch, 2 * height, 2 * width, filters))
    return x[:, 1:-1, 1:-1]


def _constant(array: NDArray[Any]) -> Any:
    return lambda shape, dtype=None: ops.convert_to_tensor(array, dtype=dtype)
