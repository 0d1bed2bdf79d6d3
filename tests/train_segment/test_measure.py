import numpy as np
import pytest

from segment import NoObjectError, Selection
from segment.base import check_clicks
from train_segment.data import open_data
from train_segment.measure import cases, measure, summarise


class ByColour:
    """Everything that has the colour under the first click: right on drawn photos."""

    def encode(self, image):
        return image.copy()

    def select(self, encoding, clicks):
        check_clicks(clicks, encoding.shape[:2])
        mask = (encoding == encoding[clicks[0].y, clicks[0].x]).all(axis=2)
        return [Selection(mask, None, 0.9), Selection(~mask, None, 0.1)]


class Nothing(ByColour):
    def select(self, encoding, clicks):
        raise NoObjectError("nothing here")


class AfterClicks(ByColour):
    """Half of the object until there are enough clicks."""

    def __init__(self, enough):
        self.enough, self.seen = enough, []

    def select(self, encoding, clicks):
        self.seen.append(clicks)
        whole = super().select(encoding, clicks)[0].mask
        if len(clicks) >= self.enough:
            return [Selection(whole, None, 1.0)]
        half = whole.copy()
        half[: np.flatnonzero(whole.any(axis=1)).mean().astype(int) + 1] = False
        return [Selection(half, None, 0.5)]


class Stuck(ByColour):
    """Half of the object whatever is clicked."""

    def select(self, encoding, clicks):
        return AfterClicks(99).select(encoding, clicks)


@pytest.fixture
def sample(label_folder):
    return next(cases(open_data([label_folder / "one"]), range(12)))


def test_an_object_that_is_right_at_once_is_measured_three_times_as_right(sample):
    one = measure(ByColour(), sample)
    assert len(one.clicks) == 1
    assert set(one.ious) == {1.0} and len(one.ious) >= 3
    assert one.score == 0.9
    assert (one.masks[0] == sample.mask).all() and (one.masks[1] == sample.mask).all()
    assert len(one.select_s) == 1 and one.encode_s >= 0


def test_a_segmenter_that_finds_nothing_counts_as_an_empty_mask_to_the_limit(sample):
    one = measure(Nothing(), sample)
    assert one.ious == (0.0,) * 20
    assert len(set(one.clicks)) == 20
    assert one.score == 0 and not one.masks[1].any()


def test_each_click_corrects_the_largest_error_of_the_last_answer(sample):
    segmenter = AfterClicks(4)
    one = measure(segmenter, sample)
    assert one.ious == pytest.approx((0.5, 0.5, 0.5, 1.0), abs=0.06)
    assert len(one.clicks) == 4 and [len(clicks) for clicks in segmenter.seen] == [1, 2, 3, 4]
    half = sample.mask.copy()
    half[: np.flatnonzero(sample.mask.any(axis=1)).mean().astype(int) + 1] = False
    for click in one.clicks[1:]:
        assert click.positive and sample.mask[click.y, click.x] and not half[click.y, click.x]


def test_clicking_ends_at_the_limit(sample):
    one = measure(Stuck(), sample, limit=5)
    assert len(one.ious) == len(one.clicks) == 5
    with pytest.raises(ValueError, match="3 or more"):
        measure(Stuck(), sample, limit=2)


def test_ignored_pixels_do_not_lower_the_iou(label_folder):
    labelled = open_data([label_folder])
    sample = labelled.samples(list(labelled.names).index("two/images/04.png"))[1]

    class WithRim(ByColour):
        def select(self, encoding, clicks):
            return [Selection(sample.mask | sample.ignore, None, 1.0)]

    assert measure(WithRim(), sample).ious[0] == 1


def test_cases_are_the_same_and_in_the_same_order_however_many_are_taken(label_folder):
    def names():
        return [case.name for case in cases(open_data([label_folder]), range(24))]

    assert names() == names()
    assert sorted(names()) == sorted(open_data([label_folder]).names)
    assert names() != sorted(names())


def test_cases_leave_out_broken_photos_and_objects_of_other_sizes(label_folder):
    (label_folder / "one" / "images" / "01.png").write_bytes(b"")
    labelled = open_data([label_folder])
    found = list(cases(labelled, range(24), min_share=0.12))
    assert len(found) == 23 and list(labelled.broken) == ["one/images/01.png"]
    assert {int(case.mask.sum()) for case in found} == {400}


def test_a_row_of_the_table_holds_what_was_measured(sample):
    row = summarise([measure(ByColour(), sample), measure(Nothing(), sample), measure(AfterClicks(4), sample)])
    assert row["objects"] == 3
    assert row["iou_1"] == pytest.approx(0.5, abs=0.02)
    assert row["median_1"] == pytest.approx(0.5, abs=0.06)
    assert row["recall_1"] == pytest.approx(1 / 3)
    assert row["clicks_85"] == pytest.approx((1 + 20 + 4) / 3)
    assert row["never_85"] == pytest.approx(1 / 3)
    assert row["score_error"] == pytest.approx((0.1 + 0 + 0) / 3, abs=0.03)
    with pytest.raises(ValueError, match="no IoU"):
        summarise([])
