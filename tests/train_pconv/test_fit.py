"""The loop: resuming, determinism, overfitting, stopping for a reason."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from inpaint.pconv_config import read_config
from inpaint.pconv_unet import read_pconv, write_pconv
from train_pconv.build import net_config
from train_pconv.config import TrainConfig
from train_pconv.fit import Run, TrainingStopped
from training import checkpoint
from training.checkpoint import STATE_FILE, CheckpointError, read_state
from weights.nets import named_variables

Make = Callable[..., TrainConfig]


def stop_after(run: Run, step: int) -> None:
    """As a signal would that arrives during that step."""
    update = run.average.update

    def update_and_stop(done: int) -> None:
        update(done)
        run.stop_requested = done == step

    run.average.update = update_and_stop  # type: ignore[method-assign]


def states_differ(a: Path, b: Path) -> list[str]:
    """Names of the arrays of two states that are not the same bytes."""
    (meta_a, groups_a), (meta_b, groups_b) = read_state(a / STATE_FILE), read_state(b / STATE_FILE)
    assert meta_a["step"] == meta_b["step"]
    assert groups_a.keys() == groups_b.keys()
    return [
        f"{group}:{name}"
        for group in groups_a
        for name in groups_a[group].keys() | groups_b[group].keys()
        if not np.array_equal(groups_a[group][name], groups_b[group][name])
    ]


def scalars(out: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (out / "scalars.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture(scope="module")
def whole(make_tiny: Make, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """An uninterrupted run of two phases. Cosine and ramp: rate and style weight must go on from the step, too."""
    config = make_tiny(decay="cosine", style_ramp_steps=5, panel_photos=3, out=str(tmp_path_factory.mktemp("whole")))
    Run(config).run()
    return config


@pytest.fixture(scope="module", params=[2, 4], ids=["stopped in the first phase", "stopped in the second phase"])
def parts(request: pytest.FixtureRequest, whole: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run stopped after a step, its state then kept as stopped.npz, and resumed to the end."""
    out = tmp_path_factory.mktemp("parts")
    config = dataclasses.replace(whole, out=str(out))
    run = Run(config)
    stop_after(run, request.param)
    run.run()
    assert read_state(out / STATE_FILE)[0]["step"] == request.param
    shutil.copy(out / STATE_FILE, out / "stopped.npz")
    Run(config, resume=True).run()
    return out


def test_a_resumed_run_equals_an_uninterrupted_one(whole: TrainConfig, parts: Path) -> None:
    assert states_differ(Path(whole.out), parts) == []
    assert (parts / "best.npz").read_bytes() == (Path(whole.out) / "best.npz").read_bytes()
    assert (parts / "last.npz").read_bytes() == (Path(whole.out) / "last.npz").read_bytes()


def test_the_second_phase_leaves_the_encoders_batch_norm_as_it_is(parts: Path) -> None:
    (stopped, before), (_, after) = read_state(parts / "stopped.npz"), read_state(parts / STATE_FILE)
    changed = {name for name, array in before["net"].items() if not np.array_equal(array, after["net"][name])}
    encoder_bn = {name for name in changed if name.startswith("enc") and "_bn/" in name}
    assert {"enc2/kernel", "dec2_bn/gamma", "dec2_bn/moving_mean"} <= changed
    assert bool(encoder_bn) == (stopped["step"] < 3)  # three steps make the first phase


def test_the_same_seed_gives_the_same_run_whoever_makes_the_samples(whole: TrainConfig, tmp_path: Path) -> None:
    assert whole.feed == "auto"  # tf.data here
    Run(dataclasses.replace(whole, out=str(tmp_path), feed="threads", workers=1)).run()
    assert states_differ(Path(whole.out), tmp_path) == []


def test_another_seed_gives_other_weights_and_samples(tiny: Make, tmp_path: Path) -> None:
    one, other = (Run(tiny(out=str(tmp_path / str(seed)), seed=seed)) for seed in (1, 2))
    kernels = [np.asarray(run.net.get_layer("enc1").kernel) for run in (one, other)]
    assert (kernels[0] != kernels[1]).any()
    assert (one.samples.sample(0)[0] != other.samples.sample(0)[0]).any()
    for run in (one, other):
        run.report.close()


def test_one_batch_can_be_learned_by_heart(tiny: Make) -> None:
    config = tiny(width=16, levels=3, rate=3e-3, ema=0.0, base="none", strokes=0.0, objects=0.0, boxes=1.0)
    run = Run(config)
    batch = next(iter(build_feed(run)))
    losses = [run._train(batch)["hole"] for _ in range(150)]
    run.report.close()
    assert losses[-1] < 0.25 * losses[0]


def build_feed(run: Run) -> Any:
    from train_pconv.build import feed_of

    return feed_of(run.config, run.samples, first_step=0, steps=1, strategy=None)


def test_a_run_leaves_bundles_panels_and_scalars(whole: TrainConfig) -> None:
    out = Path(whole.out)
    net, extra = read_config(out / "best.npz")
    assert net.width == 4 and net.pull_push_base
    assert extra["max_size_px"] == 32
    assert (out / "last.npz").is_file()
    panels = sorted((out / "panels").iterdir())
    assert [panel.name for panel in panels] == ["epoch_001.png", "epoch_002.png"]
    pictures = [np.asarray(PillowImage.open(panel)) for panel in panels]
    # The same photos and holes each time: the columns of masked and of true photos never change.
    np.testing.assert_array_equal(pictures[0][:, :16], pictures[1][:, :16])
    np.testing.assert_array_equal(pictures[0][:16, 40:56], pictures[1][:16, 40:56])
    train, validation = scalars(out, "train"), scalars(out, "validation")
    assert [line["step"] for line in train] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in validation] == [3, 6]
    wanted = {"loss", "valid", "hole", "perceptual", "style", "tv", "psnr", "psnr_hole"}
    assert wanted | {"rate", "photos_per_second", "waiting_share"} <= train[0].keys()
    assert wanted | {"ssim"} <= validation[0].keys()
    assert all(math.isfinite(value) for line in train for value in line.values() if not isinstance(value, str))
    assert train[0]["rate"] == pytest.approx(2e-4)
    assert train[3]["rate"] == pytest.approx(5e-5) and train[-1]["rate"] < 2e-5


def test_a_loss_that_is_no_number_stops_with_the_step_and_the_batch_saved(tiny: Make, tmp_path: Path) -> None:
    run = Run(tiny(save_every=1))
    stop_at = 2
    update = run.average.update

    def poison(step: int) -> None:
        update(step)
        if step == stop_at:
            run.net.get_layer("enc1").bias.assign(np.full(4, np.nan))

    run.average.update = poison  # type: ignore[method-assign]
    with pytest.raises(TrainingStopped, match=r"not finite at step 2 .*not_finite_step_2\.npz"):
        run.run()
    with np.load(tmp_path / "run" / "not_finite_step_2.npz") as saved:
        assert saved["truth"].shape == (4, 16, 16, 3)
        assert saved["valid"].shape == (4, 16, 16, 1)
        assert set(np.unique(saved["valid"])) == {0, 1}


def test_a_full_disk_is_one_line_and_the_last_checkpoint_survives(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tiny(save_every=2))
    savez = np.savez

    def savez_until_full(file: Any, *args: Any, **arrays: Any) -> None:
        if run.step < 4:
            savez(file, *args, **arrays)
        else:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.np, "savez", savez_until_full)
    with pytest.raises(TrainingStopped, match=r"after step 4: .* cannot be written to \(No space left on device\)"):
        run.run()
    assert read_state(tmp_path / "run" / STATE_FILE)[0]["step"] == 3
    assert not list((tmp_path / "run").glob("*.partial"))


def test_a_run_is_neither_overwritten_nor_resumed_from_nothing(whole: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(whole, out=str(tmp_path))
    with pytest.raises(CheckpointError, match="start without --resume"):
        Run(config, resume=True)
    with pytest.raises(CheckpointError, match="continue it with --resume"):
        Run(whole)
    (tmp_path / STATE_FILE).write_bytes(b"not a zip")
    with pytest.raises(CheckpointError, match="is damaged"):
        Run(config, resume=True)
    shutil.copy(Path(whole.out) / STATE_FILE, tmp_path)
    with pytest.raises(CheckpointError, match="does not fit this net"):
        Run(dataclasses.replace(config, width=8), resume=True)


def test_a_run_can_start_from_a_bundle_of_the_same_size_only(whole: TrainConfig, tmp_path: Path) -> None:
    bundle = str(Path(whole.out) / "last.npz")
    run = Run(dataclasses.replace(whole, out=str(tmp_path / "next"), start_from=bundle))
    run.report.close()
    start = named_variables(read_pconv(bundle))
    for name, variable in named_variables(run.net).items():
        np.testing.assert_array_equal(np.asarray(variable), np.asarray(start[name]))
    assert len(run._history) == 2 and "--start-from last.npz" in run._history[1]
    with pytest.raises(ValueError, match="is of another size"):
        Run(dataclasses.replace(whole, out=str(tmp_path / "wide"), start_from=bundle, width=8))


def test_a_net_that_grew_residual_layers_begins_with_the_answers_of_the_bundle_it_starts_from(
    whole: TrainConfig, tmp_path: Path
) -> None:
    bundle = str(Path(whole.out) / "last.npz")
    grown = Run(dataclasses.replace(whole, out=str(tmp_path / "grown"), start_from=bundle, residuals=2))
    grown.report.close()
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    valid = (rng.random((2, 32, 32, 1)) > 0.3).astype(np.float32)
    before, after = (np.asarray(net([image, valid], training=False)) for net in (read_pconv(bundle), grown.net))
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert set(named_variables(grown.net)) > set(named_variables(read_pconv(bundle)))
    larger = str(tmp_path / "grown.npz")
    write_pconv(larger, grown.net, net_config(grown.config))
    with pytest.raises(ValueError, match="at least its --residuals"):
        Run(dataclasses.replace(whole, out=str(tmp_path / "shrunk"), start_from=larger, residuals=1))
