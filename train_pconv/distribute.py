"""tf.distribute for the TensorFlow backend: the GPUs of a machine, or the machines of TF_CONFIG."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import keras


def open_strategy(kind: str) -> Any:
    """The strategy of that kind ("none", "gpus", "machines"), or None. To be called before TensorFlow does anything.

    Raises ValueError under another backend, without a second GPU to share with, or without TF_CONFIG.
    """
    if kind == "none":
        return None
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"--distribute {kind} is TensorFlow's: set KERAS_BACKEND=tensorflow, or leave it out")
    import tensorflow as tf

    if kind == "gpus":
        if not tf.config.list_physical_devices("GPU"):
            raise ValueError("--distribute gpus finds no GPU here: leave it out")
        return tf.distribute.MirroredStrategy()
    if not cluster():
        raise ValueError(
            "--distribute machines needs TF_CONFIG in the environment, on every machine with its own index: "
            '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}'
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


def cluster() -> list[str]:
    """The addresses of TF_CONFIG's workers; empty without it."""
    addresses: list[str] = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {}).get("worker", [])
    return addresses


def is_chief(kind: str) -> bool:
    """True in the one process that writes checkpoints and prints."""
    if kind != "machines":
        return True
    return json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index", 0) == 0


def scope(strategy: Any) -> contextlib.AbstractContextManager[Any]:
    """Where variables are made, so that every replica has them."""
    return strategy.scope() if strategy is not None else contextlib.nullcontext()
