"""The state of a run in one .npz: enough to continue as if it had never stopped. Written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

# The files of a run: its options, its state, and the bundles of the mean weights.
CONFIG_FILE, STATE_FILE, BEST_FILE, LAST_FILE = "config.json", "state.npz", "best.npz", "last.npz"
_META = "meta"


class CheckpointError(RuntimeError):
    """A run's state is missing, damaged or another run's. The message says what to do."""


def run_config(out: str) -> Path:
    """The options file of the run in out, which is to go on. Raises CheckpointError if no run is there."""
    if not out:
        raise CheckpointError("--resume goes on with the run in --out: give --out FOLDER")
    file = Path(out) / CONFIG_FILE
    if not file.is_file():
        raise CheckpointError(f"{out} holds no run ({CONFIG_FILE} is not there): nothing to resume")
    return file


def write_whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Has the file written beside its place, then moved there: what was there survives until the new one is whole.

    Raises OSError if the disk is full or the folder cannot be written to; nothing is left behind then.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_state(path: Path, meta: Mapping[str, Any], groups: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
    """Writes arrays in named groups, and meta, plain data. Raises OSError as write_whole does."""
    arrays = {f"{group}:{name}": array for group, members in groups.items() for name, array in members.items()}
    arrays[_META] = np.array(json.dumps(dict(meta)))
    write_whole(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, NDArray[Any]]]]:
    """The meta data and the groups of arrays. Raises CheckpointError if the file is missing or damaged."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not there: nothing to resume; start without --resume")
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            meta = json.loads(str(archive[_META]))
            for key in archive.files:
                if key != _META:
                    group, name = key.split(":", 1)
                    groups.setdefault(group, {})[name] = archive[key]
    except Exception as error:  # zipfile, zlib, NumPy and json each raise their own on damage
        raise CheckpointError(f"{path} is damaged ({error}): start again without --resume") from error
    return meta, groups
