import numpy as np
import pytest
import skimage.data

from segment import Click, NoObjectError, load_segmenter
from segment.metrics import iou

GRABCUT = load_segmenter("grabcut")
OTSU = load_segmenter("otsu_watershed")


def disk(height: int, width: int, x: int, y: int, radius: int) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def drawn_photo(*disks: tuple[np.ndarray, tuple[int, int, int]]) -> np.ndarray:
    """Disks of a colour on a grainy grey-green ground."""
    ground = np.random.default_rng(0).normal((120, 140, 120), 12, (*disks[0][0].shape, 3))
    for where, colour in disks:
        ground[where] = np.random.default_rng(1).normal(colour, 10, (np.count_nonzero(where), 3))
    return ground.clip(0, 255).astype(np.uint8)


RED, BLUE = disk(240, 320, 90, 120, 40), disk(240, 320, 230, 120, 50)
PHOTO = drawn_photo((RED, (200, 40, 40)), (BLUE, (40, 60, 200)))


@pytest.mark.parametrize(("x", "y", "truth"), [(90, 120, RED), (70, 100, RED), (230, 120, BLUE)])
def test_grabcut_selects_the_object_under_the_click(x, y, truth):
    best = GRABCUT.select(GRABCUT.encode(PHOTO), [Click(x, y)])[0]
    assert iou(best.mask, truth) > 0.95
    assert best.label is None
    assert 0 < best.score <= 1


def test_grabcut_joins_what_two_clicks_hold():
    best = GRABCUT.select(GRABCUT.encode(PHOTO), [Click(90, 120), Click(230, 120)])[0]
    assert iou(best.mask, RED | BLUE) > 0.95


def test_grabcut_takes_away_what_a_negative_click_holds():
    touching = drawn_photo(
        (disk(240, 320, 110, 120, 40), (200, 40, 40)), (disk(240, 320, 180, 120, 40), (210, 190, 40))
    )
    encoding = GRABCUT.encode(touching)
    best = GRABCUT.select(encoding, [Click(110, 120), Click(185, 120, positive=False)])[0]
    assert iou(best.mask, disk(240, 320, 110, 120, 40) & ~disk(240, 320, 180, 120, 40)) > 0.9


@pytest.mark.parametrize("size", [1, 4])
def test_grabcut_leaves_out_a_hole_that_was_clicked_away(size):
    ring, inside = (
        disk(240 * size, 320 * size, 160 * size, 120 * size, 70 * size),
        disk(240 * size, 320 * size, 160 * size, 120 * size, 30 * size),
    )
    encoding = GRABCUT.encode(drawn_photo((ring, (200, 40, 40)), (inside, (40, 60, 200))))
    on_the_ring = Click(110 * size, 120 * size)
    assert GRABCUT.select(encoding, [on_the_ring])[0].mask[inside].all()
    best = GRABCUT.select(encoding, [on_the_ring, Click(160 * size, 120 * size, positive=False)])[0]
    assert iou(best.mask, ring & ~inside) > 0.9


def test_grabcut_follows_the_edge_of_a_large_photo_to_the_pixel():
    truth = disk(1500, 2000, 900, 700, 333)
    best = GRABCUT.select(GRABCUT.encode(drawn_photo((truth, (200, 40, 40)))), [Click(900, 700)])[0]
    assert best.mask.shape == truth.shape
    assert iou(best.mask, truth) > 0.995  # a mask that is only enlarged from 320 px reaches 0.985 here


def test_grabcut_gives_the_same_answer_twice():
    encoding = GRABCUT.encode(PHOTO)
    first, second = (GRABCUT.select(encoding, [Click(100, 120)])[0] for _ in range(2))
    assert (first.mask == second.mask).all()


def test_grabcut_finds_nothing_on_a_plain_wall():
    wall = np.full((120, 160, 3), 128, np.uint8)
    with pytest.raises(NoObjectError, match=r"\(80, 60\)"):
        GRABCUT.select(GRABCUT.encode(wall), [Click(80, 60)])


def test_otsu_watershed_takes_the_segment_at_the_centre():
    centre = disk(240, 320, 160, 120, 60)
    photo = drawn_photo((disk(240, 320, 20, 20, 15), (240, 240, 240)), (centre, (240, 240, 240)))
    best = OTSU.select(OTSU.encode(photo), [])[0]
    assert iou(best.mask, centre) > 0.85


def test_otsu_watershed_finds_no_subject_on_a_plain_wall():
    with pytest.raises(NoObjectError, match="click an object"):
        OTSU.select(OTSU.encode(np.full((60, 80, 3), 9, np.uint8)), [])


@pytest.mark.parametrize("segmenter", [GRABCUT, OTSU], ids=["grabcut", "otsu_watershed"])
@pytest.mark.parametrize("hw", [(1, 1), (3, 200), (67, 45), (300, 451)])
def test_any_size_gives_masks_of_that_size_or_no_object(segmenter, hw):
    photo = np.random.default_rng(2).integers(0, 255, (*hw, 3), np.uint8)
    before = photo.copy()
    try:
        selections = segmenter.select(segmenter.encode(photo), [Click(hw[1] // 2, hw[0] // 2)])
    except NoObjectError:
        selections = []
    for selection in selections:
        assert selection.mask.shape == hw
        assert selection.mask.dtype == bool
        assert selection.mask.any()
    assert (photo == before).all()


@pytest.mark.parametrize("segmenter", [GRABCUT, OTSU], ids=["grabcut", "otsu_watershed"])
def test_a_click_outside_the_photo_is_refused_with_the_range(segmenter):
    encoding = segmenter.encode(PHOTO)
    with pytest.raises(ValueError, match=r"outside the photo: x must be 0\.\.319, y 0\.\.239"):
        segmenter.select(encoding, [Click(320, 10)])


def test_grabcut_on_a_real_photo_separates_the_cup_from_the_table():
    coffee = skimage.data.coffee()
    best = GRABCUT.select(GRABCUT.encode(coffee), [Click(290, 170)])[0]
    assert best.mask[170, 290]
    assert not best.mask[20, 20]
    assert not best.mask[380, 580]
