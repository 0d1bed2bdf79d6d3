"""The command line: what it writes, what it says, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from pipeline.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch, noise, fake_models):
    """The current folder, with a few photos in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "photo.png", "album/one.png", "album/trip/two.webp"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise[..., :3]).save(name)
    return tmp_path


FAKES = ["--segmenter", "squares", "--inpainter", "paint"]
SQUARES = FAKES[:2]


def _run(capsys, *argv: str) -> tuple[int, str, str]:
    try:
        code = main(argv)
    except SystemExit as leaving:  # argparse's own way
        code = int(leaving.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_erase_writes_beside_the_photo_and_says_what_it_did(folder, capsys):
    code, out, err = _run(capsys, "erase", "photo.png", "--at", "20,12", *FAKES)
    assert (code, err) == (0, "")
    assert out.startswith("photo-erased.png: dog 0.83, 7.0% of the photo, ")
    assert (np.asarray(Image.open("photo-erased.png"))[9:15, 17:23] == (10, 200, 30)).all()


def test_a_result_is_never_overwritten_by_accident(folder, capsys):
    argv = ["erase", "photo.png", "--at", "20,12", *FAKES]
    _run(capsys, *argv)
    before = Path("photo-erased.png").read_bytes()
    code, _, err = _run(capsys, *argv)
    assert code == 1
    assert err == (
        "clickaway erase: photo-erased.png exists already: choose another name, or allow overwriting (--overwrite)\n"
    )
    assert Path("photo-erased.png").read_bytes() == before
    assert _run(capsys, *argv, "--overwrite")[0] == 0


def test_the_photo_is_never_overwritten_by_accident(folder, capsys):
    before = Path("photo.png").read_bytes()
    code, _, err = _run(capsys, "erase", "photo.png", "--at", "20,12", "-o", "photo.png", *FAKES)
    assert code == 2
    assert "photo.png exists already" in err
    assert Path("photo.png").read_bytes() == before


def test_quiet_says_nothing(folder, capsys):
    assert _run(capsys, "erase", "photo.png", "--at", "20,12", "-q", *FAKES) == (0, "", "")


@pytest.mark.parametrize(
    ("command", "name", "check"),
    [
        (["cutout"], "photo-cutout.png", lambda a: a.shape[2] == 4 and a[..., 3].min() == 0),
        (["blur"], "photo-blurred.png", lambda a: a[:, 30:].std() < 60),
        (["replace", "--with", "#ff8000"], "photo-replaced.png", lambda a: a[0, -1].tolist() == [255, 128, 0]),
        (["replace", "--with", "album/one.png"], "photo-replaced.png", lambda a: a.shape == (24, 38, 3)),
    ],
)
def test_the_other_effects_write_their_own_names(folder, capsys, command, name, check):
    code, _, err = _run(capsys, *command, "photo.png", "--at", "20,12", *SQUARES)
    assert (code, err) == (0, "")
    assert check(np.asarray(Image.open(name)))


def test_without_a_selection_the_main_subject_is_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(skimage.data.astronaut()).save("person.jpg")
    assert _run(capsys, "cutout", "person.jpg")[0] == 0
    alpha = np.asarray(Image.open("person-cutout.png"))[..., 3]
    assert alpha[110, 222] == 255 and alpha[40, 330] == 0


def test_a_folder_keeps_its_tree(folder, capsys):
    code, out, err = _run(capsys, "erase", "album", "--out", "done", "--at", "20,12", *FAKES)
    assert (code, err) == (0, "")
    assert Path("done/one.png").is_file() and Path("done/trip/two.webp").is_file()
    assert out.splitlines()[-1].startswith("2 done, 0 failed in ")


def test_two_photos_of_one_name_get_two_results(folder, capsys):
    assert _run(capsys, "cutout", "photo.jpg", "photo.png", "--at", "20,12", *SQUARES)[0] == 0
    assert Path("photo-jpg-cutout.png").is_file() and Path("photo-png-cutout.png").is_file()


def test_a_failure_is_reported_and_the_rest_is_done(folder, capsys):
    Path("album/broken.jpg").write_bytes(Path("photo.jpg").read_bytes()[:300])
    Path("album/text.png").write_text("not a photo")
    code, out, err = _run(capsys, "erase", "album", "--out", "done", "--at", "20,12", "--workers", "0", *FAKES)
    assert code == 1
    assert Path("done/one.png").is_file() and Path("done/trip/two.webp").is_file()
    assert out.splitlines()[-1].startswith("2 done, 2 failed in ")
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("clickaway erase: album/broken.jpg cannot be read: it is damaged")
    assert lines[1].startswith("clickaway erase: album/text.png cannot be read: it is not a photo")


def test_nothing_under_the_click_names_the_photo(folder, capsys):
    code, _, err = _run(capsys, "erase", "photo.png", "--at", "2,2", *FAKES)
    assert code == 1
    assert err == ("clickaway erase: photo.png: no object was found at that place; nearest: cat at (12, 4)\n")


def test_debug_shows_the_traceback_and_the_line(folder, capsys):
    _, _, err = _run(capsys, "erase", "photo.png", "--at", "2,2", "--debug", *FAKES)
    assert "Traceback (most recent call last)" in err and "NoObjectError" in err
    assert err.rstrip().splitlines()[-1].startswith("clickaway erase: photo.png: no object")


def test_notes_go_to_stderr(folder, capsys):
    code, _, err = _run(capsys, "erase", "photo.png", "--at", "20,12", "--quality", "50", *FAKES)
    assert (code, err) == (0, "photo.png: note: quality 50 changes nothing: PNG files have no quality setting\n")
    quiet = ["erase", "photo.png", "--at", "20,12", "--quality", "50", "--overwrite", "-q", *FAKES]
    assert _run(capsys, *quiet) == (0, "", "")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["erase", "photo.png"], "say what to erase: --at X,Y, --box X0,Y0,X1,Y1, --mask FILE, --class NAME or"),
        (["erase", "gone.png", "--at", "1,1"], "there is no file or folder gone.png"),
        (["erase", "album", "--at", "1,1"], "album is a folder: say where the results go with --out DIR"),
        (["erase", "photo.png", "--at", "1,1", "--box", "0,0,1,1"], "--at and --box both say what to select"),
        (["erase", "photo.png", "--at", "1,1", "--class", "cat"], "--at and --class both say what to select"),
        (["blur", "photo.png", "--not-at", "1,1"], "--not-at takes away from what --at selects: give --at too"),
        (["erase", "photo.png", "--box", "0,0,1,1", "--alternative", "2"], "--box has one answer"),
        (["erase", "photo.png", "--box", "0,0,1,1", "--segmenter", "grabcut"], "--segmenter would have no effect"),
        (["erase", "photo.png", "--mask", "gone.png"], "there is no mask file gone.png"),
        (["erase", "photo.png", "photo.jpg", "--at", "1,1", "-o", "x.png"], "-o names one file: for several photos"),
        (["erase", "album", "--at", "1,1", "-o", "x.png"], "-o names one file"),
        (["erase", "photo.png", "--at", "1,1", "-o", "album"], "album is a folder: give it with --out"),
        (["erase", "photo.png", "--at", "1,1", "-o", "x.png", "--out", "y"], "-o names one file and --out a folder"),
        (["erase", "photo.png", "--at", "1,1", "--out", "photo.jpg"], "--out photo.jpg is a file"),
        (["erase", "photo.png", "--at", "1,1", "-o", "x.doc"], "x.doc cannot be written: .doc is no photo format"),
        (["cutout", "photo.png", "-o", "x.jpg"], "x.jpg cannot hold a cut-out: JPEG has no transparency"),
        (["replace", "photo.png", "--with", "blurple"], "--with blurple: there is no such photo, and no such colour"),
        (
            ["erase", "photo.png", "--at", "1,1", "--segmenter", "sam"],
            "no segmenter is called 'sam': choose one of",
        ),
        (["erase", "photo.png", "--at", "1,1", "--inpainter", "lama"], "no inpainter is called 'lama': choose one of"),
        (["erase", "photo.png", "--class", "catt", "--segmenter", "squares"], "did you mean cat?"),
        (["blur", "photo.png", "--segmenter", "grabcut", "--device", "cuda"], "--device cuda would have no effect"),
        (
            ["erase", "photo.png", "--at", "1,1", "--segmenter", "grabcut", "--checkpoint", "x.pth"],
            "the segmenter grabcut has no checkpoint: choose another segmenter",
        ),
        (["erase", "photo.png", "--at", "1"], "argument --at: expected X,Y in whole pixels, got '1'"),
        (["erase", "photo.png", "--at", "1,nan"], "expected X,Y in whole pixels, got '1,nan'"),
        (["erase", "photo.png", "--at=-1,5"], "expected a pixel X,Y on the photo, counted from 0, got '-1,5'"),
        (["erase", "photo.png", "--box", "5,5,5,9"], "expected X0 < X1 and Y0 < Y1, got '5,5,5,9'"),
        (["erase", "photo.png", "--at", "1,1", "--grow", "-3"], "expected a whole number, 0 or more, got '-3'"),
        (["erase", "photo.png", "--at", "1,1", "--quality", "0"], "expected a whole number from 1 to 100, got '0'"),
        (["blur", "photo.png", "--sigma", "nan"], "expected a number above 0, got 'nan'"),
        (["erase", "photo.png", "--class", "cat,,dog"], "expected names with commas between"),
        (["erase"], "the following arguments are required: PHOTO"),
        (["paint", "photo.png"], "invalid choice: 'paint'"),
        (["masks", "photo.png", "--alternative", "7"], "--alternative chooses among the answers to --at; without it"),
        (["masks", "album"], "say where the masks go with --out DIR"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line_and_code_2(folder, capsys, argv, message):
    before = sorted(path for path in folder.rglob("*"))
    code, out, err = _run(capsys, *argv)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("clickaway")
    assert message in err
    assert sorted(path for path in folder.rglob("*")) == before


def test_a_click_outside_the_photo_fails_that_photo(folder, capsys):
    code, _, err = _run(capsys, "erase", "photo.png", "--at", "100,100", *FAKES)
    assert code == 1
    assert err == "clickaway erase: photo.png: click (100, 100) is outside the photo\n"


def test_masks_saves_every_object_as_png_and_coco(folder, capsys):
    code, _, err = _run(capsys, "masks", "album", "--out", "m", *SQUARES)
    assert (code, err) == (0, "")
    document = json.loads(Path("m/annotations.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["one.png", "trip/two.webp"]
    assert len(document["annotations"]) == 30
    assert [category["name"] for category in document["categories"]] == ["cat", "dog"]
    first = Image.open("m/one-1-cat.png")
    assert first.mode == "1"
    assert np.asarray(first).sum() == 64 and np.asarray(first)[:8, :8].all()
    assert Path("m/trip/two-15-cat.png").is_file()


def test_a_saved_mask_can_be_given_back(folder, capsys):
    _run(capsys, "masks", "photo.png", "--at", "20,12", *SQUARES)
    assert Path("photo-masks/photo-1-dog.png").is_file()
    code, out, _ = _run(capsys, "erase", "photo.png", "--mask", "photo-masks/photo-1-dog.png", "--inpainter", "paint")
    assert code == 0
    assert out.startswith("photo-erased.png: selection, 7.0% of the photo")
    document = json.loads(Path("photo-masks/annotations.json").read_text())
    assert document["annotations"][0]["bbox"] == [16, 8, 8, 8]


def test_masks_of_one_class_are_kept_apart(folder, capsys):
    assert _run(capsys, "masks", "photo.png", "--class", "dog", "--out", "m", *SQUARES)[0] == 0
    assert len(list(Path("m").glob("photo-*-dog.png"))) == 7
    code, _, err = _run(capsys, "masks", "photo.png", "--class", "dog", "--out", "m", *SQUARES)
    assert code == 2 and "annotations.json exists already" in err


def test_models_lists_them(capsys):
    code, out, err = _run(capsys, "models")
    assert (code, err) == (0, "")
    assert "grabcut" in out and "pconv-places2-256" in out and "MiB" in out


def test_no_command_shows_the_help(capsys):
    code, out, _ = _run(capsys)
    assert code == 2
    assert "clickaway erase photo.jpg --at 312,201" in out


def test_the_version_is_shown(capsys):
    code, out, _ = _run(capsys, "--version")
    assert code == 0 and out.startswith("clickaway ")


def test_an_interrupt_is_one_line(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.job.read", interrupted)
    code, _, err = _run(capsys, "erase", "photo.png", "--at", "20,12", *FAKES)
    assert code == 130
    assert err == "clickaway: stopped; what is written so far is whole, and the same command goes on from there\n"


def test_a_fault_in_the_program_says_so_in_one_line(folder, capsys, monkeypatch):
    def broken(*_, **__):
        raise KeyError("surprise")

    monkeypatch.setattr("pipeline.job.read", broken)
    code, _, err = _run(capsys, "erase", "photo.png", "--at", "20,12", *FAKES)
    assert code == 1
    assert err.count("\n") == 1 and "this is a fault in Clickaway or a library; --debug shows where" in err


HEAVY = ("tensorflow", "keras", "torch", "mmdet", "gradio", "cv2", "PIL", "skimage", "scipy", "tqdm", "requests")


@pytest.mark.parametrize("code", ["import pipeline", "import pipeline.__main__ as m; m.parser().format_help()"])
def test_importing_and_helping_loads_nothing_heavy(code):
    script = f"import sys; {code}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_as_a_process_erases_a_real_photo(tmp_path):
    """The whole path with real parts: GrabCut and Telea, a JPEG with EXIF, its own process."""
    exif = Image.Exif()
    exif[0x010F] = "Clickaway Cameras"
    Image.fromarray(skimage.data.rocket()).save(tmp_path / "rocket.jpg", quality=92, exif=exif.tobytes())
    command = [sys.executable, "-m", "pipeline", "erase", str(tmp_path / "rocket.jpg"), "--at", "322,200"]
    command += ["--segmenter", "grabcut", "--inpainter", "telea", "--out", str(tmp_path / "done")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "rocket.jpg") as old, Image.open(tmp_path / "done" / "rocket.jpg") as new:
        before, after = np.asarray(old).astype(int), np.asarray(new).astype(int)
        assert new.quantization == old.quantization
        assert new.getexif()[0x010F] == "Clickaway Cameras"
    assert before[220:240, 318:324, 0].mean() > 130  # the white rocket
    assert after[220:240, 318:324, 0].max() < 110  # the evening sky
    assert np.abs(before - after)[:, :250].max() < 40  # far away only the JPEG's own rounding
    assert np.abs(before - after)[:, :250].mean() < 1


def test_the_demo_gets_what_follows_its_name(monkeypatch):
    import demo.__main__ as demo

    given = []
    monkeypatch.setattr(demo, "main", lambda words: given.append(words) or 0)
    assert main(["demo", "--port", "7999", "--offline"]) == 0
    assert given == [["--port", "7999", "--offline"]]
