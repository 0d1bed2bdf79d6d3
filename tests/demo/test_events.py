"""The handlers, called as Gradio calls them but without a browser."""

from __future__ import annotations

from types import SimpleNamespace

import gradio as gr
import pytest

from demo import page as layout
from demo.events import Events
from demo.examples import Example, example_photos, thumbnail
from demo.studio import Studio
from segment import Click
from tests.demo.doubles import ColorSegmenter, FlatInpainter, draw_photo


def staying(request):
    return lambda: None


def saved_nowhere(*_: object) -> object:
    raise AssertionError("nothing is downloaded here")


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What the visitor was told."""
    lines: list[str] = []
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(gr, kind, lambda line, *, title: lines.append(line))
    return lines


@pytest.fixture
def events(studio, saved, said) -> Events:
    examples = [Example("Ball", saved(draw_photo(), "ball.png"))]
    with gr.Blocks(analytics_enabled=False):
        return Events(layout.build(examples), gr.State(None), studio, examples, saved_nowhere, staying)


def at(x: float, y: float) -> SimpleNamespace:
    """A click event at the photo's pixel (x, y): 320 pixels are shown as 1000."""
    return SimpleNamespace(x=(x + 0.5) * 1000 / 320, y=(y + 0.5) * 750 / 240, unit=1.2)


@pytest.fixture
def opened(events):
    return events.open_example(SimpleNamespace(index=0))[events.session]


def test_an_example_is_opened_like_an_upload(events, opened, saved):
    updates = events.open_upload(str(saved(draw_photo(), "mine.png")))
    assert (updates[events.session].photo.pixels == opened.photo.pixels).all()
    assert updates[events.page.workspace]["visible"] and not updates[events.page.landing]["visible"]
    assert updates[events.page.stage]["photo"].startswith("data:image/jpeg")


@pytest.mark.parametrize("index", [1, -1, None, "0", [0, 1]])
def test_an_example_that_does_not_exist_opens_nothing(events, index):
    assert events.session not in events.open_example(SimpleNamespace(index=index))


def test_a_click_sends_the_selection_and_not_the_photo_again(events, opened):
    updates = events.point(opened, "Add", at(200, 90))
    stage = updates[events.page.stage]
    assert stage["value"].startswith("data:image/png") and "photo" not in stage
    assert updates[events.page.erase]["interactive"]
    assert updates[events.page.another]["value"] == "Guess 1 of 2"
    assert "Ball selected" in updates[events.page.hint]


def test_the_main_subject_needs_no_click_and_says_who_chose_it(saved, said):
    class Subject(ColorSegmenter):
        def select(self, encoding, clicks):
            assert not clicks
            return super().select(encoding, [Click(200, 90)])

    studio = Studio(ColorSegmenter, FlatInpainter, load_subject=Subject, subject_notes=["by its brightness alone"])
    with gr.Blocks(analytics_enabled=False):
        events = Events(layout.build([]), gr.State(None), studio, [], saved_nowhere, staying)
    session = events.open_upload(str(saved(draw_photo())))[events.session]
    updates = events.main_subject(session)
    assert updates[events.session].mask()[90, 200]
    assert said == ["By its brightness alone"]
    assert events.main_subject(None)[events.session] is None
    assert len(said) == 2  # only that the page must be opened again


def test_the_sliders_hold_the_value_that_they_are_given(events, opened):
    for where in (at(200, 90), at(190, 80)):
        grow = events.point(opened, "Add", where)[events.page.grow]
        assert 0 < grow["value"] <= grow["maximum"]


def test_a_width_that_the_visitor_set_is_kept_for_the_next_click(events, opened):
    clicked = events.point(opened, "Add", at(200, 90))[events.session]
    grown = events.grow(clicked, 17)[events.session]
    assert events.point(grown, "Add", at(205, 95))[events.page.grow]["value"] == 17


def test_a_refused_click_is_one_line_and_changes_nothing(events, opened, said):
    updates = events.point(opened, "Add", at(5, 5))
    assert set(updates) == {events.page.stage} and set(updates[events.page.stage]) == {"turn", "__type__"}
    assert said == ["Nothing but grass at that place: click an object"]


@pytest.mark.parametrize("event", [SimpleNamespace(x=1), SimpleNamespace(x="a", y=None, unit=1), SimpleNamespace()])
def test_a_forged_event_is_one_line_and_changes_nothing(events, opened, said, event):
    for handler in (events.point, events.paint):
        assert events.session not in handler(opened, "Add", event)
    assert len(said) == 2 and all("\n" not in line for line in said)


def test_a_visitor_whose_session_has_ended_is_asked_to_begin_again(events, said):
    for updates in (events.point(None, "Add", at(1, 1)), events.erase(None, 1, 1), events.download_png(None)):
        assert updates[events.session] is None
        assert updates[events.page.landing]["visible"]
    assert len(said) == 3


def test_an_effect_shows_before_and_after_and_offers_the_formats(events, opened):
    clicked = events.point(opened, "Add", at(200, 90))[events.session]
    updates = events.erase(clicked, 3, 1)
    assert updates[events.page.stage]["before"].startswith("data:image/jpeg")
    assert updates[events.page.outcome]["visible"] and not updates[events.page.tools]["visible"]
    assert not updates[events.page.own]["visible"]  # a PNG was uploaded: there is no other format to offer
    back = events.undo(updates[events.session])
    assert back[events.page.stage]["before"] == "" and back[events.page.stage]["value"].startswith("data:image/png")


def test_a_model_that_cannot_be_loaded_is_one_line_at_the_click(saved, said):
    from weights import WeightsError

    def missing():
        raise WeightsError("put net.pth into /weights")

    with gr.Blocks(analytics_enabled=False):
        events = Events(layout.build([]), gr.State(None), Studio(missing, FlatInpainter), [], saved_nowhere, staying)
    opened = events.open_upload(str(saved(draw_photo())))[events.session]
    events.encode(opened)
    events.point(opened, "Add", at(200, 90))
    assert said == ["Put net.pth into /weights"]


def test_the_examples_are_on_this_machine_and_have_thumbnails():
    examples = example_photos()
    assert len(examples) >= 5
    assert all(thumbnail(example, 64).size == (64, 64) for example in examples)


def test_the_double_is_a_segmenter():
    from segment import Segmenter

    assert isinstance(ColorSegmenter(), Segmenter)
