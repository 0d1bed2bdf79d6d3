"""No click: the main subject, by the bundled net where it is here, else by the classical method, and that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import weights
from pipeline import models
from pipeline.__main__ import main
from pipeline.models import Models
from pipeline.selection import Pick, choose
from segment.nets.configs import SubjectConfig
from segment.nets.subject import build_subject, write_subject
from weights import WEIGHTS, sha256_of


@pytest.fixture
def ball(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = np.full((80, 120, 3), 30, np.uint8)
    picture[20:60, 40:80] = 230
    Image.fromarray(picture).save("ball.png")
    return picture


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A net that takes everything for the subject: its last layer's bias alone speaks."""
    config = SubjectConfig(8, 1, (8, 6, 4), input_px=32)
    net = build_subject(config)
    last = net.get_layer("mask_layer")
    last.set_weights([np.zeros(last.kernel.shape), np.full(1, 4.0)])
    write_subject(tmp_path / "subject.npz", net, config)
    monkeypatch.setattr(weights, "BUNDLED_DIR", tmp_path)
    spec = replace(WEIGHTS["subject"], sha256=sha256_of(tmp_path / "subject.npz"), onnx_sha256={})
    monkeypatch.setitem(WEIGHTS, spec.name, spec)


@pytest.fixture
def nothing_bundled(monkeypatch):
    monkeypatch.setattr("segment.prominent.bundled_subject", lambda: None)


def test_the_bundled_net_is_asked_where_it_is_here(bundled, ball):
    run = Models()
    selection, notes = choose(ball, Pick(), run)
    assert models.main_subject() == "subject"
    assert type(run.subject).__name__ == "SubjectSegmenter"
    assert selection.mask.all()
    assert notes == []


def test_without_it_the_classical_method_answers_and_one_line_says_so(nothing_bundled, ball):
    selection, notes = choose(ball, Pick(), Models())
    assert selection.mask[40, 60]
    assert not selection.mask[5, 5]
    assert len(notes) == 1
    assert "no main-subject net is here" in notes[0]


def test_a_segmenter_that_was_named_is_not_commented_on(nothing_bundled, ball):
    assert choose(ball, Pick(), Models(segmenter="otsu_watershed"))[1] == []


@pytest.mark.parametrize("command", [["cutout"], ["blur"], ["replace", "--with", "white"], ["erase"]])
def test_subject_says_it_in_a_word(nothing_bundled, ball, capsys, command):
    assert main([*command, "ball.png", "--subject", "-o", "done.png"]) == 0
    assert Path("done.png").is_file()
    assert capsys.readouterr().err.count("no main-subject net is here") == 1


def test_the_edge_s_refinement_can_be_chosen_where_a_net_answers(bundled, ball, capsys):
    assert Models(segmenter_options={"refine": "crf"}).subject._refine == "crf"
    assert main(["blur", "ball.png", "--refine", "extractnet", "-o", "soft.png"]) == 0
    assert main(["blur", "ball.png", "--refine", "crf", "--segmenter", "grabcut", "--at", "50,40", "-o", "x.png"]) == 2
    assert "the segmenter grabcut has no refine" in capsys.readouterr().err


def test_subject_and_a_click_contradict_each_other(ball, capsys):
    assert main(["cutout", "ball.png", "--subject", "--at", "50,50"]) == 2
    assert "--at and --subject both say what to select" in capsys.readouterr().err
