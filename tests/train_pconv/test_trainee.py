"""The training step: style ramp, precisions, and the same trainer on another backend."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from train_pconv.build import feed_of
from train_pconv.config import TrainConfig
from train_pconv.data import Batch
from train_pconv.fit import Run
from training.average import EVERY, WeightAverage
from training.options import write_config

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[..., TrainConfig]


def first_batch(run: Run) -> Batch:
    return next(iter(feed_of(run.config, run.samples, first_step=0, steps=1, strategy=None)))


def test_the_loss_is_the_weighted_sum_of_its_terms(tiny: Make) -> None:
    run = Run(tiny(hole_weight=6.0, valid_weight=1.0, tv_weight=0.1))
    logs = run._steps.test(first_batch(run))
    run.report.close()
    assert logs["loss"] == pytest.approx(logs["valid"] + 6 * logs["hole"] + 0.1 * logs["tv"], rel=1e-5)
    assert logs["perceptual"] == logs["style"] == 0


def test_testing_changes_nothing(tiny: Make) -> None:
    run = Run(tiny())
    batch = first_batch(run)
    first = run._steps.test(batch)
    assert run._steps.test(batch) == first
    run.report.close()


def test_the_style_weight_and_the_rate_follow_the_step(tiny: Make) -> None:
    run = Run(tiny(style_ramp_steps=4, warmup_steps=2, rate=1e-2, steps_per_epoch=10, decay="cosine"))
    run.report.close()
    shares, rates = [], []
    for run.step in (0, 1, 2, 4, 9):
        run._set_rates()
        shares.append(float(np.asarray(run.trainee.style_share)))
        rates.append(float(np.asarray(run.trainee.optimizer.learning_rate)))
    assert shares == [0, 0.25, 0.5, 1, 1]
    assert rates[0] == pytest.approx(5e-3) and rates[1] < 1e-2 and rates == [rates[0], *sorted(rates[1:], reverse=True)]
    assert 1e-4 < rates[-1] < 5e-4  # near the end of the cosine, a hundredth of the rate


def test_float16_trains_with_a_scaled_loss_and_resumes(tiny: Make) -> None:
    config = tiny(precision="float16", steps_per_epoch=2, fine_tune_epochs=0, clip_norm=1.0)
    first = Run(config)
    first.run()
    again = Run(dataclasses.replace(config, epochs=2), resume=True)
    again.report.close()
    optimizers = [run.trainee.optimizer for run in (first, again)]
    assert again.step == 2 and int(np.asarray(optimizers[1].inner_optimizer.iterations)) == 2
    scales = [float(np.asarray(optimizer.dynamic_scale)) for optimizer in optimizers]
    assert scales[0] == scales[1] > 1000
    assert all(v.dtype == "float32" for v in again.net.variables)


def test_bfloat16_computes_in_it_and_keeps_float32_weights(tiny: Make) -> None:
    run = Run(tiny(precision="bfloat16"))
    logs = run._steps.train(first_batch(run))
    run.report.close()
    assert np.isfinite(logs["loss"])
    assert run.net.get_layer("enc2").compute_dtype == "bfloat16"
    assert all(v.dtype == "float32" for v in run.net.variables)


def test_the_mean_of_the_weights_is_swapped_in_and_out() -> None:
    import keras

    variable = keras.Variable(np.zeros(2, np.float32))
    average = WeightAverage({"v": variable}, decay=0.9)
    variable.assign(np.ones(2, np.float32))
    average.update(1)  # between two updates: nothing happens
    with average.swapped_in():
        np.testing.assert_array_equal(np.asarray(variable), [0, 0])
    average.update(EVERY)
    decay = min(0.9**EVERY, 2 / 11)  # a young mean forgets faster
    with average.swapped_in():
        np.testing.assert_allclose(np.asarray(variable), [1 - decay] * 2, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(variable), [1, 1])
    with pytest.raises(RuntimeError, match="inside"), average.swapped_in():
        raise RuntimeError("inside")
    np.testing.assert_array_equal(np.asarray(variable), [1, 1])


def test_without_a_mean_the_weights_themselves_are_validated() -> None:
    import keras

    variable = keras.Variable(np.zeros(1, np.float32))
    average = WeightAverage({"v": variable}, decay=0.0)
    variable.assign(np.ones(1, np.float32))
    with average.swapped_in():
        np.testing.assert_array_equal(np.asarray(variable), [1])


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_run_works_and_resumes_without_tensorflow(tiny: Make, tmp_path: Path, backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    config = tiny(steps_per_epoch=2)
    write_config(config, tmp_path / "config.json")
    # TensorFlow must not even be looked for: a machine with that backend may have none.
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from train_pconv.__main__ import main\n"
        f"first = main(['--config', {str(tmp_path / 'config.json')!r}, '--fine-tune-epochs', '0'])\n"
        f"sys.exit(first or main(['--resume', '--out', {config.out!r}, '--fine-tune-epochs', '1']))\n"
    )
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (Path(config.out) / "scalars.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 2, 3, 4, 4]
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert (Path(config.out) / "best.npz").is_file()
