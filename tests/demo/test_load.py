"""A few seconds of what `python -m benchmarks.load` does for minutes: visitors at once who check that all is theirs."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.visitors import Log, MixUpError, OwnPhoto, browser, leaver, program
from demo.studio import Studio
from inpaint import load_inpainter
from segment import load_segmenter
from tests.demo.doubles import GRADIOS_WARNINGS, files_below, running_demo

pytestmark = GRADIOS_WARNINGS
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def send(visits, url: str, folder: Path, log: Log) -> None:
    until = time.monotonic() + 400
    threads = [
        threading.Thread(target=visit, args=(url, OwnPhoto.of(number), folder / str(number), log, until), kwargs=more)
        for number, (visit, more) in enumerate(visits)
    ]
    [thread.start() for thread in threads]
    [thread.join(450) for thread in threads]
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.browser
def test_programs_a_browser_and_leavers_at_once_get_their_own_and_leave_nothing(tmp_path):
    log, folder = Log(), tmp_path / "files"
    visits = [(program, {"calls_at_most": 3})] * 4 + [(leaver, {"pause_s": 0.1, "turns_at_most": 2})]
    if CHROMIUM:
        pytest.importorskip("playwright.sync_api")
        visits.append((browser, {"executable": CHROMIUM, "rounds_at_most": 1}))
    studio = Studio(lambda: load_segmenter("grabcut"), lambda: load_inpainter("telea"))
    with running_demo(studio, folder, requests_a_minute=240, queue_of_one=16) as (url, demo):
        send(visits, url, tmp_path / "visitors", log)
        assert (log.mix_ups, log.errors) == ([], [])
        assert [len(log.seconds[kind]) for kind in ("select", "erase", "cut_out")] == [4, 4, 4]
        assert log.left == 2
        if CHROMIUM:
            assert [len(log.seconds[f"page: {step}"]) for step in ("upload", "click", "erase")] == [1, 1, 1]
        ends = time.monotonic() + 60
        while files_below(folder, ".png") and time.monotonic() < ends:
            demo.housekeeping.sweep()
            time.sleep(0.2)
        assert files_below(folder, ".png") == []


class Waits:
    """A segmenter that answers once it may."""

    def __init__(self) -> None:
        self._true, self.may = load_segmenter("grabcut"), threading.Event()

    def encode(self, image):
        return self._true.encode(image)

    def select(self, encoding, clicks):
        assert self.may.wait(300)
        return self._true.select(encoding, clicks)


class NoticingLog(Log):
    """Lets the segmenter answer once somebody was refused."""

    segmenter: Waits

    def do(self, kind, step):
        done = super().do(kind, step)
        if self.polite or self.errors:
            self.segmenter.may.set()
        return done


def test_too_many_at_once_are_told_so_politely_and_the_others_are_served(tmp_path):
    log = NoticingLog()
    log.segmenter = Waits()
    studio = Studio(lambda: log.segmenter, lambda: load_inpainter("telea"))
    with running_demo(studio, tmp_path / "files", queue=2) as (url, _):
        send([(program, {"calls_at_most": 2})] * 6, url, tmp_path / "visitors", log)
    assert (log.mix_ups, log.errors) == ([], [])
    assert sum(log.polite.values()) > 0
    assert sum(len(log.seconds[kind]) for kind in ("select", "erase", "cut_out")) >= 3


def test_a_visitor_notices_what_is_not_its_own(tmp_path):
    mine, yours = OwnPhoto.of(1), OwnPhoto.of(2)
    same_size = OwnPhoto(1, np.resize(yours.image, mine.image.shape), mine.disk)
    Image.fromarray(same_size.image).save(tmp_path / "yours.png")
    with pytest.raises(MixUpError, match="own"):
        mine.check_erased(tmp_path / "yours.png")
    with pytest.raises(MixUpError, match="not"):
        yours.check_erased(mine.save(tmp_path))
    with pytest.raises(MixUpError, match="still there"):
        mine.check_erased(mine.save(tmp_path))
    Image.fromarray(np.roll(mine.on_disk(), 30, axis=1).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    with pytest.raises(MixUpError, match="overlap"):
        mine.check_mask(tmp_path / "mask.png")
    Image.fromarray(mine.on_disk().astype(np.uint8) * 255).save(tmp_path / "mask.png")
    mine.check_mask(tmp_path / "mask.png")
    erased = mine.image.copy()
    erased[mine.on_disk()] = mine.image[~mine.on_disk()][:1]
    Image.fromarray(erased).save(tmp_path / "erased.png")
    mine.check_erased(tmp_path / "erased.png")
