import numpy as np
import pytest

from train_segment.sources import Annotated
from train_segment.subjects import RULES, Subject, rule_named, subject_of, summary

HW = (20, 50)  # a row of 50 pixels is 5 % of the photo


def photo(*objects, ignore_rows=()):
    """Objects as (first row, rows, class); a row is 5 %."""
    masks = []
    for first, rows, label in objects:
        mask = np.zeros(HW, bool)
        mask[first : first + rows] = True
        masks.append((mask, label))
    ignore = np.zeros(HW, bool)
    ignore[list(ignore_rows)] = True
    return Annotated(np.zeros((*HW, 3), np.uint8), tuple(masks), ignore)


def share(found):
    assert isinstance(found, Subject), found
    return round(float(found.mask.mean()), 2)


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([(0, 6, "person")], 0.30),
        ([(0, 6, "person"), (10, 2, "car")], 0.40),
        ([(0, 6, "person"), (10, 1, "car")], 0.30),  # 5 % is not prominent
        ([(0, 6, "motorbike"), (10, 4, "dog")], 0.30),  # no person and no vehicle
        ([(0, 6, "person"), (6, 2, "car"), (8, 2, "bus"), (10, 2, "boat"), (12, 2, "truck")], 0.60),  # 3 more at most
    ],
)
def test_extractnet_joins_the_prominent_people_and_vehicles(objects, expected):
    assert share(subject_of(photo(*objects), RULES["extractnet"])) == expected


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ([], "no objects"),
        ([(0, 10, "dog")], "no object of the classes"),
        ([(0, 5, "person"), (5, 5, "car")], "no object of 30% of the photo"),
        ([(0, 19, "person")], "more than 90% of the photo"),
        ([(0, 6, None)], "no object of the classes"),
    ],
)
def test_extractnet_drops_what_its_report_drops(objects, why):
    assert subject_of(photo(*objects), RULES["extractnet"]) == why


@pytest.mark.parametrize(
    ("objects", "found"),
    [
        ([(0, 4, "person")], 0.20),
        ([(0, 4, "person"), (5, 4, "person")], 0.40),
        ([(0, 1, "person"), (1, 2, "person")], "less than 20% of the photo"),
        ([(0, 15, "person")], "more than 70% of the photo"),
        ([(0, 4, "person"), (4, 1, "person"), (6, 1, "person")], "more than 2 objects"),
        ([(0, 8, "car")], "no object of the classes"),
    ],
)
def test_greenscreen_wants_one_or_two_people_of_20_to_70_percent(objects, found):
    subject = subject_of(photo(*objects), RULES["greenscreen"])
    assert (subject if isinstance(found, str) else share(subject)) == found


def test_our_rule_takes_things_only_where_nobody_is():
    objects = [(0, 3, "dog"), (5, 8, "sofa"), (14, 4, "bottle")]
    assert share(subject_of(photo(*objects), RULES["subject"])) == 0.15
    assert share(subject_of(photo(*objects[1:]), RULES["subject"])) == 0.20  # the bottle, not the sofa
    assert subject_of(photo(objects[1]), RULES["subject"]) == "no object of the classes"


def test_our_rule_leaves_small_companions_open():
    found = subject_of(
        photo((0, 10, "person"), (12, 1, "person"), (14, 4, "chair"), ignore_rows=[19]), RULES["subject"]
    )
    assert share(found) == 0.5
    assert found.ignore[12].all()  # neither subject nor background
    assert not found.ignore[14].any()
    assert found.ignore[19].all()
    assert not (found.ignore & found.mask).any()


def test_all_takes_every_object_whatever_its_class():
    assert share(subject_of(photo((0, 1, None), (5, 1, "tree")), RULES["all"])) == 0.1


def test_the_summary_counts_reasons_most_frequent_first():
    assert summary(2, ["small", "none", "none"]) == [
        "kept 2 of 5 photos",
        "       2 dropped: none",
        "       1 dropped: small",
    ]


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="no selection is called 'x'"):
        rule_named("x")
