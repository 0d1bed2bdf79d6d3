"""A batch from the command line: its journal, what it goes on from, its report and its exit codes."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipeline.job
from pipeline.__main__ import main
from pipeline.journal import JOURNAL_FILE, Journal

HERE = ["--workers", "0", "--inpainter", "telea"]
ERASE = ["erase", "photos", "--out", "done", "--box", "20,20,44,44", *HERE]


@pytest.fixture
def photos(tmp_path, monkeypatch, draw):
    """The current folder holds photos/a.png, photos/b.png and photos/trip/c.png."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.png", "b.png", "trip/c.png")):
        draw(tmp_path / "photos" / name, (40 * number, 90, 200))
    return tmp_path


def _run(capsys, *argv: str) -> tuple[int, str, str]:
    try:
        code = main(argv)
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _report(folder: Path = Path("done")) -> list[dict[str, str]]:
    """The report's rows without the seconds, which differ from run to run."""
    with (folder / "report.csv").open(newline="", errors="surrogateescape") as file:
        return [{name: row[name] for name in row if name != "seconds"} for row in csv.DictReader(file)]


def _results(folder: Path = Path("done")) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def _times() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path("done").rglob("*.png")}


def test_the_report_lists_every_photo_in_order(photos, capsys):
    (photos / "photos" / "bad.png").write_bytes(b"no photo")
    code, out, err = _run(capsys, *ERASE)
    assert code == 1
    with Path("done/report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["status"]) for row in rows] == [
        ("photos/a.png", "done"),
        ("photos/b.png", "done"),
        ("photos/bad.png", "failed"),
        ("photos/trip/c.png", "done"),
    ]
    assert (rows[0]["area"], rows[0]["score"], rows[0]["output"]) == ("576", "1.0", "done/a.png")
    assert float(rows[0]["seconds"]) > 0
    assert "bad.png cannot be read: it is not a photo" in rows[2]["error"] and "bad.png cannot be read" in err
    assert out.splitlines()[-1].startswith("3 done, 1 failed in ")


def test_a_batch_that_is_done_is_not_done_again(photos, capsys):
    _run(capsys, *ERASE)
    times, report = _times(), _report()
    code, out, err = _run(capsys, *ERASE)
    assert (code, err) == (0, "")
    assert out.startswith("3 done (3 of them by an earlier run), 0 failed in ")
    assert (_times(), _report()) == (times, report)


def test_only_what_is_new_or_has_gone_is_done(photos, capsys, draw):
    _run(capsys, *ERASE)
    times = _times()
    draw(photos / "photos" / "new.png", (1, 2, 3))
    Path("done/b.png").unlink()
    code, out, _ = _run(capsys, *ERASE)
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()[:-1]] == ["done/b.png", "done/new.png"]
    assert _times()["a.png"] == times["a.png"] and _times()["c.png"] == times["c.png"]
    assert len(_report()) == 4


def test_what_failed_is_tried_again(photos, capsys, draw):
    (photos / "photos" / "b.png").write_bytes(b"no photo")
    assert _run(capsys, *ERASE)[0] == 1
    draw(photos / "photos" / "b.png")
    code, out, _ = _run(capsys, *ERASE)
    assert code == 0 and out.splitlines()[-1].startswith("3 done (2 of them by an earlier run), 0 failed")


@pytest.mark.parametrize("moment", ["before the result", "after the result"])
def test_a_batch_killed_in_the_middle_of_a_photo_goes_on_with_it(photos, capsys, monkeypatch, moment):
    """What SIGKILL leaves between the journal's two notes on a photo; test_kill.py does it to a real process."""
    _run(capsys, *ERASE)
    expected, report = _results(), _report()
    for path in Path("done").rglob("*"):
        if path.is_file():
            path.unlink()
    if moment == "before the result":
        monkeypatch.setattr("pipeline.job.save", _killed)
        name = "a.png"
        Path("done/.a.png.0123abcd.partial").write_bytes(b"half a file")
    else:
        monkeypatch.setattr("pipeline.journal.Journal.finish", _killed)
        name = "b.png"
    assert _run(capsys, *ERASE)[0] == 130
    assert Path("done/a.png").exists() == (name == "b.png")
    monkeypatch.undo()
    monkeypatch.chdir(photos)
    code, _, err = _run(capsys, *ERASE)
    assert (code, err) == (0, "")
    assert (_results(), _report()) == (expected, report)
    assert not list(Path("done").rglob("*.partial"))


def _killed(*_, **__):
    raise KeyboardInterrupt


def test_somebody_elses_file_is_left_alone_and_fails_its_photo(photos, capsys):
    Path("done").mkdir()
    Path("done/b.png").write_bytes(b"mine")
    for _ in range(2):  # the journal of the first run does not make it its own
        code, _, err = _run(capsys, *ERASE)
        assert code == 1
        assert err.startswith("clickaway erase: done/b.png exists already: choose another name")
        assert Path("done/b.png").read_bytes() == b"mine"
    assert [row["status"] for row in _report()] == ["done", "failed", "done"]


def test_skip_existing_leaves_it_out_and_overwrite_replaces_it(photos, capsys):
    Path("done").mkdir()
    Path("done/b.png").write_bytes(b"mine")
    code, out, err = _run(capsys, *ERASE, "--skip-existing")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("2 done, 0 failed, 1 skipped in ")
    assert Path("done/b.png").read_bytes() == b"mine"
    assert [row["status"] for row in _report()] == ["done", "skipped", "done"]
    assert _run(capsys, *ERASE, "--overwrite")[0] == 0
    assert Image.open("done/b.png").size == (64, 64)


def test_skip_existing_leaves_out_a_photo_that_has_masks_and_a_single_result(photos, capsys):
    Path("done").mkdir()
    for name in ("a-1-dog.png", "b-dark.png"):  # of a.png; and of no photo
        Path("done", name).write_bytes(b"mine")
    masks = ["masks", "photos/a.png", "photos/b.png", "--out", "done", "--box", "1,1,9,9", "--workers", "0"]
    code, out, _ = _run(capsys, *masks, "--skip-existing")
    assert code == 0
    assert out.startswith("photos/a.png: left out: it has masks\ndone/b: selection")
    assert Path("done/a-1-dog.png").read_bytes() == b"mine" and Path("done/b-1-object.png").exists()
    single = ["erase", "photos/a.png", "-o", "done/b-dark.png", "--box", "1,1,9,9", *HERE, "--skip-existing"]
    assert _run(capsys, *single) == (0, "photos/a.png: left out: its result exists\n", "")


def test_overwrite_does_a_finished_batch_again_but_goes_on_with_one_that_was_killed(photos, capsys, monkeypatch):
    _run(capsys, *ERASE)
    times = _times()
    stopped = iter([False, False, True])
    real = Journal.finish
    monkeypatch.setattr(Journal, "finish", lambda *noted: _killed() if next(stopped) else real(*noted))
    assert _run(capsys, *ERASE, "--overwrite")[0] == 130
    monkeypatch.setattr(Journal, "finish", real)
    again = _times()
    assert all(again[name] != times[name] for name in times)
    _, out, _ = _run(capsys, *ERASE, "--overwrite")
    assert out.splitlines()[-1].startswith("3 done (2 of them by an earlier run)")
    assert _times()["a.png"] == again["a.png"]


IN_PLACE = ["photos", "--out", "photos", "--overwrite", "--box", "20,20,44,44", "--workers", "0"]


@pytest.fixture
def blurred_once(photos, capsys):
    """The photos' results, made in another folder."""
    assert _run(capsys, "blur", "photos", "--out", "once", "--box", "20,20,44,44", "--workers", "0")[0] == 0
    return _results(Path("once"))


@pytest.mark.parametrize("moment", ["before the result", "after the result", "after the note"])
def test_photos_that_are_overwritten_are_edited_once_however_often_the_batch_is_stopped(
    photos, capsys, monkeypatch, blurred_once, moment
):
    """Stopped in the second photo: the journal must know what it overwrote from what it has still to do."""
    owner, name = (pipeline.job, "save") if moment == "before the result" else (Journal, "finish")
    real, calls = getattr(owner, name), []

    def stopped(*given):
        calls.append(given)
        if len(calls) == 2 and moment != "after the note":
            _killed()
        result = real(*given)
        return _killed() if len(calls) == 2 else result

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, stopped)
        assert _run(capsys, "blur", *IN_PLACE)[0] == 130
    assert _results(Path("photos")) != blurred_once
    code, out, err = _run(capsys, "blur", *IN_PLACE)
    assert code == 0 and "3 done" in out
    assert ("photos/b.png: note: it was being overwritten when the work on it was cut off" in err) == (
        moment == "after the result"
    )
    assert _results(Path("photos")) == blurred_once
    assert [row["status"] for row in _report(Path("photos"))] == ["done"] * 3


def test_another_edit_after_a_kill_is_done_on_what_was_overwritten_too(photos, capsys, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.journal.Journal.finish", _killed)
        assert _run(capsys, "blur", *IN_PLACE)[0] == 130
    assert _run(capsys, "replace", *IN_PLACE, "--with", "#102030")[0] == 0
    assert np.asarray(Image.open("photos/a.png"))[0, 0].tolist() == [16, 32, 48]


def test_a_batch_is_the_same_however_its_folders_are_typed(photos, capsys, monkeypatch, draw):
    for name in ("a.png", "b.png", "b.jpg.png", "trip/c.png"):
        (photos / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(64, dtype=bool)).save(photos / "masks" / name)

    def cutout(inputs: str, out: str, masks: str) -> str:
        code, said, err = _run(capsys, "cutout", inputs, "--out", out, "--masks", masks, "--workers", "0")
        assert (code, err) == (0, "")
        return said

    cutout("photos", "done", "masks")
    draw(photos / "photos" / "b.jpg")  # it comes later: b.png keeps the result's name that it had
    assert "4 done (3 of them by an earlier run)" in cutout("photos", "done", "masks")
    (photos / "elsewhere").mkdir()
    monkeypatch.chdir(photos / "elsewhere")
    for folder in ("..", "../elsewhere/..", str(photos)):
        said = cutout(f"{folder}/photos", f"{folder}/done", f"{folder}/masks")
        assert "4 done (4 of them by an earlier run)" in said
    (photos / "done").rename(photos / "moved")
    assert "4 done (4 of them by an earlier run)" in cutout("../photos", "../moved", "../masks")
    assert len(list(photos.rglob("moved/*.png"))) == 3
    assert _report(photos / "moved")[0]["output"] == "../moved/a.png"


def test_a_journal_of_the_version_before_is_gone_on_with(photos, capsys, monkeypatch):
    _run(capsys, *ERASE)
    with closing(sqlite3.connect(Path("done", JOURNAL_FILE))) as database:
        database.executescript("ALTER TABLE photo DROP COLUMN edit; PRAGMA user_version = 1;")
        # Its files were noted as they were typed.
        database.execute("""UPDATE photo SET outcome = json_set(outcome, '$.files[0]', 'done/' || target)""")
        database.commit()
    (photos / "done").rename(photos / "moved")
    code, out, err = _run(capsys, *("moved" if word == "done" else word for word in ERASE))
    assert (code, err) == (0, "")
    assert out.startswith("3 done (3 of them by an earlier run)")


def test_another_effect_on_the_same_folder_is_no_result_of_the_first(photos, capsys):
    _run(capsys, *ERASE)
    code, _, err = _run(capsys, "erase", "photos", "--out", "done", "--box", "1,1,9,9", *HERE)
    assert code == 1
    assert err.count("exists already") == 3


def test_a_changed_photo_is_done_only_with_overwrite(photos, capsys, draw):
    _run(capsys, *ERASE)
    draw(photos / "photos" / "a.png", (250, 250, 0))
    assert _run(capsys, *ERASE)[0] == 1
    assert _run(capsys, *ERASE, "--overwrite")[0] == 0
    assert np.asarray(Image.open("done/a.png"))[0, 0].tolist() == [250, 250, 0]


def test_a_photo_that_comes_later_does_not_take_anothers_result(photos, capsys, draw):
    cutout = ["cutout", "photos", "--out", "done", "--box", "20,20,44,44", "--workers", "0"]
    assert _run(capsys, *cutout)[0] == 0
    times = _times()
    draw(photos / "photos" / "a.jpg", (9, 9, 9))  # both would be called a.png
    code, out, _ = _run(capsys, *cutout)
    assert code == 0
    assert _times()["a.png"] == times["a.png"]
    assert out.startswith("done/a-jpg.png: ")
    assert len({row["output"] for row in _report()}) == 4


def test_two_runs_in_one_folder_do_not_mix(photos, capsys):
    Path("done").mkdir()
    with Journal(Path("done")):
        code, _, err = _run(capsys, *ERASE)
    assert code == 2
    assert err == "clickaway erase: another run is at work in done: wait for its end\n"
    assert not _results()


@pytest.mark.parametrize("content", [b"this is no database, however long it is. " * 20, b""])
def test_a_damaged_journal_is_one_line_and_an_empty_one_is_none(photos, capsys, content):
    Path("done").mkdir()
    Path("done", JOURNAL_FILE).write_bytes(content)
    code, _, err = _run(capsys, *ERASE)
    assert code == (2 if content else 0)
    assert ("is damaged or no journal" in err) == bool(content)


def test_a_report_csv_of_somebody_else_is_not_overwritten(photos, capsys):
    Path("done").mkdir()
    Path("done/report.csv").write_text("my,own,table\n")
    code, _, err = _run(capsys, *ERASE)
    assert code == 2
    assert "done/report.csv is there and is no report of Clickaway" in err
    assert Path("done/report.csv").read_text() == "my,own,table\n"


def test_json_lines_are_all_that_is_said(photos, capsys):
    (photos / "photos" / "bad.png").write_bytes(b"no photo")
    code, out, err = _run(capsys, *ERASE, "--json-lines")
    assert (code, err) == (1, "")
    *lines, last = [json.loads(line) for line in out.splitlines()]
    assert {line["file"]: line["status"] for line in lines} == {
        "photos/a.png": "done",
        "photos/b.png": "done",
        "photos/bad.png": "failed",
        "photos/trip/c.png": "done",
    }
    assert lines[0]["area"] == 576 and lines[0]["output"] == "done/a.png" and lines[0]["share"] == 576 / 64**2
    assert (last["type"], last["done"], last["failed"], last["skipped"]) == ("summary", 3, 1, 0)


def test_the_journal_holds_each_photos_state(photos, capsys):
    _run(capsys, *ERASE)
    with sqlite3.connect(Path("done", JOURNAL_FILE)) as database:
        rows = database.execute("SELECT target, state FROM photo ORDER BY target").fetchall()
    assert rows == [("a.png", "done"), ("b.png", "done"), ("trip/c.png", "done")]


def test_names_that_are_no_text_are_done_too(photos, capsys, draw):
    name = b'photos/\xff\xfe name, with "commas"\n.png'
    draw(photos / "photos" / "x.png")
    try:
        (photos / "photos" / "x.png").rename(Path(name.decode("utf-8", "surrogateescape")))
    except OSError:
        pytest.skip("this file system takes no such name")
    code, out, _ = _run(capsys, *ERASE)
    assert code == 0
    assert 'done/\\udcff\\udcfe name, with "commas"\\n.png: selection' in out
    assert len(out.splitlines()) == 5
    assert [row["output"].encode("utf-8", "surrogateescape") for row in _report()][2] == name.replace(
        b"photos", b"done"
    )
    _, out, _ = _run(capsys, *ERASE, "--json-lines")
    assert json.loads(out)["done_earlier"] == 4


def test_a_photo_that_vanishes_after_it_was_listed_fails_alone(photos, capsys, monkeypatch):
    begin = Journal.begin

    def begun(self, tasks, *, afresh):
        Path("photos/b.png").unlink()
        begin(self, tasks, afresh=afresh)

    monkeypatch.setattr(Journal, "begin", begun)
    code, _, err = _run(capsys, *ERASE)
    assert code == 1
    assert "photos/b.png cannot be read: it is not there" in err
    assert [row["status"] for row in _report()] == ["done", "failed", "done"]


def test_masks_of_a_batch_go_on_too(photos, capsys, fake_models):
    masks = ["masks", "photos", "--out", "m", "--segmenter", "squares", "--workers", "0"]
    assert _run(capsys, *masks)[0] == 0
    document = Path("m/annotations.json").read_text()
    times = {path: path.stat().st_mtime_ns for path in Path("m").rglob("*.png")}
    code, out, _ = _run(capsys, *masks)
    assert code == 0 and "3 of them by an earlier run" in out
    assert Path("m/annotations.json").read_text() == document
    assert {path: path.stat().st_mtime_ns for path in Path("m").rglob("*.png")} == times
    assert len(json.loads(document)["annotations"]) == 3 * 64


def _annotated() -> dict[str, list[float]]:
    """File name -> its one object's box, as m/annotations.json has it."""
    document = json.loads(Path("m/annotations.json").read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    return {names[one["image_id"]]: one["bbox"] for one in document["annotations"]}


def test_masks_again_on_a_folder_keep_the_annotations_and_the_state_of_photos_left_alone(photos, capsys, draw):
    first = ["masks", "photos", "--out", "m", "--box", "40,30,60,50", "--workers", "0"]
    other = ["masks", "photos", "--out", "m", "--box", "10,10,30,30", "--workers", "0"]
    old, new = [40, 30, 20, 20], [10, 10, 20, 20]
    assert _run(capsys, *first)[0] == 0
    draw(photos / "photos" / "d.png", (7, 8, 9))
    code, _, err = _run(capsys, *other)
    assert code == 1 and err.count("exists already") == 3 and "m/a-1-object.png exists already" in err
    assert _annotated() == {"a.png": old, "b.png": old, "trip/c.png": old, "d.png": new}
    code, out, _ = _run(capsys, *first)
    assert code == 1 and "3 done (3 of them by an earlier run), 1 failed" in out
    assert _annotated() == {"a.png": old, "b.png": old, "trip/c.png": old, "d.png": new}
    draw(photos / "photos" / "a.png", (70, 80, 90))
    assert _run(capsys, *first, "--skip-existing")[0] == 0
    assert _run(capsys, *other, "--overwrite")[0] == 0
    assert _annotated() == dict.fromkeys(("a.png", "b.png", "trip/c.png", "d.png"), new)


def test_masks_of_single_photos_in_one_folder_are_listed_together(photos, capsys):
    masks = ["masks", "--out", "m", "--box", "10,10,30,30", "--workers", "0"]
    assert _run(capsys, *masks, "photos/a.png")[0] == 0
    code, out, err = _run(capsys, *masks, "photos/a.png", "--skip-existing")
    assert (code, err) == (0, "") and "left out: it has masks" in out
    assert _run(capsys, *masks, "photos/b.png", "--skip-existing")[0] == 0
    assert list(_annotated()) == ["a.png", "b.png"]


def test_a_photo_whose_name_begins_like_anothers_masks_is_not_taken_for_done(photos, capsys, draw):
    draw(photos / "photos" / "a-1.png")
    masks = ["masks", "--out", "m", "--box", "10,10,30,30", "--workers", "0", "--skip-existing"]
    assert _run(capsys, *masks, "photos/a-1.png")[0] == 0
    assert "left out" not in _run(capsys, *masks, "photos/a.png")[1]
    assert Path("m/a-1-object.png").exists() and Path("m/a-1-1-object.png").exists()


@pytest.mark.parametrize("content", ["{", '{"images": [], "annotations": [], "categories": [], "info": {}}'])
def test_annotations_of_another_program_are_kept_or_overwritten_whole(photos, capsys, content):
    masks = ["masks", "photos", "--out", "m", "--box", "10,10,30,30", "--workers", "0"]
    assert _run(capsys, *masks)[0] == 0
    Path("m/annotations.json").write_text(content)
    code, _, err = _run(capsys, *masks)
    assert code == 2 and err.startswith("clickaway masks: m/annotations.json is there and is no list of Clickaway's")
    assert Path("m/annotations.json").read_text() == content
    assert _run(capsys, *masks, "--overwrite")[0] == 0
    assert len(_annotated()) == 3


def test_masks_of_photos_of_one_name_do_not_share_files(photos, capsys, draw, fake_models):
    draw(photos / "photos" / "a.jpg")
    masks = ["masks", "photos", "--out", "m", "--class", "cat", "--segmenter", "squares", "--workers", "0"]
    assert _run(capsys, *masks)[0] == 0
    assert Path("m/a-jpg-1-cat.png").is_file() and Path("m/a-png-1-cat.png").is_file()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--overwrite", "--skip-existing"], "--overwrite and --skip-existing contradict each other"),
        (["--watch", "--dry-run"], "--watch and --dry-run contradict each other"),
        (["--address", "1.2.3.4:6379"], "--address is for --engine ray"),
        (["--engine", "ray"], '--engine ray needs Ray: pip install "clickaway[ray]"'),
        (["--workers", "-1"], "expected a whole number, 0 or more"),
        (["--memory", "0"], "expected a number above 0"),
        (["--memory", "1"], "--memory is for worker processes: with --workers 0 there is one photo at a time"),
        (["--together", "2"], "--together is for worker processes: with --workers 0 there is one photo at a time"),
        (["--together", "0"], "expected a whole number, 1 or more"),
    ],
)
def test_options_that_contradict_each_other_are_one_line_and_code_2(photos, capsys, monkeypatch, argv, message):
    monkeypatch.setattr("pipeline.many.find_spec", lambda name: None)
    code, out, err = _run(capsys, *ERASE, *argv)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and message in err
    assert not Path("done").exists()
