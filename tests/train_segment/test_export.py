"""A run becomes a bundle with a card that says what it is, from what, how good and how it was made."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from segment.nets.configs import read_click_net_config
from train_segment.export import main
from train_segment.fit import Run
from train_segment.recipes import RECIPES


@pytest.fixture
def run(label_folder: Path, tmp_path: Path) -> Path:
    recipe = replace(
        RECIPES["click-net"],
        data=(str(label_folder),),
        out=str(tmp_path / "run"),
        validation_fraction=0.3,
        batch=2,
        epochs=1,
        steps_per_epoch=1,
        validation_photos=2,
        input_px=32,
        embedding=8,
        trunk=8,
        blocks=1,
        fine=8,
        rounds=0,
    )
    Run(recipe, "click-net").run()
    return tmp_path / "run"


def test_the_bundle_and_its_card(
    run: Path, label_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"set": path.parts[-3], "file": f"labels/{path.relative_to(label_folder)}", "source": "drawn", "licence": "CC0"}
        for path in sorted(label_folder.glob("*/images/*.png"))
    ]
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    row = dict.fromkeys(
        ("iou_1", "median_1", "recall_1", "iou_3", "median_3", "recall_3", "clicks_85", "never_85"), 0.5
    ) | {"objects": 3, "encode_s": 0.1, "select_s": 0.2}
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"command": "python -m it", "limit": 20, "means": {"clicknet": row}}))
    (tmp_path / "notes.md").write_text("Thin things are lost.\n")
    out = tmp_path / "weights" / "files" / "net.npz"
    words = [str(run), "--out", str(out), "--evaluation", str(figures), "--manifest", str(manifest)]
    assert main([*words, "--license", "for research", "--notes", str(tmp_path / "notes.md")]) == 0

    _, extra = read_click_net_config(out)
    assert extra["step"] == 1 and extra["recipe"] == "click-net" and "iou" in extra["validation"]
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    card = (tmp_path / "weights" / "cards" / "net.md").read_text()
    held_out = len((run / "validation.txt").read_text().split())
    for text in (digest, "for research", "Thin things are lost.", "python -m it", "| clicknet | 3 | 50.0% |", "CC0"):
        assert text in card
    assert f"{len(rows) - held_out} photos." in card
    assert "python -m train_segment click-net --data labels" in card and str(tmp_path) not in card
    assert digest in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "net.npz")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("export: ")
    assert not (tmp_path / "net.npz").exists()
