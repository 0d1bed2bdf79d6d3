from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main
from pipeline.outline import beside_canny, line, outlined


@pytest.fixture
def square():
    mask = np.zeros((40, 50), bool)
    mask[10:30, 15:35] = True
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    return image, mask


def test_the_line_lies_along_the_edge_and_nowhere_else(square):
    image, mask = square
    before = image.copy()
    drawn = outlined(image, mask, color=(255, 0, 0), width_px=2)
    np.testing.assert_array_equal(image, before)
    assert (drawn[9:11, 25] == (255, 0, 0)).all()
    assert (drawn[20, 34:36] == (255, 0, 0)).all()
    np.testing.assert_array_equal(drawn[13:27, 18:32], image[13:27, 18:32])
    np.testing.assert_array_equal(drawn[:7], image[:7])


def test_the_photo_s_border_is_no_outline():
    mask = np.zeros((10, 10), bool)
    mask[:, :4] = True
    along = line(mask, 2)
    assert along[5, 3] == along[5, 4] == 1
    assert along[0, 0] == along[9, 1] == 0
    assert line(np.ones((5, 5), bool), 2).max() == 0


def test_sixteen_bits_stay_sixteen(square):
    image, mask = square
    drawn = outlined(image.astype(np.uint16) * 257, mask, color=(255, 0, 0))
    assert drawn.dtype == np.uint16
    assert drawn[10, 25].tolist() == [65535, 0, 0]


def test_canny_s_edges_stand_beside_the_outline(square):
    _, mask = square
    image = np.where(mask[..., None], 220, 30).repeat(3, 2).astype(np.uint8)
    image[20:26, 20:26] = 30  # an edge inside the object, which the outline does not know
    pair = beside_canny(image, mask)
    gap = pair.shape[1] - 100
    assert pair.shape == (40, 100 + gap, 3)
    left, right = pair[:, :50, 0], pair[:, 50 + gap :, 0]
    assert left[10, 25] == 255
    assert left[19:27, 19:27].max() == 0
    assert right[17:29, 17:29].max() == 255
    assert (right[8:12] > 0).any()


def test_nothing_selected_has_no_outline(square):
    image, mask = square
    with pytest.raises(ValueError, match="nothing is selected"):
        outlined(image, np.zeros_like(mask), color=(1, 2, 3))
    with pytest.raises(ValueError, match="more than 0"):
        line(mask, 0)


def test_the_command_draws_both_kinds(square, tmp_path, monkeypatch, capsys):
    image, mask = square
    monkeypatch.chdir(tmp_path)
    Image.fromarray(image).save("photo.png")
    Image.fromarray(mask).save("mask.png")
    assert main(["outline", "photo.png", "--mask", "mask.png", "--color", "lime"]) == 0
    assert np.asarray(Image.open("photo-outline.png"))[10, 25].tolist() == [0, 255, 0]
    assert main(["outline", "photo.png", "--mask", "mask.png", "--canny", "-o", "pair.png"]) == 0
    assert Image.open("pair.png").width > 100
    assert main(["outline", "photo.png", "--mask", "mask.png", "--color", "nocolour", "-o", "x.png"]) != 0
    assert "--color nocolour: there is no such colour" in capsys.readouterr().err
    assert not Path("x.png").exists()
