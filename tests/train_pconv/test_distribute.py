"""Training in two processes that talk over loopback, as two machines would."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from train_pconv.config import TrainConfig
from train_pconv.data import to_batch
from train_pconv.distribute import open_strategy
from train_pconv.fit import Run
from training.checkpoint import read_state
from training.options import write_config
from weights.nets import named_variables

ROOT = Path(__file__).resolve().parents[2]
tf = pytest.importorskip("tensorflow")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def mean_of_two_halves(config: TrainConfig) -> tuple[dict[str, np.ndarray], float]:
    """In one process: the net after a step of Adam on the mean gradient of the batch's halves, and their mean loss."""
    run = Run(config)
    run.report.close()
    run._set_rates()
    samples = [run.samples.sample(index) for index in range(config.batch)]
    half = config.batch // 2
    gradients, losses = [], []
    statistics = run.net.non_trainable_variables
    before = [keras.ops.convert_to_numpy(v) for v in statistics]
    for part in (samples[:half], samples[half:]):
        batch = to_batch(part)
        for variable, value in zip(statistics, before, strict=True):
            variable.assign(value)  # each replica starts from the same moving averages
        with tf.GradientTape() as tape:
            output = run.trainee([batch.truth, batch.valid], training=True)
            loss = run.trainee.compute_loss(x=[batch.truth, batch.valid], y_pred=output)
        gradients.append(tape.gradient(loss, run.trainee.trainable_variables))
        losses.append(float(loss))
    mean = [(a + b) / 2 for a, b in zip(*gradients, strict=True)]
    run.trainee.optimizer.apply(mean, run.trainee.trainable_variables)
    trainable = {id(v) for v in run.net.trainable_variables}
    values = {name: keras.ops.convert_to_numpy(v) for name, v in named_variables(run.net).items() if id(v) in trainable}
    return values, float(np.mean(losses))


def test_two_processes_make_the_step_of_their_mean_gradient(tiny: Callable[..., TrainConfig], tmp_path: Path) -> None:
    config = tiny(steps_per_epoch=1, fine_tune_epochs=0, distribute="machines", rate=1e-3)
    write_config(config, tmp_path / "config.json")
    ports = free_ports(2)
    workers = []
    for index in range(2):
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        environment = os.environ | {
            "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
            "KERAS_BACKEND": "tensorflow",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        command = [sys.executable, "-m", "train_pconv", "--config", str(tmp_path / "config.json")]
        workers.append(
            subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    try:
        outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(outputs)
    assert "epoch 1  validation" in outputs[0] and "epoch 1  validation" not in outputs[1]  # the chief reports alone

    _, groups = read_state(tmp_path / "run" / "state.npz")
    wanted, loss = mean_of_two_halves(dataclasses.replace(config, distribute="none", out=str(tmp_path / "one")))
    first = json.loads((tmp_path / "run" / "scalars.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(loss, rel=1e-4)
    assert wanted.keys() <= groups["net"].keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(groups["net"][name], values, atol=2e-5, err_msg=name)


def test_a_strategy_that_cannot_be_had_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert open_strategy("none") is None
    with pytest.raises(ValueError, match="needs TF_CONFIG in the environment"):
        open_strategy("machines")
    if not tf.config.list_physical_devices("GPU"):
        with pytest.raises(ValueError, match="finds no GPU here"):
            open_strategy("gpus")
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="is TensorFlow's"):
        open_strategy("gpus")
