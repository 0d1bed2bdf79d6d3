"""The nets that ship: whole, described by their cards, and right about plain photos that come with packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data

import weights
from inpaint import load_inpainter
from segment import Click, load_segmenter
from segment.auto import fallback_name
from segment.click_net import ClickNetSegmenter
from weights import BUNDLED_DIR, WEIGHTS, WeightsError, WeightSpec, check_sha256, sha256_of


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


USERS: dict[str, Callable[[], object]] = {
    "clicknet": lambda: load_segmenter("clicknet"),
    "mask_rcnn_small": lambda: load_segmenter("mask_rcnn:small"),
    "mask_rcnn_small for names": lambda: load_segmenter("auto").give_names(),  # type: ignore[attr-defined]
    "mask_rcnn_small for classes": lambda: load_segmenter("auto").classes,  # type: ignore[attr-defined]
    "subject": lambda: load_segmenter("subject"),
    "pconv-small": lambda: load_inpainter("pconv"),
}


@pytest.mark.parametrize("user", USERS)
def test_a_bundle_with_one_other_bit_is_refused_in_one_line(
    user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path))  # no large detector, which would be asked instead
    spec = WEIGHTS[user.partition(" ")[0]]
    content = bytearray((BUNDLED_DIR / spec.file).read_bytes())
    content[10] ^= 1  # of the day on which the first array was packed: no reader looks at it
    for file in BUNDLED_DIR.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / spec.file).unlink()
    (tmp_path / spec.file).write_bytes(content)
    monkeypatch.setattr(weights, "BUNDLED_DIR", tmp_path)
    with pytest.raises(WeightsError, match="is damaged or another file") as told:
        USERS[user]()
    assert str(tmp_path / spec.file) in str(told.value) and "\n" not in str(told.value)


def test_a_bundle_is_read_for_its_sha256_once_and_only_by_who_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(path: Path) -> str:
        read.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(weights, "sha256_of", noted)
    load_segmenter("auto")
    assert read == []
    load_segmenter("clicknet")
    assert sorted(read) == ["clicknet.encoder.onnx", "clicknet.head.onnx", "clicknet.npz"]
    read.clear()
    load_inpainter("pconv")
    assert sorted(read) == ["pconv-small.npz", "pconv-small.onnx"]


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
