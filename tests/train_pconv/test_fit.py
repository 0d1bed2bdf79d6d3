"""The loop: resuming, determinism, overfitting, stopping for a reason."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from inpaint.pconv_unet import named_variables, read_config, read_pconv
from train_pconv import checkpoint
from train_pconv.checkpoint import STATE_FILE, CheckpointError, read_state
from train_pconv.config import TrainConfig
from train_pconv.fit import Run, TrainingStopped

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


@pytest.mark.parametrize("stop", [2, 4], ids=["in the first phase", "in the second phase"])
def test_a_resumed_run_equals_an_uninterrupted_one(tiny: Make, tmp_path: Path, stop: int) -> None:
    # Cosine and ramp: the rate and the style weight must go on from the step, too. Six steps: EVERY update happens.
    config = tiny(decay="cosine", style_ramp_steps=5, out=str(tmp_path / "whole"))
    Run(config).run()
    config = dataclasses.replace(config, out=str(tmp_path / "parts"))
    run = Run(config)
    stop_after(run, stop)
    run.run()
    assert read_state(tmp_path / "parts" / STATE_FILE)[0]["step"] == stop
    Run(config, resume=True).run()
    assert states_differ(tmp_path / "whole", tmp_path / "parts") == []
    whole, parts = (read_pconv(tmp_path / name / "best.npz") for name in ("whole", "parts"))
    for name, variable in named_variables(whole).items():
        np.testing.assert_array_equal(np.array(variable), np.array(named_variables(parts)[name]))


def test_the_same_seed_gives_the_same_run_whoever_makes_the_samples(tiny: Make, tmp_path: Path) -> None:
    Run(tiny(out=str(tmp_path / "a"), feed="tf.data", workers=3)).run()
    Run(tiny(out=str(tmp_path / "b"), feed="threads", workers=1)).run()
    assert states_differ(tmp_path / "a", tmp_path / "b") == []


def test_another_seed_gives_another_run(tiny: Make, tmp_path: Path) -> None:
    Run(tiny(out=str(tmp_path / "a"), seed=1, steps_per_epoch=1)).run()
    Run(tiny(out=str(tmp_path / "b"), seed=2, steps_per_epoch=1)).run()
    assert "net:enc1/kernel" in states_differ(tmp_path / "a", tmp_path / "b")


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


def test_the_second_phase_leaves_the_encoders_batch_norm_as_it_is(tiny: Make, tmp_path: Path) -> None:
    run = Run(tiny(fine_tune_epochs=0))
    run.run()
    before = {name: np.array(variable) for name, variable in named_variables(run.net).items()}
    again = Run(tiny(fine_tune_epochs=1), resume=True)
    again.run()
    changed = {name for name, v in named_variables(again.net).items() if not np.array_equal(before[name], np.array(v))}
    assert not {name for name in changed if name.startswith("enc") and "_bn/" in name}
    assert {"enc2/kernel", "dec2_bn/gamma", "dec2_bn/moving_mean"} <= changed


def test_a_run_leaves_bundles_panels_and_scalars(tiny: Make, tmp_path: Path) -> None:
    config = tiny(panel_photos=3)
    Run(config).run()
    out = tmp_path / "run"
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
    assert train[0]["rate"] == pytest.approx(2e-4) and train[-1]["rate"] == pytest.approx(5e-5)


def test_a_loss_that_is_no_number_stops_with_the_step_and_the_batch_saved(tiny: Make, tmp_path: Path) -> None:
    run = Run(tiny(save_every=1))
    run.net.get_layer("enc1").bias.assign(np.full(4, 1.0))
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


def test_a_run_is_neither_overwritten_nor_resumed_from_nothing(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="start without --resume"):
        Run(tiny(), resume=True)
    Run(tiny(steps_per_epoch=1)).run()
    with pytest.raises(CheckpointError, match="continue it with --resume"):
        Run(tiny(steps_per_epoch=1))
    (tmp_path / "run" / STATE_FILE).write_bytes(b"not a zip")
    with pytest.raises(CheckpointError, match="is damaged"):
        Run(tiny(steps_per_epoch=1), resume=True)


def test_a_run_can_start_from_a_bundle_of_the_same_size_only(tiny: Make, tmp_path: Path) -> None:
    Run(tiny(steps_per_epoch=1)).run()
    bundle = str(tmp_path / "run" / "last.npz")
    run = Run(tiny(out=str(tmp_path / "next"), start_from=bundle))
    run.report.close()
    start = named_variables(read_pconv(bundle))
    for name, variable in named_variables(run.net).items():
        np.testing.assert_array_equal(np.array(variable), np.array(start[name]))
    with pytest.raises(ValueError, match="is of another size"):
        Run(tiny(out=str(tmp_path / "wide"), start_from=bundle, width=8))
