"""The compiled distance of two patches, beside NumPy's."""

import numpy as np
import pytest

from inpaint import patch_loops

RADIUS, CHANNELS = patch_loops.PATCH_RADIUS_PX, patch_loops.CHANNELS


def picture(channels: int, extreme: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(20, 24, channels) and a guide (20, 24, 3), uint8."""
    random = np.random.default_rng(channels)
    features, guide = (random.integers(0, 256, (20, 24, number), np.uint8) for number in (channels, 3))
    return np.where(features > 127, np.uint8(255), np.uint8(0)) if extreme else features, guide


def expected(features: np.ndarray, guide: np.ndarray, target: tuple[int, int], source: tuple[int, int]) -> float:
    """Mean squared difference a pixel, of the target's patch as far as it lies on the photo."""
    differences = [
        np.square(features[target[0] + y, target[1] + x].astype(float) - features[source[0] + y, source[1] + x]).sum()
        for y in range(-RADIUS, RADIUS + 1)
        for x in range(-RADIUS, RADIUS + 1)
        if 0 <= target[0] + y < len(features) and 0 <= target[1] + x < features.shape[1]
    ]
    local = np.square(guide[target].astype(float) - guide[source]).sum()
    return float(np.mean(differences) + patch_loops.GUIDE_WEIGHT * local)


@pytest.mark.parametrize("channels", [CHANNELS, 3])
@pytest.mark.parametrize("target", [(3, 3), (10, 12), (16, 20), (2, 3), (3, 2), (17, 20), (16, 21), (0, 0), (19, 23)])
def test_a_distance_is_that_of_the_two_patches_inside_and_at_the_border(channels, target):
    features, guide = picture(channels)
    for source in ((3, 3), (16, 20), (8, 5)):
        true = expected(features, guide, target, source)
        found = [
            patch_loops._distance(features.reshape(20, -1), guide, *target, *source, np.float32(bound))
            for bound in (np.inf, true + 1, true - 1)
        ]
        assert found[:2] == pytest.approx([true, true], rel=1e-6)
        assert found[2] == np.inf or true < 1


def test_the_largest_difference_there_is_does_not_overflow():
    features, guide = picture(CHANNELS, extreme=True)
    features[:7, :7], features[7:14, 7:14] = 0, 255
    found = patch_loops._distance(features.reshape(20, -1), guide, 3, 3, 10, 10, np.float32(np.inf))
    assert found == pytest.approx(expected(features, guide, (3, 3), (10, 10)), rel=1e-6)
