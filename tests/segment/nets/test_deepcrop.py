from dataclasses import replace

import keras
import numpy as np
import pytest

from segment.nets import resnet, squeezenet
from segment.nets.deepcrop import (
    DEEPMASK,
    V1,
    V2,
    V2_50,
    DeepCropConfig,
    build_deepcrop,
    read_deepcrop,
    read_deepcrop_config,
    write_deepcrop,
)
from weights import WeightsError
from weights.nets import named_variables

TINY = DeepCropConfig(width=4, input_px=64, mask_px=16, bottleneck=8, hidden=24, score_hidden=8, unit_px=64)
# Parameters of ResNet-18 up to its fourth stage, as torchvision counts them, plus the batch norms' moving averages.
RESNET18 = 2_782_784 + 2 * 2_240
HEAD = (256 * 128 + 128) + (10 * 10 * 128 * 512 + 512) + (512 * 3136 + 3136)
SCORE = (512 * 1024 + 1024) + (1024 + 1)


def inputs_of(config, hw, *, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    planes = {"deepmask": 0, "v1": 3, "v2": 1}[config.variant]
    inputs = {"image": rng.uniform(0, 255, (batch, *hw, 3)).astype(np.float32)}
    return inputs | ({"planes": rng.uniform(0, 1, (batch, *hw, planes)).astype(np.float32)} if planes else {})


@pytest.mark.parametrize("variant", ["deepmask", "v1", "v2"])
def test_one_window_gives_one_mask_and_one_score(variant):
    config = replace(TINY, variant=variant)
    outputs = build_deepcrop(config)(inputs_of(config, (96, 96)))
    assert outputs["mask"].shape == (2, 1, 1, 256)
    assert ("score" in outputs) == (variant != "v1")
    assert variant == "v1" or outputs["score"].shape == (2, 1, 1, 1)


def test_a_larger_picture_gives_a_window_every_sixteen_pixels():
    outputs = build_deepcrop(TINY)(inputs_of(TINY, (96 + 32, 96 + 80)))
    assert outputs["mask"].shape == (2, 3, 6, 256)
    assert outputs["score"].shape == (2, 3, 6, 1)


def test_a_window_of_a_flat_picture_is_answered_as_when_it_is_alone():
    # Flat, so that what lies beyond the window's border is what symmetric padding makes of it.
    net, config = build_deepcrop(TINY), TINY
    large = {
        name: np.full_like(a, 0.5 if name == "planes" else 90) for name, a in inputs_of(config, (144, 160)).items()
    }
    one = {name: a[:, :96, :96] for name, a in large.items()}
    alone, among = net(one)["mask"][:, 0, 0], net(large)["mask"]
    for y in range(4):
        for x in range(5):
            np.testing.assert_allclose(among[:, y, x], alone, atol=1e-4)


def test_parameters_are_as_many_as_published():
    assert build_deepcrop(DEEPMASK).count_params() == RESNET18 + HEAD + SCORE
    assert build_deepcrop(V2).count_params() == RESNET18 + 7 * 7 * 64 + HEAD + SCORE  # the fourth plane
    assert build_deepcrop(V1).count_params() == RESNET18 + HEAD + 10 * 10 * 3 * 512


def test_resnet50_ends_at_its_fourth_stage_and_takes_the_distance_too():
    net = build_deepcrop(V2_50)
    assert net.get_layer("conv4_block6_out").output.shape[-1] == 1024
    assert not any(layer.name.startswith("conv5") for layer in net.layers)
    assert net.get_layer("conv1_conv").weights[0].shape == (7, 7, 4, 64)
    assert net.output["mask"].shape == (None, None, None, 3136)


def test_imagenet_weights_are_turned_to_rgb_and_the_distance_starts_unheard():
    source = keras.applications.ResNet50(include_top=False, weights=None)
    x = keras.Input((None, None, 4))
    net = keras.Model(x, resnet.features(x, "resnet50"))
    resnet.copy_resnet50(source, net)
    rgb = np.random.default_rng(0).uniform(-100, 100, (1, 64, 64, 3)).astype(np.float32)
    bgr = rgb[..., ::-1].copy()
    expected = keras.Model(source.input, source.get_layer("conv4_block6_out").output)(bgr)
    for distance in (0.0, 50.0):
        found = net(np.concatenate([rgb, np.full((1, 64, 64, 1), distance, np.float32)], axis=3))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_squeezenet_takes_the_place_of_the_published_encoder(tmp_path):
    config = replace(TINY, encoder="squeezenet")
    net, inputs = build_deepcrop(config), inputs_of(config, (96, 96))
    assert net.get_layer("conv1").kernel.shape == (3, 3, 4, 64)
    assert np.isfinite(net(inputs)["mask"]).all()
    write_deepcrop(tmp_path / "net.npz", net, config, float16=False)
    read, read_config = read_deepcrop(tmp_path / "net.npz")
    assert read_config == config
    np.testing.assert_allclose(read(inputs)["mask"], net(inputs)["mask"], atol=1e-5)


def test_squeezenets_weights_leave_the_distance_unheard(tmp_path):
    config = replace(TINY, encoder="squeezenet")
    source = keras.Model(*_squeezenet())
    arrays = {
        f"{key}/{kind}": np.asarray(getattr(source.get_layer(name), kind))
        for name, key in squeezenet.LAYERS.items()
        for kind in ("kernel", "bias")
    }
    arrays["conv1/kernel"] = arrays["conv1/kernel"][:, :, ::-1]  # the public file's order is BGR
    np.savez(tmp_path / "public.npz", **arrays)
    net, inputs = build_deepcrop(config), inputs_of(config, (96, 96))
    squeezenet.start_from(net, tmp_path / "public.npz")
    until = keras.Model(net.input, net.get_layer("fire9").output)
    for planes in (inputs["planes"], 1 - inputs["planes"]):
        found = until(inputs | {"planes": planes})
        np.testing.assert_allclose(found, source(inputs["image"]), rtol=1e-4, atol=1e-3)


def _squeezenet():
    x = keras.Input((None, None, 3))
    return x, squeezenet.features(x)[16]


def test_the_distance_changes_the_answer_of_v2():
    net, inputs = build_deepcrop(TINY), inputs_of(TINY, (96, 96))
    other = inputs | {"planes": 1 - inputs["planes"]}
    assert np.abs(np.asarray(net(inputs)["mask"]) - np.asarray(net(other)["mask"])).max() > 1e-3


@pytest.mark.parametrize("variant", ["deepmask", "v1", "v2"])
def test_a_written_net_is_read_back_with_its_config(tmp_path, variant):
    config = replace(TINY, variant=variant)
    net, inputs = build_deepcrop(config), inputs_of(config, (96, 96))
    write_deepcrop(tmp_path / "net.npz", net, config, {"steps": 7}, float16=False)
    read, read_config = read_deepcrop(tmp_path / "net.npz")
    assert read_config == config
    assert read_deepcrop_config(tmp_path / "net.npz") == (config, {"steps": 7})
    for name, logits in net(inputs).items():
        np.testing.assert_allclose(read(inputs)[name], logits, atol=1e-6)


def test_a_bundle_of_another_net_or_that_does_not_fit_is_a_weights_error(tmp_path):
    path = tmp_path / "net.npz"
    write_deepcrop(path, build_deepcrop(TINY), replace(TINY, hidden=25))
    with pytest.raises(WeightsError, match="does not fit"):
        read_deepcrop(path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a whole"):
        read_deepcrop(path)


def test_a_saved_keras_file_gives_the_same_answers(tmp_path):
    net, inputs = build_deepcrop(TINY), inputs_of(TINY, (96, 96))
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(again(inputs)["mask"], net(inputs)["mask"], atol=1e-6)


def test_names_of_variables_are_unique():
    net = build_deepcrop(TINY)
    assert len(named_variables(net)) == sum(len(layer.weights) for layer in net.layers)


@pytest.mark.parametrize(
    "change", [{"variant": "v3"}, {"encoder": "vgg"}, {"input_px": 150}, {"hidden": 0}], ids=lambda c: next(iter(c))
)
def test_a_config_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match=r"no variant|no encoder|multiple|1 or more"):
        replace(V2, **change)


def test_symmetric_padding_equals_numpy_s():
    x = np.random.default_rng(1).normal(size=(2, 5, 4, 3)).astype(np.float32)
    expected = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(resnet.SymmetricPadding(3)(x), expected)


@pytest.mark.parametrize("variant", ["v1", "v2"])
def test_a_narrow_net_learns_one_batch_by_heart(variant):
    keras.utils.set_random_seed(1)
    config = replace(TINY, variant=variant, dropout=0.0)
    rng = np.random.default_rng(3)
    inputs = inputs_of(config, (96, 96), batch=4)
    masks = np.zeros((4, 16, 16), np.float32)
    for mask, image, planes in zip(masks, inputs["image"], inputs["planes"], strict=True):
        y, x = rng.integers(2, 8, 2)
        mask[y : y + 6, x : x + 6] = 1
        shown = np.pad(np.kron(mask, np.ones((4, 4))), 16)
        image[:] = np.where(shown[..., None] > 0, 220, 40) + rng.normal(0, 5, image.shape)
        planes[:] = 1 - shown[..., None] * 0.8
    targets = {"mask": masks.reshape(4, 1, 1, 256)}
    if config.has_score:
        targets["score"] = np.array([1, 0, 1, 0], np.float32).reshape(4, 1, 1, 1)
    net = build_deepcrop(config)
    losses = {name: keras.losses.BinaryCrossentropy(from_logits=True) for name in targets}
    net.compile(keras.optimizers.Adam(3e-3), loss=losses)
    net.fit(inputs, targets, batch_size=4, epochs=80, verbose=0)
    outputs = net(inputs, training=True)
    assert ((np.asarray(outputs["mask"]) > 0) == (targets["mask"] > 0)).mean() > 0.99
    if config.has_score:
        assert ((np.asarray(outputs["score"]) > 0) == (targets["score"] > 0)).all()
