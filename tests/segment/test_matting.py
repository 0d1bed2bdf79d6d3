import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segment import matting
from segment.matting import BACKGROUND, OBJECT, UNKNOWN, alpha_matte, object_colours, trimap

ROOT = Path(__file__).parents[2]


def test_a_trimap_is_unclear_on_both_sides_of_the_edge():
    mask = np.zeros((1, 12), bool)
    mask[:, 4:] = True
    expected = [[0, 0, 128, 128, 128, 128, 128, 255, 255, 255, 255, 255]]
    np.testing.assert_array_equal(trimap(mask, inner_px=3, outer_px=2), expected)


def test_the_photo_s_border_is_no_edge_and_the_mask_stays_as_it_is():
    mask = np.zeros((5, 5), bool)
    mask[:, :3] = True
    before = mask.copy()
    found = trimap(mask, inner_px=1, outer_px=1)
    np.testing.assert_array_equal(found[0], [OBJECT, OBJECT, UNKNOWN, UNKNOWN, BACKGROUND])
    np.testing.assert_array_equal(mask, before)


def test_a_thin_object_keeps_something_sure():
    mask = np.zeros((40, 40), bool)
    mask[18:21] = True
    found = trimap(mask, inner_px=8, outer_px=4)
    assert (found == OBJECT).any()
    assert (found[mask] != BACKGROUND).all()


def test_a_band_grows_with_the_object():
    small, large = np.zeros((200, 200), bool), np.zeros((200, 200), bool)
    small[90:110, 90:110] = True
    large[20:180, 20:180] = True
    assert 2 <= matting.default_band_px(small) < matting.default_band_px(large)


def test_an_empty_mask_has_no_trimap():
    with pytest.raises(ValueError, match="empty"):
        trimap(np.zeros((3, 3), bool))


def mixed(hw=(60, 80)):
    """A red disk with a soft rim on green: the photo, its true opacity, and a mask that is off by two pixels."""
    rows, columns = np.mgrid[: hw[0], : hw[1]]
    distance = np.hypot(rows - 30, columns - 40)
    alpha = np.clip((20 - distance) / 6 + 0.5, 0, 1)
    photo = alpha[..., None] * (220, 40, 30) + (1 - alpha[..., None]) * (30, 160, 60)
    return np.rint(photo).astype(np.uint8), alpha.astype(np.float32), distance < 22


def test_matting_finds_the_true_opacity_and_colours():
    pytest.importorskip("pymatting")
    photo, alpha, mask = mixed()
    found = alpha_matte(photo, trimap(mask, inner_px=8, outer_px=5))
    assert np.abs(found - alpha).max() < 0.08
    colours = object_colours(photo, found)
    rim = (alpha > 0.3) & (alpha < 0.9)
    assert np.abs(colours[rim] - (220, 40, 30)).mean() < 6  # of the photo itself they are 60 away
    assert np.abs(photo[rim].astype(float) - (220, 40, 30)).mean() > 30


def test_a_large_photo_is_solved_small_and_brought_back(monkeypatch):
    pytest.importorskip("pymatting")
    monkeypatch.setattr(matting, "WORKING_PX", 2000)
    monkeypatch.setattr(matting, "COLOUR_PX", 2000)
    photo, alpha, mask = mixed()
    found = alpha_matte(photo, trimap(mask, inner_px=8, outer_px=5))
    assert found.shape == alpha.shape
    assert np.abs(found - alpha).mean() < 0.03
    assert object_colours(photo, found).shape == photo.shape


def test_sure_pixels_stay_sure_and_nothing_unclear_needs_no_library(monkeypatch):
    photo, _, mask = mixed()
    monkeypatch.setattr(matting, "_pymatting", lambda: pytest.fail("it was asked"))
    sharp = np.where(mask, OBJECT, BACKGROUND).astype(np.uint8)
    np.testing.assert_array_equal(alpha_matte(photo, sharp), mask.astype(np.float32))
    everywhere = np.where(mask, OBJECT, UNKNOWN).astype(np.uint8)
    assert (alpha_matte(photo, everywhere) == 1).all()  # no background to tell it from


def test_shapes_that_differ_are_refused():
    photo, _, mask = mixed()
    with pytest.raises(ValueError, match="swapped"):
        alpha_matte(photo, trimap(mask).T)


def test_the_library_is_not_loaded_before_it_is_needed():
    code = "import segment.matting, pipeline.edit, sys; print('pymatting' in sys.modules, 'numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
