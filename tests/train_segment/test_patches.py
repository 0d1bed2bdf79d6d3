from dataclasses import replace

import numpy as np
import pytest

from segment.click_planes import distance_plane
from segment.deepcrop import DeepCropSegmenter
from segment.mask_ops import box_xyxy
from segment.nets.deepcrop import DEEPMASK, V1, V2
from train_segment.clicks import first_click
from train_segment.data import Sample
from train_segment.patches import photo_patch, window_patch

RED, GREEN = (220, 30, 30), (40, 90, 40)


def drawn(x: int, y: int, w: int, h: int, *, hw=(200, 260)) -> Sample:
    photo, mask = np.full((*hw, 3), GREEN, np.uint8), np.zeros(hw, bool)
    photo[y : y + h, x : x + w], mask[y : y + h, x : x + w] = RED, True
    ignore = np.zeros(hw, bool)
    ignore[y - 3 : y, x : x + w] = True
    return Sample("drawn", photo, mask, ignore, None)


@pytest.mark.parametrize("sample", [drawn(100, 60, 80, 50), drawn(5, 5, 14, 20), drawn(20, 30, 230, 165)])
def test_a_positive_window_has_the_object_in_its_middle_at_its_size(sample):
    for seed in range(20):
        patch = window_patch(sample, V2, np.random.default_rng(seed))
        assert patch.score == 1
        x0, y0, x1, y1 = (v * 160 / 56 for v in box_xyxy(patch.mask))
        assert 92 * 2**-0.25 - 8 <= max(x1 - x0, y1 - y0) <= 92 * 2**0.25 + 8
        assert abs((x0 + x1) / 2 - 80) <= 16 + 6 and abs((y0 + y1) / 2 - 80) <= 16 + 6


def test_the_mask_lies_on_the_object_in_the_window():
    for seed in range(10):
        patch = window_patch(drawn(100, 60, 80, 50), V2, np.random.default_rng(seed))
        red = (patch.image[16:-16, 16:-16, 0] > 128).astype(np.float32)
        centres = ((np.arange(56) + 0.5) * 160 / 56).astype(int)
        assert (red[np.ix_(centres, centres)].astype(bool) == patch.mask).mean() > 0.97


def test_the_click_is_on_the_object_and_the_plane_is_its_distance():
    for seed in range(10):
        patch = window_patch(drawn(100, 60, 80, 50), V2, np.random.default_rng(seed))
        assert patch.image[patch.click.y, patch.click.x, 0] > 128
        expected = distance_plane([patch.click], (192, 192), unit_px=224)
        np.testing.assert_array_equal(patch.planes[..., 0], expected)
    assert window_patch(drawn(100, 60, 80, 50), DEEPMASK, np.random.default_rng(0)).planes.shape == (192, 192, 0)


def test_a_negative_window_holds_the_click_but_is_off_and_teaches_no_mask():
    sample, off = drawn(100, 60, 80, 50), []
    for seed in range(40):
        patch = window_patch(sample, V2, np.random.default_rng(seed), positive=False)
        assert patch.score == 0 and not patch.counts.any()
        assert 14 <= patch.click.x < 178 and 14 <= patch.click.y < 178
        if patch.mask.any() and not (patch.mask[0].any() or patch.mask[-1].any() or patch.mask[:, 0].any()):
            x0, y0, x1, y1 = (v * 160 / 56 for v in box_xyxy(patch.mask))
            if x1 < 160:
                far = max(abs((x0 + x1) / 2 - 80), abs((y0 + y1) / 2 - 80)) >= 32 - 5
                octaves = abs(np.log2(max(x1 - x0, y1 - y0) / 92))
                off.append(far or octaves >= 0.9)
    assert off and all(off)


def test_unclear_pixels_do_not_count():
    patch = window_patch(drawn(100, 60, 80, 50), V2, np.random.default_rng(0))
    assert 20 < (~patch.counts).sum() < 250
    assert not (patch.mask & ~patch.counts).any()


def test_v1_is_trained_on_exactly_what_it_is_asked_with():
    class Recorder:
        def predict_on_batch(self, inputs):
            self.inputs = inputs
            return {"mask": np.ones((1, 1, 1, 56 * 56), np.float32)}

    sample = drawn(100, 60, 80, 50)
    patch = photo_patch(sample, V1, np.random.default_rng(4))
    segmenter = object.__new__(DeepCropSegmenter)
    segmenter.config, segmenter.net, segmenter._margin_px = V1, Recorder(), 16
    encoding = segmenter.encode(sample.image)
    click = first_click(sample.mask, rng=np.random.default_rng(4), depth_share=0.3)  # drawn first of all
    segmenter.select(encoding, [click])
    np.testing.assert_array_equal(segmenter.net.inputs["image"][0], patch.image)
    np.testing.assert_array_equal(segmenter.net.inputs["planes"][0], patch.planes)
    x0, y0, x1, y1 = (v * 160 / 56 for v in box_xyxy(patch.mask))
    assert (x0, x1) == pytest.approx((100 * 160 / 260, 180 * 160 / 260), abs=3)
    assert (y0, y1) == pytest.approx((18.5 + 60 * 160 / 260, 18.5 + 110 * 160 / 260), abs=3)


def test_the_same_seed_gives_the_same_window_and_nothing_is_written_to():
    sample = drawn(100, 60, 80, 50)
    before = sample.image.copy(), sample.mask.copy()
    one, other = (window_patch(sample, V2, np.random.default_rng(7)) for _ in range(2))
    assert (one.image == other.image).all() and one.click == other.click
    assert (sample.image == before[0]).all() and (sample.mask == before[1]).all()


def test_sizes_follow_the_config():
    small = replace(V2, input_px=64, mask_px=16)
    patch = window_patch(drawn(100, 60, 80, 50), small, np.random.default_rng(0))
    assert patch.image.shape == (96, 96, 3) and patch.mask.shape == patch.counts.shape == (16, 16)
