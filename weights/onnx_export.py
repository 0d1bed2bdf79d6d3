"""Keras nets into the files that weights.onnx_nets reads. Needs TensorFlow and tf2onnx: `clickaway[export]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from weights import sha256_of
from weights.frameworks import compiled
from weights.onnx_nets import MADE_OF, NAMED, ONE, OUTPUTS, onnx_file

_OPSET = 17
_SMALL = 1024  # numbers: below, halving the bytes is not worth an operation


def write_onnx(net: keras.Model, bundle: Path, part: str = "", *, float16: bool = True) -> Path:
    """Writes the twin of a bundle, or of a part of its net, whole or not at all. Returns its file.

    net: as it predicts. Its inputs' names are the twin's, and so are its outputs' where it gives a dict.
    float16: how weights are kept, as in the bundle; they are multiplied as float32 in any case.
    Raises ImportError without tf2onnx, ValueError on another backend of Keras than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError("ONNX files are written from TensorFlow: leave KERAS_BACKEND out")
    import tf2onnx

    predict: Any = compiled(net)  # a tf.function of one signature
    model, _ = tf2onnx.convert.from_function(predict, input_signature=predict.input_signature, opset=_OPSET)
    if float16:
        _halve(model.graph)
    metadata = {MADE_OF: sha256_of(bundle), OUTPUTS: NAMED if isinstance(net.output, dict) else ONE}
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    path = onnx_file(bundle, part)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(model.SerializeToString(deterministic=True))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _halve(graph: Any) -> None:
    """Large float32 weights become float16 with a cast behind each, which ONNX Runtime works out when it loads."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for number, weight in enumerate(graph.initializer):
        array = numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.size < _SMALL or np.abs(array).max() > np.finfo(np.float16).max:
            continue
        name = weight.name
        graph.initializer[number].CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
