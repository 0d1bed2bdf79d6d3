"""The U-Net of partial convolutions (Liu et al. 2018, section 3.2 and the network table of the supplement).

Images are float RGB in -1..1 and validity is 1 where known, 0 where not: (B, H, W, 3) and (B, H, W, 1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from inpaint.partial_conv import PartialConv2D
from inpaint.pconv_config import ARCHITECTURE, PUBLISHED_512, PConvUNetConfig
from inpaint.pull_push import PullPush
from weights.bundle import net_config, read_bundle
from weights.nets import named_variables, read_net, write_net

BN_EPSILON = 1e-5  # PyTorch's, which the published weights were trained with
LEAKY_SLOPE = 0.2


def build_pconv_unet(config: PConvUNetConfig = PUBLISHED_512, *, dtype: str | None = None) -> keras.Model:
    """The net: `model([image, valid])` gives its prediction of the whole photo, (B, H, W, 3) float32 around -1..1.

    image: (B, H, W, 3) float RGB in -1..1; what it holds where valid is 0 is never looked at.
    valid: (B, H, W, 1) float, 1 where known, 0 where to be filled. H and W: multiples of config.multiple.
    dtype: a Keras dtype policy such as "mixed_bfloat16"; None is the global one. The output is float32 in any case.

    The composite (known pixels from the photo, the others from the prediction) is made outside. Layers are called
    encN, encN_bn, ..., decN, decN_bn, N counted from the photo's size down, and so are the variables of a bundle; the
    residual layers behind decN are decN_res1, decN_res1_bn and so on.
    """
    image = keras.Input((None, None, 3), name="image")
    valid = keras.Input((None, None, 1), name="valid")
    base = PullPush(name="base")(image, valid) if config.pull_push_base else None
    inputs, inputs_known = [image], [valid]
    if config.base_input:  # known everywhere
        inputs += [base, valid]
        inputs_known += [ops.ones_like(valid)] * 2
    skips = [(inputs, inputs_known)]
    for level in range(1, config.levels + 1):
        kernel_size, filters = config.encoder_kernel(level), config.encoder_filters(level)
        conv = PartialConv2D(
            filters, kernel_size, strides=2, use_bias=level == 1, name=f"enc{level}", dtype=dtype
        )  # batch norm brings its own bias
        x, known = conv(*skips[-1])
        if level > 1:
            x = _batch_norm(config, f"enc{level}_bn", dtype)(x)
        skips.append(([layers.ReLU(name=f"enc{level}_relu", dtype=dtype)(x)], [known]))

    (x,), (known,) = skips.pop()
    for level in range(config.levels, 0, -1):
        skip, skip_known = skips.pop()
        last = level == 1
        filters = config.encoder_filters(level - 1) if not last else config.head_width
        if last and not filters:
            x, known = _output(config, upsample_first=True, dtype=dtype)([x, *skip], [known, *skip_known])
            break
        x, known = PartialConv2D(filters, 3, use_bias=False, upsample_first=True, name=f"dec{level}", dtype=dtype)(
            [x, *skip], [known, *skip_known]
        )
        x = _batch_norm(config, f"dec{level}_bn", dtype)(x)
        x = layers.LeakyReLU(LEAKY_SLOPE, name=f"dec{level}_lrelu", dtype=dtype)(x)
        for name in residual_names(config, level):
            x = _residual(config, name, filters, dtype)(x, known)
    if config.head_width:
        x, known = _output(config, upsample_first=False, dtype=dtype)([x], [known])

    prediction = layers.Activation("linear", name="prediction", dtype="float32")(x)
    if base is not None:
        prediction = layers.Add(name="base_plus_prediction", dtype="float32")([base, prediction])
    return keras.Model([image, valid], prediction, name=ARCHITECTURE)


def residual_names(config: PConvUNetConfig, level: int) -> list[str]:
    """The names of the residual layers behind decN, in their order; none at full size."""
    return [f"dec{level}_res{number}" for number in range(1, config.residuals + 1)] if level > 1 else []


def _residual(config: PConvUNetConfig, name: str, filters: int, dtype: str | None) -> Callable[[Any, Any], Any]:
    """x plus what one more layer makes of it, of the same size and validity; zero at first, so that nets can grow."""

    def added(x: Any, known: Any) -> Any:
        more, _ = PartialConv2D(filters, 3, use_bias=False, name=name, dtype=dtype)(x, known)
        more = _batch_norm(config, f"{name}_bn", dtype, gamma_initializer="zeros")(more)
        more = layers.LeakyReLU(LEAKY_SLOPE, name=f"{name}_lrelu", dtype=dtype)(more)
        return layers.Add(name=f"{name}_add", dtype=dtype)([x, more])

    return added


def _output(config: PConvUNetConfig, *, upsample_first: bool, dtype: str | None) -> PartialConv2D:
    """The last layer: three channels, neither batch norm nor activation; over a base it starts at zero."""
    return PartialConv2D(
        3,
        3,
        upsample_first=upsample_first,
        kernel_initializer="zeros" if config.pull_push_base else "he_normal",
        name="head" if config.head_width else "dec1",
        dtype=dtype,
    )


def _batch_norm(config: PConvUNetConfig, name: str, dtype: str | None, **options: Any) -> keras.layers.Layer:
    return layers.BatchNormalization(epsilon=BN_EPSILON, momentum=config.bn_momentum, name=name, dtype=dtype, **options)


def freeze_encoder_bn(model: keras.Model, *, frozen: bool = True) -> None:
    """Freezes (or thaws) the batch norm of the encoder, and only there: Liu et al. 2018, section 4.2, second phase.

    A frozen layer uses its moving averages even when the net is called with training=True, does not change them, and
    its scale and shift leave model.trainable_variables: build the optimizer and compile the training step afterwards.
    """
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization) and layer.name.startswith("enc"):
            layer.trainable = not frozen


def write_pconv(
    path: str | Path,
    model: keras.Model,
    config: PConvUNetConfig,
    extra: dict[str, Any] | None = None,
    *,
    float16: bool = True,
) -> None:
    """Writes the net as a bundle (weights.bundle): its variables, its config, and extra, plain data such as the steps.

    extra["max_size_px"], where it is given, is the largest crop that the net should be asked to fill.
    float16: False keeps float32, for weights that were not made here and must not change.
    Raises ValueError if the model is not one that build_pconv_unet(config) makes, or holds values that are not finite.
    """
    own, expected = (
        {name: tuple(variable.shape) for name, variable in named_variables(net).items()}
        for net in (model, build_pconv_unet(config, dtype="float32"))
    )
    if own != expected:
        raise ValueError(f"the model's variables are not those of {config}: give the config it was built with")
    write_net(Path(path), model, ARCHITECTURE, config, extra, float16=float16)


def read_pconv(path: str | Path, *, dtype: str | None = None) -> keras.Model:
    """The net of a bundle, with its weights.

    dtype: as for build_pconv_unet.
    Raises WeightsError if the file is damaged, is a bundle of another net, or does not fit its own config.
    """
    return read_net(Path(path), ARCHITECTURE, PConvUNetConfig, partial(build_pconv_unet, dtype=dtype))[0]


def read_arrays(path: str | Path) -> tuple[PConvUNetConfig, dict[str, np.ndarray]]:
    """The config and the variables of a bundle, by name and float32; whether they fit it is for the builder to see.

    Raises WeightsError if the file is damaged or a bundle of another net.
    """
    raw, arrays = read_bundle(Path(path))
    return net_config(Path(path), raw, ARCHITECTURE, PConvUNetConfig)[0], arrays
