"""The same bundle gives the same answers on every Keras backend that is installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from segment.nets.deepcrop import DeepCropConfig, build_deepcrop, write_deepcrop
from weights.nets import named_variables

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys, numpy as np
from segment.nets.deepcrop import read_deepcrop
net, _ = read_deepcrop(sys.argv[1] + "/net.npz")
inputs = dict(np.load(sys.argv[1] + "/inputs.npz"))
np.savez(sys.argv[1] + "/found.npz", **{k: np.asarray(v) for k, v in net.predict_on_batch(inputs).items()})
"""


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_deepcrop_answers_the_same_on_every_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None or backend == keras.backend.backend():
        pytest.skip(f"{backend} is not installed, or what the others are compared with")
    rng = np.random.default_rng(0)
    config = DeepCropConfig(width=4, input_px=32, mask_px=8, bottleneck=8, hidden=16, score_hidden=8)
    net = build_deepcrop(config)
    for name, variable in named_variables(net).items():
        if name.endswith(("gamma", "beta", "mean", "variance")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape).astype(np.float32))
    write_deepcrop(tmp_path / "net.npz", net, config, float16=False)
    inputs = {
        "image": rng.uniform(0, 255, (2, 64, 96, 3)).astype(np.float32),
        "planes": rng.uniform(0, 1, (2, 64, 96, 1)).astype(np.float32),
    }
    np.savez(tmp_path / "inputs.npz", **inputs)
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "found.npz") as found:
        for name, expected in net.predict_on_batch(inputs).items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-3)
