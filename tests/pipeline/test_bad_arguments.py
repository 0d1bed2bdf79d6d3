"""Arguments that make no sense, in a table: one line that says what was expected and what came, and the exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import edit
from pipeline.__main__ import main
from pipeline.mask_files import read_mask
from pipeline.photo import PhotoError
from pipeline.selection import Pick
from segment.base import Click, NoObjectError
from segment.classical import GrabCutSegmenter

TELEA = ["--inpainter", "telea"]
GRABCUT = [*TELEA, "--segmenter", "grabcut"]
BOX = ["--box", "1,1,9,9"]


def _mask(name: str, grey: np.ndarray) -> None:
    Image.fromarray(grey.astype(np.uint8)).save(name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: a photo, masks of many kinds, lists of clicks and objects that nobody can use."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)).save("p.png")
    on = np.zeros((40, 56))
    on[5:15, 5:20] = 255
    _mask("m.png", on)
    _mask("inverted.png", 255 - on)
    _mask("white.png", on * 0 + 255)
    _mask("black.png", on * 0)
    _mask("dark.png", on / 3)
    _mask("low.png", on[:20])
    _mask("turned.png", on.T)
    portrait = on * 0
    portrait[4:, 8:48] = 255  # more than half of the photo, less than half of its border
    _mask("portrait.png", portrait)
    for name, data in (
        ("text.png", b"hi"),
        ("empty.png", b""),
        ("long.csv", b"file,x,y\n" + b"a" * 200_000 + b",1,2\n"),
        ("header.csv", b"a" * 200_000),
        ("nan.csv", b"file,x,y\np.png,nan,2\n"),
        ("negative.csv", b"file,x,y\np.png,-1,2\n"),
        ("digits.csv", b"file,x,y\np.png," + b"9" * 5000 + b",2\n"),
        ("binary.csv", bytes(range(128, 256))),
        ("deep.json", b"[" * 100_000),
        ("binary.json", bytes(range(128, 256))),
        ("deep.toml", b"a=" + b"[" * 100_000),
        ("date.toml", b"at=2020-01-01\n"),
        ("binary.toml", b"\xff\xfe"),
        ("nan.json", _coco([["NaN", 1, 5, 1, 5, 5]]).replace('"NaN"', "NaN").encode()),
        ("far.json", _coco([[1, 1, 1e300, 1, 5, 5]]).encode()),
        ("words.json", _coco([["a", 1, 5, 1, 5, 5]]).encode()),
        ("endless.json", _coco({"size": [40, 56], "counts": "o" * 100_000}).encode()),
        ("huge.json", _coco({"size": [40, 56], "counts": [10**12]}).encode()),
    ):
        Path(name).write_bytes(data)
    os.mkfifo("pipe.png")
    Path("loop.png").symlink_to("loop.png")
    Path("d").mkdir()
    return tmp_path


def _coco(segmentation) -> str:
    image = {"id": 1, "file_name": "p.png", "height": 40, "width": 56}
    return json.dumps({"images": [image], "annotations": [{"image_id": 1, "segmentation": segmentation}]})


SENSELESS = [  # words after the photo, a part of the message
    (["--at", "nan,3"], "expected X,Y in whole pixels, got 'nan,3'"),
    (["--at", "1.5,3"], "expected X,Y in whole pixels, got '1.5,3'"),
    (["--at", "1e3,3"], "expected X,Y in whole pixels"),
    (["--at", ""], "expected X,Y in whole pixels, got ''"),
    (["--at=-1,3"], "expected a pixel X,Y on the photo, counted from 0, got '-1,3'"),
    (["--at", "9" * 5000], "got '" + "9" * 59 + "..."),
    (["--at", "5,5", "--not-at", "5,5"], "the click (5, 5) both selects and takes away: give one of them"),
    (["--not-at", "5,5"], "--not-at takes away from what --at selects: give --at too"),
    (["--box", "10,10,5,5"], "expected X0 < X1 and Y0 < Y1, got '10,10,5,5'"),
    (["--box", "inf,0,5,5"], "expected X0,Y0,X1,Y1 in whole pixels, got 'inf,0,5,5'"),
    (["--at", "5,5", *BOX], "--at and --box both say what to select: give one of them"),
    (["--all", "--at", "5,5"], "--at and --all both say what to select"),
    (["--mask", "m.png", "--masks", "d"], "--mask and --masks both say what to select"),
    (["--mask", "pipe.png"], "there is no mask file pipe.png"),
    (["--mask", "loop.png"], "there is no mask file loop.png"),
    (["--mask", ""], "expected the name of a file or folder, got ''"),
    ([*BOX, "--mask-white", "background"], "--mask-white says what white means in --mask or --masks: give one"),
    (["--mask", "m.png", "--mask-white", "grey"], "invalid choice: 'grey' (choose from"),
    (["--masks", "m.png"], "--masks m.png is no folder"),
    (["--points", "long.csv"], "long.csv, line 2: field larger than field limit"),
    (["--points", "header.csv"], "header.csv, line 1: field larger than field limit"),
    (["--points", "nan.csv"], "nan.csv, line 2: expected x,y in whole pixels, got 'nan,2'"),
    (["--points", "negative.csv"], "negative.csv, line 2: pixels are counted from 0, got -1,2"),
    (["--points", "digits.csv"], "digits.csv, line 2: expected x,y in whole pixels, got '9999"),
    (["--points", "binary.csv"], "its first line must name the columns file, x, y"),
    (["--points", "d"], "d: Is a directory"),
    (["--coco", "deep.json"], "deep.json is no COCO file: expected images and annotations in JSON (RecursionError"),
    (["--coco", "binary.json"], "binary.json is no COCO file: expected images and annotations in JSON"),
    (["--coco", "nan.json"], "annotation 1: a polygon's corners must be numbers of pixels, less than 1000000 away"),
    (["--coco", "far.json"], "annotation 1: a polygon's corners must be numbers of pixels, less than 1000000 away"),
    (["--coco", "words.json"], "annotation 1: could not convert string to float"),
    (["--coco", "endless.json"], "annotation 1: a number in COCO's run lengths has no end"),
    (["--coco", "huge.json"], "annotation 1: its run lengths do not cover 56x40 pixels"),
    (["--recipe", "deep.toml"], "the recipe deep.toml is no TOML: maximum recursion depth exceeded"),
    (["--recipe", "binary.toml"], "the recipe binary.toml is no TOML"),
    (["--recipe", "date.toml"], "the recipe's at must be a text, a number, true or a list, got '2020-01-01'"),
    (["--recipe", "gone.toml"], "gone.toml: No such file or directory"),
    ([*BOX, "--feather", "inf"], "expected a number, 0 or more, got 'inf'"),
    ([*BOX, "--max-megapixels", "nan"], "expected a number above 0, got 'nan'"),
    ([*BOX, "-o", ""], "expected the name of a file or folder, got ''"),
    ([*BOX, "--out", ""], "expected the name of a file or folder, got ''"),
    ([*BOX, "--out", "pipe.png"], "--out pipe.png is a file: it must be a folder, or a name that is free"),
    ([*BOX, "-o", "x"], "x cannot be written: no extension is no photo format; use one of"),
    ([*BOX, "-o", "p.png/x.png"], "p.png/x.png cannot be written: p.png is no folder"),
    ([*BOX, "--inpainter", "telea:x"], "the inpainter telea has no weights: write telea, without :x"),
    ([*BOX, "--inpainter", "os:system"], "no inpainter is called 'os': choose one of"),
    ([*BOX, "--inpainter", ""], "expected a name, got ''"),
    (["--at", "5,5", "--segmenter", "grabcut:x"], "the segmenter grabcut has no models to choose from: write grabcut"),
    (["--at", "5,5", "--segmenter", "deepcrop:~nobody9/x.npz"], "deepcrop needs its weights, got ~nobody9/x.npz"),
    (["--at", "5,5", "--segmenter", "mask_rcnn:~nobody9/x.npz"], "there is no bundle ~nobody9/x.npz"),
    (["--at", "5,5", "--segmenter", "clicknet:~nobody9/x.npz"], "~nobody9/x.npz"),
    ([*BOX, "--inpainter", "pconv:~nobody9/x.npz"], "~nobody9/x.npz"),
    ([*BOX, "--unknown\x1b[31m\n"], "unrecognized arguments: --unknown\\x1b[31m\\n"),
]


def _run(capsys, *argv: str) -> tuple[int, str]:
    try:
        code = main(argv)
    except SystemExit as leaving:  # argparse's own way
        code = int(leaving.code or 0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err[:-1].isprintable(), captured.err
    assert "fault in Clickaway" not in captured.err
    return code, captured.err


@pytest.mark.parametrize(("words", "message"), SENSELESS, ids=[" ".join(words)[:40] for words, _ in SENSELESS])
def test_what_makes_no_sense_is_one_line_and_code_2(folder, capsys, words, message):
    before = sorted(folder.rglob("*"))
    inpainter = [] if "--inpainter" in words else TELEA
    code, err = _run(capsys, "erase", "p.png", *inpainter, *words)
    assert code == 2
    assert message in err
    assert len(err) < 400
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster can be reached at 127.0.0.1:1 (Connection refused)"),
        ("127.0.0.1:99999", "no Ray cluster can be reached at 127.0.0.1:99999"),
        ("ray://127.0.0.1:1", "no Ray cluster can be reached at ray://127.0.0.1:1"),
        ("127.0.0.1", "--address wants HOST:PORT of a Ray cluster, got '127.0.0.1'"),
        ("", "--address wants HOST:PORT of a Ray cluster, got ''"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line_at_once(folder, capsys, monkeypatch, address, message):
    monkeypatch.setattr("pipeline.many.find_spec", lambda name: True)  # no Ray is asked
    code, err = _run(capsys, "erase", "p.png", *TELEA, *BOX, "--engine", "ray", "--address", address)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["replace", "p.png", *BOX, "--with", "rgb(300,0,0)"], "--with rgb(300,0,0): there is no such photo, and no"),
        (["replace", "p.png", *BOX, "--with", "pipe.png"], "pipe.png cannot be read: it is not an ordinary file"),
        (["replace", "p.png", *BOX, "--with", "text.png"], "text.png cannot be read: it is not a photo"),
        (["replace", "p.png", *BOX, "--with", ""], "expected a name, got ''"),
        (["cutout", "p.png", *BOX, "--matting", "--feather", "3"], "--feather would have no effect"),
        (["erase", "", *BOX], "expected the name of a file or folder, got ''"),
        (["erase", "a\0b", *BOX], "expected the name of a file or folder, got 'a\\x00b'"),
        (["erase", "loop.png", *BOX], "there is no file or folder loop.png"),
        (["er\nase"], "invalid choice: 'er\\nase'"),
    ],
)
def test_senseless_commands_are_one_line_and_code_2(folder, capsys, argv, message):
    code, err = _run(capsys, *argv)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--at", "56,5", *GRABCUT], "p.png: click (56, 5) is outside the photo: x must be 0..55, y 0..39"),
        (["--at", "99999999999999999999,5", *GRABCUT], "is outside the photo"),
        (["--at", "0,0", *GRABCUT], "p.png: nothing at (0, 0) stands out by its colours"),
        (["--box", "56,40,60,50"], "p.png: box 56,40,60,50 covers nothing of the 56x40 photo"),
        (["--box", "0,0,56,40"], "p.png: the hole is the whole photo"),
        (["--mask", "low.png"], "the mask low.png is 56x20 but the photo is 56x40: make them equal"),
        (["--mask", "turned.png"], "the mask turned.png is 40x56 but the photo is 56x40: was one of them turned?"),
        (["--mask", "black.png"], "the mask black.png has no white in it: white marks the object"),
        (["--mask", "dark.png"], "the mask dark.png has no white in it"),
        (["--mask", "inverted.png"], "is white on 93% of the photo and on most of its border: say whether white is"),
        (["--mask", "white.png"], "--mask-white object or --mask-white background"),
        (["--mask", "white.png", "--mask-white", "background"], "the mask white.png has no black in it"),
        (["--mask", "white.png", "--mask-white", "object"], "the hole is the whole photo"),
        (["--mask", "text.png"], "text.png cannot be read: it is not a photo"),
        ([*BOX, "--max-megapixels", "0.001"], "it has 56x40 pixels, 0.00224 MP; the limit is 0.001 MP"),
        ([*BOX, "-o", "loop.png"], "loop.png: Too many levels of symbolic links"),
        ([*BOX, "-o", "pipe.png", "--overwrite"], "there is something of that name that is no file"),
    ],
)
def test_what_does_not_fit_the_photo_is_one_line_and_code_1(folder, capsys, words, message):
    code, err = _run(capsys, "erase", "p.png", *(words if "--inpainter" in words else [*TELEA, *words]))
    assert code == 1
    assert message in err
    assert sorted(path.name for path in folder.glob("*erased*")) == []


def test_a_pipe_in_a_folder_fails_alone(folder, capsys):
    (folder / "d" / "good.png").write_bytes((folder / "p.png").read_bytes())
    os.mkfifo(folder / "d" / "pipe.png")
    for workers in ("0", "2"):
        code = main(["erase", "d", "--out", f"done-{workers}", *BOX, *TELEA, "--workers", workers])
        assert code == 1
        err = capsys.readouterr().err
        assert err.strip() == "clickaway erase: d/pipe.png cannot be read: it is not an ordinary file"
        assert (folder / f"done-{workers}" / "good.png").is_file()


def test_an_inverted_mask_is_used_as_it_is_said(folder):
    plain, _ = read_mask(Path("m.png"), (40, 56))
    inverted, _ = read_mask(Path("inverted.png"), (40, 56), white="background")
    np.testing.assert_array_equal(inverted, plain)
    meant, _ = read_mask(Path("inverted.png"), (40, 56), white="object")
    np.testing.assert_array_equal(meant, ~plain)
    with pytest.raises(PhotoError, match="say whether white is the object or the background"):
        read_mask(Path("inverted.png"), (40, 56))
    with pytest.raises(ValueError, match="white must be 'object', 'background' or None, got 'grey'"):
        read_mask(Path("m.png"), (40, 56), white="grey")


def test_a_large_object_that_leaves_most_of_the_border_needs_no_word(folder):
    mask, notes = read_mask(Path("portrait.png"), (40, 56))
    assert mask.mean() > 0.6 and notes == []


def test_clicks_that_cancel_each_other_are_said_to_do_so():
    segmenter = GrabCutSegmenter()
    encoding = segmenter.encode(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8))
    with pytest.raises(NoObjectError, match="the clicks that take away lie on those that select"):
        segmenter.select(encoding, [Click(5, 5), Click(5, 5, positive=False)])


@pytest.mark.parametrize("x", [float("nan"), 1.5, "3", None])
def test_a_click_that_is_no_pixel_is_refused(x):
    with pytest.raises(ValueError, match="a click is a pixel, two whole numbers: got"):
        Pick(clicks=(Click(x, 2),))


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1])
def test_amounts_that_are_no_lengths_are_refused(amount):
    image, mask = np.zeros((9, 9, 3), np.uint8), np.eye(9, dtype=bool)
    for effect in (edit.cut_out, edit.blur_background):
        with pytest.raises(ValueError, match="feather_px must be 0 or more, got"):
            effect(image, mask, feather_px=amount)
    with pytest.raises(ValueError, match="sigma_px must be more than 0, got"):
        edit.blur_background(image, mask, sigma_px=amount)


def test_a_feather_wider_than_the_photo_takes_no_longer():
    image, mask = np.full((60, 80, 3), 90, np.uint8), np.zeros((60, 80), bool)
    mask[20:40, 30:60] = True
    assert edit.cut_out(image, mask, feather_px=1e6).shape == (60, 80, 4)


def test_a_wide_feather_is_as_soft_as_a_gaussian_says():
    mask = np.zeros((400, 600), bool)
    mask[:, 300:] = True
    alpha = edit.cut_out(np.full((400, 600, 3), 90, np.uint8), mask, feather_px=60)[200, :, 3].astype(int)
    assert (np.diff(alpha) >= 0).all()
    assert abs(alpha[299] + alpha[300] - 255) <= 4
    assert (alpha[300 + 130], alpha[299 - 130]) == (255, 0)
