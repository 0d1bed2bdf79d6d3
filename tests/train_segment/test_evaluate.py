import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from train_segment.evaluate import main

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def command(label_folder, tmp_path):
    return ["--data", str(label_folder), "--all", "--photos", "3", "--max-clicks", "4", "--out", str(tmp_path / "out")]


def test_one_table_for_all_segmenters_with_figures_and_a_sheet(command, tmp_path, capsys):
    assert main([*command, "--segmenters", "grabcut, otsu_watershed", "--sheet-px", "64"]) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    assert [line.split("|")[1].strip() for line in printed] == ["segmenter", "---", "grabcut", "otsu_watershed"]
    assert len({line.count("|") for line in printed}) == 1
    assert "clicks to 85 % (4 at most)" in printed[0]

    content = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert len(content["objects"]) == 3
    for name in ("grabcut", "otsu_watershed"):
        figures, row = content["figures"][name], content["means"][name]
        assert row["objects"] == len(figures) == 3
        assert row["iou_1"] == pytest.approx(np.mean([one["ious"][0] for one in figures]))
        assert row["iou_3"] == pytest.approx(np.mean([one["ious"][2] for one in figures]))
    # Flat red on flat green: what GrabCut cannot miss.
    assert content["means"]["grabcut"]["iou_1"] > 0.9

    with PillowImage.open(tmp_path / "out" / "sheet.png") as picture:
        assert picture.width == 5 * 68 - 4
        assert picture.height > 3 * 48


def test_only_photos_of_the_validation_split_are_measured(label_folder, tmp_path):
    from train_segment.data import open_data, split

    arguments = ["--data", str(label_folder), "--validation-fraction", "0.3", "--max-clicks", "3"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    measured = json.loads((tmp_path / "out" / "figures.json").read_text())["objects"]
    names = open_data([label_folder]).names
    assert {one["name"] for one in measured} == {names[number] for number in split(names, 0.3)[1]}


def test_broken_photos_are_counted_and_named(label_folder, command, tmp_path, capsys):
    for number in range(1, 24, 2):
        (label_folder / "one" / "images" / f"{number:02}.png").write_bytes(b"")
    assert main([*command, "--photos", "24", "--segmenters", "otsu_watershed"]) == 0
    assert "12 broken left out: one/images/01.png" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "out" / "figures.json").read_text())["broken"]) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--segmenters", "nobody"], "no segmenter is called"),
        (["--data", "/nowhere/at/all"], "is not there"),
        (["--photos", "0"], "--photos 1 or more"),
        (["--min-share", "0.8"], "no"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(command, change, message, capsys):
    assert main([*command, *change]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and error.startswith("evaluate: ") and "\n" not in error


def test_no_folder_of_this_machine_is_written(command, label_folder, tmp_path):
    assert main([*command, "--segmenters", "grabcut"]) == 0
    text = (tmp_path / "out" / "figures.json").read_text()
    assert str(tmp_path) not in text
    assert "python -m train_segment.evaluate --data labels --all --segmenters grabcut --photos 3" in text


def test_help_answers_without_a_heavy_library():
    code = (
        "import sys; from train_segment.evaluate import parse\n"
        "try: parse(['--help'])\nexcept SystemExit: pass\n"
        "print('loaded', *(m for m in ('keras', 'tensorflow', 'torch', 'pycocotools') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--segmenters" in done.stdout and done.stdout.splitlines()[-1] == "loaded"
