"""Small data sets in the three layouts, drawn here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage


def draw(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(array).save(path)


@pytest.fixture
def label_folder(tmp_path: Path) -> Path:
    """24 photos in two sets: a red square (label 1) and, in set "two", a blue bar (label 2) with an unclear rim."""
    root = tmp_path / "labels"
    for number in range(24):
        name = "one" if number % 2 else "two"
        photo = np.full((48, 64, 3), (40, 90, 40), np.uint8)
        labels = np.zeros((48, 64), np.uint8)
        x = 8 + number
        photo[12:32, x : x + 20], labels[12:32, x : x + 20] = (220, 30, 30), 1
        if name == "two":
            photo[38:46, 10:50], labels[38:46, 10:50], labels[37, 10:50] = (30, 30, 220), 2, 255
        draw(root / name / "images" / f"{number:02}.png", photo)
        draw(root / name / "masks" / f"{number:02}.png", labels)
    return root


@pytest.fixture
def coco_file(tmp_path: Path) -> Path:
    """COCO's own layout: three photos, of which one has a polygon, an overlapping run length and a crowd, one none."""
    for name in ("a", "b", "c"):
        draw(tmp_path / "coco" / "val" / f"{name}.png", np.full((10, 12, 3), 60, np.uint8))
    square = [[2, 2, 6, 2, 6, 6, 2, 6]]
    crowd = np.zeros((10, 12), bool)
    crowd[8:] = True
    content = {
        "images": [
            {"id": n, "file_name": f"{name}.png", "height": 10, "width": 12} for n, name in enumerate("abc", start=7)
        ],
        "categories": [{"id": 3, "name": "box"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "iscrowd": 0, "segmentation": square},
            {
                "id": 2,
                "image_id": 7,
                "category_id": 3,
                "iscrowd": 0,
                "segmentation": {"size": [10, 12], "counts": [0, 20, 100]},
            },
            {
                "id": 3,
                "image_id": 7,
                "category_id": 3,
                "iscrowd": 1,
                "segmentation": {"size": [10, 12], "counts": [8, 2] * 12},
            },
            {"id": 4, "image_id": 9, "category_id": 99, "iscrowd": 0, "segmentation": square},
        ],
    }
    path = tmp_path / "coco" / "annotations" / "instances_val.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def pet_folder(tmp_path: Path) -> Path:
    """Two pets of one breed with trimaps, and a file that macOS leaves."""
    root = tmp_path / "pets"
    for number in (1, 2):
        trimap = np.full((8, 9), 2, np.uint8)
        trimap[2:6, 2:6], trimap[6, 2:6] = 1, 3
        draw(root / "images" / f"great_dane_{number}.jpg", np.full((8, 9, 3), 90, np.uint8))
        draw(root / "annotations" / "trimaps" / f"great_dane_{number}.png", trimap)
    (root / "annotations" / "trimaps" / "._great_dane_1.png").write_bytes(b"\0")
    return root
