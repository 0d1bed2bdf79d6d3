"""The layers of which this project's own nets are built."""

from __future__ import annotations

from typing import Any

from keras import layers

BN = {"epsilon": 1e-3, "momentum": 0.98}  # small batches: a long memory


def conv(x: Any, filters: int, kernel_px: int, name: str, *, dilation: int = 1) -> Any:
    """Convolution, batch norm, ReLU; the size stays."""
    x = layers.Conv2D(
        filters,
        kernel_px,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = layers.BatchNormalization(name=f"{name}_bn", **BN)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def residual(x: Any, filters: int, dilation: int, name: str) -> Any:
    """He et al. 2015, figure 2; the second batch norm starts at zero, so that a fresh block changes nothing."""
    y = conv(x, filters, 3, f"{name}_a", dilation=dilation)
    y = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_b")(y)
    y = layers.BatchNormalization(name=f"{name}_b_bn", gamma_initializer="zeros", **BN)(y)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))
