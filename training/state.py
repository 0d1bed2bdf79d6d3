"""What a checkpoint holds of a Keras net in training, and how a run ends when it cannot go on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.average import WeightAverage
from training.checkpoint import CheckpointError, write_state, write_whole
from training.command import TrainingStopped
from weights.nets import named_variables

Groups = Mapping[str, Mapping[str, NDArray[Any]]]


def save(path: Path, meta: Mapping[str, Any], net: keras.Model, average: WeightAverage, optimizer: Any) -> None:
    """Writes the net, the mean of its weights and the optimizer with meta, plain data; raises OSError."""
    groups = {
        "net": _arrays(named_variables(net)),
        "mean": average.arrays(),
        "optimizer": _arrays(_numbered(optimizer.variables)),
        "random": _arrays(_numbered(_random_states(net))),
    }
    write_state(path, meta, groups)


def restore(path: Path, groups: Groups, net: keras.Model, average: WeightAverage, optimizer: Any) -> None:
    """Gives all three what save wrote to path. Raises CheckpointError if it is of another net or optimizer."""
    try:
        average.restore(groups["mean"])
        wanted = {
            "net": named_variables(net),
            "optimizer": _numbered(optimizer.variables),
            "random": _numbered(_random_states(net)),
        }
        for group, variables in wanted.items():
            for name, variable in variables.items():
                variable.assign(groups[group][name])
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not fit this net ({error}): resume with the options of its config.json"
        ) from error


def check_finite(logs: Mapping[str, float], batch: Mapping[str, NDArray[Any]], *, out: Path, step: int) -> None:
    """Raises TrainingStopped, and keeps the batch in out, if the step's loss is no number any more."""
    if math.isfinite(logs["loss"]):
        return
    file = out / f"not_finite_step_{step}.npz"
    write_whole(file, lambda f: np.savez(f, allow_pickle=False, step=step, **batch))
    terms = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
    raise TrainingStopped(
        f"the loss is not finite at step {step} ({terms}): the batch is in {file}; "
        "lower --rate or set --clip-norm, and go on from the last checkpoint with --resume"
    )


def cannot_write(error: OSError, *, out: Path, step: int) -> TrainingStopped:
    """The end of a run whose folder takes nothing any more."""
    return TrainingStopped(
        f"stopped after step {step}: {out} cannot be written to ({error.strerror or error}); "
        "the last checkpoint there, if any, is whole: make room and go on with --resume"
    )


def _random_states(net: keras.Model) -> list[Any]:
    """What the net's dropouts draw from next: no part of its weights, but of how the run goes on."""
    weights = {id(variable) for variable in net.weights}
    return [variable for variable in net.variables if id(variable) not in weights]


def _numbered(variables: Sequence[Any]) -> dict[str, Any]:
    return {f"{number:04d}": variable for number, variable in enumerate(variables)}


def _arrays(variables: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {name: np.array(ops.convert_to_numpy(variable)) for name, variable in variables.items()}
