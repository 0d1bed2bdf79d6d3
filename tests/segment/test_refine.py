import numpy as np
import pytest

from segment.metrics import iou
from segment.refine import enlarged, extractnet_cleaned, guided, parts, solved


def test_parts_come_largest_first_and_specks_are_left_out():
    mask = np.zeros((12, 20), bool)
    mask[1:3, 1:3] = True
    mask[4:10, 8:18] = True
    mask[0, 19] = True
    found = parts(mask)
    assert [int(part.sum()) for part in found] == [60, 4, 1]
    assert [int(part.sum()) for part in parts(mask, least_share=0.05)] == [60, 4]
    assert parts(np.zeros((3, 3), bool)) == []


def test_parts_that_touch_at_a_corner_are_one():
    assert len(parts(np.eye(4, dtype=bool))) == 1


def test_cleaning_fills_a_small_hole_and_takes_a_speck_and_a_thin_line_away():
    mask = np.zeros((480, 640), bool)
    mask[100:380, 150:450] = True
    mask[240:246, 300:306] = False
    mask[40:48, 560:568] = True
    mask[200:206, 450:600] = True
    cleaned = extractnet_cleaned(mask)
    assert cleaned[243, 303]
    assert not cleaned[44, 564]
    assert not cleaned[203, 560]
    assert iou(cleaned, mask) > 0.97


def test_cleaning_is_the_same_at_every_size_of_the_photo():
    mask = np.zeros((240, 320), bool)
    mask[50:190, 60:260] = True
    mask[100:108, 260:310] = True
    large = np.kron(mask, np.ones((4, 4), bool))
    small, big = extractnet_cleaned(mask), extractnet_cleaned(large)
    assert iou(np.kron(small, np.ones((4, 4), bool)), big) > 0.98


def test_cleaning_keeps_an_object_that_the_photo_cuts_off():
    mask = np.zeros((480, 640), bool)
    mask[:, 600:] = True
    mask[:, 630:] = True
    narrow = np.zeros((480, 640), bool)
    narrow[:, 622:] = True  # 18 px are left of it, less than the opening's kernel
    assert extractnet_cleaned(narrow)[240, 630]
    assert iou(extractnet_cleaned(mask), mask) > 0.95


def test_enlarging_gives_the_photo_s_size_and_keeps_the_range():
    small = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    large = enlarged(small, (5, 9))
    assert large.shape == (5, 9)
    assert large.dtype == np.float32
    assert 0 <= large.min() < large.max() <= 1


def test_the_guided_edge_is_nearer_to_the_photo_s_than_the_interpolated_one():
    rows, columns = np.mgrid[:400, :600]
    truth = (rows - 200) ** 2 + ((columns - 300) / 1.3) ** 2 < 120**2
    rng = np.random.default_rng(1)
    photo = np.where(truth[..., None], (190, 120, 70), (70, 100, 130)) + rng.normal(0, 5, (400, 600, 3))
    photo = np.clip(photo, 0, 255).astype(np.uint8)
    small = enlarged(np.roll(truth, 4, axis=1), (64, 64))  # a net's: small, squeezed, and off by a few pixels
    plain, better = enlarged(small, (400, 600)) >= 0.5, guided(small, photo) >= 0.5
    assert iou(better, truth) > iou(plain, truth) + 0.01
    assert iou(better, truth) > 0.97


def test_guiding_leaves_its_arguments_and_stays_between_0_and_1():
    rng = np.random.default_rng(0)
    probability = rng.uniform(0, 1, (16, 16)).astype(np.float32)
    photo = rng.integers(0, 255, (33, 21, 3), dtype=np.uint8)
    kept = probability.copy(), photo.copy()
    found = guided(probability, photo)
    assert found.shape == (33, 21)
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_array_equal(probability, kept[0])
    np.testing.assert_array_equal(photo, kept[1])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_sure_net_stays_sure(value):
    photo = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    np.testing.assert_allclose(guided(np.full((20, 20), value, np.float32), photo), value, atol=0.02)


def test_the_solver_of_3x3_systems_agrees_with_numpy_s():
    random = np.random.default_rng(0)
    factors = random.normal(size=(5, 7, 3, 3))
    matrices = factors @ np.swapaxes(factors, -1, -2) + 1e-3 * np.eye(3)
    right = random.normal(size=(5, 7, 3))
    pairs = {(i, j): matrices[..., i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))}
    expected = np.linalg.solve(matrices, right[..., None])[..., 0]
    np.testing.assert_allclose(solved(pairs, right), expected, rtol=1e-4, atol=1e-4)
