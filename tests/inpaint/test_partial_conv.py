"""PartialConv2D against a plain NumPy loop of the paper's equations 1 and 2."""

import keras
import numpy as np
import pytest

from inpaint.partial_conv import PartialConv2D


def loop(features, valid, kernel, bias, strides):
    """Equations 1 and 2 window by window, validity repeated over every channel as the paper writes it."""
    x = np.concatenate(features, axis=-1)
    m = np.concatenate([np.repeat(v, f.shape[-1], axis=-1) for f, v in zip(features, valid, strict=True)], axis=-1)
    size, (batch, height, width, channels) = kernel.shape[0], x.shape
    side = ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0))
    x, m = np.pad(x * m, side), np.pad(m, side)
    rows, columns = -(-height // strides), -(-width // strides)
    outputs = np.zeros((batch, rows, columns, kernel.shape[-1]))
    new_valid = np.zeros((batch, rows, columns, 1))
    for b, i, j in np.ndindex(batch, rows, columns):
        window = np.s_[b, i * strides : i * strides + size, j * strides : j * strides + size]
        if (known := m[window].sum()) > 0:
            ratio = size * size * channels / known
            outputs[b, i, j] = np.tensordot(x[window], kernel, 3) * ratio + bias
            new_valid[b, i, j] = 1
    return outputs, new_valid


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def random_inputs(rng, height_width, channels, known=0.3):
    features = [rng.normal(size=(2, *height_width, c)).astype(np.float32) for c in channels]
    valid = [(rng.random((2, *height_width, 1)) < known).astype(np.float32) for _ in channels]
    return features, valid


@pytest.mark.parametrize("channels", [(3,), (5, 2)], ids=["one input", "two inputs"])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "height_width"),
    [(1, 1, (3, 4)), (3, 1, (6, 7)), (3, 2, (6, 8)), (3, 2, (7, 5)), (5, 2, (8, 9)), (7, 2, (12, 6)), (5, 3, (10, 7))],
)
def test_partial_conv_equals_a_plain_loop_of_the_equations(kernel_size, strides, height_width, channels):
    features, valid = random_inputs(np.random.default_rng(0), height_width, channels, known=0.15)
    layer = PartialConv2D(4, kernel_size, strides=strides, bias_initializer="random_normal")
    outputs, new_valid = layer(features, valid)
    kernel, bias = to_numpy(layer.kernel), to_numpy(layer.bias)
    expected, expected_valid = loop(features, valid, kernel, bias, strides)
    np.testing.assert_allclose(to_numpy(outputs), expected, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(new_valid), expected_valid)


def test_a_window_without_known_pixels_gives_zero_and_stays_unknown():
    features, _ = random_inputs(np.random.default_rng(1), (6, 6), (3,))
    layer = PartialConv2D(4, 3, bias_initializer="ones")
    outputs, new_valid = layer(features, [np.zeros((2, 6, 6, 1), np.float32)])
    assert not to_numpy(outputs).any()
    assert not to_numpy(new_valid).any()


def test_away_from_the_border_a_fully_known_input_gives_an_ordinary_convolution():
    features, _ = random_inputs(np.random.default_rng(2), (9, 8), (3,))
    layer = PartialConv2D(4, 5, bias_initializer="random_normal")
    outputs, new_valid = layer(features[0], np.ones((2, 9, 8, 1), np.float32))
    ordinary = keras.ops.conv(features[0], layer.kernel, padding="same", data_format="channels_last") + layer.bias
    np.testing.assert_allclose(to_numpy(outputs)[:, 2:-2, 2:-2], to_numpy(ordinary)[:, 2:-2, 2:-2], atol=1e-5)
    assert to_numpy(new_valid).all()


def test_one_known_pixel_is_weighted_as_if_it_filled_the_window():
    x = np.zeros((1, 3, 3, 1), np.float32)
    x[0, 1, 1] = 2
    valid = (x > 0).astype(np.float32)
    layer = PartialConv2D(1, 3, use_bias=False, kernel_initializer="ones")
    outputs, _ = layer(x, valid)
    assert to_numpy(outputs)[0, ..., 0].tolist() == [[18, 18, 18]] * 3  # 2 * 9 / 1, wherever the window holds it


def test_what_lies_at_unknown_places_is_never_looked_at():
    features, valid = random_inputs(np.random.default_rng(3), (6, 6), (3, 2))
    layer = PartialConv2D(4, 3)
    before, _ = layer(features, valid)
    after, _ = layer([np.where(v > 0, f, 1e6).astype(np.float32) for f, v in zip(features, valid, strict=True)], valid)
    np.testing.assert_array_equal(to_numpy(after), to_numpy(before))


def test_an_upsampled_first_input_equals_the_same_input_enlarged_before():
    rng = np.random.default_rng(4)
    (small,), (small_valid,) = random_inputs(rng, (3, 4), (5,))
    (skip,), (skip_valid,) = random_inputs(rng, (6, 8), (2,))
    layer = PartialConv2D(4, 3, upsample_first=True)
    outputs, new_valid = layer([small, skip], [small_valid, skip_valid])
    large, large_valid = (a.repeat(2, axis=1).repeat(2, axis=2) for a in (small, small_valid))
    expected, expected_valid = loop([large, skip], [large_valid, skip_valid], to_numpy(layer.kernel), 0, 1)
    np.testing.assert_allclose(to_numpy(outputs), expected, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(new_valid), expected_valid)


def test_gradients_equal_finite_differences():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("taken with TensorFlow's tape")
    features, valid = random_inputs(np.random.default_rng(5), (5, 6), (3, 2))
    layer = PartialConv2D(4, 3, strides=2)
    outputs, _ = layer(features, valid)
    weights = np.random.default_rng(6).normal(size=outputs.shape).astype(np.float32)

    def loss(x):
        return tf.reduce_sum(layer([x, features[1]], valid)[0] * weights)

    x = tf.constant(features[0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    by_input, by_kernel, by_bias = (g.numpy() for g in tape.gradient(value, [x, layer.kernel, layer.bias]))

    # The layer is linear in its input, kernel and bias, so that a difference over any step is exact.
    for index in [(0, 0, 0, 0), (1, 4, 5, 2), (0, 2, 3, 1)]:
        step = np.zeros_like(features[0])
        step[index] = 1
        np.testing.assert_allclose(loss(x + step) - value, by_input[index], atol=1e-4)
    for variable, gradient in ((layer.kernel, by_kernel), (layer.bias, by_bias)):
        start = variable.numpy()
        for index in [(0,) * start.ndim, tuple(n - 1 for n in start.shape)]:
            step = np.zeros_like(start)
            step[index] = 1
            variable.assign(start + step)
            np.testing.assert_allclose(loss(x) - value, gradient[index], atol=1e-4)
        variable.assign(start)
    unknown = valid[0][..., 0] == 0
    assert not by_input[unknown].any()


def test_half_precision_counts_exactly():
    features = [np.ones((1, 4, 4, 300), np.float32), np.ones((1, 4, 4, 1), np.float32)]
    valid = [np.ones((1, 4, 4, 1), np.float32), np.ones((1, 4, 4, 1), np.float32)]
    layer = PartialConv2D(1, 3, use_bias=False, kernel_initializer="ones", dtype="mixed_bfloat16")
    outputs, new_valid = layer(features, valid)  # 301 * 9 is no bfloat16
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert to_numpy(keras.ops.cast(outputs, "float32"))[0, 1, 1, 0] == pytest.approx(301 * 9, rel=2**-8)
    assert to_numpy(keras.ops.cast(new_valid, "float32")).all()


def test_config_round_trip_keeps_every_option():
    layer = PartialConv2D(6, 5, strides=2, use_bias=False, upsample_first=True, kernel_initializer="zeros", name="enc3")
    config = layer.get_config()
    assert PartialConv2D.from_config(config).get_config() == config
    assert (config["filters"], config["kernel_size"], config["strides"], config["name"]) == (6, 5, 2, "enc3")


@pytest.mark.parametrize("options", [{"kernel_size": 4}, {"kernel_size": 0}, {"kernel_size": 3, "strides": 0}])
def test_impossible_windows_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        PartialConv2D(4, **options)


def test_validity_of_several_channels_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="its own validity of one channel"):
        PartialConv2D(4, 3)(np.ones((1, 4, 4, 3), np.float32), np.ones((1, 4, 4, 3), np.float32))
