"""What visitors leave behind goes when they do; what all of them hold together stays within the limits."""

from __future__ import annotations

import datetime
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from demo import housekeeping as module
from demo.session import held_bytes
from demo.studio import Studio, VisitorError
from inpaint.patch_match import PatchMatchInpainter
from tests.demo.doubles import (
    GRADIOS_WARNINGS,
    RED,
    ColorSegmenter,
    FlatInpainter,
    draw_photo,
    files_below,
    running_demo,
)

pytestmark = GRADIOS_WARNINGS
PATIENCE_S = 30.0


class WaitingInpainter(FlatInpainter):
    """A test double that fills when it is told to."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()

    def inpaint(self, image, hole):
        self.asked.set()
        assert self.go.wait(PATIENCE_S)
        return super().inpaint(image, hole)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A running demo, its address and the folder of its visitors' files."""
    folder = tmp_path_factory.mktemp("files")
    with running_demo(Studio(ColorSegmenter, FlatInpainter), folder) as (url, demo):
        yield url, demo, folder


def soon(true: Callable[[], bool]) -> bool:
    ends = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < ends:
        time.sleep(0.05)
    return true()


def test_the_photo_and_the_result_are_gone_when_the_visitor_has_left(started, saved, tmp_path):
    url, demo, folder = started
    client = Client(url, download_files=str(tmp_path), verbose=False)
    client.predict(handle_file(saved(draw_photo())), 200, 90, api_name="/erase")
    assert len(files_below(folder, ".png")) == 2
    client.close()
    assert soon(lambda: not files_below(folder, ".png"))
    assert soon(lambda: client.session_hash not in demo.blocks.state_holder.session_data)


def test_two_visitors_equal_photos_are_two_files_so_that_one_can_go(started, saved, tmp_path):
    url, _, folder = started
    photo = handle_file(saved(draw_photo()))
    first, second = (Client(url, download_files=str(tmp_path / str(n)), verbose=False) for n in (1, 2))
    first.predict(photo, 200, 90, api_name="/erase")
    second.predict(photo, 200, 90, api_name="/erase")
    first.close()
    assert soon(lambda: len(files_below(folder, ".png")) == 2)
    assert second.predict(photo, 200, 90, api_name="/select")[1]["label"] == "ball"
    second.close()
    assert soon(lambda: not files_below(folder, ".png"))


def test_who_leaves_in_the_middle_frees_the_model_and_leaves_no_file(saved, tmp_path, monkeypatch):
    inpainter = WaitingInpainter()
    with running_demo(Studio(ColorSegmenter, lambda: inpainter), tmp_path / "files") as (url, demo):
        leaver = Client(url, download_files=str(tmp_path / "1"), verbose=False)
        photo = handle_file(saved(draw_photo()))
        for _ in range(4):
            leaver.submit(photo, 200, 90, api_name="/erase")
        assert inpainter.asked.wait(PATIENCE_S)
        assert soon(lambda: demo.housekeeping.waiting("127.0.0.1") == 3)
        leaver.close()
        assert soon(lambda: demo.housekeeping.waiting("127.0.0.1") == 0)  # three less to wait for
        inpainter.go.set()
        guest = Client(url, download_files=str(tmp_path / "2"), verbose=False)
        assert guest.predict(photo, 200, 90, api_name="/select")[1]["label"] == "ball"
        guest.close()
        monkeypatch.setattr(module, "_LEAVING", datetime.timedelta(0))
        assert soon(lambda: demo.housekeeping.sweep() or not files_below(tmp_path / "files", ".png"))


def test_a_fill_that_runs_is_given_up_when_its_visitor_leaves(saved, tmp_path):
    first = WaitingInpainter()
    finished = []

    class Watched(PatchMatchInpainter):
        def inpaint(self, image, hole):
            finished.append(super().inpaint(image, hole))
            return finished[-1]

    with running_demo(Studio(ColorSegmenter, lambda: Watched(first)), tmp_path / "files") as (url, demo):
        photo = handle_file(saved(draw_photo()))
        leaver = Client(url, download_files=str(tmp_path / "1"), verbose=False)
        leaver.submit(photo, 200, 90, api_name="/erase")
        assert first.asked.wait(PATIENCE_S)
        leaver.close()
        assert soon(lambda: bool(demo.housekeeping._left))
        first.go.set()
        guest = Client(url, download_files=str(tmp_path / "2"), verbose=False)
        assert guest.predict(photo, 200, 90, api_name="/select")[1]["label"] == "ball"  # the model is free
        assert not finished
        assert guest.predict(photo, 200, 90, api_name="/erase")  # who stays gets all of it
        assert len(finished) == 1
        guest.close()


def test_who_left_before_his_work_began_has_come_back(started):
    _, demo, _ = started
    request = type("Request", (), {"session_hash": "phone"})()
    before = datetime.datetime.now() - datetime.timedelta(seconds=1)
    demo.housekeeping._left["phone"] = before
    stay = demo.housekeeping.stay(request)
    stay()
    demo.housekeeping._left["phone"] = datetime.datetime.now() + datetime.timedelta(seconds=1)
    with pytest.raises(VisitorError, match="The page was closed"):
        stay()
    del demo.housekeeping._left["phone"]
    demo.housekeeping.stay(None)()


def test_what_was_still_running_for_a_leaver_leaves_no_file_after_the_next_sweep(started, tmp_path):
    _, demo, folder = started
    late = folder / ("f" * 32) / "late.png"
    late.parent.mkdir()
    late.write_bytes(b"late")
    demo.housekeeping._left["leaver"] = datetime.datetime.now() - 2 * module._LEAVING
    demo.housekeeping._note("leaver", late.parent)
    demo.housekeeping.sweep()
    assert not late.exists()


def sit(demo, name: str, session) -> None:
    """Puts a visitor with that session before the demo."""
    demo.blocks.state_holder[name][demo.housekeeping._session._id] = session


def photo_of(demo, name: str):
    return demo.housekeeping._photo_of(name)


@pytest.fixture
def erased(studio, saved):
    """A session with one step to undo."""
    return studio.erase(studio.point(studio.open(saved(draw_photo())), 200, 90))


def test_memory_is_bounded_who_was_away_longest_loses_first_undo_then_the_photo(started, erased, monkeypatch):
    _, demo, _ = started
    full, bare, steps = held_bytes((*erased.past, erased)), held_bytes((erased,)), len(erased.past)
    assert full > 1.5 * bare
    limits = demo.housekeeping._limits
    for names, most, expected in (
        ("abc", 3 * full, [steps, steps, steps]),
        ("def", 3 * full - 1, [0, steps, steps]),
        ("ghi", 2 * bare + full, [0, 0, steps]),
        ("jkl", 3 * bare, [0, 0, 0]),
        ("mno", 2 * bare, [None, 0, 0]),
        ("pqr", bare, [None, None, 0]),
    ):
        monkeypatch.setattr(demo.housekeeping, "_limits", type(limits)(memory_bytes=most))
        for name in names:
            sit(demo, name, erased)
        demo.housekeeping.sweep()
        found = [photo_of(demo, name) for name in names]
        assert [None if session is None else len(session.past) for session in found] == expected
        for name in names:
            demo.housekeeping._forget(name)
    assert len(erased.past) == steps > 0  # the visitor's own session was not written to


def test_a_closed_page_finds_its_photo_again_for_a_while_and_then_not(started, erased, monkeypatch):
    _, demo, _ = started
    long_ago = datetime.datetime.now() - datetime.timedelta(seconds=module.LEFT_S + 60)
    for name in ("back", "gone"):
        sit(demo, name, erased)
        demo.housekeeping._left[name] = datetime.datetime.now()
    demo.housekeeping.sweep()
    assert photo_of(demo, "back") and photo_of(demo, "gone")
    for name in ("back", "gone"):
        demo.housekeeping._left[name] = long_ago
    demo.blocks.state_holder.time_last_used["gone"] = long_ago
    demo.housekeeping.sweep()
    assert photo_of(demo, "back") is not None  # was seen again since
    assert photo_of(demo, "gone") is None and "gone" not in demo.blocks.state_holder.session_data
    demo.housekeeping._forget("back")


def test_a_page_left_alone_for_too_long_is_forgotten(started, erased):
    _, demo, _ = started
    sit(demo, "idle", erased)
    kept = demo.housekeeping._limits.kept_seconds
    demo.blocks.state_holder.time_last_used["idle"] -= datetime.timedelta(seconds=kept + 1)
    demo.housekeeping.sweep()
    assert "idle" not in demo.blocks.state_holder.session_data


def aged(path: Path, seconds: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 1000)
    os.utime(path, (time.time() - seconds,) * 2)
    os.utime(path.parent, (time.time() - seconds,) * 2)
    return path


def test_old_files_go_and_the_pages_own_pictures_stay(started):
    _, demo, folder = started
    own = files_below(folder, ".jpeg")
    assert len(own) >= 5  # the examples' thumbnails
    for path in own:
        os.utime(path, (0, 0))
    old, young = aged(folder / "0a" / "old.png", 7200), aged(folder / "0b" / "young.png", 60)
    cut = aged(folder / "tmp123", 7200)  # an upload that its visitor broke off
    demo.housekeeping.sweep()
    assert all(path.exists() for path in own)
    assert (old.exists(), cut.exists(), young.exists()) == (False, False, True)
    assert not old.parent.exists()
    young.unlink()


def test_the_oldest_files_make_room_for_an_upload(started, monkeypatch):
    _, demo, folder = started
    for path in files_below(folder, ".png"):
        path.unlink()
    files = [aged(folder / f"1{n}" / "a.png", 100 - n) for n in range(4)]
    limits = type(demo.limits)(disk_bytes=4500)
    monkeypatch.setattr(demo.housekeeping, "_limits", limits)
    assert demo.housekeeping.make_room(500)
    assert all(path.exists() for path in files)
    assert demo.housekeeping.make_room(2000)
    assert [path.exists() for path in files] == [False, False, True, True]
    assert not demo.housekeeping.make_room(5000)


def test_a_stranger_cannot_have_files_deleted_that_are_not_his(started, tmp_path):
    _, demo, folder = started
    outside, picture = tmp_path / "keep.txt", files_below(folder, ".jpeg")[0]
    outside.write_text("not the page's")
    inside = aged(folder / "2a" / "mine.png", 0)
    (folder / "2b").symlink_to(outside)
    claimed = [outside, picture, picture.parent, folder, folder / "2b", folder / ".." / outside.name, "", ".", "/"]
    for path in (*claimed, os.path.relpath(outside), inside):
        demo.housekeeping.own("thief", str(path))
    demo.housekeeping._forget("thief")
    assert outside.read_text() == "not the page's" and picture.exists()
    assert not inside.exists()
    (folder / "2b").unlink()


def test_gradios_list_of_files_does_not_grow_for_ever(started, saved, tmp_path):
    url, demo, _ = started
    with_client = Client(url, download_files=str(tmp_path), verbose=False)
    for _ in range(3):
        with_client.predict(handle_file(saved(draw_photo())), 200, 90, api_name="/cut_out")
    with_client.close()

    def listed() -> int:
        demo.housekeeping.sweep()
        return len({path for paths in demo.blocks.temp_file_sets for path in paths if path.endswith(".png")})

    assert soon(lambda: listed() == 0)


def test_a_result_that_was_fetched_in_time_is_whole(started, saved, tmp_path):
    url, _, _ = started
    client = Client(url, download_files=str(tmp_path), verbose=False)
    result = client.predict(handle_file(saved(draw_photo())), 200, 90, api_name="/cut_out")
    client.close()
    assert np.asarray(Image.open(result))[90, 200].tolist() == [*RED, 255]
