import numpy as np
import pytest
import skimage.data
from skimage.metrics import peak_signal_noise_ratio

from inpaint import metrics

PHOTO = skimage.data.chelsea()[:80, 100:200]
HOLE = np.zeros(PHOTO.shape[:2], bool)
HOLE[20:60, 30:80] = True


def changed(photo=PHOTO, by=10, where=HOLE):
    return np.where(where[..., None], np.clip(photo.astype(int) + by, 0, 255).astype(np.uint8), photo)


def test_equal_photos_have_no_error():
    assert metrics.psnr(PHOTO, PHOTO) == float("inf")
    assert metrics.l1(PHOTO, PHOTO, HOLE) == 0
    assert metrics.ssim(PHOTO, PHOTO) == pytest.approx(1)
    assert metrics.texture_ratio(PHOTO, PHOTO, HOLE) == 1


def test_psnr_and_l1_of_a_known_difference():
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert metrics.psnr(grey, black) == pytest.approx(20 * np.log10(5))
    assert metrics.l1(grey, black) == pytest.approx(0.2)


def test_psnr_over_the_whole_photo_is_that_of_scikit_image():
    filled = changed()
    assert metrics.psnr(filled, PHOTO) == pytest.approx(peak_signal_noise_ratio(PHOTO, filled), abs=1e-4)


def test_inside_the_hole_only_the_hole_counts():
    filled, outside = changed(), changed(where=~HOLE)
    for metric in (metrics.psnr, metrics.ssim):
        assert metric(filled, PHOTO, HOLE) < metric(filled, PHOTO)
    assert metrics.l1(filled, PHOTO, HOLE) > metrics.l1(filled, PHOTO)
    assert metrics.psnr(outside, PHOTO, HOLE) == float("inf")
    assert metrics.l1(outside, PHOTO, HOLE) == 0
    assert metrics.texture_ratio(outside, PHOTO, HOLE) == 1


def test_ssim_falls_with_noise():
    noise = np.random.default_rng(0).normal(0, 30, PHOTO.shape).astype(int)
    assert metrics.ssim(changed(by=noise), PHOTO, HOLE) < metrics.ssim(changed(by=noise // 4), PHOTO, HOLE) < 1


def test_texture_is_lost_by_blur_and_won_by_noise():
    noise = np.random.default_rng(0).normal(0, 30, PHOTO.shape).astype(int)
    flat = np.where(HOLE[..., None], np.uint8(128), PHOTO)
    assert metrics.texture_ratio(flat, PHOTO, HOLE) == 0
    assert metrics.texture_ratio(changed(by=noise), PHOTO, HOLE) > 1.5


def test_the_seam_at_the_holes_edge_is_no_texture():
    flat = np.zeros((20, 20, 3), np.uint8)
    ramp = np.repeat(np.arange(0, 100, 5, np.uint8)[None, :, None], 20, axis=0).repeat(3, axis=2)
    hole = np.zeros((20, 20), bool)
    hole[5:15, 5:15] = True
    bright = np.where(hole[..., None], np.uint8(255), flat)
    assert metrics.texture_ratio(bright, ramp, hole) == 0
    assert metrics.texture_ratio(np.where(hole[..., None], 2 * ramp, ramp), ramp, hole) == pytest.approx(2)


def test_texture_of_a_flat_truth_or_a_thin_hole_is_no_number():
    flat = np.zeros((20, 20, 3), np.uint8)
    thin = np.zeros((20, 20), bool)
    thin[5] = True
    assert np.isnan(metrics.texture_ratio(flat, flat))
    assert np.isnan(metrics.texture_ratio(flat, flat, thin))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        metrics.psnr(PHOTO[1:], PHOTO)
    with pytest.raises(ValueError, match="hole must be"):
        metrics.l1(PHOTO, PHOTO, HOLE.T)
    with pytest.raises(ValueError, match="empty"):
        metrics.texture_ratio(PHOTO, PHOTO, np.zeros_like(HOLE))
    with pytest.raises(ValueError, match="11 pixels"):
        metrics.ssim(PHOTO[:5], PHOTO[:5])
