import itertools

import numpy as np
import pytest

from segment.crf import CrfConfig, GridFilter, dense_crf, features, mean_field
from segment.metrics import iou

FINE = CrfConfig(iterations=4, alike_weight=2.0, alike_reach=0.4, alike_colour=60.0, near_weight=1.0, near_reach=0.2)


def scene(hw=(5, 6), seed=0):
    """A photo whose left half is dark and right half bright, with noise, and unsure probabilities."""
    rng = np.random.default_rng(seed)
    bright = np.arange(hw[1]) >= hw[1] // 2
    image = np.where(bright[None, :, None], 180, 60) + rng.integers(-25, 25, (*hw, 3))
    return image.astype(np.uint8), rng.uniform(0.1, 0.9, hw).astype(np.float32)


def kernels(image, config):
    """The two kernels between all pairs of pixels, (N, N) each, by plain loops."""
    height, width = image.shape[:2]
    pixels = [(y, x) for y in range(height) for x in range(width)]
    longer = max(height, width)
    alike, near = np.zeros((2, len(pixels), len(pixels)))
    for i, (y0, x0) in enumerate(pixels):
        for j, (y1, x1) in enumerate(pixels):
            place = (y0 - y1) ** 2 + (x0 - x1) ** 2
            colour = sum((float(a) - float(b)) ** 2 for a, b in zip(image[y0, x0], image[y1, x1], strict=True))
            alike[i, j] = np.exp(
                -place / (2 * (config.alike_reach * longer) ** 2) - colour / (2 * config.alike_colour**2)
            )
            near[i, j] = np.exp(-place / (2 * max(config.near_reach * longer, 0.5) ** 2))
    return alike, near


def kernel(image, config):
    """The normalised and weighted sum of both, (N, N); 0 from a pixel to itself."""
    weights = (config.alike_weight, config.near_weight)
    total = sum(
        weight * one / np.sqrt(one.sum(1)[:, None] * one.sum(1)[None])
        for weight, one in zip(weights, kernels(image, config), strict=True)
    )
    np.fill_diagonal(total, 0)
    return total


def brute_force(probability, weights, iterations):
    """Mean field of two labels with Potts' penalty, as algorithm 1 of the paper has it, label by label."""
    energy = np.stack([-np.log(1 - probability.ravel()), -np.log(probability.ravel())])
    q = np.exp(-energy) / np.exp(-energy).sum(0)
    for _ in range(iterations):
        new = np.empty_like(q)
        for label in (0, 1):
            message = np.array(
                [sum(weights[i, j] * q[1 - label, j] for j in range(len(q[0]))) for i in range(len(q[0]))]
            )
            new[label] = np.exp(-energy[label] - message)
        q = new / new.sum(0)
    return q[1].reshape(probability.shape)


def test_mean_field_with_exact_sums_equals_brute_force():
    image, probability = scene()
    exact = [
        (weight, lambda values, one=one: (one @ values.ravel()).reshape(values.shape))
        for weight, one in zip((FINE.alike_weight, FINE.near_weight), kernels(image, FINE), strict=True)
    ]
    expected = brute_force(probability, kernel(image, FINE), FINE.iterations)
    np.testing.assert_allclose(mean_field(probability, exact, FINE.iterations), expected, atol=1e-5)


@pytest.mark.parametrize(("cells", "tolerance"), [(1.0, 0.05), (2.0, 0.015)])
def test_the_field_equals_brute_force_on_a_tiny_photo(cells, tolerance):
    image, probability = scene()
    config = CrfConfig(**{**FINE.__dict__, "cells_per_sigma": cells})
    expected = brute_force(probability, kernel(image, config), config.iterations)
    np.testing.assert_allclose(dense_crf(probability, image, config), expected, atol=tolerance)


def test_weak_fields_come_near_the_true_marginals_of_all_labellings():
    image, probability = scene((3, 4), seed=3)
    probability = 0.45 + 0.3 * probability
    config = CrfConfig(
        iterations=30, alike_weight=0.6, alike_reach=0.5, alike_colour=60.0, near_weight=0.4, near_reach=0.3,
        cells_per_sigma=2.0,
    )  # fmt: skip
    weights = kernel(image, config)
    flat = probability.ravel().astype(float)
    total, marginal = 0.0, np.zeros(12)
    for labels in itertools.product((0, 1), repeat=12):
        x = np.array(labels)
        differ = x[:, None] != x[None]
        score = np.where(x == 1, flat, 1 - flat).prod() * np.exp(-(weights * differ).sum() / 2)
        total += score
        marginal += score * x
    found = dense_crf(probability, image, config).ravel()
    assert np.abs(found - marginal / total).max() < 0.02
    assert np.abs(found - flat).max() > 0.05  # and it did change something


@pytest.mark.parametrize(("cells", "tolerance"), [(1.0, 0.12), (2.0, 0.03)])
def test_the_grid_s_sums_are_near_the_exact_ones(cells, tolerance):
    rng = np.random.default_rng(2)
    points = rng.normal(0, 2, (200, 3)).astype(np.float32)
    values = rng.uniform(0, 1, 200).astype(np.float32)
    distance = ((points[:, None] - points[None]) ** 2).sum(-1)
    exact = np.exp(-distance / 2) @ values
    found = GridFilter(points, cells_per_sigma=cells)(values)
    assert np.abs(found / exact - 1).mean() < tolerance


def test_features_are_places_and_colours_in_their_sigmas():
    image = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_allclose(features(image, 2.0, 3.0)[3], [0.5, 0.5, 3.0, 10 / 3, 11 / 3], rtol=1e-6)


def test_no_iteration_leaves_the_probabilities():
    probability = scene()[1]
    np.testing.assert_allclose(mean_field(probability, [], 3), probability, atol=1e-6)


def test_a_coarse_mask_gets_the_photo_s_edge():
    rng = np.random.default_rng(0)
    truth = np.zeros((60, 80), bool)
    truth[15:45, 20:60] = True
    image = np.clip(np.where(truth[..., None], (200, 90, 60), (60, 110, 80)) + rng.normal(0, 6, (60, 80, 3)), 0, 255)
    coarse = np.full((60, 80), 0.2, np.float32)
    coarse[10:48, 26:66] = 0.8
    before, after = coarse >= 0.5, dense_crf(coarse, image.astype(np.uint8)) >= 0.5
    assert iou(before, truth) < 0.75
    assert iou(after, truth) > 0.97


def test_arguments_are_left_as_they_were_and_checked():
    image, probability = scene()
    before = probability.copy()
    dense_crf(probability, image)
    np.testing.assert_array_equal(probability, before)
    with pytest.raises(ValueError, match="resize one"):
        dense_crf(probability[1:], image)
    with pytest.raises(ValueError, match="0 or more"):
        CrfConfig(iterations=-1)
