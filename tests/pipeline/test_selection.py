from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image

from pipeline.models import Models
from pipeline.photo import PhotoError
from pipeline.selection import Pick, choose
from segment.base import Click, NoObjectError

pytestmark = pytest.mark.usefixtures("fake_models")


@pytest.fixture
def image():
    return np.zeros((24, 38, 3), np.uint8)


def _choose(image, *, segmenter="squares", **pick):
    return choose(image, Pick(**pick), Models(segmenter=segmenter))


def test_a_click_gives_the_best_answer_and_alternatives_the_others(image):
    first, _ = _choose(image, clicks=(Click(9, 9),))
    assert first.label == "cat" and first.mask.sum() == 64 and first.mask[9, 9]
    second, _ = _choose(image, clicks=(Click(9, 9),), alternative=2)
    assert second.mask.all()
    with pytest.raises(NoObjectError, match="there is no alternative 3: there are only 2 answers"):
        _choose(image, clicks=(Click(9, 9),), alternative=3)


def test_boxes_are_joined_and_need_no_model(image):
    selection, _ = _choose(image, segmenter="no such thing", boxes=((0, 0, 3, 2), (10, 10, 12, 20)))
    assert selection.mask.sum() == 3 * 2 + 2 * 10
    assert (selection.label, selection.score) == (None, 1.0)


def test_a_box_off_the_photo_is_refused(image):
    with pytest.raises(ValueError, match="box 90,0,95,5 covers nothing of the 38x24 photo"):
        _choose(image, boxes=((90, 0, 95, 5),))


def test_all_objects_of_a_class_are_joined(image):
    selection, _ = _choose(image, classes=("dog",))
    assert selection.label == "dog x7"
    assert not selection.mask[:8, :8].any() and selection.mask[:8, 8:16].all()
    assert selection.score == pytest.approx(0.9 - 0.01 * 13)
    both, _ = _choose(image, classes=("dog", "cat"))
    assert both.mask.all() and both.label == "cat + dog x15"


def test_a_class_that_is_not_on_the_photo_names_what_is(image):
    with pytest.raises(NoObjectError, match="no horse was found; there is cat, dog"):
        _choose(image, classes=("horse",))


def test_a_class_that_does_not_exist_suggests_one_that_does(image):
    with pytest.raises(ValueError, match="the segmenter knows no class 'hors': did you mean horse"):
        _choose(image, classes=("hors",))


def test_a_segmenter_without_classes_is_refused_for_one(image):
    with pytest.raises(ValueError, match="GrabCutSegmenter knows no classes: choose a segmenter that does"):
        _choose(image, segmenter="grabcut", classes=("cat",))


def test_nothing_given_means_the_main_subject():
    selection, _ = choose(skimage.data.astronaut(), Pick(), Models())
    assert selection.mask[110, 222] and not selection.mask[40, 330]


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        ({"clicks": (Click(1, 1),), "classes": ("cat",)}, "clicks and classes both say what to select"),
        ({"boxes": ((0, 0, 1, 1),), "alternative": 2}, "boxes have one answer, so there is no alternative 2"),
        ({"alternative": 0}, r"alternative must be 1 or more \(1 is the best answer\), got 0"),
    ],
)
def test_contradictions_are_refused(pick, message):
    with pytest.raises(ValueError, match=message):
        Pick(**pick)


def test_a_mask_file_is_white_on_the_object(image, mask, tmp_path):
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    selection, notes = _choose(image, mask_file=tmp_path / "mask.png")
    np.testing.assert_array_equal(selection.mask, mask)
    assert notes == []


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16", "LA"])
def test_a_mask_file_may_be_of_any_kind(image, mask, tmp_path, mode):
    grey = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    if mode == "I;16":
        grey = Image.fromarray(np.where(mask, 65535, 0).astype(np.uint16))
    (grey if mode in ("L", "I;16") else grey.convert(mode)).save(tmp_path / "mask.png")
    selection, _ = _choose(image, mask_file=tmp_path / "mask.png")
    np.testing.assert_array_equal(selection.mask, mask)


def test_transparent_parts_of_a_mask_file_are_no_object(image, mask, tmp_path):
    rgba = np.full((24, 38, 4), 255, np.uint8)
    rgba[..., 3] = np.where(mask, 255, 0)
    Image.fromarray(rgba).save(tmp_path / "mask.png")
    selection, _ = _choose(image, mask_file=tmp_path / "mask.png")
    np.testing.assert_array_equal(selection.mask, mask)


def test_a_grey_mask_is_cut_at_one_half_and_it_is_said(image, tmp_path):
    grey = np.tile(np.linspace(0, 255, 38).astype(np.uint8), (24, 1))
    Image.fromarray(grey).save(tmp_path / "soft.png")
    selection, (note,) = _choose(image, mask_file=tmp_path / "soft.png")
    np.testing.assert_array_equal(selection.mask, grey >= 128)
    assert "has greys in" in note and "from 128 of 255 on they count as object" in note


def test_a_mask_that_went_through_jpeg_is_clean_and_without_a_note(image, mask, tmp_path):
    big = np.kron(mask, np.ones((8, 8), bool))
    Image.fromarray(np.where(big, 255, 0).astype(np.uint8)).save(tmp_path / "mask.jpg", quality=90)
    selection, notes = _choose(np.zeros((*big.shape, 3), np.uint8), mask_file=tmp_path / "mask.jpg")
    np.testing.assert_array_equal(selection.mask, big)
    assert notes == []


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((38, 25), r"the mask .*mask\.png is 38x25 but the photo is 38x24: make them equal"),
        ((24, 38), r"is 24x38 but the photo is 38x24: was one of them turned\?"),
    ],
)
def test_a_mask_of_another_size_is_one_clear_error(image, tmp_path, size, message):
    Image.new("L", size, 255).save(tmp_path / "mask.png")
    with pytest.raises(PhotoError, match=message):
        _choose(image, mask_file=tmp_path / "mask.png")


def test_a_mask_without_white_is_one_clear_error(image, tmp_path):
    Image.new("L", (38, 24), 0).save(tmp_path / "mask.png")
    with pytest.raises(PhotoError, match="has no white in it: white marks the object"):
        _choose(image, mask_file=tmp_path / "mask.png")
