from __future__ import annotations

import gradio as gr
import numpy as np
import pytest

from demo import live
from demo.app import build_app
from demo.studio import Studio
from pipeline.effects import Blur, Replace
from segment import NoObjectError, Selection
from tests.demo.doubles import RED, ColorSegmenter, FlatInpainter, draw_photo, like


class RedSegmenter:
    """A test double: what is red is the subject."""

    def encode(self, image):
        return like(image, RED)

    def select(self, encoding, clicks=()):
        if not encoding.any():
            raise NoObjectError("nothing red is here")
        return [Selection(encoding, None, 0.9)]


@pytest.fixture
def studio() -> Studio:
    return Studio(ColorSegmenter, FlatInpainter, load_live=RedSegmenter)


def test_a_frame_is_replaced_behind_the_subject_and_the_next_one_knows_it(studio):
    frame = draw_photo()
    picture, after = live.next_frame(studio, frame, Replace((9, 8, 7)), None)
    assert (picture[10, 10] == (9, 8, 7)).all()
    assert like(picture, RED)[90, 200]
    assert after.seconds > 0
    again, later = live.next_frame(studio, frame, Replace((9, 8, 7)), after)
    assert like(again, RED)[90, 200]
    assert later.followed is not None


def test_an_empty_chair_shows_nothing_of_the_room(studio):
    room = draw_photo(disk=(0, 0, 0), color=(60, 90, 60))
    picture, _ = live.next_frame(studio, room, Replace((9, 8, 7)), None)
    assert (picture == (9, 8, 7)).all()
    blurred, _ = live.next_frame(studio, room, Blur(12.0), None)
    assert blurred.std() < room.std()


def test_large_frames_are_done_small(studio):
    picture, _ = live.next_frame(studio, draw_photo(1280, 960, disk=(600, 400, 200)), Blur(6.0), None)
    assert picture.shape == (480, 640, 3)


def test_the_page_has_the_webcam_and_its_event(studio):
    app = build_app(studio).blocks
    assert isinstance(app, gr.Blocks)
    events = [target[1] for dependency in app.fns.values() for target in dependency.targets]
    assert "stream" in events
    kinds = [type(block).__name__ for block in app.blocks.values()]
    assert kinds.count("Tab") >= 6  # photo and webcam beside the four effects


def test_matting_is_offered_with_every_cut(studio, saved):
    pytest.importorskip("pymatting")
    session = studio.point(studio.open(saved(draw_photo(disk=(160, 120, 50)))), 160, 120)
    cut = studio.cut_out(session, feather_px=2.0, matting=True)  # the feather has no say then
    assert cut.photo.alpha[120, 160] == 255
    assert cut.photo.alpha[5, 5] == 0
    replaced = studio.replace(session, (1, 2, 3), feather_px=2.0, matting=True)
    assert np.abs(replaced.photo.pixels[5, 5].astype(int) - (1, 2, 3)).max() == 0
    assert studio.blur(session, sigma_px=5.0, matting=True).photo.pixels.shape == session.photo.pixels.shape
