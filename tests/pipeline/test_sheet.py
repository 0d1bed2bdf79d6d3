"""A dry run: a sheet of what would be selected, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.__main__ import main
from pipeline.inputs import SHEET_FILE
from pipeline.job import Outcome
from pipeline.sheet import MOST_PHOTOS, PREVIEW_PX, marked, sheet, spread


def test_the_mask_is_tinted_and_outlined_and_the_rest_is_the_photo():
    image = np.full((60, 90, 3), 100, np.uint8)
    mask = np.zeros((60, 90), bool)
    mask[20:40, 30:60] = True
    small = marked(image, [mask], longer_px=90)
    assert small.shape == (60, 90, 3)
    assert small[30, 45].tolist() == [170, 84, 84]
    assert small[20, 45].max() == 0  # the outline
    assert (small[:15] == 100).all()
    assert (image == 100).all()
    assert marked(image, [mask], longer_px=30).shape == (20, 30, 3)


def test_the_sheet_has_a_place_for_every_photo_done_or_not():
    picture = np.full((PREVIEW_PX, 100, 3), 7, np.uint8)
    done = Outcome(Path("a.jpg"), Path("b.jpg"), label="cat", score=0.5, share=0.1, preview=picture)
    failed = Outcome(Path("c" * 300 + ".jpg"), Path("d.jpg"), error="c.jpg: " + "nothing was found " * 20)
    page = sheet([done, failed, *[done] * 5])
    assert page.shape[0] > 2 * PREVIEW_PX and page.shape[1] > 6 * PREVIEW_PX
    assert (page == 7).all(axis=2).sum() == 6 * PREVIEW_PX * 100
    assert sheet([]).shape[2] == 3


def test_of_many_photos_some_are_shown_from_the_first_to_the_last():
    assert spread(5) == [0, 1, 2, 3, 4]
    shown = spread(10_000)
    assert len(set(shown)) == len(shown) == MOST_PHOTOS
    assert (shown[0], shown[-1]) == (0, 9_999)


def test_a_dry_run_writes_the_sheet_alone(tmp_path, monkeypatch, draw, capsys):
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        draw(tmp_path / "photos" / f"{number}.png", (90, 140 + number, 200))
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no photo")
    dry = ["erase", "photos", "--out", "photos", "--at", "32,32", "--segmenter", "grabcut", "--dry-run"]
    before = {path: path.read_bytes() for path in (tmp_path / "photos").iterdir()}
    for _ in range(2):  # the sheet is no photo to do, and the second one replaces it
        assert main(dry) == 1
        captured = capsys.readouterr()
        assert captured.out.splitlines()[-1] == f"nothing was changed; photos/{SHEET_FILE} shows all photos"
        assert captured.out.count("selection, 7.") == 2 and captured.out.startswith("photos/0.png: selection")
        assert "bad.jpg cannot be read" in captured.err
    with Image.open(tmp_path / "photos" / SHEET_FILE) as page:
        assert page.size[0] > 3 * PREVIEW_PX
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((tmp_path / "photos").iterdir())) == len(before) + 1
