"""auto: the detector where it finds something, the fallback everywhere else, and never a download."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import segment
from segment import Click, Image, NoObjectError, Selection, auto, small_mask_rcnn
from segment.auto import AutoSegmenter
from segment.base import InstanceSegmenter
from segment.instances import Instance, pack, select
from weights import WeightsError
from weights import download as download_module

HW = (40, 60)
LEFT, RIGHT, ODD = (np.zeros(HW, bool) for _ in range(3))
LEFT[5:20, 5:20] = RIGHT[5:20, 30:45] = ODD[28:36, 10:30] = True  # ODD is of no class that the detector knows
ON_LEFT, ON_RIGHT, ON_ODD, ON_NOTHING = Click(8, 8), Click(40, 10), Click(20, 30), Click(55, 2)
IMAGE = np.zeros((*HW, 3), np.uint8)


class Detector:
    """Knows LEFT and RIGHT."""

    encoded = 0

    def encode(self, image: Image):
        type(self).encoded += 1
        found = [
            Instance(LEFT[5:20, 5:20], (5, 5), (5, 5, 20, 20), "left", 0.9),
            Instance(RIGHT[5:20, 30:45], (30, 5), (28, 3, 48, 22), "right", 0.8),
        ]
        return pack(found, image.shape[:2])

    def select(self, encoding, clicks: Sequence[Click]) -> list[Selection]:
        return select(encoding, clicks)

    def instances(self, encoding) -> list[Selection]:
        return [encoding.selection(index) for index in range(len(encoding))]


class Fallback:
    """Knows LEFT, ODD and what lies right beside RIGHT, without classes."""

    encoded = 0

    def encode(self, image: Image) -> str:
        type(self).encoded += 1
        return "seen"

    def select(self, encoding: str, clicks: Sequence[Click]) -> list[Selection]:
        assert encoding == "seen"
        wanted = [click for click in clicks if click.positive]
        for mask in (LEFT, ODD):
            if all(mask[click.y, click.x] for click in wanted):
                return [Selection(mask.copy(), None, 0.5)]
        raise NoObjectError("no colour stands out")


@pytest.fixture
def fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another segmenter in ClickNet's and GrabCut's place."""
    monkeypatch.setitem(segment.SEGMENTERS, "other", f"{__name__}:Fallback")
    monkeypatch.setattr(auto, "fallback_name", lambda: "other")
    monkeypatch.setattr(Fallback, "encoded", 0)
    monkeypatch.setattr(Detector, "encoded", 0)


@pytest.fixture
def both(fallback: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AutoSegmenter:
    """auto on a machine that has a detector."""
    config, checkpoint = tmp_path / "net.py", tmp_path / "net.pth"
    config.touch()
    checkpoint.touch()
    segmenter = AutoSegmenter(config)
    monkeypatch.setattr(segmenter, "_detector", Detector())
    return segmenter


@pytest.fixture
def alone(fallback: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AutoSegmenter:
    """auto on a machine that has none, and may not fetch one."""
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("auto tried to download")

    monkeypatch.setattr(download_module, "_check_reachable", never)
    monkeypatch.setattr(small_mask_rcnn, "bundled", lambda: None)
    return AutoSegmenter()


def test_detector_answers_where_it_finds_something_and_the_fallback_is_not_asked(both: AutoSegmenter) -> None:
    encoding = both.encode(IMAGE)
    assert both.select(encoding, [ON_LEFT])[0].label == "left"
    assert encoding.fallback is None
    assert (Detector.encoded, Fallback.encoded) == (1, 0)


def test_what_clicknet_takes_and_the_detector_does_not_is_an_alternative(
    fallback: None, both: AutoSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = np.zeros(HW, bool)
    part[5:10, 5:10] = True
    monkeypatch.setattr(both, "_fallback_name", "clicknet")
    monkeypatch.setattr(both, "_select_fallback", lambda *_: [Selection(LEFT, None, 0.7), Selection(part, None, 0.6)])
    first, second = both.select(both.encode(IMAGE), [ON_LEFT])
    assert first.label == "left" and second.label is None
    np.testing.assert_array_equal(second.mask, part)


def test_fallback_answers_where_the_detector_finds_nothing_and_sees_the_photo_once(both: AutoSegmenter) -> None:
    encoding = both.encode(IMAGE)
    for _ in range(2):
        best = both.select(encoding, [ON_ODD])[0]
        assert best.label is None
        np.testing.assert_array_equal(best.mask, ODD)
    assert (Detector.encoded, Fallback.encoded) == (1, 1)


def test_clicks_on_both_kinds_are_joined(both: AutoSegmenter) -> None:
    best = both.select(both.encode(IMAGE), [ON_RIGHT, ON_ODD])[0]
    np.testing.assert_array_equal(best.mask, RIGHT | ODD)
    assert best.label == "right"
    assert best.score == pytest.approx(0.5)


def test_several_detected_objects_and_an_unknown_one_are_joined(both: AutoSegmenter) -> None:
    best = both.select(both.encode(IMAGE), [ON_LEFT, ON_ODD, ON_RIGHT])[0]
    np.testing.assert_array_equal(best.mask, LEFT | RIGHT | ODD)


class Namer:
    """Finds LEFT as a dog, all but sure, of other edges; and something round ODD and RIGHT that it is less sure of."""

    def __init__(self, model: object = None, *, score_threshold: float = 0.5, **_: object):
        self._threshold = score_threshold

    def encode(self, image: Image):
        around = np.zeros(HW, bool)
        around[2:40, 10:55] = True
        found = [
            Instance(LEFT[6:20, 5:20], (5, 6), (5, 6, 20, 20), "dog", 0.9),
            Instance(around[2:40, 10:55], (10, 2), (10, 2, 55, 40), "cow", 0.6),
            Instance(ODD[28:36, 10:30], (10, 28), (10, 28, 30, 36), "cat", 0.4),
        ]
        return pack([one for one in found if one.score >= self._threshold], image.shape[:2])

    select = Detector.select
    instances = Detector.instances


@pytest.fixture
def with_names(alone: AutoSegmenter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AutoSegmenter:
    """auto on a machine that has the small detector alone."""
    monkeypatch.setattr(alone, "_namer", Namer())
    monkeypatch.setattr(alone, "_namer_file", tmp_path / "small.npz")
    return alone


def test_small_detector_gives_clicknet_s_answer_its_name_and_no_other_mask(with_names: AutoSegmenter) -> None:
    (best,) = with_names.select(with_names.encode(IMAGE), [ON_LEFT])
    assert (best.label, best.score) == ("dog", 0.5)
    np.testing.assert_array_equal(best.mask, LEFT)


def test_what_the_small_detector_sees_otherwise_is_an_alternative_and_unsure_names_are_not_given(
    with_names: AutoSegmenter,
) -> None:
    first, second = with_names.select(with_names.encode(IMAGE), [ON_ODD])
    assert first.label is None and second.label == "cow"
    np.testing.assert_array_equal(first.mask, ODD)


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({}, ["dog", "cow"]),
        ({"score_threshold": 0.0}, ["dog", "cow", "cat"]),
        ({"score_threshold": 0.7}, ["dog"]),
        ({"score_threshold": 1.0}, []),
    ],
)
def test_small_detector_leaves_out_what_it_is_less_sure_of_than_was_asked_for(
    fallback: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: dict[str, float], labels: list[str]
) -> None:
    monkeypatch.setattr("segment.mask_rcnn.MaskRCNNSegmenter", Namer)
    (tmp_path / "small.npz").touch()
    segmenter = AutoSegmenter(tmp_path / "small.npz", **options)  # type: ignore[arg-type]
    encoding = segmenter.encode(IMAGE)
    assert [one.label for one in segmenter.instances(encoding)] == labels
    named = [one.label for one in segmenter.select(encoding, [ON_ODD])]
    assert set(named) - {None} == set(labels) - {"dog"}


def test_small_detector_answers_where_clicknet_finds_nothing(with_names: AutoSegmenter) -> None:
    (only,) = with_names.select(with_names.encode(IMAGE), [Click(50, 38)])
    assert only.label == "cow"
    with pytest.raises(NoObjectError, match="no colour stands out"):
        with_names.select(with_names.encode(IMAGE), [ON_NOTHING])


def test_instance_with_a_click_that_takes_away_gives_no_name(with_names: AutoSegmenter) -> None:
    (best,) = with_names.select(with_names.encode(IMAGE), [ON_LEFT, Click(18, 18, positive=False)])
    assert best.label is None


def test_all_objects_have_the_small_detector_s_names_and_clicknet_s_edges(with_names: AutoSegmenter) -> None:
    dog, cow = with_names.instances(with_names.encode(IMAGE))
    assert (dog.label, dog.score) == ("dog", pytest.approx(0.9))
    np.testing.assert_array_equal(dog.mask, LEFT)
    assert cow.label == "cow" and cow.mask[2, 10] and not cow.mask[10, 8]


def test_names_that_nobody_asked_for_are_not_looked_for_until_they_are_needed(with_names: AutoSegmenter) -> None:
    with_names._names = False
    encoding = with_names.encode(IMAGE)
    assert with_names.select(encoding, [ON_LEFT])[0].label is None
    assert encoding.named is None
    assert with_names.select(encoding, [Click(50, 38)])[0].label == "cow"  # ClickNet finds nothing there
    assert [one.label for one in with_names.instances(with_names.encode(IMAGE))] == ["dog", "cow"]


def test_names_may_come_after_the_photo_was_read(with_names: AutoSegmenter) -> None:
    with_names._names = False
    encoding = with_names.encode(IMAGE)
    assert with_names.select(encoding, [ON_LEFT])[0].label is None
    with_names.give_names()
    assert with_names.select(encoding, [ON_LEFT])[0].label == "dog"


def test_a_large_detector_is_preferred_to_the_small_one(
    both: AutoSegmenter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(both, "_namer", Namer())
    monkeypatch.setattr(both, "_namer_file", tmp_path / "small.npz")
    encoding = both.encode(IMAGE)
    assert encoding.named is None
    assert both.select(encoding, [ON_LEFT])[0].label == "left"


def test_name_tells_of_the_small_detector(with_names: AutoSegmenter) -> None:
    assert with_names.name == "other, names by small"


def test_bundle_can_be_given_in_the_small_detector_s_place(fallback: None, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").touch()
    assert AutoSegmenter(tmp_path / "mine.npz").name == "other, names by mine"
    with pytest.raises(WeightsError, match=r"no bundle .*none\.npz"):
        AutoSegmenter(tmp_path / "none.npz")
    with pytest.raises(WeightsError, match="not a whole Clickaway bundle"):
        AutoSegmenter(tmp_path / "mine.npz").encode(IMAGE)


def test_without_mmdet_there_are_no_names(fallback: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").touch()
    segmenter = AutoSegmenter(tmp_path / "mine.npz")
    monkeypatch.setitem(sys.modules, "mmcv.ops", None)
    assert segmenter.select(segmenter.encode(IMAGE), [ON_LEFT])[0].label is None
    with pytest.raises(WeightsError, match="make install"):
        segmenter.instances(segmenter.encode(IMAGE))


def test_negative_click_takes_a_detected_object_out_of_the_joined_ones(both: AutoSegmenter) -> None:
    best = both.select(both.encode(IMAGE), [ON_LEFT, ON_RIGHT, Click(41, 11, positive=False)])[0]
    np.testing.assert_array_equal(best.mask, LEFT)


def test_negative_click_inside_the_only_object_is_left_to_the_fallback(both: AutoSegmenter) -> None:
    best = both.select(both.encode(IMAGE), [ON_LEFT, Click(18, 18, positive=False)])[0]
    assert best.label is None


def test_object_whose_box_holds_the_click_is_taken_when_the_fallback_finds_nothing(both: AutoSegmenter) -> None:
    assert both.select(both.encode(IMAGE), [Click(46, 10)])[0].label == "right"


def test_click_on_nothing_names_what_the_detector_found_near(both: AutoSegmenter) -> None:
    with pytest.raises(NoObjectError, match=r"nearest: right at"):
        both.select(both.encode(IMAGE), [ON_NOTHING])


def test_click_outside_the_photo_is_refused(both: AutoSegmenter, alone: AutoSegmenter) -> None:
    for segmenter in (both, alone):
        with pytest.raises(ValueError, match="outside the photo"):
            segmenter.select(segmenter.encode(IMAGE), [Click(60, 0)])


def test_instances_are_the_detector_s(both: AutoSegmenter) -> None:
    assert isinstance(both, InstanceSegmenter)
    assert [one.label for one in both.instances(both.encode(IMAGE))] == ["left", "right"]


def test_without_a_checkpoint_the_fallback_does_everything_and_nothing_is_downloaded(alone: AutoSegmenter) -> None:
    encoding = alone.encode(IMAGE)
    assert alone.select(encoding, [ON_LEFT])[0].label is None
    assert Detector.encoded == 0


def test_without_a_checkpoint_classes_are_an_error_that_says_which_file_is_expected(
    alone: AutoSegmenter, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=r"expected mask-rcnn_r50_fpn_ms-poly-3x_coco.*21b550bb\.pth") as caught:
        alone.instances(alone.encode(IMAGE))
    assert str(tmp_path) in str(caught.value)
    assert "mask_rcnn downloads it" in str(caught.value)


def test_name_says_what_is_used_and_the_description_why_not_more(both: AutoSegmenter, alone: AutoSegmenter) -> None:
    assert both.name == both.description == "net, other where it finds nothing"
    assert alone.name == "other"
    assert "21b550bb.pth is not here" in alone.description


def test_without_mmdet_the_fallback_does_everything(fallback: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmdet", None)
    segmenter = AutoSegmenter()
    assert segmenter.select(segmenter.encode(IMAGE), [ON_LEFT])[0].label is None
    assert "make install" in segmenter.description


def test_mmdet_that_does_not_work_is_done_without(
    fallback: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "net.py").touch()
    (tmp_path / "net.pth").touch()
    monkeypatch.setitem(sys.modules, "mmcv.ops", None)
    segmenter = AutoSegmenter(tmp_path / "net.py")
    assert segmenter.select(segmenter.encode(IMAGE), [ON_LEFT])[0].label is None
    assert segmenter.name == "other"


def test_file_that_was_named_and_is_not_here_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"mine\.pth"):
        AutoSegmenter(checkpoint=tmp_path / "mine.pth")
    with pytest.raises(ValueError, match="no instance-segmentation model"):
        AutoSegmenter("no-such-model")


def test_damaged_checkpoint_is_an_error_and_not_passed_over(fallback: None, tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    config = Path(__file__).parent.parent / "data" / "tiny_mask_rcnn.py"
    (tmp_path / "net.py").write_bytes(config.read_bytes())
    (tmp_path / "net.pth").write_bytes(b"cut off")
    with pytest.raises(WeightsError, match=r"net\.pth is no whole checkpoint"):
        AutoSegmenter(tmp_path / "net.py").encode(IMAGE)


def test_making_it_loads_no_framework() -> None:
    code = (
        "import sys; from segment import load_segmenter; load_segmenter('auto');"
        "print([name for name in ('torch', 'mmdet', 'mmcv', 'tensorflow', 'keras', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
