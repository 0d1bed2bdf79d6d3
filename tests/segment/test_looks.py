"""Looks: what they hold, where the next window and the net's own click lie, how one look is seen from another."""

from __future__ import annotations

import numpy as np
import pytest

from segment import Click
from segment.click_planes import head_planes, mirrored
from segment.looks import SMALLEST_VIEW_PX, ZOOM, ZOOM_OF_SEVERAL, Look, grown

CORNER, SIDE, CELLS = (100, 50), 160, 40  # four pixels of the photo a cell


def look(*boxes: tuple[int, int, int, int]) -> Look:
    """One whose answer are these boxes of the photo."""
    probability = np.zeros((CELLS, CELLS), np.float32)
    for x0, y0, x1, y1 in boxes:
        rows, columns = slice((y0 - CORNER[1]) // 4, (y1 - CORNER[1]) // 4), slice((x0 - 100) // 4, (x1 - 100) // 4)
        probability[rows, columns] = 0.9
    return Look(CORNER, SIDE, probability, 0.5)


def test_a_look_holds_the_parts_under_positive_clicks_alone() -> None:
    two = look((120, 70, 160, 110), (200, 70, 240, 110))
    held = two.held([Click(140, 90), Click(210, 80, positive=False)])
    assert held.sum() == 100 and held[5:15, 5:15].all()
    assert not two.holds([Click(180, 90)])


def test_the_next_window_is_round_the_held_part_and_every_positive_click() -> None:
    two = look((120, 70, 160, 110), (200, 70, 240, 110))
    assert two.window_round([Click(140, 90)]) == ((112, 62), round(ZOOM * 40))
    (x, _), side = two.window_round([Click(140, 90), Click(250, 90)])
    assert x < 120 and x + side > 250
    assert side == round(ZOOM_OF_SEVERAL * (251 - 120))


@pytest.mark.parametrize(("answer", "least"), [(look(), ZOOM * SIDE / 4), (look((140, 90, 144, 94)), SMALLEST_VIEW_PX)])
def test_without_an_answer_or_with_a_tiny_one_the_window_is_not_tiny(answer: Look, least: float) -> None:
    (x, y), side = answer.window_round([Click(141, 91)])
    assert side == round(least)
    assert x <= 141 < x + side and y <= 91 < y + side


def test_the_own_click_is_deep_in_the_answer_and_far_from_the_users() -> None:
    own = look((120, 70, 240, 110)).own_click([Click(130, 90)])
    assert own is not None and own.positive
    assert 165 <= own.x < 225 and 85 <= own.y < 95  # as deep as it goes, twice as far away
    assert look().own_click([Click(130, 90)]) is None


def test_an_answer_that_touches_the_rim_is_cut_off_and_one_beside_it_is_not() -> None:
    assert look((100, 70, 140, 130)).is_cut_off()
    assert not look((104, 70, 140, 130)).is_cut_off()


def test_a_look_seen_from_its_own_square_is_itself_and_nothing_is_seen_beyond_it() -> None:
    one = look((120, 70, 160, 110))
    np.testing.assert_allclose(one.seen_from(CORNER, SIDE, CELLS), one.probability, atol=1e-6)
    everywhere = Look(CORNER, SIDE, np.ones((CELLS, CELLS), np.float32), 0.5)
    seen = everywhere.seen_from((CORNER[0] - SIDE, CORNER[1]), 2 * SIDE, 40)
    assert not seen[:, :20].any() and not seen[20:].any() and (seen[:20, 20:] == 1).all()


def test_a_part_lies_where_the_photo_has_it() -> None:
    part = look((120, 70, 160, 110)).part((120, 70, 160, 110), (40, 40))
    assert part[4:-4, 4:-4].min() == pytest.approx(0.9) and part[0, 0] < 0.9


def test_a_grown_square_keeps_its_middle() -> None:
    assert grown((10, 20), 30, 2.0) == ((-5, 5), 60)


def test_mirrored_planes_are_the_planes_of_mirrored_clicks() -> None:
    clicks = [Click(5, 9), Click(30, 20), Click(12, 3, positive=False)]
    turned = [Click(39 - click.x, click.y, click.positive) for click in clicks]
    previous = np.random.default_rng(0).random((10, 10), np.float32)
    np.testing.assert_allclose(
        mirrored(head_planes(clicks, previous, 40)), head_planes(turned, previous[:, ::-1], 40), atol=1e-6
    )
