"""The nets that ship, by ONNX Runtime: ready in a tenth of a second where TensorFlow takes ten; the same numbers.

A shipped bundle NAME.npz has twins beside it, NAME.onnx or NAME.PART.onnx: its net for prediction, frozen
by weights.onnx_export. They are read after their sha256 was checked, and not beside any other bundle: a bundle that
somebody names is checked to be of a net's sizes, which nobody can tell of a graph.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights import WeightsError, WeightSpec, check_sha256, locate

MADE_OF = "bundle_sha256"  # in a twin's metadata: the bundle's
OUTPUTS = "outputs"  # in its metadata: NAMED, where the net gives a dict, or ONE
NAMED, ONE = "named", "one"

_NO_MEMORY = re.compile(r"Failed to allocate memory|bad_alloc")
_FATAL_ALONE = 4  # of ONNX Runtime's levels: it warns of a missing GPU on every start, and errors are raised anyway
_log = logging.getLogger(__name__)


class OnnxNet:
    """A net: `net(arrays)` gives arrays in the structure that the Keras net gives them in. Any thread may call it."""

    def __init__(self, path: Path, *, apart: bool = False):
        """apart: the N of a call are shared out among the cores, each computed by one; for small nets.

        Else all cores compute each operation together, which for pictures of 200 pixels saves little.
        Raises WeightsError if the file is no ONNX net or is damaged.
        """
        import onnxruntime

        onnxruntime.set_default_logger_severity(_FATAL_ALONE)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if apart else _threads()
        self._helpers = _threads() - 1 if apart else 0
        self._pool = ThreadPoolExecutor(max(1, self._helpers))  # its threads begin when there is something to share
        # Else the threads of a net go on asking for work for a tenth of a second, on the cores that the next net needs:
        # a click took half as long again.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        except Exception as error:  # ONNX Runtime has an exception of its own for each thing that can be wrong
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise WeightsError(f"{path} is damaged ({reason}): install Clickaway again, or delete that file") from error
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]

    def __call__(self, arrays: Any) -> Any:
        """What the net gives for one array, a list of them or a dict of them, (N, ...) float32 each.

        Raises MemoryError where there is not enough for it.
        """
        if not isinstance(arrays, Mapping):
            arrays = dict(zip(self._inputs, arrays if isinstance(arrays, list) else [arrays], strict=True))
        count = len(arrays[self._inputs[0]])
        starts = [count * part // (1 + self._helpers) for part in range(2 + self._helpers)]
        rows = [slice(start, end) for start, end in itertools.pairwise(starts) if start < end]
        first, *others = ({name: arrays[name][one] for name in self._inputs} for one in rows)
        running = [self._pool.submit(self._run, share) for share in others]
        answers = [self._run(first), *(share.result() for share in running)]
        found = [np.concatenate(parts) for parts in zip(*answers, strict=True)] if others else answers[0]
        return found[0] if self.metadata.get(OUTPUTS) == ONE else dict(zip(self._outputs, found, strict=True))

    def _run(self, arrays: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        try:
            return list(self._session.run(None, arrays))
        except Exception as error:  # two of its many exceptions, both with other meanings too, say this by their text
            if _NO_MEMORY.search(str(error)):
                raise MemoryError("a net has too little memory for a pass") from error
            raise


def onnx_file(bundle: Path, part: str = "") -> Path:
    """Where the twin of a bundle lies, or of one part of its net."""
    return bundle.with_suffix(f".{part}.onnx" if part else ".onnx")


def read_onnx(spec: WeightSpec, *parts: str, apart: bool = False) -> list[OnnxNet] | None:
    """The net of a shipped bundle by ONNX Runtime, or those of its parts; None if there is none of this very bundle.

    spec: of a bundle that weights.fetch has found to be what it should be; it is not read again.
    apart: as OnnxNet's. Raises WeightsError if one is there and damaged.
    """
    bundle, parts = locate(spec), parts or ("",)
    if bundle is None or not all(part in spec.onnx_sha256 for part in parts):
        return None
    files = [onnx_file(bundle, part) for part in parts]
    if not all(file.is_file() for file in files):
        return None
    for part, file in zip(parts, files, strict=True):  # ONNX has no checksums: a wrong bit would be a wrong number
        check_sha256(file, spec.onnx_sha256[part])
    try:
        nets = [OnnxNet(file, apart=apart) for file in files]
    except ImportError as error:
        _log.info("%s is read by Keras: %s", bundle, error)
        return None
    if any(net.metadata.get(MADE_OF) != spec.sha256 for net in nets):
        _log.info("%s is read by Keras: %s was made of another bundle", bundle, files[0])
        return None
    return nets


def _threads() -> int:
    """How many cores a net may use: all, but a worker process of several says by this variable what it may have."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
