import numpy as np

from segment import Click
from train_segment.sheet import panel, sheet

PHOTO = np.full((40, 60, 3), 200, np.uint8)
MASK = np.zeros((40, 60), bool)
MASK[10:30, 20:40] = True


def test_panel_has_its_width_and_the_photo_s_proportions():
    assert panel(PHOTO, width_px=30).shape == (20, 30, 3)
    assert panel(PHOTO, width_px=120).shape == (80, 120, 3)
    assert (panel(PHOTO, width_px=60) == PHOTO).all()


def test_answer_is_tinted_red_and_the_rest_darkened():
    shown = panel(PHOTO, width_px=60, answer=MASK)
    assert (shown[~MASK] == 110).all()
    assert shown[20, 30, 0] > 200 > 130 > shown[20, 30, 1]


def test_truth_is_outlined_outside_its_edge():
    shown = panel(PHOTO, width_px=60, truth=MASK)
    changed = (shown != PHOTO).any(axis=2)
    assert changed[9, 20:40].all() and not changed[MASK].any() and not changed[:8].any()


def test_clicks_are_dotted_where_they_are_by_sign():
    shown = panel(PHOTO, width_px=120, clicks=[Click(10, 10), Click(50, 30, positive=False)])
    add, take = shown[21, 21].astype(int), shown[61, 101].astype(int)
    assert add[2] > add[0] and take[0] > take[2]
    assert (shown[40, 60] == 200).all()


def test_nothing_is_drawn_into_the_photo_or_the_masks():
    photo, mask = PHOTO.copy(), MASK.copy()
    panel(photo, width_px=60, truth=mask, answer=mask, clicks=[Click(3, 3)], text="0.50")
    assert (photo == PHOTO).all() and (mask == MASK).all()


def test_sheet_holds_every_panel_unchanged_and_in_order():
    panels = [np.full((20, 32, 3), 10 * n, np.uint8) for n in range(6)]
    made = sheet([panels[:2], panels[2:4], panels[4:]], ["object", "a very long name of a segmenter"], blocks_per_row=2)
    assert made.shape == (20 + 2 * 24, 4 * 36 - 4, 3)
    for number, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]):
        y, x = 20 + 24 * row, 36 * column
        assert (made[y : y + 20, x : x + 32] == 10 * number).all()
