"""The trainer: runs of a few tiny steps that learn, stop, go on and fail as they should."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from segment import load_segmenter
from tests.train_segment.conftest import draw
from train_segment.__main__ import main
from train_segment.fit import Run, command_of
from train_segment.recipe import Recipe
from train_segment.recipes import RECIPES
from training.checkpoint import CheckpointError, read_state

ROOT = Path(__file__).resolve().parents[2]
NETS: dict[str, dict[str, Any]] = {
    "click-net": {"input_px": 32, "embedding": 8, "trunk": 16, "blocks": 1, "fine": 8, "paste": 0.3, "warmup_steps": 0},
    "deepcrop-v2": {"width": 4, "hidden": 16},
    "deepcrop-v1": {"width": 4, "hidden": 16},
}


@pytest.fixture
def tiny(label_folder: Path, tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe of a run that takes seconds, in the test's own folder."""

    def make(name: str, **changes: Any) -> Recipe:
        values: dict[str, Any] = {
            "data": (str(label_folder),),
            "out": str(tmp_path / "run"),
            "validation_fraction": 0.3,
            "batch": 4,
            "epochs": 2,
            "steps_per_epoch": 2,
            "validation_photos": 4,
            "panel_photos": 2,
            "log_every": 1,
            **NETS[name],
        }
        return replace(RECIPES[name], **(values | changes))

    return make


@pytest.mark.parametrize("name", NETS)
def test_a_run_writes_a_bundle_that_the_segmenter_takes(tiny: Callable[..., Recipe], tmp_path: Path, name: str) -> None:
    Run(tiny(name), name).run()
    out = tmp_path / "run"
    assert (out / "panels" / "epoch_002.png").is_file() and (out / "validation.txt").read_text().count("\n") > 2
    segmenter = load_segmenter(f"{'clicknet' if name == 'click-net' else 'deepcrop'}:{out / 'best.npz'}")
    encoding = segmenter.encode(np.zeros((40, 50, 3), np.uint8))
    assert encoding is not None


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("click-net", {"input_px": 64, "rounds": 0, "encoder_rate": 1.0, "frozen": ()}),
        ("deepcrop-v2", {"positives": 1.0}),
    ],
)
def test_one_batch_is_learned_by_heart(tiny: Callable[..., Recipe], name: str, changes: dict[str, Any]) -> None:
    run = Run(tiny(name, optimizer="adam", rate=3e-3, ema=0.0, **changes), name)
    batch = run.task.prepare(run.task.collate([run.task.sample(index) for index in range(4)]), 0)
    logs = [run.trainee.step(batch) for _ in range(100)]
    assert logs[-1]["loss"] < 0.7 * logs[0]["loss"]
    assert logs[-1]["iou"] > 0.8 > logs[0]["iou"]


def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    Run(tiny("click-net", out=str(tmp_path / "whole")), "click-net").run()
    parts = tiny("click-net", out=str(tmp_path / "parts"))
    first = Run(parts, "click-net")
    first.stop_requested = True
    first.run()
    with pytest.raises(CheckpointError, match="--resume"):
        Run(parts, "click-net")
    rest = Run(parts, "click-net", resume=True)
    assert rest.step == 1
    rest.run()
    (meta, whole), (other_meta, other) = (read_state(tmp_path / name / "state.npz") for name in ("whole", "parts"))
    assert meta["step"] == other_meta["step"] == 4
    for group, arrays in whole.items():
        for key, array in arrays.items():
            np.testing.assert_allclose(array, other[group][key], atol=1e-6, err_msg=f"{group} {key}")


def test_broken_photos_are_skipped_and_counted(
    tiny: Callable[..., Recipe], label_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for photo in sorted((label_folder / "one" / "images").iterdir())[:4]:
        photo.write_bytes(photo.read_bytes()[:50])
    run = Run(tiny("click-net", epochs=3, steps_per_epoch=3), "click-net")
    run.run()
    assert run.labelled.broken and "broken file 1, skipped: " in capsys.readouterr().err


def moved_by_a_step(recipe: Recipe) -> dict[str, float]:
    """How far the encoder's layers move in a first step."""
    run = Run(recipe, "click-net")
    encoder = run.task.net.get_layer("encoder")
    kernels = {name: encoder.get_layer(name).kernel for name in ("conv1", "fire5_squeeze1x1", "lateral16")}
    before = {name: np.array(kernel) for name, kernel in kernels.items()}
    run.trainee.step(run.task.prepare(run.task.collate([run.task.sample(index) for index in range(4)]), 0))
    return {name: float(np.abs(np.array(kernel) - before[name]).max()) for name, kernel in kernels.items()}


def test_an_encoder_that_knows_something_moves_slower_than_the_head(tiny: Callable[..., Recipe], tmp_path) -> None:
    options: dict[str, Any] = {"encoder_rate": 0.01, "frozen": ("conv1",), "clip_norm": 0.0, "ema": 0.0, "rate": 1e-2}
    # Adam's first step is its rate, whatever the gradient. Random layers learn like all others.
    assert moved_by_a_step(tiny("click-net", **options)) == {
        "conv1": pytest.approx(1e-2, rel=0.05),
        "fire5_squeeze1x1": pytest.approx(1e-2, rel=0.05),
        "lateral16": pytest.approx(1e-2, rel=0.05),
    }
    Run(tiny("click-net", epochs=1), "click-net").run()
    start = str(tmp_path / "run" / "last.npz")
    assert moved_by_a_step(tiny("click-net", start_from=start, out=str(tmp_path / "more"), **options)) == {
        "conv1": 0,
        "fire5_squeeze1x1": pytest.approx(1e-4, rel=0.05),
        "lateral16": pytest.approx(1e-2, rel=0.05),
    }


def test_a_net_starts_from_a_bundle_of_another_input_size(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    Run(tiny("click-net", epochs=1), "click-net").run()
    bundle = tmp_path / "run" / "last.npz"
    larger = tiny("click-net", input_px=64, start_from=str(bundle), out=str(tmp_path / "larger"))
    assert Run(larger, "click-net").task.net.input["image"].shape[1] == 64
    with pytest.raises(ValueError, match="is of another size"):
        Run(replace(larger, trunk=24), "click-net")  # type: ignore[call-arg]


def test_the_command_line_trains_resumes_and_refuses_in_one_line(
    tiny: Callable[..., Recipe], label_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny("click-net", epochs=1)
    words = command_of(recipe, "click-net").split()[3:]
    words[words.index("--data") + 1] = str(label_folder)
    words[words.index("--out") + 1] = recipe.out
    assert main(words) == 0
    assert main(words) == 1
    assert main(["click-net", "--resume", "--out", recipe.out, "--epochs", "2"]) == 0
    assert main(["click-net", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "b")]) == 1
    assert main(["click-net", "--out", str(tmp_path / "b")]) == 1
    assert main(["click-net", "--resume", "--out", str(tmp_path / "b")]) == 1
    assert main(["click-net", "--data", str(label_folder), "--out", str(tmp_path / "b"), "--panel-photos", "0"]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train_segment: ")]
    assert len(lines) == 5
    assert "another run's" in lines[0] and "is not there" in lines[1] and "give --data" in lines[2]
    assert "nothing to resume" in lines[3] and "--panel-photos must be 1 or more" in lines[4]
    assert read_state(Path(recipe.out) / "state.npz")[0]["step"] == 4


def test_clicks_on_nothing_lie_on_no_object_and_teach_the_score_alone(tiny: Callable[..., Recipe]) -> None:
    run = Run(tiny("click-net", nothing=1.0, paste=0.0, colour=0.0, batch=2), "click-net")
    views = [run.task.sample(index) for index in range(12)]
    for view in views:
        assert not view.mask.any() and view.ignore.all() and len(view.clicks) == 1
        red, green, blue = view.image[view.clicks[0].y, view.clicks[0].x].astype(int)
        assert green >= max(red, blue)  # the ground is green, the objects are red and blue
    batch = run.task.prepare(run.task.collate(views[:2]), 0)
    mask = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    score = np.full((2, 1), 2, np.float32)
    losses = run.task.losses(batch, {"mask": mask, "score": score})
    np.testing.assert_allclose(float(losses["loss"]), 0.2 * np.log1p(np.exp(2)), rtol=1e-5)
    assert float(losses["score_error"]) > 0.8


def test_where_all_is_object_no_click_on_nothing_is_asked_for(tmp_path: Path, tiny: Callable[..., Recipe]) -> None:
    halves = np.repeat([[1, 2]], 40, axis=0).repeat(20, axis=1).astype(np.uint8)
    for number in range(8):
        draw(tmp_path / "all" / "set" / "images" / f"{number}.png", np.full((40, 40, 3), 90, np.uint8))
        draw(tmp_path / "all" / "set" / "masks" / f"{number}.png", halves)
    run = Run(tiny("click-net", data=(str(tmp_path / "all"),), nothing=1.0), "click-net")
    assert run.task.sample(0).mask.any()
    assert np.isnan(run.task.validate()[0]["nothing"])


def test_the_rate_finder_names_a_rate(
    tiny: Callable[..., Recipe], label_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train_segment.find_rate.STEPS", 6)
    recipe = tiny("deepcrop-v2")
    words = ["deepcrop-v2", "--data", str(label_folder), "--out", recipe.out, "--width", "4", "--hidden", "16"]
    assert main([*words, "--batch", "2", "--validation-fraction", "0.3", "--find-rate"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("rate     loss\n1.0e-06") and "try --rate " in out
    assert not (Path(recipe.out) / "state.npz").exists()


def test_help_answers_without_loading_keras() -> None:
    code = "import sys; from train_segment.__main__ import main\n"
    code += "try: main(['click-net', '--help'])\nexcept SystemExit: pass\n"
    code += "print('keras' in sys.modules or 'tensorflow' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--encoder-rate" in done.stdout and done.stderr.strip() == "False"
