"""What every segmenter promises, asked of those with a detector in them."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path

import numpy as np
import pytest

from segment import Click, InstanceSegmenter, NoObjectError, Segmenter, load_segmenter
from tools.shapes import draw_scene

pytest.importorskip("mmdet")

TINY_MODEL = Path(__file__).parent.parent / "data" / "tiny_mask_rcnn.py"
MAKE = {
    "mask_rcnn": {"name": "mask_rcnn", "model": TINY_MODEL, "device": "cpu"},
    "auto": {"name": "auto", "model": TINY_MODEL, "device": "cpu"},
    "auto-without-a-detector": {"name": "auto"},
}


@pytest.fixture(scope="module", params=MAKE)
def segmenter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path_factory.mktemp("no-weights")))
        yield load_segmenter(**MAKE[request.param])


@pytest.fixture(scope="module")
def encoding(segmenter: Segmenter):
    return segmenter.encode(draw_scene(2).image)


def test_it_is_a_segmenter(segmenter: Segmenter) -> None:
    assert isinstance(segmenter, Segmenter)
    assert isinstance(segmenter, InstanceSegmenter)


@pytest.mark.parametrize("hw", [(192, 192), (121, 77), (64, 333), (33, 16), (1, 9), (2, 2)])
def test_masks_have_the_photo_s_size_and_scores_are_0_to_1(segmenter: Segmenter, hw: tuple[int, int]) -> None:
    scene = np.resize(draw_scene(1).image, (*hw, 3))
    click = Click(hw[1] // 2, hw[0] // 2)
    try:
        selections = segmenter.select(segmenter.encode(scene), [click])
    except NoObjectError as error:
        assert "\n" not in str(error)
        return
    assert selections
    for selection in selections:
        assert selection.mask.shape == hw
        assert selection.mask.dtype == np.bool_
        assert selection.mask.any()
        assert selection.label is None or isinstance(selection.label, str)
        assert isinstance(selection.score, float)
        assert 0 <= selection.score <= 1


def test_photo_and_clicks_are_left_as_they_were(segmenter: Segmenter) -> None:
    image = draw_scene(2).image
    before, clicks = image.copy(), [Click(96, 96)]
    encoding = segmenter.encode(image)
    with contextlib.suppress(NoObjectError):
        segmenter.select(encoding, clicks)
    np.testing.assert_array_equal(image, before)
    assert clicks == [Click(96, 96)]


def test_photo_that_cannot_be_written_to_is_taken(segmenter: Segmenter) -> None:
    image = draw_scene(2).image
    image.flags.writeable = False
    segmenter.encode(image)
    segmenter.encode(image[::2, ::-1])  # and one that is not contiguous


def test_copied_encoding_gives_the_same_answers(segmenter: Segmenter) -> None:
    scene = draw_scene(4)
    y, x = (int(part.mean()) for part in np.nonzero(scene.masks[-1]))
    encoding = segmenter.encode(scene.image)
    first, second = (segmenter.select(one, [Click(x, y)]) for one in (copy.deepcopy(encoding), encoding))
    assert [one.label for one in first] == [one.label for one in second]
    np.testing.assert_array_equal(first[0].mask, second[0].mask)


def test_encodings_of_two_photos_do_not_mix(segmenter: Segmenter) -> None:
    one, other = draw_scene(4), draw_scene(5)
    y, x = (int(part.mean()) for part in np.nonzero(one.masks[-1]))
    encoding = segmenter.encode(one.image)
    alone = segmenter.select(encoding, [Click(x, y)])
    segmenter.encode(other.image)
    np.testing.assert_array_equal(segmenter.select(encoding, [Click(x, y)])[0].mask, alone[0].mask)


@pytest.mark.parametrize("click", [Click(192, 0), Click(0, 192), Click(-1, 0), Click(0, -1)])
def test_click_outside_the_photo_is_a_value_error(segmenter: Segmenter, encoding: object, click: Click) -> None:
    with pytest.raises(ValueError, match="outside the photo"):
        segmenter.select(encoding, [click])


def test_no_positive_click_is_a_value_error(segmenter: Segmenter, encoding: object) -> None:
    for clicks in ([], [Click(5, 5, positive=False)]):
        with pytest.raises(ValueError, match="positive click"):
            segmenter.select(encoding, clicks)


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)],
    ids=["grey", "rgba", "float", "empty"],
)
def test_array_that_is_no_rgb_photo_is_a_value_error(segmenter: Segmenter, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image"):
        segmenter.encode(image)
