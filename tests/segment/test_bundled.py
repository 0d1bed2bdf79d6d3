"""The nets that ship: whole, described by their cards, and right about plain photos that come with packages."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from segment import Click, load_segmenter
from segment.auto import fallback_name
from segment.click_net import ClickNetSegmenter
from weights import BUNDLED_DIR, WEIGHTS, WeightSpec, check_sha256


@pytest.fixture(scope="module")
def segmenter() -> ClickNetSegmenter:
    return ClickNetSegmenter()


@pytest.mark.parametrize("spec", [spec for spec in WEIGHTS.values() if spec.url is None], ids=lambda spec: spec.name)
def test_every_bundle_is_what_its_spec_and_card_say(spec: WeightSpec) -> None:
    path = BUNDLED_DIR / spec.file
    check_sha256(path, spec.sha256)
    assert path.stat().st_size == pytest.approx(spec.size_mib * 2**20, rel=0.05)
    card = (BUNDLED_DIR.parent / "cards" / f"{spec.name}.md").read_text()
    assert spec.sha256 in card and "## Failures" in card and "python -m train_" in card


def test_a_person_is_found_without_a_click() -> None:
    photo = skimage.data.astronaut()
    subject = load_segmenter("subject")
    mask = subject.select(subject.encode(photo), [])[0].mask
    assert mask[110, 222] and mask[380, 200] and not mask[40, 330]


def test_auto_uses_it() -> None:
    assert fallback_name() == "clicknet"
    assert isinstance(load_segmenter("clicknet"), ClickNetSegmenter)


# photo, click, points on the object, points beside it
CASES = {
    "cup": (skimage.data.coffee, (300, 140), [(250, 120), (350, 120)], [(40, 40), (560, 360)]),
    "astronaut": (skimage.data.astronaut, (220, 380), [(220, 330), (160, 420)], [(480, 40), (20, 100)]),
    "rocket": (skimage.data.rocket, (322, 270), [(322, 230), (322, 320)], [(100, 100), (500, 300)]),
    "cat": (skimage.data.chelsea, (200, 150), [(150, 150), (300, 150)], [(440, 20)]),
}


@pytest.mark.parametrize("name", CASES)
def test_one_click_takes_the_object_and_not_what_is_beside_it(segmenter: ClickNetSegmenter, name: str) -> None:
    make, (x, y), on, beside = CASES[name]
    photo = make()
    best = segmenter.select(segmenter.encode(photo), [Click(x, y)])[0]
    assert all(best.mask[row, column] for column, row in on)
    assert not any(best.mask[row, column] for column, row in beside)
    assert 0.3 < best.score <= 1


def test_a_click_that_takes_away_makes_the_answer_smaller_there(segmenter: ClickNetSegmenter) -> None:
    photo = skimage.data.astronaut()
    encoding = segmenter.encode(photo)
    whole = segmenter.select(encoding, [Click(220, 380)])[0].mask
    without = segmenter.select(encoding, [Click(220, 380), Click(222, 110, positive=False)])[0].mask
    assert not without[110, 222] and without[380, 220]
    assert np.count_nonzero(without[40:160, 160:290]) <= np.count_nonzero(whole[40:160, 160:290])
