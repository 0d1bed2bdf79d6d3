"""Which objects the clicks mean, on drawn masks of a few pixels."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment import Click, NoObjectError, Selection
from segment.instances import MOST_SELECTIONS, Instance, Instances, pack, select

# One letter an object, two letters where two overlap: p a person, t a tie on it, d a dog, b a bench far away.
SCENE = """
....................
..pppppp............
..pptttp....dddd....
..pptttt....dddd....
..pppppp....dddd....
..pppppp............
....................
................bbb.
................bbb.
"""
HW = (9, 20)


def drawn(*letters: str) -> np.ndarray:
    rows = [line for line in SCENE.splitlines() if line]
    return np.array([[cell in letters for cell in row] for row in rows])


PERSON = drawn("p", "t")  # the tie is part of the person, except the pixel that sticks out
PERSON[3, 7] = False
TIE, DOG, BENCH = drawn("t"), drawn("d"), drawn("b")


def found(*objects: tuple[np.ndarray, str, float]) -> Instances:
    """Instances from full masks; the detector's box is one pixel larger than the mask on every side."""
    cropped = []
    for mask, label, score in objects:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        box = (max(0, x0 - 1), max(0, y0 - 1), min(HW[1], x1 + 1), min(HW[0], y1 + 1))
        cropped.append(Instance(mask[y0:y1, x0:x1], (x0, y0), box, label, score))
    return pack(cropped, HW)


@pytest.fixture
def scene() -> Instances:
    return found((BENCH, "bench", 0.5), (PERSON, "person", 0.98), (DOG, "dog", 0.9), (TIE, "tie", 0.7))


def labels(selections: list[Selection]) -> list[str | None]:
    return [selection.label for selection in selections]


def test_click_selects_the_object_whose_mask_holds_it(scene: Instances) -> None:
    best = select(scene, [Click(13, 3)])[0]
    assert (best.label, best.score) == ("dog", pytest.approx(0.9))
    np.testing.assert_array_equal(best.mask, DOG)


def test_surer_object_comes_first_and_the_other_is_the_alternative(scene: Instances) -> None:
    assert labels(select(scene, [Click(5, 3)])) == ["person", "tie"]


def test_smaller_object_comes_first_when_scores_are_nearly_tied() -> None:
    tied = found((PERSON, "person", 0.98), (TIE, "tie", 0.9))
    assert labels(select(tied, [Click(5, 3)])) == ["tie", "person"]
    assert labels(select(tied, [Click(2, 1)])) == ["person", "tie"]


def test_object_whose_box_holds_the_click_comes_after_those_whose_mask_does(scene: Instances) -> None:
    assert labels(select(scene, [Click(7, 3)])) == ["tie", "person"]  # the pixel that sticks out of the person


def test_click_just_beside_an_object_still_finds_it_by_its_box(scene: Instances) -> None:
    assert labels(select(scene, [Click(11, 3)])) == ["dog"]


def test_overlapping_neighbour_is_an_alternative_and_a_distant_one_is_not(scene: Instances) -> None:
    assert labels(select(scene, [Click(2, 1)])) == ["person", "tie"]


def test_several_clicks_on_one_object_select_it_alone(scene: Instances) -> None:
    assert labels(select(scene, [Click(2, 1), Click(5, 5)])) == ["person", "tie"]


def test_clicks_on_several_objects_join_them_and_each_is_an_alternative(scene: Instances) -> None:
    selections = select(scene, [Click(2, 1), Click(13, 3)])
    np.testing.assert_array_equal(selections[0].mask, PERSON | DOG)
    assert labels(selections) == ["person + dog", "person", "dog", "tie"]
    assert selections[0].score == pytest.approx(0.9)  # no surer than its least sure part


def test_joined_objects_of_one_class_keep_its_name() -> None:
    two = found((DOG, "dog", 0.9), (BENCH, "dog", 0.8))
    assert select(two, [Click(13, 3), Click(17, 7)])[0].label == "dog"


def test_one_click_of_several_on_nothing_is_an_error_that_names_that_click(scene: Instances) -> None:
    with pytest.raises(NoObjectError, match=r"no object was found at \(0, 8\)"):
        select(scene, [Click(13, 3), Click(0, 8)])


def test_negative_click_takes_the_object_under_it_out_of_the_joined_ones(scene: Instances) -> None:
    selections = select(scene, [Click(13, 3), Click(17, 7), Click(17, 8, positive=False)])
    np.testing.assert_array_equal(selections[0].mask, DOG)
    assert "bench" not in labels(selections)


def test_positive_click_brings_back_what_a_negative_one_took_away(scene: Instances) -> None:
    clicks = [Click(13, 3), Click(17, 7), Click(17, 8, positive=False), Click(16, 7)]
    np.testing.assert_array_equal(select(scene, clicks)[0].mask, DOG | BENCH)


def test_cut_out_part_comes_back_when_it_is_clicked_again(scene: Instances) -> None:
    clicks = [Click(2, 1), Click(5, 3, positive=False), Click(4, 3)]
    np.testing.assert_array_equal(select(scene, clicks)[0].mask, PERSON)


def test_negative_click_cuts_the_object_under_it_out_of_the_selected_one(scene: Instances) -> None:
    selections = select(scene, [Click(2, 1), Click(5, 3, positive=False)])
    np.testing.assert_array_equal(selections[0].mask, PERSON & ~TIE)
    assert labels(selections) == ["person"]


def test_negative_click_on_the_selected_object_itself_selects_the_next_one(scene: Instances) -> None:
    assert labels(select(scene, [Click(5, 3), Click(2, 1, positive=False)])) == ["tie"]


def test_negative_click_that_leaves_nothing_says_so(scene: Instances) -> None:
    with pytest.raises(NoObjectError, match=r"leave nothing of the dog at \(13, 3\)"):
        select(scene, [Click(13, 3), Click(15, 4, positive=False)])


def test_negative_click_on_nothing_changes_nothing(scene: Instances) -> None:
    with_it, without = (select(scene, [Click(13, 3), *more]) for more in ([Click(0, 0, positive=False)], []))
    assert labels(with_it) == labels(without)
    np.testing.assert_array_equal(with_it[0].mask, without[0].mask)


def test_nearest_objects_are_named_with_a_pixel_that_selects_them(scene: Instances) -> None:
    with pytest.raises(NoObjectError) as caught:
        select(scene, [Click(18, 4)])
    message = str(caught.value)
    assert message.startswith("no object was found at (18, 4); nearest: dog at (")
    place = message.partition("dog at (")[2].partition(")")[0]
    x, y = (int(part) for part in place.split(","))
    assert select(scene, [Click(x, y)])[0].label == "dog"
    assert message.index("dog") < message.index("bench") < message.index("person" if "person" in message else "tie")


def test_photo_without_any_object_says_what_to_change() -> None:
    with pytest.raises(NoObjectError, match="score threshold"):
        select(found(), [Click(0, 0)])


@pytest.mark.parametrize("x, y", [(-1, 0), (20, 0), (0, -1), (0, 9)])
def test_click_outside_the_photo_is_refused(scene: Instances, x: int, y: int) -> None:
    with pytest.raises(ValueError, match="outside the photo"):
        select(scene, [Click(x, y)])


def test_only_negative_clicks_are_refused(scene: Instances) -> None:
    with pytest.raises(ValueError, match="no positive click"):
        select(scene, [Click(13, 3, positive=False)])


def test_crowd_gives_no_more_alternatives_than_anyone_steps_through() -> None:
    crowd = found(*((DOG, f"dog {number}", 0.9) for number in range(40)))
    selections = select(crowd, [Click(13, 3)])
    assert len(selections) == MOST_SELECTIONS
    assert len(set(labels(selections))) == MOST_SELECTIONS


def test_objects_are_kept_by_score_and_empty_masks_are_left_out(scene: Instances) -> None:
    assert scene.labels == ("person", "dog", "tie", "bench")
    assert len(pack([Instance(np.zeros((2, 3), bool), (0, 0), (0, 0, 3, 2), "nothing", 0.9)], HW)) == 0


def test_instances_survive_copying_and_pickling(scene: Instances) -> None:
    for twin in (copy.deepcopy(scene), pickle.loads(pickle.dumps(scene))):
        np.testing.assert_array_equal(select(twin, [Click(13, 3)])[0].mask, DOG)


def test_masks_can_be_written_to_without_changing_the_instances(scene: Instances) -> None:
    scene.selection(0).mask[:] = False
    np.testing.assert_array_equal(scene.mask(0), PERSON)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_packed_mask_is_the_mask(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 20))
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    crop = np.array(bits, bool).reshape(height, width)
    crop[0, 0] = True
    x, y = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    packed = pack([Instance(crop, (x, y), (x, y, x + width, y + height), "a", 0.5)], (20, 28))
    whole = np.zeros((20, 28), bool)
    whole[y : y + height, x : x + width] = crop
    np.testing.assert_array_equal(packed.mask(0), whole)
    assert packed.areas_px[0] == whole.sum()
    for row in range(20):
        for column in range(28):
            assert packed.holds(0, column, row) == whole[row, column]
