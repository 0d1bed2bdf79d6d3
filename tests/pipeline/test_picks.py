"""What to select on each photo of a batch: lists of clicks and boxes, folders of masks, COCO files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import coco
from pipeline.inputs import InputError, Task
from pipeline.picks import with_boxes, with_coco, with_masks, with_points
from pipeline.selection import Pick, choose
from segment.base import Click, Selection

NAMES = ("a.jpg", "trip/a.jpg", "trip/b.png")
TASKS = [Task(Path("photos", name), Path("out", name), name) for name in NAMES]


def _write(folder: Path, text: str, name: str = "list.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_points_are_clicks_of_their_photos_and_others_are_left_out(tmp_path):
    file = _write(tmp_path, "file, x, y, positive\na.jpg,3,4,1\na.jpg,5,6,0\ntrip/b.png, 7, 8,\n")
    first, second, third = with_points(TASKS, file, alternative=2)
    assert first.pick == Pick(clicks=(Click(3, 4), Click(5, 6, positive=False)), alternative=2)
    assert third.pick.clicks == (Click(7, 8),)
    assert second.skip == "list.csv has nothing for it" and not first.skip and not third.skip


def test_points_need_no_column_positive_and_may_come_from_a_spreadsheet(tmp_path):
    file = _write(tmp_path, "\ufefffile,x,y\r\na.jpg,3,4\r\n")
    assert with_points(TASKS, file)[0].pick.clicks == (Click(3, 4),)


def test_a_photo_can_be_named_by_its_bare_name_where_only_one_has_it(tmp_path):
    file = _write(tmp_path, "file,x,y\nb.png,1,2\nphotos/trip/a.jpg,3,4\n")
    _, second, third = with_points(TASKS, file)
    assert third.pick.clicks == (Click(1, 2),) and second.pick.clicks == (Click(3, 4),)


def test_boxes_of_one_photo_are_taken_together(tmp_path):
    file = _write(tmp_path, "file,x0,y0,x1,y1\na.jpg,0,1,2,3\na.jpg,4,5,6,7\n")
    assert with_boxes(TASKS, file)[0].pick == Pick(boxes=((0, 1, 2, 3), (4, 5, 6, 7)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,x\na.jpg,1\n", "its first line must name the columns file, x, y and perhaps positive"),
        ("a.jpg,1,2\n", "its first line must name the columns"),
        ("", "its first line must name the columns"),
        ("file,x,y\na.jpg,1,two\n", "line 2: expected x,y in whole pixels, got '1,two'"),
        ("file,x,y\na.jpg,1\n", "line 2: expected x,y in whole pixels"),
        ("file,x,y\na.jpg,1,2,3\n", "line 2: more values than columns"),
        ("file,x,y\na.jpg,-1,2\n", "line 2: pixels are counted from 0, got -1,2"),
        ("file,x,y,positive\na.jpg,1,2,maybe\n", "line 2: positive must be 1 or 0, got 'maybe'"),
        ("file,x,y,positive\na.jpg,1,2,0\n", "all points of a.jpg take away: one must be positive"),
        ("file,x,y\na.jpg,1,2\ngone.jpg,1,2\n", "names gone.jpg, but there is no such photo here"),
    ],
)
def test_points_that_make_no_sense_are_one_clear_error(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        with_points(TASKS, _write(tmp_path, text))


def test_a_watched_folders_list_may_name_photos_that_are_still_to_come(tmp_path):
    tasks = with_points(TASKS, _write(tmp_path, "file,x,y\nlater.jpg,1,2\n"), may_be_missing=True)
    assert all(task.skip for task in tasks)


def test_a_box_without_area_is_an_error(tmp_path):
    with pytest.raises(InputError, match="line 2: expected x0 < x1 and y0 < y1, got 5,0,5,9"):
        with_boxes(TASKS, _write(tmp_path, "file,x0,y0,x1,y1\na.jpg,5,0,5,9\n"))


def test_masks_are_found_by_the_photos_name_in_the_same_tree(tmp_path):
    for name in ("a.png", "trip/b.png.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    first, second, third = with_masks(TASKS, tmp_path)
    assert first.pick.mask_file == tmp_path / "a.png"
    assert third.pick.mask_file == tmp_path / "trip" / "b.png.png"
    assert second.skip == f"{tmp_path} has no mask for it"


def test_a_mask_is_not_taken_for_two_photos_of_one_name(tmp_path):
    tasks = [Task(Path(name), Path("out", name), name) for name in ("a.jpg", "a.webp")]
    for name in ("a.png", "a.jpg.png"):
        (tmp_path / name).write_bytes(b"x")
    first, second = with_masks(tasks, tmp_path)
    assert first.pick.mask_file == tmp_path / "a.jpg.png"
    assert second.skip


def test_a_folder_without_any_of_the_masks_is_an_error(tmp_path):
    with pytest.raises(InputError, match="has a mask for none of these photos"):
        with_masks(TASKS, tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        with_masks(TASKS, tmp_path / "gone")


def _document(**changes) -> dict:
    runs = coco.annotation(Selection(_square(), "cat", 0.8))["segmentation"]
    document = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 6, "height": 4}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "score": 0.8, "segmentation": runs},
            {"id": 2, "image_id": 7, "category_id": 2, "segmentation": [[0, 0, 2, 0, 2, 1, 0, 1]]},
        ],
    }
    return document | changes


def _square() -> np.ndarray:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    return mask


def _selected(task: Task) -> Selection:
    return choose(np.zeros((4, 6, 3), np.uint8), task.pick, None)[0]


def test_coco_annotations_of_a_photo_are_joined(tmp_path):
    tasks = with_coco(TASKS, _write(tmp_path, json.dumps(_document())))
    selection = _selected(tasks[0])
    expected = _square()
    expected[0, :2] = True
    np.testing.assert_array_equal(selection.mask, expected)
    assert (selection.label, selection.score) == ("cat + dog x2", 0.8)
    assert tasks[1].skip and tasks[2].skip


def test_coco_annotations_can_be_limited_to_classes(tmp_path):
    tasks = with_coco(TASKS, _write(tmp_path, json.dumps(_document())), classes=("cat",))
    np.testing.assert_array_equal(_selected(tasks[0]).mask, _square())
    with pytest.raises(InputError, match="has no category 'cow': it has cat, dog"):
        with_coco(TASKS, tmp_path / "list.csv", classes=("cow",))


def test_coco_run_lengths_may_be_a_list(tmp_path):
    runs = {"size": [4, 6], "counts": coco.run_lengths(_square())}
    document = _document(annotations=[{"image_id": 7, "category_id": 1, "segmentation": runs}])
    tasks = with_coco(TASKS, _write(tmp_path, json.dumps(document)))
    np.testing.assert_array_equal(_selected(tasks[0]).mask, _square())


@pytest.mark.parametrize("annotation", [0, 1])
def test_coco_sizes_may_be_written_as_decimals(tmp_path, annotation):
    document = _document(images=[{"id": 7, "file_name": "a.jpg", "width": 6.0, "height": 4.0}])
    document["annotations"] = document["annotations"][annotation:][:1]
    if annotation == 0:
        document["annotations"][0]["segmentation"]["size"] = [4.0, 6.0]
    (task, *_) = with_coco(TASKS, _write(tmp_path, json.dumps(document)))
    assert _selected(task).mask.sum() == (6, 2)[annotation]


@pytest.mark.parametrize("height", ["96", 9.5, 0, -4, None, [4]])
def test_a_coco_size_that_is_none_is_one_clear_error(tmp_path, height):
    document = _document(images=[{"id": 7, "file_name": "a.jpg", "width": 6, "height": height}])
    with pytest.raises(InputError, match="annotation 2: height and width must be two whole numbers of pixels, got"):
        with_coco(TASKS, _write(tmp_path, json.dumps(document)))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [4], "counts": [24]}, "height and width must be two whole numbers of pixels, got '[4]'"),
        ({"size": [4, 6], "counts": [3, 3]}, "its run lengths do not cover 6x4 pixels"),
        ({"size": [4, 6], "counts": "\u00e9"}, "is no part of COCO's run lengths"),
        ([[0, 0, 1, 1]], "a polygon needs three corners x, y or more"),
        (None, "it has no segmentation: expected polygons or run lengths"),
    ],
)
def test_annotations_that_make_no_sense_are_one_clear_error(tmp_path, segmentation, message):
    document = _document(annotations=[{"id": 5, "image_id": 7, "category_id": 1, "segmentation": segmentation}])
    with pytest.raises(InputError, match=f"annotation 5: .*{re.escape(message)}"):
        with_coco(TASKS, _write(tmp_path, json.dumps(document)))


@pytest.mark.parametrize("text", ["no json", "[]", '{"images": []}', '{"images": [{}], "annotations": []}'])
def test_a_file_that_is_no_coco_is_one_clear_error(tmp_path, text):
    with pytest.raises(InputError, match="is no COCO file: expected images and annotations in JSON"):
        with_coco(TASKS, _write(tmp_path, text))


def test_an_annotation_of_another_size_fails_its_photo(tmp_path):
    document = _document(images=[{"id": 7, "file_name": "a.jpg", "width": 4, "height": 6}])
    document["annotations"] = document["annotations"][1:]
    tasks = with_coco(TASKS, _write(tmp_path, json.dumps(document)))
    with pytest.raises(ValueError, match="its COCO annotation is for 4x6 pixels but it has 6x4"):
        _selected(tasks[0])


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_come_back_as_they_were(seed):
    mask = np.random.default_rng(seed).random((13, 17)) > (0.1, 0.5, 0.9, 0.99, 0.01)[seed]
    runs = coco.run_lengths(mask)
    assert coco.decode_runs(coco.encode_runs(runs)) == runs
    np.testing.assert_array_equal(coco.Segment(mask.shape, runs=tuple(runs)).mask(), mask)


def test_polygons_cover_the_pixels_that_the_coco_tools_say():
    tools = pytest.importorskip("pycocotools.mask")
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    polygon = np.stack([60 + 41.3 * np.cos(angles), 50 + 30.7 * np.sin(angles)], axis=1).ravel().tolist()
    expected = tools.decode(tools.frPyObjects([polygon], 100, 120))[..., 0].astype(bool)
    mask = coco.Segment((100, 120), polygons=(tuple(polygon),)).mask()
    assert (mask & expected).sum() / (mask | expected).sum() > 0.97


def _assert_no_disk(number: int) -> None:
    middle = np.asarray(Image.open(f"done/{number}.png"))[32, 32]
    np.testing.assert_allclose(middle, (90, 140 + number, 200), atol=5)


@pytest.mark.parametrize(
    ("option", "file", "text"),
    [
        ("--points", "p.csv", "file,x,y\n0.png,32,32\n1.png,32,32\n"),
        ("--boxes", "b.csv", "file,x0,y0,x1,y1\n0.png,20,20,44,44\n1.png,20,20,44,44\n"),
    ],
)
def test_the_command_takes_the_lists(tmp_path, monkeypatch, draw, capsys, option, file, text):
    from pipeline.__main__ import main

    monkeypatch.chdir(tmp_path)
    for number in range(3):
        draw(tmp_path / "photos" / f"{number}.png", (90, 140 + number, 200))
    Path(file).write_text(text)
    command = ["erase", "photos", "--out", "done", option, file, "--inpainter", "telea"]
    assert main(command + (["--segmenter", "grabcut"] if option == "--points" else [])) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 done, 0 failed, 1 skipped in ")
    for number in range(2):  # the disk is gone
        _assert_no_disk(number)
    assert not Path("done/2.png").exists()


def test_the_command_takes_masks_and_coco(tmp_path, monkeypatch, draw, capsys):
    from pipeline.__main__ import main

    monkeypatch.chdir(tmp_path)
    for number in range(2):
        draw(tmp_path / "photos" / f"{number}.png", (90, 140 + number, 200))
    mask = np.zeros((64, 64), bool)
    mask[18:46, 18:46] = True
    Path("masks").mkdir()
    Image.fromarray(mask).save("masks/0.png")
    document = coco.document([coco.AnnotatedPhoto("1.png", (64, 64), (coco.annotation(Selection(mask, "disk", 1.0)),))])
    Path("a.json").write_text(json.dumps(document))
    erase = ["erase", "photos", "--out", "done", "--inpainter", "telea"]
    assert main([*erase, "--masks", "masks"]) == 0
    assert main([*erase, "--coco", "a.json", "--class", "disk"]) == 0
    for number in range(2):
        _assert_no_disk(number)
