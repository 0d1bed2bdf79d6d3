"""Cut-outs by matting: the background's colour does not come along."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline import edit
from pipeline.__main__ import main

pytest.importorskip("pymatting")
GREEN = (30, 160, 60)


@pytest.fixture
def soft_disk():
    """(photo, mask): a red disk with a rim 6 px soft on green; the mask reaches 2 px too far."""
    rows, columns = np.mgrid[:80, :100]
    distance = np.hypot(rows - 40, columns - 50)
    alpha = np.clip((24 - distance) / 6 + 0.5, 0, 1)[..., None]
    photo = alpha * (220, 40, 30) + (1 - alpha) * GREEN
    return np.rint(photo).astype(np.uint8), distance < 26


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_on_white_the_object_is_as_if_it_had_stood_there(soft_disk, dtype):
    photo, mask = soft_disk
    unit = np.iinfo(dtype).max / 255
    image = photo if dtype == np.uint8 else photo.astype(np.uint16) * 257
    opacity = (photo[..., :1].astype(float) - GREEN[0]) / (220 - GREEN[0])
    expected = opacity * (220, 40, 30) + (1 - opacity) * 255
    plain = edit.replace_background(image, mask, (255, 255, 255))
    matted = edit.replace_background(image, mask, (255, 255, 255), matting=True)
    rim = (opacity[..., 0] > 0.02) & (opacity[..., 0] < 0.98)
    plain_error, error = (np.abs(result[rim] / unit - expected[rim]).mean() for result in (plain, matted))
    assert matted.dtype == dtype
    assert error < 8
    assert error < plain_error / 3


def test_a_cut_out_keeps_the_photo_where_it_is_opaque_and_nothing_where_it_is_not(soft_disk):
    photo, mask = soft_disk
    before = photo.copy()
    cut = edit.cut_out(photo, mask, matting=True)
    np.testing.assert_array_equal(photo, before)
    opaque = cut[..., 3] == 255
    np.testing.assert_array_equal(cut[opaque][:, :3], photo[opaque])
    assert opaque[40, 50]
    assert (cut[..., 3] == 0)[:5].all()
    assert 0.3 < cut[40, 26, 3] / 255 < 0.7  # on the true edge


def test_a_blurred_background_has_no_halo(soft_disk):
    photo, mask = soft_disk
    blurred = edit.blur_background(photo, mask, sigma_px=6, matting=True)
    ring = np.hypot(*(np.mgrid[:80, :100] - np.array([40, 50])[:, None, None]))
    outside = (ring > 29) & (ring < 36)
    assert np.abs(blurred[outside].astype(int) - GREEN).max() <= 3


def test_a_feather_and_matting_contradict_each_other(soft_disk, tmp_path, monkeypatch, capsys):
    photo, mask = soft_disk
    with pytest.raises(ValueError, match="give one of them"):
        edit.cut_out(photo, mask, feather_px=2, matting=True)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo).save("disk.png")
    Image.fromarray(mask).save("mask.png")
    assert main(["cutout", "disk.png", "--mask", "mask.png", "--matting", "--feather", "2"]) != 0
    assert "--feather would have no effect" in capsys.readouterr().err
    assert main(["cutout", "disk.png", "--mask", "mask.png", "--matting"]) == 0
    assert np.asarray(Image.open("disk-cutout.png")).shape == (80, 100, 4)
