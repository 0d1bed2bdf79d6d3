"""The command line with a real, tiny Mask R-CNN: clicks, classes, COCO."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main

pytest.importorskip("mmdet", reason="mmdet is not installed")
pytest.importorskip("mmcv", reason="mmcv is not installed")

TINY = f"mask_rcnn:{Path(__file__).parents[1] / 'data' / 'tiny_mask_rcnn.py'}"
SURE = ("--score-threshold", "0.6")
RED, BLUE = (200, 40, 40), (50, 60, 210)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a photo of a red circle and a blue square that lies over it."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(5).normal((90, 120, 90), 6, (150, 200, 3)).clip(0, 255).astype(np.uint8)
    cv2.circle(image, (75, 70), 38, RED, cv2.FILLED)
    cv2.rectangle(image, (90, 60), (150, 120), BLUE, cv2.FILLED)
    Image.fromarray(image).save("shapes.png")
    return tmp_path


def _share(pixels: np.ndarray, color: tuple[int, int, int]) -> float:
    return float((np.abs(pixels.astype(int) - color).max(axis=-1) < 12).mean())


def test_a_click_erases_the_shape_under_it_and_no_other(folder, capsys):
    code = main(["erase", "shapes.png", "--at", "120,100", "--segmenter", TINY, "--inpainter", "telea"])
    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith("shapes-erased.png: square ")
    before, after = np.asarray(Image.open("shapes.png")), np.asarray(Image.open("shapes-erased.png"))
    assert _share(before[95:115, 95:145], BLUE) == 1
    assert _share(after, BLUE) < 0.002
    assert _share(after[50:90, 45:75], RED) > 0.9
    np.testing.assert_array_equal(after[:, :40], before[:, :40])


def test_all_of_a_class_are_erased_and_a_missing_class_is_said(folder, capsys):
    argv = ["erase", "shapes.png", "--segmenter", TINY, *SURE, "--inpainter", "telea", "--class"]
    assert main([*argv, "circle,square"]) == 0
    assert capsys.readouterr().out.startswith("shapes-erased.png: circle + square x2 ")
    after = np.asarray(Image.open("shapes-erased.png"))
    assert _share(after, BLUE) + _share(after, RED) < 0.004
    argv[2:2] = ["--overwrite"]
    assert main([*argv, "triangle"]) == 1
    assert "no triangle was found; there is circle, square" in capsys.readouterr().err
    assert main([*argv, "circel"]) == 2
    assert "did you mean circle?" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")
def test_masks_become_coco_annotations_that_pycocotools_reads(folder, capsys):
    tools = pytest.importorskip("pycocotools.coco")
    assert main(["masks", "shapes.png", "--out", "m", "--segmenter", TINY, *SURE]) == 0
    capsys.readouterr()
    data = tools.COCO("m/annotations.json")
    names = {one["id"]: one["name"] for one in data.loadCats(data.getCatIds())}
    found = {names[one["category_id"]]: data.annToMask(one) for one in data.loadAnns(data.getAnnIds())}
    assert set(found) == {"circle", "square"}
    assert found["square"][60:121, 90:151].mean() > 0.9
    for path in Path("m").glob("shapes-*.png"):
        label = path.stem.split("-")[-1]
        np.testing.assert_array_equal(np.asarray(Image.open(path)), found[label].astype(bool))


def test_a_threshold_and_a_checkpoint_reach_the_model(folder, capsys):
    argv = ["masks", "shapes.png", "--segmenter", TINY, "--out", "m"]
    assert main([*argv, "--score-threshold", "1"]) == 1
    assert "no object was found" in capsys.readouterr().err
    assert main([*argv, "--checkpoint", "gone.pth"]) == 2
    assert "gone.pth" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["shapes.png"]
