import keras
import numpy as np
import pytest

from inpaint.pull_push import PullPush, bilinear_2x


def fill(image, valid, **options):
    return keras.ops.convert_to_numpy(PullPush(**options)(image.astype(np.float32), valid.astype(np.float32)))


def test_known_pixels_stay_and_hole_takes_the_colours_around_it():
    image = np.zeros((1, 8, 8, 3))
    image[..., 1] = 0.5
    valid = np.ones((1, 8, 8, 1))
    valid[:, 3:6, 2:6] = 0
    np.testing.assert_allclose(fill(image, valid), image, atol=1e-6)


def test_what_the_hole_held_does_not_matter():
    rng = np.random.default_rng(0)
    image, valid = rng.normal(size=(1, 16, 12, 3)), (rng.random((1, 16, 12, 1)) > 0.6).astype(float)
    np.testing.assert_array_equal(fill(np.where(valid > 0, image, 1e6), valid), fill(image, valid))


@pytest.mark.parametrize("height_width", [(7, 5), (1, 9), (33, 17)])
def test_odd_sizes_are_filled_within_the_range_of_what_is_known(height_width):
    rng = np.random.default_rng(1)
    image = rng.uniform(-1, 1, size=(2, *height_width, 3))
    valid = (rng.random((2, *height_width, 1)) > 0.9).astype(float)
    valid[:, 0, 0] = 1
    filled = fill(image, valid)
    assert filled.shape == image.shape
    for one, known, true in zip(filled, valid[..., 0] > 0, image, strict=True):
        np.testing.assert_allclose(one[known], true[known], atol=1e-6)
        assert (one >= true[known].min(axis=0) - 1e-5).all()
        assert (one <= true[known].max(axis=0) + 1e-5).all()


def test_a_hole_beyond_the_last_level_gets_the_mean_known_colour():
    image = np.full((1, 16, 16, 3), 0.25)
    valid = np.zeros((1, 16, 16, 1))
    valid[:, 0, 0] = 1
    np.testing.assert_allclose(fill(image, valid, levels=1), image, atol=1e-6)


def test_nothing_known_gives_zero():
    assert not fill(np.ones((1, 4, 4, 3)), np.zeros((1, 4, 4, 1))).any()


def test_bilinear_enlargement_equals_that_of_opencv():
    import cv2

    x = np.random.default_rng(2).normal(size=(5, 7, 3)).astype(np.float32)
    enlarged = keras.ops.convert_to_numpy(bilinear_2x(keras.ops.convert_to_tensor(x[None])))[0]
    np.testing.assert_allclose(enlarged, cv2.resize(x, (14, 10), interpolation=cv2.INTER_LINEAR), atol=1e-5)
