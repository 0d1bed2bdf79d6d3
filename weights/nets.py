"""Keras nets in and out of bundles (weights.bundle): the architecture's name, its config, its variables by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from weights import WeightsError
from weights.bundle import NetConfig, net_config, read_bundle, write_bundle


def named_variables(net: keras.Model) -> dict[str, keras.Variable]:
    """Every variable that belongs into a weight file, as "enc2_bn/gamma": the same names on every backend.

    Those of a net within the net carry its name: "head/trunk/kernel".
    """
    named: dict[str, keras.Variable] = {}
    for layer in net.layers:
        found = named_variables(layer) if isinstance(layer, keras.Model) else {v.name: v for v in layer.weights}
        named |= {f"{layer.name}/{name}": variable for name, variable in found.items()}
    return named


def write_net(
    path: Path,
    net: keras.Model,
    architecture: str,
    config: Any,
    extra: Mapping[str, Any] | None = None,
    *,
    float16: bool = True,
) -> None:
    """Writes the net as a bundle. config: the frozen dataclass it was built from. extra: plain data such as the steps.

    Raises ValueError if a value is not finite.
    """
    arrays = {
        name: keras.ops.convert_to_numpy(variable)
        for name, variable in named_variables(net).items()
        if variable.dtype.startswith(("float", "bfloat"))  # not the state of dropout's random numbers
    }
    described = {"architecture": architecture, "net": asdict(config), "extra": dict(extra or {})}
    write_bundle(path, described, arrays, float16=float16)


def read_net(
    path: Path, architecture: str, config_type: type[NetConfig], build: Callable[[NetConfig], keras.Model]
) -> tuple[keras.Model, NetConfig, dict[str, Any]]:
    """The net with its weights, its config and the extra data.

    Raises WeightsError if the file is damaged, of another architecture, or does not fit its own config.
    """
    raw, arrays = read_bundle(path)
    config, extra = net_config(path, raw, architecture, config_type)
    try:
        net = build(config)
    except Exception as error:  # Keras raises whatever comes to it on sizes that do not fit each other
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} describes a net that cannot be built ({reason})") from error
    set_variables(net, arrays, source=str(path))
    return net, config, extra


def set_variables(net: keras.Model, arrays: Mapping[str, NDArray[np.floating]], *, source: str) -> None:
    """Gives every variable of the net its array, by name. Raises WeightsError unless they match one to one."""
    variables = {name: v for name, v in named_variables(net).items() if v.dtype.startswith(("float", "bfloat"))}
    if missing := sorted(variables.keys() ^ arrays.keys()):
        raise WeightsError(f"{source} does not fit the net: {missing[0]} and {len(missing) - 1} others do not match")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise WeightsError(
                f"{source} does not fit the net: {name} is {arrays[name].shape}, expected {tuple(variable.shape)}"
            )
        variable.assign(arrays[name])
