"""The format of the weights that this project trains and ships: one .npz, no pickles, nothing that runs.

A bundle holds one array a variable, under its layer's and its own name ("enc1/kernel"), stored as float16 (float32
where a converted net must not change), and under the key "config" a JSON text: everything that the net's builder needs.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from weights import WeightsError
from weights.kinds import is_like

_CONFIG = "config"
NetConfig = TypeVar("NetConfig")
_LARGEST, _LONGEST = 4096, 200  # of a net's sizes: VGG's widest layer; of a name
_MOST_BYTES = 2 * 2**30  # unpacked: sixty times the largest bundle; zeros pack to a thousandth


def write_bundle(
    path: Path, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], *, float16: bool = True
) -> None:
    """Writes a bundle whole or not at all. Floating-point arrays become float16, or float32 if float16 is False.

    An array with a value beyond float16's largest, 65504, becomes float32 all the same: large rates give batch norm
    such variances. The same content gives the same bytes, so that a bundle's sha256 can be reproduced.
    Raises ValueError if a value is not finite, or an array is called "config".
    """
    if _CONFIG in arrays:
        raise ValueError(f"an array cannot be called {_CONFIG!r}: the bundle's config is kept under that name")
    kept = {}
    for name, array in arrays.items():
        kept[name] = np.asarray(array)
        if np.issubdtype(array.dtype, np.floating):
            fits = float16 and np.abs(array).max(initial=0) <= np.finfo(np.float16).max
            kept[name] = kept[name].astype(np.float16 if fits else np.float32)
        if not np.isfinite(kept[name]).all():
            raise ValueError(f"{name} holds values that are not finite: a bundle of it would be broken")
    kept[_CONFIG] = np.array(json.dumps(dict(config), sort_keys=True))
    partial = path.with_name(path.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(kept):
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, kept[name], allow_pickle=False)
                # A ZipInfo without a date is 1980-01-01: np.savez would stamp the time and change the bytes.
                entry = zipfile.ZipInfo(f"{name}.npy")
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, buffer.getvalue())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_bundle(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The config and the arrays (floating-point ones as float32) of a bundle.

    Raises WeightsError if the file is no bundle or is damaged. Nothing in the file is ever run.
    """
    config, arrays = _read(path, config_only=False)
    return config, {
        name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in arrays.items()
    }


def read_bundle_config(path: Path) -> dict[str, Any]:
    """The config of a bundle alone; its arrays are not read. Raises WeightsError as read_bundle does."""
    return _read(path, config_only=True)[0]


def net_config(
    path: Path, config: Mapping[str, Any], architecture: str, config_type: type[NetConfig]
) -> tuple[NetConfig, dict[str, Any]]:
    """The net's own config, and the extra data, in the config of the bundle at path.

    Raises WeightsError if it is of another architecture, or does not fit config_type.
    """
    if config.get("architecture") != architecture:
        raise WeightsError(f"{path} is a bundle of {config.get('architecture')!r}, not of {architecture!r}")
    try:
        _check_values(config["net"], config_type)
        return config_type(**config["net"]), dict(config.get("extra", {}))
    except (TypeError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} was written by another version of Clickaway ({error})") from error


def read_net_config(path: Path, architecture: str, config_type: type[NetConfig]) -> tuple[NetConfig, dict[str, Any]]:
    """The config and the extra data. Raises WeightsError if the file is damaged or of another architecture."""
    return net_config(path, read_bundle_config(path), architecture, config_type)


def _check_values(values: Mapping[str, Any], config_type: type) -> None:
    """Raises ValueError for what no net's config holds: other kinds than its fields', sizes that would take a machine.

    A stranger may have written it, and whoever builds a net makes loops and arrays of these numbers.
    """
    usual = {spec.name: spec.default for spec in fields(config_type)}
    for name, value in values.items():
        if isinstance(value, list) and len(value) > _LARGEST:
            raise ValueError(f"{name} has {len(value)} values")
        for one in value if isinstance(value, list) else [value]:
            is_number = isinstance(one, int | float) and abs(one) <= _LARGEST  # false for nan
            if not (is_number or one is None or (isinstance(one, str) and len(one) <= _LONGEST)):
                raise ValueError(f"{name} is {str(value)[:_LONGEST]}")
        default = usual.get(name, MISSING)
        if not (default is MISSING or default is None or value is None or is_like(value, default)):
            raise ValueError(f"{name} is {str(value)[:_LONGEST]}, expected such as {default}")


def _read(path: Path, *, config_only: bool) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > _MOST_BYTES:
                raise ValueError("it unpacks to more than any net needs")
        with np.load(path, allow_pickle=False) as archive:
            config = json.loads(str(archive[_CONFIG]))
            arrays = {name: archive[name] for name in archive.files if name != _CONFIG and not config_only}
        if not isinstance(config, dict):
            raise ValueError("its config is no table")
    except Exception as error:  # a damaged file can fail anywhere in the readers, with any exception
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} is not a whole Clickaway bundle ({reason}): fetch or export it again") from error
    return config, arrays
