"""The frameworks: Keras without TensorFlow's unasked lines, nets for any size, what torch says in one line."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# Told to every user on every start, of no use to any: no GPU was found, instructions of the processor.
_NOISE = (
    "absl::InitializeLog",
    "cudart_stub",
    "cuda_platform",
    "cpu_feature_guard",
    "rebuild TensorFlow",
    "oneDNN custom",
)

_DEVICE = re.compile(r"auto|(cpu|gpu|cuda)(:\d+)?", re.IGNORECASE)

# What Keras imports at its start where it is installed, to draw and to learn from tables: 0.7 CPU seconds and 80 MiB.
# The commands on photos say by LEAN that they want neither; in anybody's own program Keras comes whole.
_NOT_FOR_PHOTOS = ("matplotlib", "pandas")
LEAN = "CLICKAWAY_LEAN_KERAS"  # an environment variable: worker processes inherit it


def check_device(name: str) -> None:
    """Raises ValueError for what is no device's name. Whether it is here only a framework knows: none is loaded."""
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"no device is called {name!r}: use auto, cpu, cuda or cuda:1")


def load_keras() -> None:
    """Imports Keras and its backend, once. What is printed on the way and is no noise is printed afterwards.

    Raises ImportError as the import does.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _stderr_without_noise(), _hidden(_NOT_FOR_PHOTOS if os.environ.get(LEAN) else ()):
        import keras

        keras.ops.zeros(1)  # the devices are looked for at the first operation


@contextlib.contextmanager
def _hidden(names: Sequence[str]) -> Iterator[None]:
    """Those of these packages that are not imported yet look as if they were not installed."""
    names = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: how the import system says it
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


@contextlib.contextmanager
def _stderr_without_noise() -> Iterator[None]:
    """Python's own redirection would not do: the lines come from C++, by the file descriptor."""
    try:
        stderr_fd = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):  # a notebook's, a test's: nothing of C++ goes there
        yield
        return
    sys.stderr.flush()
    saved_fd = os.dup(stderr_fd)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), stderr_fd)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved_fd, stderr_fd)
            os.close(saved_fd)
            caught.seek(0)
            lines = caught.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if not any(word in line for word in _NOISE)))


def told_by_torch(error: Exception) -> str:
    """What torch.load says is wrong, in one line and without its advice to switch the checks off."""
    told = str(error).partition("WeightsUnpickler error: ")[2] or str(error)
    return (told.splitlines() or [type(error).__name__])[0].strip()[:200]


def compiled(net: Any) -> Callable[[Any], Any]:
    """A net as a function of its inputs, arrays in the structure of net.input; one graph for all sizes if possible."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Keras would make one for each of the first sizes, seconds each, before it sees that they differ. AutoGraph
        # would rewrite loops and branches on tensors, of which nets have none.
        inputs = keras.tree.map_structure(lambda one: tf.TensorSpec(one.shape, one.dtype, one.name), net.input)
        return tf.function(lambda arrays: net(arrays, training=False), input_signature=[inputs], autograph=False)
    # XLA compiles for seconds for every new size; JAX knows no other way.
    net.compile(jit_compile=keras.backend.backend() == "jax")
    return net.predict_on_batch
