"""Training holes: the same everywhere, of the area asked for, away from the border when asked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from PIL import Image as PillowImage

from train_pconv.holes import AREA_BUCKETS, HoleMix, box, buckets_between, fit_area, inside, place, strokes
from train_pconv.shapes import Blobs, HoleFiles, ObjectShapes, decode_segmentation, read_coco, shapes_of_labels

HW = (64, 80)


@pytest.fixture(scope="module")
def mask_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Masks as NVIDIA's: a white blob on black."""
    folder = tmp_path_factory.mktemp("masks")
    for number in range(4):
        hole = Blobs().draw(default_rng(number))
        PillowImage.fromarray(hole.astype(np.uint8) * 255).save(folder / f"{number}.png")
    return folder


def mix_of(kind: str, mask_files: Path, at_border: float = 0.5) -> HoleMix:
    return HoleMix({kind: 1.0}, shapes=Blobs(), files=HoleFiles([mask_files]), at_border=at_border)


KINDS = ("strokes", "objects", "boxes", "files")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bucket", AREA_BUCKETS)
def test_a_hole_lies_in_its_bucket_with_and_without_border(
    kind: str, bucket: tuple[float, float], mask_files: Path
) -> None:
    for at_border in (0.0, 1.0):
        mix = mix_of(kind, mask_files, at_border)
        for seed in range(6):
            hole = mix.draw(default_rng(seed), HW, bucket)
            assert hole.shape == HW and hole.dtype == np.bool_
            assert bucket[0] <= hole.mean() < bucket[1]
            if not at_border:
                assert not hole[~inside(HW)].any()


@pytest.mark.parametrize("kind", KINDS)
def test_some_holes_with_border_touch_it(kind: str, mask_files: Path) -> None:
    mix = mix_of(kind, mask_files, at_border=1.0)
    holes = [mix.draw(default_rng(seed), HW, (0.3, 0.4)) for seed in range(12)]
    assert any(hole[~inside(HW)].any() for hole in holes)


def test_a_seed_gives_the_same_holes_everywhere() -> None:
    mix = HoleMix({"strokes": 0.4, "objects": 0.4, "boxes": 0.2}, shapes=Blobs())
    digest = hashlib.sha256()
    for seed in range(20):
        digest.update(np.packbits(mix.draw(default_rng([7, seed]), (48, 48))).tobytes())
    # Taken once: a change of this digest means that old runs can no longer be repeated.
    assert digest.hexdigest()[:16] == "0696320329957441"


def test_the_mix_follows_its_weights() -> None:
    drawn = []

    class Source:
        def draw(self, rng: Generator) -> np.ndarray:
            drawn.append(1)
            return np.ones((4, 4), bool)

    mix = HoleMix({"boxes": 3.0, "objects": 1.0}, shapes=Source())
    for seed in range(200):
        mix.draw(default_rng(seed), (32, 32), (0.01, 0.6))
    assert 25 <= len(drawn) <= 80  # a quarter of 200


def test_a_kind_without_its_source_is_refused() -> None:
    with pytest.raises(ValueError, match="'files' can be drawn"):
        HoleMix({"files": 1.0})
    with pytest.raises(ValueError, match="weight 0"):
        HoleMix({"strokes": 0.0})


def test_buckets_are_cut_to_the_range() -> None:
    assert buckets_between(0.05, 0.3) == ((0.05, 0.1), (0.1, 0.2), (0.2, 0.3))
    assert buckets_between(0.7, 0.8) == ((0.7, 0.8),)


def test_strokes_scale_with_the_picture() -> None:
    small = np.mean([strokes(default_rng(seed), (64, 64)).mean() for seed in range(40)])
    large = np.mean([strokes(default_rng(seed), (256, 256)).mean() for seed in range(40)])
    assert small == pytest.approx(large, rel=0.15)


def test_a_box_has_about_the_area_asked_for() -> None:
    shares = [box(default_rng(seed), (100, 100), 0.2).mean() for seed in range(20)]
    assert min(shares) > 0.15 and max(shares) < 0.25


def test_fit_area_grows_and_shrinks_without_leaving_the_frame() -> None:
    hole = np.zeros((40, 40), bool)
    hole[18:22, 18:22] = True
    grown = fit_area(hole, 0.2, 0.3, 0.25, border=False)
    assert (grown & hole).sum() == hole.sum() and grown.mean() == pytest.approx(0.25, abs=0.001)
    shrunk = fit_area(grown, 0.05, 0.1, 0.08, border=True)
    assert not (shrunk & ~grown).any() and shrunk.mean() == pytest.approx(0.08, abs=0.001)
    assert fit_area(np.zeros((40, 40), bool), 0.1, 0.2, 0.15, border=True).mean() == pytest.approx(0.15)


def test_a_placed_shape_keeps_its_form() -> None:
    shape = np.zeros((20, 20), bool)
    shape[:, :4] = shape[-4:] = True  # an L: its box is less than half full
    placed = place(shape, default_rng(1), (128, 128), 0.1)
    rows, columns = np.flatnonzero(placed.any(1)), np.flatnonzero(placed.any(0))
    box_area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert 0.2 < placed.sum() / box_area < 0.75


def test_labels_become_shapes_but_background_ignored_and_tiny_ones_do_not() -> None:
    labels = np.zeros((40, 40), int)
    labels[2:12, 2:12] = 1
    labels[20:22, 20:22] = 2  # 4 of 1600 pixels
    labels[30:, 30:] = 255
    shapes = list(shapes_of_labels(labels))
    assert [shape.shape for shape in shapes] == [(10, 10)]


def test_object_shapes_come_from_masks_folders_and_broken_files_are_named(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    PillowImage.fromarray(np.full((30, 30, 3), 99, np.uint8)).save(tmp_path / "images" / "a.png")
    labels = np.zeros((30, 30), np.uint8)
    labels[5:15, 5:25] = 3
    PillowImage.fromarray(labels).save(tmp_path / "masks" / "a.png")
    source = ObjectShapes([tmp_path])
    assert source.draw(default_rng(0)).shape == (10, 20)
    (tmp_path / "masks" / "b.png").write_bytes(b"no png")
    source = ObjectShapes([tmp_path])
    shapes = {source.draw(default_rng(seed)).shape for seed in range(20)}
    assert shapes == {(10, 20), (128, 128)}  # a drawn blob in place of the broken one
    assert (
        list(source.broken)
        == list(HoleMix({"objects": 1.0}, shapes=source).broken)
        == [str(tmp_path / "masks" / "b.png")]
    )


def test_a_black_and_white_mask_is_one_object(tmp_path: Path) -> None:
    mask = np.zeros((30, 30), np.uint8)
    mask[5:15, 5:25] = 255
    PillowImage.fromarray(mask).save(tmp_path / "a.png")
    assert ObjectShapes([tmp_path]).draw(default_rng(0)).shape == (10, 20)


def test_coco_polygons_and_run_lengths_give_the_same_mask() -> None:
    # Columns 1 and 2, rows 1 to 3 of a 5 x 4 picture; run lengths go down the columns.
    wanted = np.zeros((5, 4), bool)
    wanted[1:4, 1:3] = True
    runs = {"size": [5, 4], "counts": [6, 3, 2, 3, 6]}
    assert (decode_segmentation(runs, (5, 4)) == wanted).all()
    assert (decode_segmentation([[1, 1, 2, 1, 2, 3, 1, 3]], (5, 4)) == wanted).all()
    pycoco = pytest.importorskip("pycocotools.mask")
    packed = pycoco.encode(np.asfortranarray(wanted.astype(np.uint8)))
    packed["counts"] = packed["counts"].decode()
    assert (decode_segmentation(packed, (5, 4)) == wanted).all()


def test_packed_run_lengths_are_read_as_pycocotools_writes_them() -> None:
    pycoco = pytest.importorskip("pycocotools.mask")
    for seed in range(5):
        mask = strokes(default_rng(seed), (70, 90))
        packed = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))
        found = decode_segmentation({"size": packed["size"], "counts": packed["counts"].decode()}, (70, 90))
        np.testing.assert_array_equal(found, mask)


def test_a_coco_file_gives_the_shapes_of_its_objects(tmp_path: Path) -> None:
    import json

    square = [[10, 10, 29, 10, 29, 39, 10, 39]]
    content = {
        "images": [{"id": 4, "height": 60, "width": 50}],
        "annotations": [
            {"image_id": 4, "iscrowd": 0, "segmentation": square},
            {"image_id": 4, "iscrowd": 1, "segmentation": {"size": [60, 50], "counts": [3000]}},
        ],
    }
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    source = ObjectShapes([file])
    assert source.draw(default_rng(0)).shape == (30, 20)
    file.write_text("[1]")
    with pytest.raises(ValueError, match="no COCO instance annotation file"):
        ObjectShapes([file])


def test_folders_without_masks_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no PNG"):
        ObjectShapes([tmp_path])
    with pytest.raises(ValueError, match="is not there"):
        ObjectShapes([tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="holds no images"):
        HoleFiles([tmp_path])


def test_hole_files_can_be_black_on_white(mask_files: Path, tmp_path: Path) -> None:
    hole = np.zeros((20, 20), bool)
    hole[:5] = True
    PillowImage.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save(tmp_path / "m.png")
    found = HoleFiles([tmp_path], hole_colour="black").draw(default_rng(0))
    np.testing.assert_array_equal(found, hole)


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": 99},
        {"image_id": [1]},
        {"segmentation": "x"},
        {"segmentation": [["a"] * 6]},
        {"segmentation": {"size": [10, 12], "counts": [10**12]}},
        {"segmentation": {"size": [10**6, 10**6], "counts": [10**12]}},
        {"segmentation": {"size": [10, 12], "counts": [-5, 125]}},
        {"segmentation": {"size": [10, 12], "counts": "\u1234" * 9}},
    ],
)
def test_annotations_that_make_no_sense_are_one_line(tmp_path, change):
    annotation = {"image_id": 1, "segmentation": [[1, 1, 8, 1, 8, 8]], **change}
    content = {"images": [{"id": 1, "height": 10, "width": 12}], "annotations": [annotation]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"a\.json"):
        list(read_coco(tmp_path / "a.json"))


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '"x"', '{"images": 5, "annotations": []}', "\xff"])
def test_files_that_are_no_annotations_are_one_line(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json is no COCO instance annotation file"):
        list(read_coco(tmp_path / "a.json"))
