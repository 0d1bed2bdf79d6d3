"""The mmdet path for real: a tiny trained Mask R-CNN on scenes it has never seen, and what can go wrong round it."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from segment import Click, NoObjectError, load_segmenter
from segment.instances import Instances
from segment.mask_ops import deepest_point
from segment.mask_rcnn import MaskRCNNSegmenter
from segment.metrics import iou
from tools.shapes import CLASSES, draw_scene
from weights import WeightsError

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

TINY_MODEL = Path(__file__).parent.parent / "data" / "tiny_mask_rcnn.py"


@pytest.fixture(scope="module")
def seen(tiny_mask_rcnn: MaskRCNNSegmenter):
    """Twenty scenes with what the net made of them."""
    return [(scene, tiny_mask_rcnn.encode(scene.image)) for scene in map(draw_scene, range(20))]


def overlapping_pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photo with a blue square over a red circle, and the part of the circle and the square that can be seen."""
    image = np.random.default_rng(5).normal((90, 120, 90), 6, (150, 200, 3)).clip(0, 255).astype(np.uint8)
    circle, square = np.zeros((150, 200), np.uint8), np.zeros((150, 200), np.uint8)
    cv2.circle(circle, (85, 70), 38, 1, cv2.FILLED)
    cv2.rectangle(square, (90, 60), (150, 120), 1, cv2.FILLED)
    image[circle > 0] = (200, 40, 40)
    image[square > 0] = (50, 60, 210)
    return image, (circle > 0) & (square == 0), square > 0


def test_click_selects_the_right_one_of_two_overlapping_shapes(tiny_mask_rcnn: MaskRCNNSegmenter) -> None:
    image, circle, square = overlapping_pair()
    encoding = tiny_mask_rcnn.encode(image)
    for wanted, label, click in ((circle, "circle", Click(70, 60)), (square, "square", Click(120, 90))):
        best = tiny_mask_rcnn.select(encoding, [click])[0]
        assert best.label == label
        assert iou(best.mask, wanted) > 0.85


def test_click_on_any_shape_selects_that_shape_and_its_class(tiny_mask_rcnn: MaskRCNNSegmenter, seen) -> None:
    overlaps, right = [], []
    for scene, encoding in seen:
        for mask, label in zip(scene.masks, scene.labels, strict=True):
            try:
                best = tiny_mask_rcnn.select(encoding, [Click(*deepest_point(mask))])[0]
            except NoObjectError:
                overlaps.append(0.0)
                right.append(False)
                continue
            overlaps.append(iou(best.mask, mask))
            right.append(best.label == label)
    assert len(overlaps) > 50
    assert np.mean(overlaps) > 0.8
    assert np.mean(np.array(overlaps) > 0.7) > 0.85
    assert np.mean(right) > 0.85


def test_clicks_on_two_shapes_join_them_and_a_negative_one_takes_one_away(tiny_mask_rcnn: MaskRCNNSegmenter) -> None:
    image, circle, square = overlapping_pair()
    encoding = tiny_mask_rcnn.encode(image)
    both = [Click(70, 60), Click(120, 90)]
    joined = tiny_mask_rcnn.select(encoding, both)[0]
    assert joined.label == "circle + square"
    assert iou(joined.mask, circle | square) > 0.85
    left = tiny_mask_rcnn.select(encoding, [*both, Click(140, 110, positive=False)])[0]
    assert left.label == "circle"
    assert iou(left.mask, circle) > 0.85


def test_instances_are_all_shapes_surest_first(tiny_mask_rcnn: MaskRCNNSegmenter) -> None:
    image, _, _ = overlapping_pair()
    objects = tiny_mask_rcnn.instances(tiny_mask_rcnn.encode(image))
    assert {one.label for one in objects} >= {"circle", "square"}
    assert [one.score for one in objects] == sorted((one.score for one in objects), reverse=True)
    assert all(0.3 <= one.score <= 1 for one in objects)
    assert all(one.mask.shape == (150, 200) and one.mask.dtype == bool for one in objects)


def test_empty_corner_names_the_nearest_shapes(tiny_mask_rcnn: MaskRCNNSegmenter) -> None:
    image, _, _ = overlapping_pair()
    with pytest.raises(NoObjectError, match=r"no object was found at \(2, 148\); nearest: .*circle at"):
        tiny_mask_rcnn.select(tiny_mask_rcnn.encode(image), [Click(2, 148)])


def test_photo_of_twelve_megapixels_gives_masks_of_its_own_size_and_a_small_encoding(
    tiny_mask_rcnn: MaskRCNNSegmenter,
) -> None:
    image, _, square = overlapping_pair()
    large = cv2.resize(image, (4000, 3000), interpolation=cv2.INTER_CUBIC)
    encoding = tiny_mask_rcnn.encode(large)
    assert sum(part.nbytes for part in encoding.packed) < 2e6
    best = tiny_mask_rcnn.select(encoding, [Click(2400, 1800)])[0]
    assert best.mask.shape == (3000, 4000)
    assert best.label == "square"
    wanted = cv2.resize(square.astype(np.uint8), (4000, 3000), interpolation=cv2.INTER_NEAREST) > 0
    assert iou(best.mask, wanted) > 0.85


@pytest.mark.parametrize("hw", [(1, 1), (1, 700), (700, 1), (2, 3), (31, 33), (97, 203)])
def test_photo_of_any_size_and_proportion_is_taken(tiny_mask_rcnn: MaskRCNNSegmenter, hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*hw, 3), dtype=np.uint8)
    encoding = tiny_mask_rcnn.encode(image)
    assert encoding.image_hw == hw
    assert all(one.mask.shape == hw for one in tiny_mask_rcnn.instances(encoding))


def test_net_is_given_bgr_as_mmdet_expects(tiny_mask_rcnn: MaskRCNNSegmenter, monkeypatch) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 200  # red
    given = []
    prepare = tiny_mask_rcnn._prepare
    monkeypatch.setattr(tiny_mask_rcnn, "_prepare", lambda data: given.append(data["img"].copy()) or prepare(data))
    tiny_mask_rcnn.encode(image)
    assert given[0][0, 0].tolist() == [0, 0, 200]


def test_select_asks_the_net_nothing(tiny_mask_rcnn: MaskRCNNSegmenter, seen, monkeypatch) -> None:
    monkeypatch.setattr(tiny_mask_rcnn, "_net", None)
    scene, encoding = seen[0]
    tiny_mask_rcnn.select(copy.deepcopy(encoding), [Click(*deepest_point(scene.masks[0]))])


def test_nothing_is_printed_or_warned(tiny_mask_rcnn: MaskRCNNSegmenter, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_segmenter("mask_rcnn", model=TINY_MODEL).encode(overlapping_pair()[0])
    assert caught == []
    assert capfd.readouterr() == ("", "")


def test_score_threshold_leaves_out_what_the_net_is_unsure_of() -> None:
    image = draw_scene(3).image
    loose, strict = (
        MaskRCNNSegmenter(TINY_MODEL, score_threshold=threshold, device="cpu").encode(image)
        for threshold in (0.05, 0.9)
    )
    assert len(strict) < len(loose)
    assert loose.scores.min() >= 0.05
    assert all(score >= 0.9 for score in strict.scores)


def test_input_size_scales_what_the_net_sees() -> None:
    segmenter = MaskRCNNSegmenter(TINY_MODEL, input_size_px=96, device="cpu")
    assert tuple(segmenter._prepare({"img": np.zeros((300, 400, 3), np.uint8)})["inputs"].shape) == (3, 72, 96)


def test_large_input_size_is_not_starved_by_the_working_copy() -> None:
    segmenter = MaskRCNNSegmenter(TINY_MODEL, input_size_px=2000, device="cpu")
    given = []
    segmenter._prepare, prepare = (lambda data: given.append(data["img"].shape) or prepare(data)), segmenter._prepare
    segmenter.encode(np.zeros((20, 3000, 3), np.uint8))
    assert given[0][1] == 2000


def test_model_can_be_given_by_name_as_on_the_command_line() -> None:
    segmenter = load_segmenter(f"mask_rcnn:{TINY_MODEL}", checkpoint=str(TINY_MODEL.with_suffix(".pth")))
    assert segmenter.name == "tiny_mask_rcnn"
    assert segmenter.classes == CLASSES


@pytest.mark.parametrize("option", [{"score_threshold": 1.5}, {"input_size_px": 0}, {"device": "warp"}])
def test_option_that_cannot_be_is_refused(option: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(option)).partition("_")[0]):
        MaskRCNNSegmenter(TINY_MODEL, **option)


def test_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="score_treshold"):
        load_segmenter("mask_rcnn", model=TINY_MODEL, score_treshold=0.5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_there_is_refused_and_auto_goes_on_without(tiny_mask_rcnn: MaskRCNNSegmenter) -> None:
    with pytest.raises(ValueError, match="sees 0 GPUs: use auto or cpu"):
        MaskRCNNSegmenter(TINY_MODEL, device="cuda")
    assert MaskRCNNSegmenter(TINY_MODEL, device="auto").device == "cpu"


def test_checkpoint_of_another_model_is_refused_in_one_line(tmp_path: Path) -> None:
    state = torch.load(TINY_MODEL.with_suffix(".pth"), weights_only=True)["state_dict"]
    other_shape = dict(state) | {"backbone.conv1.weight": torch.zeros(64, 3, 7, 7)}
    too_few = {name: value for name, value in state.items() if not name.startswith("roi_head.mask_head")}
    for name, wrong in {"shape.pth": other_shape, "few.pth": too_few}.items():
        torch.save({"state_dict": wrong}, tmp_path / name)
        with pytest.raises(WeightsError, match="does not fit tiny_mask_rcnn") as caught:
            MaskRCNNSegmenter(TINY_MODEL, tmp_path / name)
        assert "\n" not in str(caught.value)


def test_checkpoint_without_class_names_numbers_them(tmp_path: Path) -> None:
    state = torch.load(TINY_MODEL.with_suffix(".pth"), weights_only=True)["state_dict"]
    torch.save({"state_dict": state}, tmp_path / "bare.pth")
    assert MaskRCNNSegmenter(TINY_MODEL, tmp_path / "bare.pth").classes == ("class 0", "class 1", "class 2")


def test_missing_checkpoint_is_reported_before_torch_is_needed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"21b550bb\.pth"):
        MaskRCNNSegmenter(offline=True)


@pytest.mark.parametrize("missing", ["mmcv.ops", "mmdet.models"])
def test_missing_part_of_mmdet_says_what_to_run(monkeypatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match="run `make install`") as caught:
        MaskRCNNSegmenter(TINY_MODEL)
    assert "\n" not in str(caught.value)


def test_missing_mmdet_says_what_to_run(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "mmdet", None)
    with pytest.raises(ImportError, match=r"mmdet is not installed .* run `make install`"):
        MaskRCNNSegmenter()


@pytest.mark.slow
def test_rtmdet_runs_through_the_same_adapter(tmp_path: Path) -> None:
    # Random weights: what is found means nothing, but the single-stage head, its padding and its masks are real.
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from segment import checkpoints

    config = Config.fromfile(checkpoints.find("rtmdet-ins-t").config)
    init_default_scope("mmdet")
    config.model.backbone.init_cfg = None
    net = MODELS.build(config.model)
    with torch.no_grad():  # or everything would stay below the threshold, and some masks empty
        for classes, kernels in zip(net.bbox_head.rtm_cls, net.bbox_head.rtm_kernel, strict=True):
            classes.bias.fill_(1.0)
            kernels.bias[-1] = 5.0
    torch.save({"state_dict": net.state_dict()}, tmp_path / "random.pth")
    segmenter = MaskRCNNSegmenter("rtmdet-ins-t", tmp_path / "random.pth", input_size_px=150, device="cpu")
    assert len(segmenter.classes) == 80
    encoding = segmenter.encode(np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8))
    assert isinstance(encoding, Instances)
    assert len(encoding) > 0
    assert all(one.mask.shape == (90, 140) and one.label in segmenter.classes for one in segmenter.instances(encoding))
