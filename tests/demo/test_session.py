from __future__ import annotations

import threading

import numpy as np
import pytest

from demo import session as session_module
from demo.session import Encoding, PackedMask, Session
from demo.view import View
from pipeline.photo import Photo
from segment import Click, Selection


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((6, 9), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.fixture
def session() -> Session:
    pixels = np.zeros((6, 9, 3), np.uint8)
    return Session(Photo(pixels), pixels, View((6, 9), (6, 9)), "photo.jpg")


@pytest.fixture
def clicked(session: Session) -> Session:
    return session.answered(
        [Click(1, 1)], [Selection(box(0, 0, 3, 3), "cat", 0.9), Selection(box(0, 0, 5, 5), None, 0.4)]
    )


def test_a_packed_mask_comes_back_as_it_was():
    mask = np.random.default_rng(0).random((7, 13)) > 0.5
    packed = PackedMask.of(mask)
    np.testing.assert_array_equal(packed.mask(), mask)
    assert packed.bits.nbytes <= mask.size // 8 + 1


def test_the_photo_is_encoded_once_however_many_ask_at_once():
    calls, encoding, start = [], Encoding(), threading.Barrier(4)

    def encode():
        calls.append(1)
        return "encoded"

    def ask(results):
        start.wait()
        results.append(encoding.get(encode))

    results: list[str] = []
    threads = [threading.Thread(target=ask, args=(results,)) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert results == ["encoded"] * 4
    assert len(calls) == 1


def test_an_encoding_that_failed_is_tried_again():
    encoding = Encoding()
    with pytest.raises(OSError):
        encoding.get(lambda: (_ for _ in ()).throw(OSError("busy")))
    assert encoding.get(lambda: "encoded") == "encoded"


def test_nothing_is_selected_at_first(session):
    assert session.mask() is None
    assert session.answer is None


def test_a_click_selects_the_best_answer_and_a_button_steps_through_the_others(clicked):
    np.testing.assert_array_equal(clicked.mask(), box(0, 0, 3, 3))
    second = clicked.next_answer()
    np.testing.assert_array_equal(second.mask(), box(0, 0, 5, 5))
    np.testing.assert_array_equal(second.next_answer().mask(), box(0, 0, 3, 3))


def test_a_step_leaves_the_session_before_it_as_it_was(clicked):
    clicked.next_answer()
    clicked.painted(box(8, 5, 9, 6), take_away=False)
    clicked.cleared()
    np.testing.assert_array_equal(clicked.mask(), box(0, 0, 3, 3))


def test_the_brush_adds_and_takes_away_and_the_last_stroke_wins(clicked):
    added = clicked.painted(box(6, 0, 8, 2), take_away=False)
    np.testing.assert_array_equal(added.mask(), box(0, 0, 3, 3) | box(6, 0, 8, 2))
    less = added.painted(box(2, 0, 7, 6), take_away=True)
    np.testing.assert_array_equal(less.mask(), box(0, 0, 2, 3) | box(7, 0, 8, 2))
    again = less.painted(box(2, 2, 3, 3), take_away=False)
    assert again.mask()[2, 2]


def test_the_brush_selects_without_any_click(session):
    np.testing.assert_array_equal(session.painted(box(1, 1, 3, 3), take_away=False).mask(), box(1, 1, 3, 3))


def test_a_selection_that_was_taken_away_as_a_whole_is_no_selection(clicked):
    assert clicked.painted(np.ones((6, 9), bool), take_away=True).mask() is None


def test_undo_goes_back_one_step_at_a_time(session, clicked):
    painted = clicked.painted(box(8, 5, 9, 6), take_away=False)
    back = painted.undone()
    np.testing.assert_array_equal(back.mask(), clicked.mask())
    assert back.undone().mask() is None
    assert session.undone() is session


def test_reset_can_be_undone(clicked):
    assert clicked.cleared().mask() is None
    np.testing.assert_array_equal(clicked.cleared().undone().mask(), clicked.mask())


def test_an_effect_gives_a_new_photo_and_undo_the_old_one_with_its_selection(clicked):
    pixels = np.ones((6, 9, 3), np.uint8)
    done = clicked.edited(Photo(pixels), pixels, "erased")
    assert done.photo.pixels is pixels
    assert done.mask() is None
    assert done.before is clicked.shown
    assert done.encoding is not clicked.encoding
    back = done.undone()
    assert back.photo is clicked.photo and back.encoding is clicked.encoding
    np.testing.assert_array_equal(back.mask(), clicked.mask())


def test_working_on_shows_the_result_and_undo_still_leads_to_before_the_effect(clicked):
    pixels = np.ones((6, 9, 3), np.uint8)
    on = clicked.edited(Photo(pixels), pixels, "erased").working_on()
    assert on.before is None and on.photo.pixels is pixels
    np.testing.assert_array_equal(on.undone().mask(), clicked.mask())


def test_the_oldest_steps_are_forgotten_when_there_are_too_many(monkeypatch, clicked):
    monkeypatch.setattr(session_module, "HISTORY_STEPS", 3)
    now = clicked
    for _ in range(10):
        now = now.next_answer()
    assert len(now.past) == 3
    assert all(not step.past for step in now.past)


def test_the_oldest_steps_are_forgotten_when_they_take_too_much_memory(monkeypatch, clicked):
    monkeypatch.setattr(session_module, "HISTORY_BYTES", 6 * 9 * 3 * 3 * 2 + 200)  # two photos with all that is theirs
    now = clicked
    for value in range(6):
        pixels = np.full((6, 9, 3), value, np.uint8)
        now = now.edited(Photo(pixels), pixels, "erased").working_on()
    assert 1 <= len(now.past) <= 2
    assert now.past[-1].photo.pixels[0, 0, 0] == 4


def test_steps_on_one_photo_share_it(clicked):
    assert clicked.next_answer().past[-1].photo is clicked.photo
