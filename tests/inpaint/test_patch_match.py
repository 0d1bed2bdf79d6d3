import cv2
import numpy as np
import pytest
import skimage.data

from inpaint import load_inpainter
from inpaint.patch_match import refine_texture


def stripes(height: int = 96, width: int = 128, period: int = 8) -> np.ndarray:
    """Vertical stripes of two colours."""
    photo = np.full((height, width, 3), (40, 90, 160), np.uint8)
    photo[:, np.arange(width) % period < period // 2] = (200, 180, 60)
    return photo


def box_hole(hw: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    hole = np.zeros(hw, bool)
    hole[rows, columns] = True
    return hole


def grey_fill(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
    fill = photo.copy()
    fill[hole] = photo[~hole].mean(axis=0)
    return fill


def test_a_texture_that_repeats_is_restored_exactly():
    photo = stripes()
    hole = box_hole((96, 128), slice(30, 66), slice(40, 76))
    assert (refine_texture(photo, hole, grey_fill(photo, hole)) == photo).mean() > 0.99


def test_pixels_outside_the_hole_and_the_arguments_stay_the_same():
    photo = skimage.data.coffee()[100:260, 100:300].copy()
    hole = box_hole(photo.shape[:2], slice(40, 90), slice(60, 130))
    fill = grey_fill(photo, hole)
    before = photo.copy(), hole.copy(), fill.copy()
    result = refine_texture(photo, hole, fill)
    assert (result[~hole] == photo[~hole]).all()
    assert (result[hole] != fill[hole]).any()
    assert all((now == then).all() for now, then in zip((photo, hole, fill), before, strict=True))


def test_the_same_arguments_give_the_same_bytes():
    photo = skimage.data.coffee()[:120, :160].copy()
    hole = box_hole(photo.shape[:2], slice(40, 80), slice(50, 100))
    fill = grey_fill(photo, hole)
    assert (refine_texture(photo, hole, fill) == refine_texture(photo, hole, fill)).all()


def test_any_number_of_threads_gives_the_same_bytes():
    photo = skimage.data.coffee()[:, :300].copy()
    hole = box_hole(photo.shape[:2], slice(60, 330), slice(100, 200))  # several bands of rows
    fill = grey_fill(photo, hole)
    before = cv2.getNumThreads()
    results = []
    for threads in (1, 4):
        cv2.setNumThreads(threads)
        try:
            results.append(refine_texture(photo, hole, fill))
        finally:
            cv2.setNumThreads(before)
    assert (results[0] == results[1]).all()


def test_no_hole_gives_a_copy_of_the_photo():
    photo = stripes()
    result = refine_texture(photo, np.zeros(photo.shape[:2], bool), photo)
    assert (result == photo).all()
    assert not np.shares_memory(result, photo)


def test_what_lay_in_the_hole_has_no_part_in_the_result():
    photo = skimage.data.coffee()[:120, :160].copy()
    hole = box_hole(photo.shape[:2], slice(40, 80), slice(50, 100))
    other = photo.copy()
    other[hole] = (255, 0, 255)
    fill = grey_fill(photo, hole)
    assert (refine_texture(photo, hole, fill)[hole] == refine_texture(other, hole, fill)[hole]).all()


def test_the_result_is_as_rough_as_the_photo_where_the_first_fill_is_smooth():
    photo = skimage.data.grass()[:200, :200]
    photo = np.repeat(photo[..., None], 3, axis=2)
    hole = box_hole((200, 200), slice(70, 130), slice(70, 130))
    rough = np.abs(np.diff(photo.astype(int), axis=1)).mean()
    result = refine_texture(photo, hole, grey_fill(photo, hole))
    assert 0.7 * rough < np.abs(np.diff(result[75:125, 75:125].astype(int), axis=1)).mean() < 1.3 * rough


@pytest.mark.parametrize("seed", [0, 1])
def test_a_large_hole_is_not_filled_with_rows_of_the_same_few_patches(seed):
    blotches = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (160, 160, 3)).astype(np.float32), (0, 0), 2.0)
    photo = np.clip(128 + 220 * blotches, 0, 255).astype(np.uint8)
    hole = box_hole((160, 160), slice(40, 120), slice(40, 120))
    inside = refine_texture(photo, hole, grey_fill(photo, hole))[44:116, 44:116]
    squares = [inside[y : y + 5, x : x + 5].tobytes() for y in range(68) for x in range(68)]
    assert len(set(squares)) > 0.93 * len(squares)  # 0.80 to 0.86 where repeating costs nothing


@pytest.mark.parametrize("hw", [(5, 5), (9, 40), (31, 33)])
def test_a_photo_with_hardly_a_known_patch_gives_some_fill(hw):
    photo = np.random.default_rng(0).integers(0, 255, (*hw, 3), np.uint8)
    hole = box_hole(hw, slice(2, hw[0] - 2), slice(2, hw[1] - 2))
    result = load_inpainter("patch_match").inpaint(photo, hole)
    assert (result[~hole] == photo[~hole]).all()


def test_a_hole_at_the_corner_is_filled_with_its_surroundings():
    photo = stripes()
    hole = box_hole((96, 128), slice(0, 30), slice(0, 40))
    assert (refine_texture(photo, hole, grey_fill(photo, hole)) == photo).mean() > 0.95


def test_a_fill_of_another_photo_is_refused():
    photo = stripes()
    with pytest.raises(ValueError, match="fill is"):
        refine_texture(photo, box_hole((96, 128), slice(0, 9), slice(0, 9)), photo[:50])


def test_a_horizon_goes_on_where_it_meets_the_hole_wherever_the_first_fill_has_put_it():
    random = np.random.default_rng(0)
    photo = np.where(np.arange(256)[:, None, None] < 128, (150, 100, 80), (60, 140, 50)) + np.zeros((1, 320, 1))
    photo = (photo + random.normal(0, 12, (256, 320, 1))).clip(0, 255).astype(np.uint8)
    rows, columns = np.mgrid[:256, :320]
    hole = ((rows - 140) / 70) ** 2 + ((columns - 160) / 50) ** 2 < 1
    fill = photo.copy()
    fill[hole] = np.roll(cv2.GaussianBlur(photo, (0, 0), 30), 12, axis=0)[hole]  # vague, and 12 pixels too low
    result = refine_texture(photo, hole, fill)
    red = result[:, 130:190, 0].astype(float).mean(axis=1)  # brick is red, grass is not
    assert abs(int(np.argmax(red < 105)) - 128) <= 3
