import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inpaint.hole_crop import fill_by_crops
from inpaint.opencv import NavierStokesInpainter, TeleaInpainter


class Recorder:
    """Paints the crop with one colour, beyond the hole too (which must not matter), and remembers what it saw."""

    def __init__(self, max_size_px=None, value=100):
        self.max_size_px, self.value = max_size_px, value
        self.sizes, self.holes = [], []

    def inpaint(self, image, hole):
        assert not hole.all()
        assert not image[hole].any(), "what the hole held came through"
        self.sizes.append(image.shape[:2])
        self.holes.append(int(hole.sum()))
        return np.full_like(image, self.value)


def photo(height_width, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (*height_width, 3), np.uint8)


def with_holes(height_width, *boxes):
    hole = np.zeros(height_width, bool)
    for x0, y0, x1, y1 in boxes:
        hole[y0:y1, x0:x1] = True
    return hole


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_hole_pixel_is_filled_and_no_other_is_touched(data):
    height, width = data.draw(st.integers(1, 70)), data.draw(st.integers(2, 70))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    hole = np.zeros((height, width), bool)
    for _ in range(data.draw(st.integers(1, 6))):
        x, y = rng.integers(width), rng.integers(height)
        hole[y : y + rng.integers(1, 30), x : x + rng.integers(1, 30)] = True
    hole |= rng.random(hole.shape) < data.draw(st.sampled_from([0, 0.02, 0.5]))
    hole[rng.integers(height), rng.integers(width)] = False
    image = photo((height, width))
    before = image.copy(), hole.copy()
    recorder = Recorder(data.draw(st.sampled_from([None, 16, 32])))
    filled = fill_by_crops(recorder, image, hole, min_context_px=data.draw(st.integers(1, 8)))
    assert (filled[hole] == 100).all()
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(hole, before[1])
    if recorder.max_size_px:
        assert all(max(size) <= recorder.max_size_px for size in recorder.sizes)


def test_an_empty_hole_gives_a_copy_without_asking_the_inpainter():
    image, recorder = photo((10, 12)), Recorder()
    filled = fill_by_crops(recorder, image, np.zeros((10, 12), bool))
    np.testing.assert_array_equal(filled, image)
    assert not np.shares_memory(filled, image)
    assert recorder.sizes == []


def test_a_hole_that_is_the_whole_photo_is_refused():
    with pytest.raises(ValueError, match="whole photo"):
        fill_by_crops(Recorder(), photo((10, 12)), np.ones((10, 12), bool))


@pytest.mark.parametrize(
    "options", [{"context": -1}, {"min_context_px": 0}, {"feather_px": -1}, {"net_size_px": 8}], ids=str
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        fill_by_crops(Recorder(), photo((10, 12)), with_holes((10, 12), (2, 2, 5, 5)), **options)


@pytest.mark.parametrize("side", [200, 2000])
def test_the_crop_grows_with_the_hole_and_not_with_the_photo(side):
    recorder = Recorder()
    fill_by_crops(recorder, photo((side, side)), with_holes((side, side), (100, 90, 120, 100)), min_context_px=15)
    assert recorder.sizes == [(10 + 2 * 20, 20 + 2 * 20)]


def test_a_small_hole_gets_the_least_context():
    recorder = Recorder()
    fill_by_crops(recorder, photo((200, 200)), with_holes((200, 200), (100, 90, 104, 94)), min_context_px=15)
    assert recorder.sizes == [(34, 34)]


def test_near_holes_share_a_crop_and_far_ones_do_not():
    hole = with_holes((100, 300), (20, 20, 30, 30), (45, 20, 55, 30), (200, 50, 210, 60))
    recorder = Recorder()
    fill_by_crops(recorder, photo((100, 300)), hole, min_context_px=10)
    assert sorted(recorder.holes) == [100, 200]


def test_context_is_given_up_before_resolution():
    recorder = Recorder(max_size_px=60)
    fill_by_crops(recorder, photo((300, 300)), with_holes((300, 300), (100, 100, 140, 140)), min_context_px=5)
    assert recorder.sizes == [(60, 60)]
    assert recorder.holes == [40 * 40]


def test_a_hole_too_large_in_itself_is_filled_from_a_smaller_picture():
    recorder = Recorder(max_size_px=50)
    hole = with_holes((300, 300), (100, 100, 200, 200))
    filled = fill_by_crops(recorder, photo((300, 300)), hole)
    assert recorder.sizes == [(50, 50)]  # 150 pixels with the least context, at a third
    assert (filled[hole] == 100).all()


def test_several_holes_that_do_not_fit_together_keep_their_resolution():
    hole = with_holes((100, 300), (30, 30, 70, 70), (90, 30, 130, 70), (150, 30, 170, 50))
    recorder = Recorder(max_size_px=60)
    filled = fill_by_crops(recorder, photo((100, 300)), hole, min_context_px=10)
    assert all(size == (60, 60) for size in recorder.sizes)
    assert len(recorder.sizes) == 3
    assert (filled[hole] == 100).all()


def test_a_long_thin_hole_is_tiled_at_full_resolution():
    hole = with_holes((100, 900), (10, 50, 890, 53))
    recorder = Recorder(max_size_px=64)
    filled = fill_by_crops(recorder, photo((100, 900)), hole)
    assert len(recorder.sizes) == 28  # cells of 32 pixels
    assert all(max(size) <= 64 for size in recorder.sizes)
    assert (filled[hole] == 100).all()


def test_a_crop_builds_on_what_the_one_before_it_filled():
    hole = with_holes((100, 900), (10, 50, 890, 53))
    recorder = Recorder(max_size_px=64)
    fill_by_crops(recorder, photo((100, 900)), hole)
    assert recorder.holes[5] == 3 * (32 + 16)  # its own cell and the margin after it, not the one before


@pytest.mark.parametrize("net_size_px", [None, 32, 64], ids=["full size", "much smaller", "smaller"])
def test_what_the_hole_held_does_not_matter(net_size_px):
    image, hole = photo((120, 120)), with_holes((120, 120), (30, 30, 81, 75), (0, 100, 13, 120))
    other = np.where(hole[..., None], 255 - image, image)
    first, second = (fill_by_crops(TeleaInpainter(), i, hole, net_size_px=net_size_px) for i in (image, other))
    np.testing.assert_array_equal(first, second)


def test_a_smaller_picture_shows_the_colours_of_the_known_pixels_alone():
    image = np.full((200, 200, 3), 80, np.uint8)
    hole = with_holes((200, 200), (51, 51, 150, 150))
    image[hole] = 255
    filled = fill_by_crops(NavierStokesInpainter(), image, hole, net_size_px=40)
    assert np.abs(filled.astype(int) - 80).max() <= 1


def test_a_thin_known_rim_is_enough_for_a_smaller_picture():
    image, hole = np.full((200, 200, 3), 80, np.uint8), with_holes((200, 200), (0, 1, 200, 200))
    filled = fill_by_crops(NavierStokesInpainter(), image, hole, net_size_px=20)
    assert np.abs(filled.astype(int) - 80).max() <= 1


def test_feather_blends_inside_the_hole_only():
    image, hole = np.zeros((9, 30, 3), np.uint8), with_holes((9, 30), (10, 0, 20, 9))
    filled = fill_by_crops(Recorder(value=100), image, hole, feather_px=2)
    # 0.5, 1.5, 2.5 ... pixels from the edge between hole and photo; the upper and lower border are no edges.
    row = [25, 75, 100, 100, 100, 100, 100, 100, 75, 25]
    assert (filled[:, 10:20, 0] == row).all()
    assert not filled[:, :10].any()
    assert not filled[:, 20:].any()


def test_a_hole_at_the_photos_border_is_not_feathered_there():
    image, hole = np.zeros((9, 30, 3), np.uint8), with_holes((9, 30), (0, 0, 6, 9))
    filled = fill_by_crops(Recorder(value=100), image, hole, feather_px=3)
    assert (filled[:, :6, 0] == [100, 100, 100, 83, 50, 17]).all()


def test_feather_deeper_than_the_hole_never_reaches_the_whole_fill():
    image, hole = np.zeros((30, 30, 3), np.uint8), with_holes((30, 30), (10, 10, 14, 14))
    filled = fill_by_crops(Recorder(value=100), image, hole, feather_px=10)
    assert 0 < filled[hole].max() < 30


def test_holes_in_each_others_boxes_are_feathered_once():
    hole = np.zeros((40, 40), bool)
    hole[5:35, 5:10] = hole[30:35, 5:35] = True  # an L, and a square in its box
    hole[10:20, 20:30] = True
    filled = fill_by_crops(Recorder(value=100), np.zeros((40, 40, 3), np.uint8), hole, feather_px=2)
    assert filled[15, 20:30, 0].tolist() == [25, 75, 100, 100, 100, 100, 100, 100, 75, 25]
