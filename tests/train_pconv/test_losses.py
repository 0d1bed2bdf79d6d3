"""Every term of the loss against plain NumPy loops, written from the paper's equations."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from train_pconv.losses import TERMS, composite, gram, loss_terms, psnr, total_variation, windows

B, H, W = 2, 6, 5


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and output in -1..1, validity with a hole in each picture, one of them at the border."""
    rng = np.random.default_rng(0)
    truth, output = rng.uniform(-1, 1, (2, B, H, W, 3)).astype(np.float32)
    valid = np.ones((B, H, W, 1), np.float32)
    valid[0, 2:4, 1:4] = 0
    valid[1, :3, 0] = 0
    return truth, output, valid


def fake_features(x: np.ndarray) -> list[np.ndarray]:
    """Two maps of different size and depth, made by plain slicing, so that NumPy and Keras make the same."""
    return [x[:, ::2, ::2], ops.concatenate([x[:, 1::2, :-1:2], x[:, 1::2, 1::2]], axis=-1)]


def numpy_features(x: np.ndarray) -> list[np.ndarray]:
    return [x[:, ::2, ::2], np.concatenate([x[:, 1::2, :-1:2], x[:, 1::2, 1::2]], axis=-1)]


def terms_of(pictures: tuple[np.ndarray, ...], **options: object) -> dict[str, float]:
    terms = loss_terms(*map(ops.convert_to_tensor, pictures), features=fake_features, **options)  # type: ignore[arg-type]
    return {name: float(ops.convert_to_numpy(term)) for name, term in terms.items()}


def test_the_terms_are_those_of_the_paper(pictures: tuple[np.ndarray, ...]) -> None:
    assert set(terms_of(pictures)) == set(TERMS)


def test_valid_and_hole_are_means_over_all_elements(pictures: tuple[np.ndarray, ...]) -> None:
    truth, output, valid = pictures
    known = hole = 0.0
    for b, y, x, c in np.ndindex(B, H, W, 3):
        error = abs(float(output[b, y, x, c]) - float(truth[b, y, x, c])) / (B * H * W * 3)
        known += error if valid[b, y, x, 0] == 1 else 0
        hole += error if valid[b, y, x, 0] == 0 else 0
    terms = terms_of(pictures)
    assert terms["valid"] == pytest.approx(known, rel=1e-5)
    assert terms["hole"] == pytest.approx(hole, rel=1e-5)


def test_the_perceptual_term_compares_the_output_and_the_composite(pictures: tuple[np.ndarray, ...]) -> None:
    truth, output, valid = pictures
    filled = np.where(valid == 1, truth, output)
    wanted = sum(
        np.abs(part - true).mean()
        for picture in (output, filled)
        for part, true in zip(numpy_features(picture), numpy_features(truth), strict=True)
    )
    assert terms_of(pictures)["perceptual"] == pytest.approx(wanted, rel=1e-5)


def numpy_gram(maps: np.ndarray) -> np.ndarray:
    """(C, C) of one (H, W, C) map, element by element."""
    height, width, channels = maps.shape
    out = np.zeros((channels, channels))
    for i, j in np.ndindex(channels, channels):
        out[i, j] = sum(float(maps[y, x, i]) * float(maps[y, x, j]) for y, x in np.ndindex(height, width))
    return out / (channels * height * width)


def test_gram_divides_the_products_of_channels_by_all_three_sizes() -> None:
    maps = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(np.float32)
    found = ops.convert_to_numpy(gram(ops.convert_to_tensor(maps)))
    np.testing.assert_allclose(found, [numpy_gram(m) for m in maps], rtol=1e-4, atol=1e-6)


def test_the_style_term_compares_gram_matrices(pictures: tuple[np.ndarray, ...]) -> None:
    truth, output, valid = pictures
    filled = np.where(valid == 1, truth, output)
    wanted = 0.0
    for picture in (output, filled):
        for parts, trues in zip(numpy_features(picture), numpy_features(truth), strict=True):
            channels = parts.shape[-1]
            each = [np.abs(numpy_gram(p) - numpy_gram(t)).sum() for p, t in zip(parts, trues, strict=True)]
            wanted += float(np.mean(each)) / channels**2  # 1 / (C * C) in front of the norm: equation 4
    assert terms_of(pictures)["style"] == pytest.approx(wanted, rel=1e-4)


def test_total_variation_counts_neighbours_in_the_hole_grown_by_one_pixel(pictures: tuple[np.ndarray, ...]) -> None:
    truth, output, valid = pictures
    filled = np.where(valid == 1, truth, output)
    grown = np.zeros((B, H, W), bool)
    for b, y, x in np.ndindex(B, H, W):
        grown[b, y, x] = (valid[b, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] == 0).any()
    wanted = 0.0
    for b, y, x in np.ndindex(B, H, W):
        for to_y, to_x in ((y + 1, x), (y, x + 1)):
            if to_y < H and to_x < W and grown[b, y, x] and grown[b, to_y, to_x]:
                wanted += np.abs(filled[b, to_y, to_x] - filled[b, y, x]).sum()
    assert terms_of(pictures)["tv"] == pytest.approx(wanted / (B * H * W * 3), rel=1e-5)


def test_total_variation_ignores_what_lies_far_from_the_hole() -> None:
    filled = np.random.default_rng(2).uniform(-1, 1, (1, 9, 9, 3)).astype(np.float32)
    hole = np.zeros((1, 9, 9, 1), np.float32)
    hole[0, 1, 1] = 1
    other = filled.copy()
    other[0, 4:] = 0
    both = [
        float(ops.convert_to_numpy(total_variation(*map(ops.convert_to_tensor, (f, hole))))) for f in (filled, other)
    ]
    assert both[0] == both[1] > 0


def test_only_the_composite_can_be_compared(pictures: tuple[np.ndarray, ...]) -> None:
    truth, output, valid = pictures
    filled = np.where(valid == 1, truth, output)
    wanted = sum(np.abs(a - b).mean() for a, b in zip(numpy_features(filled), numpy_features(truth), strict=True))
    assert terms_of(pictures, raw_too=False)["perceptual"] == pytest.approx(wanted, rel=1e-5)


def test_a_share_of_the_batch_is_its_first_pictures(pictures: tuple[np.ndarray, ...]) -> None:
    first = tuple(p[:1] for p in pictures)
    half, alone = terms_of(pictures, share=0.5), terms_of(first)
    assert half["perceptual"] == pytest.approx(alone["perceptual"], rel=1e-5)
    assert half["style"] == pytest.approx(alone["style"], rel=1e-5)
    assert half["hole"] == pytest.approx(terms_of(pictures)["hole"])


def test_a_window_lies_round_the_hole_and_inside_the_picture() -> None:
    picture = np.arange(2 * 6 * 8, dtype=np.float32).reshape(2, 6, 8, 1)
    hole = np.zeros((2, 6, 8, 1), np.float32)
    hole[0, 2:4, 3:5] = 1
    hole[1, 5, 7] = 1  # in the corner: the window is shifted
    (found,) = windows([ops.convert_to_tensor(picture)], ops.convert_to_tensor(hole), 4)
    found = ops.convert_to_numpy(found)
    np.testing.assert_array_equal(found[0], picture[0, 1:5, 2:6])
    np.testing.assert_array_equal(found[1], picture[1, 2:6, 4:8])


def test_only_the_window_can_be_compared() -> None:
    rng = np.random.default_rng(3)
    truth, output = rng.uniform(-1, 1, (2, 1, 8, 8, 3)).astype(np.float32)
    valid = np.ones((1, 8, 8, 1), np.float32)
    valid[0, 2:4, 2:4] = 0
    cut = tuple(p[:, 1:5, 1:5] for p in (truth, output, valid))
    windowed, alone = terms_of((truth, output, valid), window_px=4), terms_of(cut)
    assert windowed["style"] == pytest.approx(alone["style"], rel=1e-5)
    assert windowed["perceptual"] == pytest.approx(alone["perceptual"], rel=1e-5)
    assert windowed["hole"] == pytest.approx(alone["hole"] / 4, rel=1e-5)  # still a mean over the whole picture


def test_no_term_sees_the_output_where_the_composite_is_all_truth(pictures: tuple[np.ndarray, ...]) -> None:
    truth, output, _ = pictures
    whole = np.ones((B, H, W, 1), np.float32)
    np.testing.assert_array_equal(composite(truth, output, whole), truth)
    terms = terms_of((truth, output, whole), raw_too=False)
    assert terms["hole"] == terms["tv"] == terms["perceptual"] == terms["style"] == 0
    assert terms["valid"] > 0


def test_psnr_is_that_of_pictures_in_their_full_range() -> None:
    truth = np.zeros((1, 2, 2, 3), np.float32)
    filled = truth.copy()
    filled[0, 0, 0] = 0.2  # a tenth of the range
    hole = np.zeros((1, 2, 2, 1), np.float32)
    hole[0, 0, 0] = 1
    truth, filled, hole = map(ops.convert_to_tensor, (truth, filled, hole))
    assert float(psnr(truth, filled, hole)) == pytest.approx(20.0, abs=1e-3)
    assert float(psnr(truth, filled)) == pytest.approx(20.0 + 10 * np.log10(4), abs=1e-3)
