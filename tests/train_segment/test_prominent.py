"""The recipes of the nets that need no click: a few tiny steps of each, and what they are made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segment import load_segmenter
from segment.nets import tiramisu
from train_segment.data import Sample, open_data
from train_segment.error_view import MISSED, TOO_MUCH, error, four_panels
from train_segment.extractnet_table import REPORTED, run_table, table, variants
from train_segment.fit import Run
from train_segment.inspect import main as inspect
from train_segment.light import crop, gamma, shadow, unclear_rim
from train_segment.no_click import main as compare
from train_segment.prominent import NOTHING, Subjects, held_out_subjects, subject_or_nothing
from train_segment.recipes import RECIPES
from train_segment.recipes.pets import BACKGROUND, BORDER, PET, trimap_classes
from train_segment.sources import Annotated
from train_segment.subjects import RULES
from training.checkpoint import read_state

TINY = {
    "input_px": 32, "select": "all", "batch": 4, "epochs": 1, "steps_per_epoch": 2, "validation_fraction": 0.3,
    "validation_photos": 4, "panel_photos": 2, "log_every": 1, "workers": 1, "warmup_steps": 0,
}  # fmt: skip
NETS = {
    "subject": {"trunk": 8, "blocks": 1},
    "extractnet": {"encoder": "plain"},
    "tiramisu": {"layers": 56},
    "pets": {},
}


@pytest.fixture(autouse=True)
def tiny_tiramisu(monkeypatch):
    monkeypatch.setitem(tiramisu.PUBLISHED, 56, tiramisu.TiramisuConfig((1, 1), 1, 4, 8))


def tiny(name: str, data: Path, out: Path, **changes):
    return replace(RECIPES[name], data=(str(data),), out=str(out), **{**TINY, **NETS[name], **changes})


@pytest.mark.parametrize("name", NETS)
def test_a_run_s_best_net_is_a_segmenter(name, label_folder, tmp_path):
    Run(tiny(name, label_folder, tmp_path / "run"), name).run()
    segmenter = load_segmenter(f"{name}:{tmp_path / 'run' / 'best.npz'}")
    assert segmenter.encode(np.zeros((20, 30, 3), np.uint8)).probability.shape == (32, 32)
    kinds = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    assert {"iou", "accuracy", "median_iou"} <= kinds[-1].keys()
    assert (tmp_path / "run" / "panels" / "epoch_001.png").is_file()


def test_a_stopped_run_draws_the_dropouts_that_it_would_have_drawn(label_folder, tmp_path):
    recipes = [tiny("tiramisu", label_folder, tmp_path / out, steps_per_epoch=3) for out in ("whole", "parts")]
    Run(recipes[0], "tiramisu").run()
    first = Run(recipes[1], "tiramisu")
    first.stop_requested = True
    first.run()
    Run(recipes[1], "tiramisu", resume=True).run()
    whole, parts = (read_state(tmp_path / out / "state.npz")[1] for out in ("whole", "parts"))
    assert whole["random"]
    for group, arrays in whole.items():
        for name, array in arrays.items():
            np.testing.assert_allclose(array, parts[group][name], atol=1e-6, err_msg=f"{group} {name}")


def test_a_short_run_learns_the_red_squares(label_folder, tmp_path, capsys):
    recipe = tiny(
        "extractnet", label_folder, tmp_path / "run", steps_per_epoch=60, rate=5e-3, soft_iou=0.5, batch=8
    )  # fmt: skip
    run = Run(recipe, "extractnet")
    run.run()
    assert run.best > 0.7
    photo = next((label_folder / "one" / "images").iterdir())
    out = tmp_path / "seen.png"
    assert inspect([str(tmp_path / "run"), str(photo), "--out", str(out), "--width", "64"]) == 0
    assert "IoU" in capsys.readouterr().out
    assert Image.open(out).width == 4 * 64 + 3 * 4
    assert inspect([str(tmp_path / "nothing"), str(photo)]) == 1
    assert "no run's folder" in capsys.readouterr().err
    best = tmp_path / "run" / "best.npz"
    command = ["--data", str(label_folder), "--select", "all", "--all", "--photos", "4", "--sheet-photos", "2"]
    assert compare([*command, "--segmenters", f"extractnet:{best},otsu_watershed", "--out", str(tmp_path / "t")]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:4]] == ["extractnet:best.npz", "otsu_watershed"]
    figures = json.loads((tmp_path / "t" / "figures.json").read_text())
    assert figures["segmenters"][f"extractnet:{best}"]["iou"] > 0.5


def test_the_table_trains_what_has_weights_and_says_what_is_left_out(label_folder, tmp_path):
    recipe = tiny("extractnet", label_folder, tmp_path / "runs")
    assert {name: one is not None for name, one in variants(recipe).items() if "Autoencoder" in name} == {
        "Simple Autoencoder": True,
        "Interconnected Autoencoder": True,
    }
    lines = run_table(recipe)
    shown = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    assert set(REPORTED) <= shown.keys()
    assert "no weights here" in shown["ResNet-50 Encoder (R), (BN)"]
    assert "0.750" in shown["ResNet-50 Encoder (R), (BN)"]
    assert "no weights here" not in shown["Simple Autoencoder"]
    assert (tmp_path / "runs" / "table.md").read_text().splitlines()[0] == lines[0]
    assert run_table(recipe) == lines  # nothing is trained twice


def test_figures_stand_beside_the_report_s():
    assert "| Baseline | - | 0.400 | - | 0.379 |" in table({"Baseline": (None, 0.4)})


def test_a_frozen_encoder_without_weights_is_refused(label_folder, tmp_path):
    with pytest.raises(ValueError, match="would stay random"):
        tiny("extractnet", label_folder, tmp_path, encoder="resnet50").check()


def test_subjects_are_the_same_for_the_same_index_and_drops_are_skipped(label_folder):
    labelled = open_data([label_folder])
    one, two = (Subjects(labelled, range(24), RULES["all"], seed=3) for _ in range(2))
    assert [one.get(n).name for n in range(24)] == [two.get(n).name for n in range(24)]
    assert {one.get(n).name for n in range(24)} == set(labelled.names)
    with pytest.raises(ValueError, match="24 dropped: no object of the classes"):
        Subjects(labelled, range(24), RULES["extractnet"]).get(0)
    with pytest.raises(ValueError, match="is --manifest missing"):
        held_out_subjects(labelled, range(24), RULES["extractnet"], limit=5)


class PersonWithDog:
    """One photo: a person and a dog, a half each."""

    names = ("both",)

    def get(self, number):
        dog = np.zeros((8, 8), bool)
        dog[:, 4:] = True
        objects = ((~dog, "person"), (dog, "dog"))
        return Annotated(np.zeros((8, 8, 3), np.uint8), objects, np.zeros((8, 8), bool))


def test_one_rule_may_choose_the_photos_and_another_say_what_their_subject_is():
    chosen = held_out_subjects(PersonWithDog(), [0], RULES["extractnet"], limit=1)
    assert chosen[0].mask.mean() == 0.5
    with pytest.raises(ValueError, match="more than 90%"):
        held_out_subjects(PersonWithDog(), [0], RULES["extractnet"], limit=1, truth=RULES["subject"])
    both = held_out_subjects(PersonWithDog(), [0], RULES["extractnet"], limit=1, truth=RULES["all"])
    assert both[0].mask.all()


def test_ignored_pixels_are_neither_class():
    mask, ignore = np.array([[True, False, False]]), np.array([[False, False, True]])
    np.testing.assert_array_equal(subject_or_nothing(mask, ignore), [[1, 0, NOTHING]])


def test_a_label_set_s_rim_is_the_border_and_a_band_where_there_is_none():
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    rim = np.zeros_like(mask)
    rim[10:30, 30:32] = True
    far = np.zeros_like(mask)
    far[0, 0] = True
    classes = trimap_classes(mask, rim | far)
    assert (classes[rim] == BORDER).all()
    assert classes[0, 0] == NOTHING
    assert classes[20, 20] == PET
    assert classes[0, 5] == BACKGROUND
    assert (classes[mask] == PET).all()
    band = trimap_classes(mask, np.zeros_like(mask))
    assert band[20, 30] == BORDER
    assert band[20, 29] == BORDER
    assert band[20, 20] == PET
    assert not unclear_rim(np.zeros_like(mask), rim).any()


@pytest.mark.parametrize("hook", [crop(0.5), gamma(1.0), shadow(1.0)], ids=["crop", "gamma", "shadow"])
def test_changes_keep_the_subject_and_leave_the_sample(hook):
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    image = np.where(mask[..., None], (200, 100, 50), (40, 80, 120)).astype(np.uint8)
    sample = Sample("a", image, mask, np.zeros_like(mask), None)
    before = image.copy()
    changed = [hook(sample, np.random.default_rng(seed)) for seed in range(8)]
    np.testing.assert_array_equal(image, before)
    assert any(one.image.shape != image.shape or (one.image != image).any() for one in changed)
    for one in changed:
        assert one.image.dtype == np.uint8
        assert one.image.shape[:2] == one.mask.shape == one.ignore.shape
        assert one.mask.sum() >= 0.6 * mask.sum()


def test_errors_have_their_own_colours():
    image = np.full((4, 4, 3), 100, np.uint8)
    truth, answer = np.zeros((2, 4, 4), bool)
    truth[0], answer[1] = True, True
    shown = error(image, truth, answer)
    assert shown[0, 0].argmax() == np.argmax(MISSED)
    assert shown[1, 0].argmax() == np.argmax(TOO_MUCH)
    assert len(four_panels(image, truth, answer)) == 4
    assert len(four_panels(image, None, answer)) == 2
