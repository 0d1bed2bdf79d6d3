"""The same bundle gives the same prediction on every Keras backend that is installed."""

import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from inpaint.pconv_config import PConvUNetConfig
from inpaint.pconv_unet import build_pconv_unet, write_pconv
from weights.nets import named_variables

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("predict_on_a_backend.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backends")
    rng = np.random.default_rng(0)
    config = PConvUNetConfig(levels=3, width=8, pull_push_base=True, head_width=4)
    model = build_pconv_unet(config)
    for name, variable in named_variables(model).items():
        shift = 1 if name.endswith(("variance", "gamma")) else 0
        variable.assign(shift + 0.1 * rng.uniform(-1, 1, variable.shape).astype(np.float32))
    write_pconv(folder / "net.npz", model, config)
    image = rng.uniform(-1, 1, size=(2, 32, 48, 3)).astype(np.float32)
    valid = (rng.random((2, 32, 48, 1)) > 0.5).astype(np.float32)
    valid[:, 4:20, 10:40] = 0
    hole = np.zeros((30, 45), bool)
    hole[5:20, 10:30] = True
    photo = rng.integers(0, 256, (30, 45, 3), np.uint8)
    np.savez(folder / "inputs.npz", image=image, valid=valid, photo=photo, hole=hole)
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    return runpy.run_path(str(SCRIPT))["predict"](folder)


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_a_bundle_predicts_the_same_on_every_backend(folder, expected, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    if backend == keras.backend.backend():
        pytest.skip(f"{backend} is what this process runs: the others are compared with it")
    command = [sys.executable, str(SCRIPT), str(folder), backend]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = np.load(folder / f"{backend}.npz")
    np.testing.assert_allclose(found["odd"], expected["odd"], atol=1e-5)
    np.testing.assert_allclose(found["prediction"], expected["prediction"], atol=1e-4)
    assert np.abs(found["filled"].astype(int) - expected["filled"]).max() <= 1


def test_the_nets_import_no_backend():
    for file in ("partial_conv.py", "pull_push.py", "pconv_unet.py", "fast_pconv.py", "pconv.py"):
        source = (ROOT / "inpaint" / file).read_text(encoding="utf-8")
        assert not any(f"import {name}" in source for name in ("tensorflow", "torch", "jax")), file
