"""`python -m train_segment.data`: COCO, label folders with a manifest, and what it prints."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.train_segment.conftest import draw
from train_segment.data import open_data
from train_segment.prepare import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Four photos: a person of 36 %, one of 4 %, a dog of 36 %, and one without annotations."""
    names = ["large", "small", "dog", "empty"]
    for name in names:
        path = tmp_path / "coco" / "val" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(path)

    def box(x, y, w, h):
        return [[x, y, x + w, y, x + w, y + h, x, y + h]]

    content = {
        "images": [{"id": n, "file_name": f"{name}.jpg", "height": 40, "width": 50} for n, name in enumerate(names)],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "iscrowd": 0, "segmentation": box(5, 5, 30, 24)},
            {"id": 2, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": box(5, 5, 10, 8)},
            {"id": 3, "image_id": 2, "category_id": 18, "iscrowd": 0, "segmentation": box(5, 5, 30, 24)},
        ],
    }
    path = tmp_path / "coco" / "annotations" / "instances_val.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    return path


def test_the_command_keeps_what_the_rule_keeps_and_counts_the_rest(coco, tmp_path, capsys):
    pytest.importorskip("pycocotools")
    out = tmp_path / "prepared"
    assert main(["extractnet", "--coco", str(coco), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "kept 1 of 3 photos" in printed
    assert "1 dropped: no object of the classes" in printed
    assert "1 dropped: no object of 30% of the photo" in printed
    (mask,) = (out / "masks").iterdir()
    labels = np.asarray(Image.open(mask))
    assert labels.shape == (224, 224)
    assert set(np.unique(labels)) == {0, 1}
    assert labels.mean() == pytest.approx(0.36, abs=0.03)
    annotated = open_data([out]).get(0)
    assert annotated.image.shape == (224, 224, 3)
    assert len(annotated.objects) == 1


def test_a_label_folder_wants_its_manifest_for_the_classes(label_folder, tmp_path, capsys):
    arguments = ["subject", "--data", str(label_folder), "--side", "32"]
    rows = [
        f"{path.relative_to(label_folder).as_posix()},1:{'cat' if number % 2 else 'tree'}"
        for number, path in enumerate(sorted(label_folder.rglob("images/*.png")))
    ]
    manifest = label_folder / "manifest.csv"
    manifest.write_text("file,classes\n" + "\n".join(rows) + "\n")
    assert main([*arguments, "--manifest", str(manifest), "--out", str(tmp_path / "out")]) == 0
    assert "kept" in capsys.readouterr().out
    kept = sorted(path.stem for path in (tmp_path / "out" / "images").iterdir())
    assert all(name.startswith(("one-", "two-")) for name in kept)
    assert main(["greenscreen", "--data", str(label_folder), "--out", str(tmp_path / "none")]) == 1
    assert "is --manifest missing" in capsys.readouterr().err


def test_an_earlier_result_is_not_mixed_with_a_new_one(label_folder, tmp_path, capsys):
    (tmp_path / "out" / "images").mkdir(parents=True)
    assert main(["subject", "--data", str(label_folder), "--out", str(tmp_path / "out")]) == 1
    assert "holds images or masks already" in capsys.readouterr().err


def test_the_command_of_the_readme_is_found():
    command = [sys.executable, "-m", "train_segment.data", "extractnet", "--out", "nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "train_segment.data: no photos: give --coco FILE (instance annotations) or --data FOLDER (images and masks)\n"
    )


def test_photos_whose_names_meet_are_all_kept(tmp_path):
    for folder, stems in (("a", ("cat", "cat-2")), ("b", ("cat",))):
        for stem in stems:
            mask = np.zeros((40, 50), np.uint8)
            mask[5:35, 5:40] = 1
            draw(tmp_path / folder / "images" / f"{stem}.png", np.full((40, 50, 3), 90, np.uint8))
            draw(tmp_path / folder / "masks" / f"{stem}.png", mask)
    out = tmp_path / "out"
    data = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["subject", "--data", *data, "--out", str(out)]) == 0
    assert sorted(path.name for path in (out / "images").iterdir()) == ["cat-2.jpg", "cat-3.jpg", "cat.jpg"]


def test_a_photo_named_by_its_whole_path_is_written_below_the_folder_too(coco, tmp_path):
    pytest.importorskip("pycocotools")
    content = json.loads(coco.read_text())
    for image in content["images"]:
        image["file_name"] = str(tmp_path / "coco" / "val" / image["file_name"])
    coco.write_text(json.dumps(content))
    out = tmp_path / "prepared"
    assert main(["extractnet", "--coco", str(coco), "--out", str(out)]) == 0
    (photo,) = (out / "images").iterdir()
    assert photo.name.endswith("coco-val-large.jpg")
    assert len(list((out / "masks").iterdir())) == 1
