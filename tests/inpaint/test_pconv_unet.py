import keras
import numpy as np
import pytest

from inpaint.partial_conv import PartialConv2D
from inpaint.pconv_config import PUBLISHED_256, PUBLISHED_512, PConvUNetConfig, read_config
from inpaint.pconv_unet import build_pconv_unet, freeze_encoder_bn, read_pconv, write_pconv
from weights import WeightsError
from weights.bundle import read_bundle, write_bundle
from weights.nets import named_variables

SMALL = PConvUNetConfig(levels=3, width=4)
VARIANTS = {
    "published": SMALL,
    "residual": PConvUNetConfig(levels=3, width=4, pull_push_base=True),
    "head": PConvUNetConfig(levels=3, width=4, head_width=3),
    "residual with head": PConvUNetConfig(levels=2, width=4, pull_push_base=True, head_width=3),
    "residual that sees the fill": PConvUNetConfig(
        levels=3, width=4, pull_push_base=True, base_input=True, kernels=(5, 3)
    ),
    "residual layers": PConvUNetConfig(levels=3, width=4, head_width=3, residuals=2),
}


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def photo(height_width=(16, 24), seed=0):
    rng = np.random.default_rng(seed)
    image = rng.uniform(-1, 1, size=(2, *height_width, 3)).astype(np.float32)
    valid = np.ones((2, *height_width, 1), np.float32)
    valid[:, 4:10, 5:12] = 0
    return image, valid


def randomise(model, seed=0):
    rng = np.random.default_rng(seed)
    for name, variable in named_variables(model).items():
        spread = rng.uniform(0.5, 1.5, variable.shape) if name.endswith("variance") else rng.normal(size=variable.shape)
        variable.assign(spread.astype(np.float32) * (1 if name.endswith("variance") else 0.2))


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def config(request):
    return request.param


def test_the_prediction_has_the_photos_size_at_any_multiple(config):
    model = build_pconv_unet(config)
    for height_width in ((8, 8), (16, 24), (40, 8)):
        image = np.zeros((1, *height_width, 3), np.float32)
        prediction = model([image, np.ones((1, *height_width, 1), np.float32)])
        assert tuple(prediction.shape) == image.shape


def test_what_the_hole_held_does_not_reach_the_prediction(config):
    model = build_pconv_unet(config)
    randomise(model)
    image, valid = photo()
    before, after = model([image, valid]), model([np.where(valid > 0, image, 7).astype(np.float32), valid])
    np.testing.assert_array_equal(to_numpy(after), to_numpy(before))


def test_the_prediction_is_float32_and_finite_under_mixed_precision(config):
    model = build_pconv_unet(config, dtype="mixed_bfloat16")
    image, valid = photo()
    prediction = to_numpy(model([image, valid]))
    assert prediction.dtype == np.float32
    assert np.isfinite(prediction).all()


def test_a_photo_without_a_known_pixel_gives_finite_values(config):
    image, valid = photo()
    assert np.isfinite(to_numpy(build_pconv_unet(config)([image, 0 * valid]))).all()


def test_a_net_over_a_base_starts_as_that_base():
    model = build_pconv_unet(VARIANTS["residual"])
    image, valid = photo()
    known = (valid > 0)[..., 0]
    np.testing.assert_allclose(to_numpy(model([image, valid]))[known], image[known], atol=1e-6)


def parameters(convolutions):
    """Weights of (kernel, in, out, normed) layers: batch norm brings scale and shift, its absence a bias."""
    return sum(k * k * i * o + (2 * o if normed else o) for k, i, o, normed in convolutions)


def test_the_512_pixel_net_has_the_published_layers():
    encoder = [(7, 3, 64, False), (5, 64, 128, True), (5, 128, 256, True), (3, 256, 512, True)]
    encoder += [(3, 512, 512, True)] * 4
    decoder = [(3, 1024, 512, True)] * 4 + [(3, 512 + 256, 256, True), (3, 256 + 128, 128, True)]
    decoder += [(3, 128 + 64, 64, True), (3, 64 + 3, 3, False)]
    model = build_pconv_unet(PUBLISHED_512)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert count == parameters(encoder + decoder)
    assert 32.5e6 < count < 33.5e6
    convolutions = [layer for layer in model.layers if isinstance(layer, PartialConv2D)]
    assert [layer.kernel_size for layer in convolutions] == [7, 5, 5] + [3] * 13
    assert [layer.strides for layer in convolutions] == [2] * 8 + [1] * 8


def test_the_256_pixel_net_has_seven_levels_each_way():
    names = [layer.name for layer in build_pconv_unet(PUBLISHED_256).layers if isinstance(layer, PartialConv2D)]
    assert names == [f"enc{i}" for i in range(1, 8)] + [f"dec{i}" for i in range(7, 0, -1)]


def test_the_keras_config_round_trip_builds_the_same_net(config):
    model = build_pconv_unet(config)
    randomise(model)
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    image, valid = photo()
    np.testing.assert_array_equal(to_numpy(again([image, valid])), to_numpy(model([image, valid])))


@pytest.mark.parametrize(("float16", "tolerance"), [(True, 2e-2), (False, 0)])
def test_a_bundle_keeps_the_net_its_config_and_the_extra_data(tmp_path, config, float16, tolerance):
    model = build_pconv_unet(config)
    randomise(model)
    path = tmp_path / "net.npz"
    write_pconv(path, model, config, {"steps": 1650}, float16=float16)
    assert read_config(path) == (config, {"steps": 1650})
    image, valid = photo()
    expected = to_numpy(model([image, valid]))
    error = np.abs(to_numpy(read_pconv(path)([image, valid])) - expected).max()
    assert error <= tolerance * np.abs(expected).max()


def test_the_names_in_a_bundle_are_those_of_the_layers():
    names = list(named_variables(build_pconv_unet(PConvUNetConfig(levels=2, width=4))))
    norm = ["gamma", "beta", "moving_mean", "moving_variance"]
    assert names == [
        *["enc1/kernel", "enc1/bias", "enc2/kernel"],
        *[f"enc2_bn/{name}" for name in norm],
        "dec2/kernel",
        *[f"dec2_bn/{name}" for name in norm],
        *["dec1/kernel", "dec1/bias"],
    ]


def test_writing_with_another_config_than_the_nets_is_refused(tmp_path):
    with pytest.raises(ValueError, match="config it was built with"):
        write_pconv(tmp_path / "net.npz", build_pconv_unet(SMALL), PConvUNetConfig(levels=3, width=8))
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_is_no_such_net_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "net.npz"
    write_pconv(path, build_pconv_unet(SMALL), SMALL)
    raw, arrays = read_bundle(path)

    write_bundle(path, {**raw, "architecture": "click_net"}, arrays)
    with pytest.raises(WeightsError, match="click_net"):
        read_pconv(path)
    write_bundle(path, {**raw, "net": {**raw["net"], "depth": 3}}, arrays)
    with pytest.raises(WeightsError, match="another version"):
        read_pconv(path)
    write_bundle(path, raw, {name: a for name, a in arrays.items() if name != "enc2_bn/gamma"})
    with pytest.raises(WeightsError, match="enc2_bn/gamma"):
        read_pconv(path)
    write_bundle(path, raw, {**arrays, "enc1/bias": np.zeros(5, np.float32)})
    with pytest.raises(WeightsError, match=r"enc1/bias is \(5,\), expected \(4,\)"):
        read_pconv(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsError, match="not a whole"):
        read_pconv(path)


def moving_means(model):
    return {n: to_numpy(v).copy() for n, v in named_variables(model).items() if n.endswith("moving_mean")}


def test_freezing_the_encoder_batch_norm_leaves_the_decoders_training():
    model = build_pconv_unet(SMALL)
    freeze_encoder_bn(model)
    before = moving_means(model)
    model(list(photo()), training=True)
    moved = {name for name, mean in moving_means(model).items() if not np.array_equal(mean, before[name])}
    assert moved == {"dec3_bn/moving_mean", "dec2_bn/moving_mean"}
    trainable = {v.path for v in model.trainable_variables}
    assert not any("enc" in path and "_bn" in path for path in trainable)
    assert {"enc2/kernel", "dec2_bn/gamma"} <= trainable


def test_thawing_brings_the_encoder_batch_norm_back():
    model = build_pconv_unet(SMALL)
    count = len(model.trainable_variables)
    freeze_encoder_bn(model)
    freeze_encoder_bn(model, frozen=False)
    assert len(model.trainable_variables) == count
    before = moving_means(model)
    model(list(photo()), training=True)
    assert all(not np.array_equal(mean, before[name]) for name, mean in moving_means(model).items())


def test_prediction_uses_the_moving_averages():
    model = build_pconv_unet(SMALL)
    before = moving_means(model)
    model(list(photo()), training=False)
    assert all(np.array_equal(mean, before[name]) for name, mean in moving_means(model).items())
    image, valid = photo()
    alone, together = model([image[:1], valid[:1]], training=False), model([image, valid], training=False)
    np.testing.assert_allclose(to_numpy(alone)[0], to_numpy(together)[0], atol=1e-5)


@pytest.mark.parametrize("options", [{"levels": 0}, {"width": 0}, {"head_width": -1}, {"residuals": -1}])
def test_impossible_nets_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        PConvUNetConfig(**options)


def test_a_fill_can_only_be_seen_where_there_is_one():
    with pytest.raises(ValueError, match="base_input needs a base"):
        PConvUNetConfig(base_input=True)
