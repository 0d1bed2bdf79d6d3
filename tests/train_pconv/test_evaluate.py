"""The comparison table and the export with its card."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng
from PIL import Image as PillowImage

from inpaint.pconv_config import read_config
from inpaint.pconv_unet import build_pconv_unet, write_pconv
from train_pconv import evaluate, export
from train_pconv.build import net_config
from train_pconv.config import TrainConfig
from train_pconv.evaluate import Biharmonic, Case, make_cases, measure, summarise, tables
from train_pconv.holes import HoleMix
from train_pconv.photos import Photos, open_photos
from train_pconv.shapes import Blobs
from training.options import write_config


@pytest.fixture
def bundle(tiny: Callable[..., TrainConfig], tmp_path: Path) -> Path:
    """A run's folder with a bundle that nobody trained: its residual is zero, so it is the pull-push fill."""
    config = tiny()
    run = tmp_path / "run"
    run.mkdir()
    net = net_config(config)
    write_pconv(run / "best.npz", build_pconv_unet(net), net, {"step": 7, "max_size_px": 32})
    write_config(config, run / "config.json")
    return run / "best.npz"


def case_of(truth: np.ndarray, hole: np.ndarray) -> Case:
    return Case("photo", truth, hole, "boxes", enlarged=False)


def test_biharmonic_fills_the_hole_and_nothing_else() -> None:
    ramp = np.tile(np.linspace(20, 220, 24).astype(np.uint8)[None, :, None], (20, 1, 3))
    hole = np.zeros((20, 24), bool)
    hole[8:13, 8:14] = True
    damaged = np.where(hole[..., None], np.uint8(0), ramp)
    before = damaged.copy()
    filled = Biharmonic().inpaint(damaged, hole)
    np.testing.assert_array_equal(damaged, before)
    np.testing.assert_array_equal(filled[~hole], ramp[~hole])
    assert np.abs(filled.astype(int) - ramp)[hole].max() <= 2  # a plane is biharmonic


def test_what_is_measured_is_what_erase_would_show() -> None:
    class Careless:
        def inpaint(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
            return image + 1

    hole = np.zeros((16, 16), bool)
    hole[4:9, 4:9] = True
    truth = np.full((16, 16, 3), 7, np.uint8)
    filled, _ = measure(Careless(), case_of(truth, hole))
    np.testing.assert_array_equal(filled[~hole], truth[~hole])
    assert (filled[hole] == 1).all()  # it never saw the truth


def test_figures_are_those_of_the_photo_and_of_the_hole() -> None:
    class Grey:
        def inpaint(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
            return np.where(hole[..., None], np.uint8(110), image)

    truth = np.full((20, 20, 3), 100, np.uint8)
    hole = np.zeros((20, 20), bool)
    hole[5:15, 5:15] = True  # a quarter
    _, figures = measure(Grey(), case_of(truth, hole))
    assert figures["l1_hole_percent"] == pytest.approx(100 * 10 / 255)
    assert figures["l1_percent"] == pytest.approx(25 * 10 / 255)
    assert figures["psnr_hole"] == pytest.approx(20 * np.log10(255 / 10))
    assert figures["psnr"] - figures["psnr_hole"] == pytest.approx(10 * np.log10(4))
    assert figures["area"] == 0.25 and np.isnan(figures["texture"])


def test_means_leave_out_what_is_no_number() -> None:
    names = evaluate.MEASURES
    photos = [dict.fromkeys(names, value) | {"seconds": 1.0, "area": 0.1} for value in (1.0, 3.0)]
    photos[0]["texture"] = float("nan")
    means = summarise(photos)
    assert means["photos"] == 2 and means["psnr"] == 2.0 and means["texture"] == means["texture_median"] == 3.0


def test_photos_fall_into_the_bucket_of_their_hole() -> None:
    figures = [dict.fromkeys(evaluate.MEASURES, 1.0) | {"seconds": 1.0, "area": area} for area in (0.06, 0.15, 0.16)]
    rows = tables({"telea": figures}, (0.05, 0.3))
    assert {bucket: means["photos"] for bucket, means in rows["telea"].items()} == {
        "0.05-0.1": 1,
        "0.1-0.2": 2,
        "all": 3,
    }


def test_cases_take_turns_and_prefer_photos_that_are_large_enough(tmp_path: Path) -> None:
    for number, side in enumerate([40, 24, 40, 24]):
        PillowImage.fromarray(default_rng(number).integers(0, 255, (side, side, 3), np.uint8)).save(
            tmp_path / f"{number}.png"
        )
    photos = Photos(open_photos([str(tmp_path)]))
    mixes = {kind: HoleMix({kind: 1.0}, shapes=Blobs()) for kind in ("objects", "strokes")}
    first, again = (make_cases(photos, range(4), mixes, size_px=32, count=3, area=(0.05, 0.3)) for _ in range(2))
    assert [case.enlarged for case in first] == [False, False, True]
    assert [case.kind for case in first] == ["objects", "strokes", "objects"]
    assert {case.name for case in first[:2]} == {"0.png", "2.png"}
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.hole, b.hole)
        assert 0.05 <= a.hole.mean() < 0.3


def test_the_command_compares_side_by_side_and_writes_table_json_and_sheet(
    photo_folder: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--json", str(tmp_path / "e.json"), "--sheet", str(tmp_path / "e.png"), "--sheet-px", "32"]
    options = ["--inpainters", f"pconv:{bundle},telea,biharmonic", "--sizes", "32", "--photos", "3", "--all"]
    assert evaluate.main(["--images", str(photo_folder), *options, *files]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| all |") == 3 and "| all | biharmonic | 3 |" in printed
    content = json.loads((tmp_path / "e.json").read_text())
    assert str(tmp_path) not in content["command"]
    assert content["sizes"]["32"]["means"]["telea"]["all"]["psnr_hole"] > 5
    assert PillowImage.open(tmp_path / "e.png").size == (10 * 36 - 4, 2 * 36 - 4 + 20)


def test_wrong_options_are_one_line(photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = ["--images", str(photo_folder), "--all", "--photos", "1", "--sizes", "32"]
    assert evaluate.main([*images, "--inpainters", "magic"]) == 1
    assert evaluate.main([*images, "--inpainters", f"pconv:{tmp_path / 'nowhere.npz'}"]) == 1
    assert evaluate.main([*images, "--area", "0.5", "0.2"]) == 1
    assert evaluate.main([*images, "--sheet", str(tmp_path / "s.png"), "--sheet-photos", "0"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and all(line.startswith("evaluate: ") for line in lines)


def test_an_export_holds_the_weights_and_its_card_says_where_they_come_from(
    photo_folder: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "weights" / "files" / "pconv-tiny.npz"
    images = ["--images", str(photo_folder), "--all", "--photos", "2", "--sizes", "32"]
    other = shutil.copy(bundle, tmp_path / "other.npz")
    names = f"telea,pconv:{bundle},pconv:{other}"
    evaluate.main([*images, "--inpainters", names, "--json", str(tmp_path / "e.json")])
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["set", "file", "source", "licence"])
        rows.writerows(["drawn", f"photos/n{n % 2:08d}/photo_{n}.png", "the tests", "CC0"] for n in range(16))
    options = ["--evaluation", str(tmp_path / "e.json"), "--manifest", str(tmp_path / "manifest.csv")]
    assert export.main([str(bundle.parent), "--out", str(out), *options, "--license", "CC0-1.0"]) == 0
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert f"sha256 {digest}" in capsys.readouterr().out
    assert read_config(out)[1]["max_size_px"] == 32
    card = (tmp_path / "weights" / "cards" / "pconv-tiny.md").read_text()
    for wanted in (
        digest,
        "| drawn | 11 | CC0 | the tests |",
        "CC0-1.0",
        "trained for 7 steps",
        "| all | pconv-tiny |",
        "| all | pconv:other.npz |",  # another net's figures are not this one's
    ):
        assert wanted in card
    assert "python -m train_pconv --preset" in card and str(tmp_path) not in card
    again = tmp_path / "again.npz"
    export.main([str(bundle.parent), "--out", str(again)])
    assert again.read_bytes() == out.read_bytes()  # the same bytes: the sha256 can be reproduced


def test_an_export_without_a_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(tmp_path), "--out", str(tmp_path / "x.npz")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("export: ") and "config.json" in line
