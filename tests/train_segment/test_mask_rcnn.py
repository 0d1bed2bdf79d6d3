"""The small Mask R-CNN's training: labels become COCO's, what nobody knows teaches nothing, a run goes on."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segment import Selection
from train_segment.mask_rcnn.convert import classes_of, convert
from train_segment.mask_rcnn.recipe import MaskRCNNRecipe
from training.split import is_held_out

pytest.importorskip("mmdet", reason="mmdet is not installed")
pycocotools_mask = pytest.importorskip("pycocotools.mask")


@pytest.fixture
def drawn(label_folder: Path) -> MaskRCNNRecipe:
    """24 photos: red squares are sofas in VOC's spelling; in set "two" blue bars are people, and little is labelled."""
    manifest = label_folder.parent / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "file", "classes", "source", "licence"])
        for photo in sorted(label_folder.glob("*/images/*.png")):
            name = photo.relative_to(label_folder.parent).as_posix()
            classes = "1:sofa" if photo.parts[-3] == "one" else "1:sofa;2:person"
            writer.writerow([photo.parts[-3], name, classes, "drawn", "CC0"])
    return MaskRCNNRecipe(
        data=(str(label_folder),),
        manifest=str(manifest),
        out=str(label_folder.parent / "run"),
        partly_labelled=("two/*",),
        min_objects=5,
        validation_fraction=0.3,
    )


@pytest.fixture
def tiny(drawn: MaskRCNNRecipe) -> MaskRCNNRecipe:
    """The same with a net that learns nothing in no time."""
    return replace(
        drawn,
        input_px=64,
        crop_px=64,
        channels=16,
        hidden=16,
        mask_convs=1,
        proposals=20,
        rois=16,
        batch=2,
        epochs=1,
        steps_per_epoch=2,
        validate_every=1,
        warmup_steps=0,
        paste=0.5,
        workers=0,
        log_every=1,
    )


def read_coco(path: Path, name: str) -> tuple[dict, list[tuple[str, int, np.ndarray]]]:
    """The photo's entry, and its annotations as class, crowd or not, mask."""
    content = json.loads(path.read_text())
    classes = {category["id"]: category["name"] for category in content["categories"]}
    image = next(image for image in content["images"] if image["name"] == name)
    found = [one for one in content["annotations"] if one["image_id"] == image["id"]]
    return image, [
        (classes[one["category_id"]], one["iscrowd"], pycocotools_mask.decode(one["segmentation"]).astype(bool))
        for one in found
    ]


def test_labels_become_run_lengths_with_coco_s_names(drawn: MaskRCNNRecipe, tmp_path: Path) -> None:
    converted = convert(drawn, tmp_path)
    assert converted.classes == ("couch", "person")
    name = next(f"one/images/{n:02}.png" for n in range(1, 24, 2) if not is_held_out(f"one/images/{n:02}.png", 0.3))
    image, ((label, crowd, mask),) = read_coco(tmp_path / "train.json", name)
    assert (label, crowd, image["width"], image["height"]) == ("couch", 0, 64, 48)
    labels = np.asarray(PillowImage.open(Path(drawn.data[0]) / name.replace("images", "masks")))
    np.testing.assert_array_equal(mask, labels == 1)
    assert Path(image["file_name"]).is_file()


def test_what_is_unlabelled_in_partly_labelled_photos_is_a_crowd_and_no_object_is(
    drawn: MaskRCNNRecipe, tmp_path: Path
) -> None:
    convert(drawn, tmp_path)
    held_out = next(f"two/images/{n:02}.png" for n in range(0, 24, 2) if is_held_out(f"two/images/{n:02}.png", 0.3))
    trained = next(f"two/images/{n:02}.png" for n in range(0, 24, 2) if not is_held_out(f"two/images/{n:02}.png", 0.3))
    for file, name, crowds in (("train.json", trained, 1), ("validation.json", held_out, 2)):
        _, regions = read_coco(tmp_path / file, name)
        objects = [mask for _, crowd, mask in regions if not crowd]
        unclear = [mask for _, crowd, mask in regions if crowd]
        assert len(objects) == 2 and len(unclear) == crowds  # COCO's evaluation wants one a class
        for mask in unclear:
            np.testing.assert_array_equal(mask, ~(objects[0] | objects[1]))


def test_unclear_pixels_alone_are_a_crowd_in_photos_that_are_labelled_all_over(
    drawn: MaskRCNNRecipe, tmp_path: Path
) -> None:
    convert(replace(drawn, partly_labelled=()), tmp_path)
    name = next(f"two/images/{n:02}.png" for n in range(0, 24, 2) if not is_held_out(f"two/images/{n:02}.png", 0.3))
    _, regions = read_coco(tmp_path / "train.json", name)
    (unclear,) = (mask for _, crowd, mask in regions if crowd)
    labels = np.asarray(PillowImage.open(Path(drawn.data[0]) / name.replace("images", "masks")))
    np.testing.assert_array_equal(unclear, labels == 255)


def test_classes_with_too_few_objects_are_left_out_and_told(drawn: MaskRCNNRecipe, tmp_path: Path) -> None:
    converted = convert(replace(drawn, min_objects=12), tmp_path)
    assert converted.classes == ("couch",) == classes_of(tmp_path / "train.json")
    assert list(converted.left_out) == ["person"]
    assert "left out for too few objects: person" in converted.lines()[-1]
    with pytest.raises(ValueError, match="--min-objects"):
        convert(replace(drawn, min_objects=1000), tmp_path)


def test_no_held_out_photo_is_trained_on(drawn: MaskRCNNRecipe, tmp_path: Path) -> None:
    convert(drawn, tmp_path)
    names = {
        file: {image["name"] for image in json.loads((tmp_path / file).read_text())["images"]}
        for file in ("train.json", "validation.json")
    }
    assert names["validation.json"] and all(is_held_out(name, 0.3) for name in names["validation.json"])
    assert names["train.json"] and not any(is_held_out(name, 0.3) for name in names["train.json"])


def test_the_share_of_a_box_inside_a_mask() -> None:
    import torch

    from train_segment.mask_rcnn.parts import share_inside

    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[:, 3:] = True
    boxes = torch.tensor([[0.0, 0, 6, 4], [3, 0, 6, 4], [0, 0, 3, 4], [2, 1, 4, 3], [4, -9, 40, 9], [7, 7, 9, 9]])
    np.testing.assert_allclose(share_inside(boxes, mask), [0.5, 1, 0, 0.5, 1, 0])


def test_boxes_on_unclear_pixels_are_no_background_but_objects_there_are_found() -> None:
    import torch
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    from train_segment.mask_rcnn.parts import UnclearPixelsAssigner

    unclear = np.zeros((1, 20, 20), np.uint8)
    unclear[:, :, 10:] = 1
    assigner = UnclearPixelsAssigner(pos_iou_thr=0.5, neg_iou_thr=0.5, match_low_quality=False)
    boxes = torch.tensor([[0.0, 0, 5, 5], [12, 12, 19, 19], [10, 0, 16, 6], [5, 10, 15, 20]])
    result = assigner.assign(
        InstanceData(priors=boxes),
        InstanceData(bboxes=torch.tensor([[10.0, 0, 16, 6]]), labels=torch.tensor([1])),
        InstanceData(masks=BitmapMasks(unclear, 20, 20), labels=torch.tensor([0])),
    )
    assert result.gt_inds.tolist() == [0, -1, 1, 0]  # background, nothing, the object, half and half


def test_pasted_objects_hide_what_is_behind_them_and_unclear_pixels_are_not_pasted() -> None:
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

    from train_segment.mask_rcnn.parts import PasteObjects

    def sample(value: int, masks: list[np.ndarray], labels: list[int], ignored: list[bool]) -> dict:
        stacked = BitmapMasks(np.stack(masks).astype(np.uint8), 8, 8)
        return {
            "img": np.full((8, 8, 3), value, np.uint8),
            "gt_masks": stacked,
            "gt_bboxes": stacked.get_bboxes(HorizontalBoxes),
            "gt_bboxes_labels": np.array(labels),
            "gt_ignore_flags": np.array(ignored),
        }

    left, right, all_over = (np.zeros((8, 8), bool) for _ in range(3))
    left[:, :5], right[:, 4:], all_over[:] = True, True, True
    onto = sample(10, [left], [1], [False]) | {"mix_results": [sample(99, [all_over, right], [0, 2], [True, False])]}
    pasted = PasteObjects(1.0).transform(onto)
    np.testing.assert_array_equal(pasted["img"][..., 0], np.where(right, 99, 10))
    np.testing.assert_array_equal(pasted["gt_masks"].masks.astype(bool), [left & ~right, right])
    assert pasted["gt_bboxes_labels"].tolist() == [1, 2]
    assert pasted["gt_bboxes"].tensor.tolist() == [[0, 0, 4, 8], [4, 0, 8, 8]]
    assert pasted["gt_ignore_flags"].tolist() == [False, False]


def test_draws_go_through_all_photos_and_a_resumed_run_draws_the_same() -> None:
    from train_segment.mask_rcnn.parts import EpochDraws

    def draws(epochs: list[int]) -> list[list[int]]:
        sampler = EpochDraws(range(7), samples=3, seed=5)
        found = []
        for epoch in epochs:
            sampler.set_epoch(epoch)
            found.append(list(sampler))
        return found

    whole = draws([0, 1, 2, 3, 4, 5, 6])
    assert draws([3, 4]) == whole[3:5]
    in_a_row = [one for epoch in whole for one in epoch]
    assert all(sorted(in_a_row[start : start + 7]) == list(range(7)) for start in (0, 7, 14))
    assert in_a_row[:7] != in_a_row[7:14]


def test_a_run_goes_on_where_it_stopped_and_its_bundle_is_a_segmenter(
    tiny: MaskRCNNRecipe, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from segment import load_segmenter
    from train_segment import export
    from train_segment.__main__ import main
    from train_segment.mask_rcnn import fit

    words = ["mask-rcnn", "--manifest", tiny.manifest, "--out", tiny.out, "--partly-labelled", "two/*"]
    for name in ("input_px", "crop_px", "channels", "hidden", "mask_convs", "proposals", "rois", "batch", "epochs"):
        words += [f"--{name.replace('_', '-')}", str(getattr(tiny, name))]
    for name in ("steps_per_epoch", "validate_every", "warmup_steps", "workers", "log_every", "min_objects"):
        words += [f"--{name.replace('_', '-')}", str(getattr(tiny, name))]
    words += ["--validation-fraction", "0.3", "--data", *tiny.data]
    assert main(words) == 0
    out = Path(tiny.out)
    first = torch.load(out / "epoch_1.pth", weights_only=True)
    assert first["meta"]["iter"] == 2

    assert main(words) == 1
    assert "continue it with --resume" in capsys.readouterr().err

    assert main(["mask-rcnn", "--resume", "--out", tiny.out, "--epochs", "2"]) == 0
    second = torch.load(out / "epoch_2.pth", weights_only=True)
    assert second["meta"]["iter"] == 4
    assert second["optimizer"]["state"][0]["step"] == 2 * first["optimizer"]["state"][0]["step"]
    moved = "rpn_head.rpn_conv.weight"
    assert not torch.equal(first["state_dict"][moved], second["state_dict"][moved])

    segmenter = load_segmenter(f"mask_rcnn:{out / 'last.npz'}", score_threshold=0.0)
    assert segmenter.classes == ("couch", "person")
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    for one in segmenter.instances(segmenter.encode(photo)):
        assert one.mask.shape == (50, 70) and one.label in segmenter.classes
    held_out = len(json.loads((out / "validation.json").read_text())["images"])
    exported = out.parent / "weights" / "files" / "net.npz"
    words = [str(out), "--checkpoint", "last", "--out", str(exported), "--manifest", tiny.manifest]
    assert export.main([*words, "--license", "for research"]) == 0
    card = (out.parent / "weights" / "cards" / "net.md").read_text()
    for text in ("Mask R-CNN, small", "trained for 4 steps of 2 samples", f"{24 - held_out} photos.", "for research"):
        assert text in card
    assert "    left out for too few objects: none" in card and str(out.parent) not in card
    assert load_segmenter(f"mask_rcnn:{exported}").classes == ("couch", "person")

    mean = second["state_dict"][moved]  # what EMAHook keeps there: the weights of the net in use
    loaded = segmenter._net.state_dict()[moved]
    torch.testing.assert_close(loaded, mean, rtol=1e-3, atol=1e-4)

    # What is to stay as it is must be something first.
    for start, learns in (("", True), (str(out / "last.npz"), False)):
        net = fit.build(replace(tiny, start_from=start), fit.net_of(tiny, segmenter.classes))
        assert net.backbone.conv1.weight.requires_grad is learns
        assert net.backbone.fire9.expand3x3.weight.requires_grad


@pytest.mark.parametrize("size", [0.1, 6.0])  # objects too small to keep; crops beside all objects
def test_samples_without_an_object_are_background_and_do_not_end_the_run(tiny: MaskRCNNRecipe, size: float) -> None:
    import torch
    from mmdet.registry import DATASETS

    from train_segment.mask_rcnn import fit

    recipe = replace(tiny, smallest=size, largest=size, paste=0.2, min_objects=1)
    out = Path(recipe.out)
    net = fit.net_of(recipe, convert(recipe, out).classes)
    model = fit.build(recipe, net).train()
    samples = DATASETS.build(fit._training_samples(recipe, net)["dataset"])
    drawn = [samples[number % len(samples)] for number in range(30)]
    empty = [one for one in drawn if len(one["data_samples"].gt_instances) == 0]
    assert len(empty) > 1
    batch = {key: [one[key] for one in empty[:2]] for key in ("inputs", "data_samples")}
    batch = model.data_preprocessor(batch, True)
    losses = model.loss(batch["inputs"], batch["data_samples"])
    total = sum(part.sum() for value in losses.values() for part in (value if isinstance(value, list) else [value]))
    assert torch.isfinite(total)


def test_regions_are_cut_out_right_though_the_net_s_memory_is_channels_last(tiny: MaskRCNNRecipe) -> None:
    """mmcv's RoIAlign for processors took channels-last features for channels-first ones, and said nothing."""
    import torch

    from train_segment.mask_rcnn.fit import build, net_of

    net = build(tiny, net_of(tiny, ("sofa",)))
    features = [torch.zeros(1, 16, side, side) for side in (8, 4, 2)]
    features[0][:, 3] = 1.0
    rois = torch.tensor([[0.0, 8.0, 8.0, 40.0, 40.0]])
    found = net.roi_head.bbox_roi_extractor([f.to(memory_format=torch.channels_last) for f in features], rois)
    assert found[0].amax((1, 2)).tolist() == [float(channel == 3) for channel in range(16)]


def test_a_command_that_cannot_work_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from train_segment.__main__ import main

    for words, said in (
        ([], "--data"),
        (["--data", str(tmp_path), "--manifest", "m.csv"], "--out"),
        (["--resume", "--data", str(tmp_path), "--manifest", "m.csv", "--out", str(tmp_path)], "nothing to resume"),
    ):
        assert main(["mask-rcnn", *words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


class Knowing:
    """Answers with the truth of drawn photos, after a change."""

    def __init__(self, change) -> None:
        self._change = change

    def encode(self, image: np.ndarray) -> np.ndarray:
        return image

    def select(self, encoding: np.ndarray, clicks: object) -> list[Selection]:
        raise AssertionError("no clicks are measured here")

    def instances(self, encoding: np.ndarray) -> list[Selection]:
        red, blue = (encoding[..., channel] == value for channel, value in ((0, 220), (2, 220)))
        found = [Selection(red, "couch", 0.9), Selection(blue, "person", 0.8)]
        return self._change([one for one in found if one.mask.any()])


def measured(recipe: MaskRCNNRecipe, folder: Path, change) -> dict[str, dict]:
    from pycocotools.coco import COCO

    from train_segment.mask_rcnn.evaluate import measure, precision

    convert(recipe, folder)
    annotations = COCO(str(folder / "validation.json"))
    keys = sorted(annotations.imgs)
    results, found, seconds = measure(Knowing(change), annotations, keys)
    assert len(found) == len(seconds) == len(keys)
    return precision(annotations, results, keys)


def test_precision_is_one_for_the_truth_and_zero_for_no_answer(drawn: MaskRCNNRecipe, tmp_path: Path) -> None:
    rows = measured(drawn, tmp_path, lambda found: found)
    assert rows["couch"]["ap"] == rows["couch"]["ap_50"] == rows["person"]["ap_50"] == pytest.approx(1)
    nothing = measured(drawn, tmp_path, lambda found: [])
    assert nothing["couch"]["ap_50"] == 0 and nothing["couch"]["objects"] == rows["couch"]["objects"]
    in_one = measured(replace(drawn, data=(str(Path(drawn.data[0]) / "one"),), min_objects=1), tmp_path, lambda f: f)
    assert list(in_one) == ["couch"]


def test_wrong_names_and_half_masks_cost_precision(drawn: MaskRCNNRecipe, tmp_path: Path) -> None:
    def swapped(found: list[Selection]) -> list[Selection]:
        return [replace(one, label="person" if one.label == "couch" else "couch") for one in found]

    def thinned(found: list[Selection]) -> list[Selection]:  # every fourth row is missing: an IoU of 0.75
        rows = np.arange(48)[:, None] % 4 > 0
        return [replace(one, mask=one.mask & rows) for one in found]

    assert measured(drawn, tmp_path, swapped)["couch"]["ap_50"] == 0
    rows = measured(drawn, tmp_path, thinned)
    assert rows["couch"]["ap_50"] == pytest.approx(1) and 0.3 < rows["couch"]["ap"] < 0.7


def test_answers_on_unclear_pixels_do_not_count_against_it(drawn: MaskRCNNRecipe, tmp_path: Path) -> None:
    def more(found: list[Selection]) -> list[Selection]:
        corner = np.zeros((48, 64), bool)
        corner[:8, :8] = True
        return [Selection(corner, "couch", 0.99), *found]

    assert measured(drawn, tmp_path / "a", more)["couch"]["ap_50"] < 0.9
    all_partly = replace(drawn, partly_labelled=("*",))
    assert measured(all_partly, tmp_path / "b", more)["couch"]["ap_50"] == pytest.approx(1)


def test_evaluation_prints_a_table_and_draws_a_sheet(
    drawn: MaskRCNNRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from train_segment.mask_rcnn import evaluate

    monkeypatch.setattr(evaluate, "load_segmenter", lambda name, **_: Knowing(lambda found: found))
    converted = convert(drawn, tmp_path / "run")
    words = ["--segmenter", "mask_rcnn:a/b.npz", "--annotations", str(tmp_path / "run" / "validation.json")]
    assert evaluate.main([*words, "--out", str(tmp_path / "table")]) == 0
    printed = capsys.readouterr().out
    objects = converted.objects["person"][1]
    assert f"| person | {objects} | 1.000 | 1.000 |" in printed and f"| person, in two | {objects} |" in printed
    figures = json.loads((tmp_path / "table" / "figures.json").read_text())
    assert figures["table"] in printed and "mask_rcnn:b.npz" in figures["command"]
    sheet = np.asarray(PillowImage.open(tmp_path / "table" / "sheet.png"))
    assert sheet.shape[0] > 100 and (sheet[..., 0] == 255).any()
