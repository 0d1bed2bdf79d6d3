from __future__ import annotations

import sys

import pytest

from inpaint import INPAINTERS, load_inpainter
from pipeline import catalog
from pipeline.models import Models
from segment import load_segmenter
from weights import WEIGHTS, WeightsError


@pytest.mark.usefixtures("fake_models")
def test_a_model_is_loaded_once_and_only_when_it_is_asked_for():
    models = Models(segmenter="squares", inpainter="no such inpainter")
    assert models.clicked is models.clicked
    with pytest.raises(ValueError, match="no inpainter is called 'no such inpainter'"):
        _ = models.filler


@pytest.mark.usefixtures("fake_models")
def test_options_reach_the_segmenter():
    models = Models(segmenter="squares", segmenter_options={"score_threshold": 0.5}, device="cuda:1")
    assert models.clicked.score_threshold == 0.5
    assert models.clicked.device == "cuda:1"


def test_an_option_that_the_segmenter_does_not_have_is_refused():
    with pytest.raises(ValueError, match="the segmenter grabcut has no score threshold: choose another segmenter"):
        _ = Models(segmenter="grabcut", segmenter_options={"score_threshold": 0.5}).clicked


def test_models_without_a_net_ignore_the_device():
    models = Models(segmenter="grabcut", inpainter="telea", device="cuda", offline=True)
    assert models.clicked and models.filler


@pytest.mark.parametrize(
    ("models", "told"),
    [
        (Models(segmenter="nonsense"), "no segmenter is called 'nonsense'"),
        (Models(segmenter="otsu_watershed:x"), "has no models to choose from"),
        (Models(inpainter="nosuch:x"), "no inpainter is called 'nosuch'"),
        (Models(inpainter="telea:x"), "the inpainter telea has no weights"),
        (Models(segmenter="clicknet", segmenter_options={"checkpoint": "x"}), "clicknet has no checkpoint"),
        (Models(device="warp"), "no device is called 'warp'"),
        (Models("grabcut", "telea", device="cpu"), "--device cpu would have no effect: grabcut and telea have no net"),
    ],
)
def test_what_no_model_has_is_known_before_one_is_loaded(models, told):
    with pytest.raises(ValueError, match=told):
        models.check()


def test_names_and_options_that_models_have_pass_and_load_nothing(monkeypatch):
    never = pytest.fail
    monkeypatch.setattr("pipeline.models.load_segmenter", never)
    monkeypatch.setattr("pipeline.models.load_inpainter", never)
    Models().check()
    Models("mask_rcnn:not-looked-for", "telea", {"checkpoint": "x", "score_threshold": 0.5}, device="auto").check()
    Models("grabcut", "pconv:x", device="cuda:1").check()


@pytest.mark.usefixtures("fake_models")
def test_a_named_segmenter_also_finds_the_main_subject():
    models = Models(segmenter="squares")
    assert models.subject is models.clicked
    assert type(Models().subject).__name__ == "SubjectSegmenter"  # the bundled one


def test_the_list_names_every_model_and_every_weight_file():
    text = "\n".join(catalog.lines())
    for name in ("auto", "mask_rcnn", "grabcut", "pconv", "telea", "navier_stokes", *WEIGHTS):
        assert name in text
    for spec in WEIGHTS.values():
        assert spec.license in text and spec.trained_on in text and spec.file in text


@pytest.mark.parametrize("name", [file.name for file in catalog.weight_files()])
def test_what_the_list_names_can_be_asked_for(name, tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path))
    (file,) = (file for file in catalog.weight_files() if file.name == name)
    load = load_inpainter if name.partition(":")[0] in INPAINTERS else load_segmenter
    if file.is_here:
        assert file.path.stem in load(name).name
    else:
        with pytest.raises(WeightsError, match=f"{file.path.name} is not here"):
            load(name, offline=True)


def test_the_list_says_which_files_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path))
    first = next(file for file in catalog.weight_files() if file.path.parent == tmp_path)
    assert not first.is_here
    first.path.write_bytes(b"x")
    assert first.is_here
    assert any(f"here: {first.path}" in line and "not here" not in line for line in catalog.lines())


def test_the_list_is_made_without_loading_a_framework():
    before = {name for name in ("tensorflow", "torch", "keras", "mmdet") if name in sys.modules}
    list(catalog.lines())
    assert {name for name in ("tensorflow", "torch", "keras", "mmdet") if name in sys.modules} == before
