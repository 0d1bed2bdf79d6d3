"""The net for prediction gives what the trained net gives, in any form that it can be trained in."""

import keras
import numpy as np
import pytest

from inpaint.fast_pconv import box_sum, build_fast_pconv, read_fast_pconv, sub_pixel_kernel
from inpaint.pconv import PConvInpainter
from inpaint.pconv_config import PConvUNetConfig
from inpaint.pconv_unet import build_pconv_unet, write_pconv
from weights import WeightsError
from weights.nets import named_variables

TOLERANCE = 1e-4  # float32 sums in another order
VARIANTS = {
    "one level": PConvUNetConfig(levels=1, width=4),
    "two levels, narrow": PConvUNetConfig(levels=2, width=2),
    "published layers": PConvUNetConfig(levels=3, width=4),
    "deep": PConvUNetConfig(levels=5, width=3),
    "over a pull-push fill": PConvUNetConfig(levels=3, width=4, pull_push_base=True),
    "that sees the fill": PConvUNetConfig(levels=3, width=4, pull_push_base=True, base_input=True, kernels=(5,)),
    "that sees the fill, with a head": PConvUNetConfig(
        levels=2, width=4, pull_push_base=True, base_input=True, head_width=3
    ),
    "with a head": PConvUNetConfig(levels=2, width=4, head_width=3),
    "with a head over a pull-push fill": PConvUNetConfig(levels=4, width=2, pull_push_base=True, head_width=2),
    "with residual layers": PConvUNetConfig(levels=3, width=4, residuals=2),
    "with residual layers and all else": PConvUNetConfig(
        levels=3, width=2, pull_push_base=True, base_input=True, head_width=3, residuals=1
    ),
}


def trained(config, seed=0):
    """A net whose every variable differs from where it starts, as after training; and those variables."""
    rng = np.random.default_rng(seed)
    model = build_pconv_unet(config)
    for name, variable in named_variables(model).items():
        if name.endswith("variance"):
            values = rng.uniform(0.5, 1.5, variable.shape)
        elif name.endswith("kernel"):  # as large as lets activations neither fade nor grow
            values = rng.normal(size=variable.shape) / np.sqrt(np.prod(variable.shape[:3]))
        else:
            values = rng.uniform(-0.5, 0.5, variable.shape) + (1 if name.endswith("gamma") else 0)
        variable.assign(values.astype(np.float32))
    return model, {name: keras.ops.convert_to_numpy(variable) for name, variable in named_variables(model).items()}


def photo(height_width, *, unknown, seed=0):
    """A batch of two: unknown everywhere in a box at the border, and elsewhere with that probability."""
    rng = np.random.default_rng(seed)
    valid = (rng.random((2, *height_width, 1)) >= unknown).astype(np.float32)
    valid[0, : height_width[0] // 2, height_width[1] // 2 :] = 0
    return rng.uniform(-1, 1, (2, *height_width, 3)).astype(np.float32), valid


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def both(request):
    model, arrays = trained(request.param)
    return request.param, model, arrays, build_fast_pconv(request.param, arrays)


@pytest.mark.parametrize("unknown", [0.0, 0.5, 0.97, 1.0])
def test_the_prediction_is_the_trained_nets(both, unknown):
    config, model, _, fast = both
    for rows, columns in ((1, 1), (2, 3)):
        inputs = photo((rows * config.multiple, columns * config.multiple), unknown=unknown)
        expected = keras.ops.convert_to_numpy(model(list(inputs), training=False))
        found = keras.ops.convert_to_numpy(fast(list(inputs)))
        assert found.dtype == np.float32
        assert unknown > 0.5 or np.ptp(expected) > 0.1  # two nets that both say nothing would agree
        np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=5e-6)  # random residual layers give hundreds


def test_what_the_hole_held_does_not_reach_the_prediction():
    config = VARIANTS["over a pull-push fill"]
    fast = build_fast_pconv(config, trained(config)[1])
    image, valid = photo((16, 16), unknown=0.5)
    before, after = fast([image, valid]), fast([np.where(valid > 0, image, 7).astype(np.float32), valid])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(after), keras.ops.convert_to_numpy(before))


def test_bfloat16_predicts_nearly_the_same_in_float32():
    config = VARIANTS["published layers"]
    model, arrays = trained(config)
    inputs = list(photo((16, 24), unknown=0.3))
    found = keras.ops.convert_to_numpy(build_fast_pconv(config, arrays, dtype="bfloat16")(inputs))
    assert found.dtype == np.float32
    error = np.abs(found - keras.ops.convert_to_numpy(model(inputs, training=False)))
    assert 0 < error.mean() < 0.02


def test_the_arrays_given_are_not_written_to(both):
    config, _, arrays, _ = both
    before = {name: array.copy() for name, array in arrays.items()}
    build_fast_pconv(config, arrays)
    assert arrays.keys() == before.keys()
    assert all(np.array_equal(arrays[name], before[name]) for name in before)


def test_a_sub_pixel_kernel_is_the_large_kernel_over_an_enlarged_map():
    rng = np.random.default_rng(0)
    small, kernel = rng.normal(size=(3, 4)), rng.normal(size=(3, 3, 1, 1)).astype(np.float32)
    large = np.pad(small.repeat(2, axis=0).repeat(2, axis=1), 1)
    expected = np.array([[(large[y : y + 3, x : x + 3] * kernel[..., 0, 0]).sum() for x in range(8)] for y in range(6)])
    around, four = np.pad(small, 1), sub_pixel_kernel(kernel)
    found = np.zeros((8, 10))
    for p in range(4):
        for q in range(5):
            window = around[p : p + 2, q : q + 2, None]
            found[2 * p : 2 * p + 2, 2 * q : 2 * q + 2] = (window * four[:, :, 0]).sum((0, 1)).reshape(2, 2)
    np.testing.assert_allclose(found[1:-1, 1:-1], expected, atol=1e-6)


def test_a_box_sum_counts_what_lies_in_each_window():
    known = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]], np.float32)[None, ..., None]
    expected = [[2, 2, 2, 1], [2, 2, 3, 2], [1, 1, 2, 1]]
    np.testing.assert_array_equal(np.asarray(box_sum(known, 3))[0, ..., 0], expected)
    np.testing.assert_array_equal(np.asarray(box_sum(known, 3, strides=2))[0, ..., 0], [[2, 2], [1, 2]])


def test_arrays_of_another_net_are_refused_by_name(tmp_path):
    config = VARIANTS["two levels, narrow"]
    arrays = trained(config)[1]
    with pytest.raises(WeightsError, match="enc2_bn/gamma is missing"):
        build_fast_pconv(config, {name: a for name, a in arrays.items() if name != "enc2_bn/gamma"})
    with pytest.raises(WeightsError, match=r"enc1/bias is \(5,\), expected \(2,\)"):
        build_fast_pconv(config, {**arrays, "enc1/bias": np.zeros(5, np.float32)})
    with pytest.raises(WeightsError, match="head/kernel belongs to no layer"):
        build_fast_pconv(config, {**arrays, "head/kernel": np.zeros((3, 3, 2, 3), np.float32)})
    (tmp_path / "net.npz").write_bytes(b"no bundle")
    with pytest.raises(WeightsError, match="not a whole"):
        read_fast_pconv(tmp_path / "net.npz")


def test_crops_of_new_sizes_are_filled_without_a_new_graph(tmp_path, monkeypatch):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("PyTorch makes no graphs, and JAX one for each of the few padded sizes")
    config = VARIANTS["two levels, narrow"]
    model, _ = trained(config)
    write_pconv(tmp_path / "net.npz", model, config)
    inpainter = PConvInpainter(weights=tmp_path / "net.npz")
    traced = []
    monkeypatch.setattr(type(model), "call", _counted(type(model).call, traced))  # every net's class
    rng = np.random.default_rng(0)
    for height, width in [(16, 16), (20, 31), (7, 40), (33, 12), (64, 5), (16, 16), (9, 9), (50, 50)]:
        hole = np.zeros((height, width), bool)
        hole[2:5, 2:4] = True
        inpainter.inpaint(rng.integers(0, 256, (height, width, 3), np.uint8), hole)
    assert len(traced) == 1


def _counted(call, traced):
    def counted(self, *arguments, **options):
        traced.append(1)
        return call(self, *arguments, **options)

    return counted
