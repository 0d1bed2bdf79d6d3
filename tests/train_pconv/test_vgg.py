"""The fixed nets whose features are compared, with random weights in their files' places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from train_pconv.config import TrainConfig
from train_pconv.fit import Run
from train_pconv.vgg import Vgg

SIZES = {"conv1_1": (3, 4), "conv1_2": (4, 4), "conv2_1": (4, 6), "conv2_2": (6, 6), "conv3_1": (6, 8)}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The layout of the truncated VGG-19, far fewer filters."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, (inputs, outputs) in SIZES.items():
        arrays[f"{name}/kernel"] = rng.normal(0, 0.2, (3, 3, inputs, outputs)).astype(np.float32)
        arrays[f"{name}/bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    np.savez(tmp_path / "vgg.npz", **arrays)
    return tmp_path / "vgg.npz"


def numpy_conv(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (H, W, F): 3x3, zeros around, ReLU, element by element."""
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    out = np.empty((height, width, kernel.shape[-1]))
    for y, column in np.ndindex(height, width):
        out[y, column] = np.tensordot(padded[y : y + 3, column : column + 3], kernel, 3) + bias
    return np.maximum(out, 0)


def test_the_first_map_is_that_of_bgr_pictures_less_the_imagenet_mean(weights: Path) -> None:
    picture = np.random.default_rng(1).uniform(-1, 1, (4, 6, 3)).astype(np.float32)
    arrays = np.load(weights)
    x = ((picture + 1) * 127.5)[..., ::-1] - np.array([103.939, 116.779, 123.68])
    for name in ("conv1_1", "conv1_2"):
        x = numpy_conv(x, arrays[f"{name}/kernel"], arrays[f"{name}/bias"])
    pooled = x.reshape(2, 2, 3, 2, -1).max((1, 3))
    maps = Vgg("vgg19-conv3", str(weights))(ops.convert_to_tensor(picture[None]))
    np.testing.assert_allclose(ops.convert_to_numpy(maps[0])[0], pooled, rtol=1e-3, atol=1e-2)
    assert [tuple(m.shape) for m in maps] == [(1, 2, 3, 4), (1, 1, 1, 6), (1, 1, 1, 8)]


def test_normalised_maps_have_a_mean_of_one(weights: Path) -> None:
    vgg = Vgg("vgg19-conv3", str(weights))
    pictures = np.random.default_rng(2).uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    vgg.normalise(pictures)
    for scaled in vgg(ops.convert_to_tensor(pictures)):
        assert float(np.mean(ops.convert_to_numpy(scaled))) == pytest.approx(1.0, rel=1e-4)


def test_nothing_of_the_fixed_net_is_trained(weights: Path, tiny: Callable[..., TrainConfig]) -> None:
    run = Run(tiny(perceptual="vgg19-conv3", vgg_weights=str(weights), steps_per_epoch=1, fine_tune_epochs=0))
    vgg = run.trainee._features
    before = [ops.convert_to_numpy(v).copy() for v in vgg.net.variables]
    assert run.trainee.trainable_variables == run.net.trainable_variables
    run.run()
    for old, variable in zip(before, vgg.net.variables, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(variable))


def test_missing_files_and_layers_are_one_clear_line(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.npz is not there"):
        Vgg("vgg19-conv3", str(tmp_path / "nowhere.npz"))
    np.savez(tmp_path / "short.npz", **{"conv1_1/kernel": np.zeros((3, 3, 3, 4))})
    with pytest.raises(ValueError, match="lacks conv1_1/kernel or conv1_1/bias"):
        Vgg("vgg19-conv3", str(tmp_path / "short.npz"))
    (tmp_path / "odd.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be an \.npz file"):
        Vgg("vgg19-conv3", str(tmp_path / "odd.h5"))
    with pytest.raises(ValueError, match="VGG16's weights cannot be had"):
        Vgg("vgg16", str(tmp_path / "odd.h5"))
