import numpy as np
import pytest

from segment.metrics import clicks_to_iou, iou, iou_recall, mean_iou, median_iou


def mask(picture: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in picture.split()])


def test_iou_is_the_shared_part_of_both_masks():
    assert iou(mask("##.."), mask(".##.")) == pytest.approx(1 / 3)
    assert iou(mask("##.."), mask("##..")) == 1
    assert iou(mask("##.."), mask("..##")) == 0


def test_two_empty_masks_agree():
    assert iou(mask("...."), mask("....")) == 1


def test_ignored_pixels_count_for_neither_mask():
    assert iou(mask("##.."), mask(".##."), mask("..#.")) == pytest.approx(1 / 2)
    assert iou(mask("#..."), mask("...#"), mask("#..#")) == 1


def test_mean_and_median_are_those_of_numpy():
    assert mean_iou([0.2, 0.4, 0.9]) == pytest.approx(0.5)
    assert median_iou([0.9, 0.2, 0.4]) == pytest.approx(0.4)
    assert median_iou([0.2, 0.4]) == pytest.approx(0.3)


def test_recall_counts_a_hit_on_the_threshold():
    assert iou_recall([0.7, 0.69, 1.0, 0.0], 0.7) == 0.5


def test_clicks_are_counted_from_one_up_to_the_first_that_suffices():
    assert clicks_to_iou([0.9], 0.85) == 1
    assert clicks_to_iou([0.2, 0.85, 0.1], 0.85) == 2


def test_an_object_that_is_never_reached_counts_as_the_limit():
    assert clicks_to_iou([0.5] * 20) == 20
    assert clicks_to_iou([0.5] * 19 + [0.9]) == 20
    assert clicks_to_iou([0.5, 0.6, 0.9], limit=2) == 2


def test_clicks_that_stopped_too_early_are_refused():
    with pytest.raises(ValueError, match="go on clicking"):
        clicks_to_iou([0.5, 0.6])


@pytest.mark.parametrize("summary", [mean_iou, median_iou, iou_recall])
def test_no_object_has_no_summary(summary):
    with pytest.raises(ValueError, match="no IoU"):
        summary([])
