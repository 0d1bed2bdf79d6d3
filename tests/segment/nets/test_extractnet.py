from dataclasses import replace

import keras
import numpy as np
import pytest

from segment.metrics import iou
from segment.nets.extractnet import (
    ENCODERS,
    PUBLISHED,
    ExtractNetConfig,
    build_extractnet,
    read_extractnet,
    read_extractnet_config,
    write_extractnet,
)
from weights import WeightsError
from weights.nets import named_variables

TINY = ExtractNetConfig("plain", width=4, input_px=32)
# Convolutions of the encoders without their classifiers, as torchvision (VGG) and Keras (ResNet) count them.
ENCODER_PARAMETERS = {"vgg11": 9_220_480, "vgg19": 20_024_384, "resnet50": 23_587_712, "squeezenet": 722_496}
DECODER_LAYERS = {"plain": 3, "vgg11": 6, "vgg19": 6, "resnet50": 7}


def decoder_layers(net):
    names = ("reduce", *(f"up{2**power}" for power in range(5)), "mask_layer")
    return [layer for layer in net.layers if layer.name in names]


@pytest.mark.parametrize("encoder", ["vgg11", "vgg19", "resnet50", "squeezenet"])
def test_frozen_encoders_have_the_published_parameters_and_learn_none(encoder):
    net = build_extractnet(ExtractNetConfig(encoder, input_px=64))
    new = ("reduce", "up", "mask_layer")
    of_encoder = [layer for layer in net.layers if layer.weights and not layer.name.startswith(new)]
    assert sum(layer.count_params() for layer in of_encoder) == ENCODER_PARAMETERS[encoder]
    assert not any(layer.trainable_weights for layer in of_encoder)
    thawed = build_extractnet(ExtractNetConfig(encoder, input_px=64, frozen=False))
    assert len(thawed.trainable_weights) > len(net.trainable_weights)


@pytest.mark.parametrize("encoder", ["plain", "vgg11", "vgg19", "resnet50"])
def test_decoders_are_as_deep_as_in_the_report(encoder):
    # The plain encoder's third transposed convolution is followed by the layer that makes the mask.
    found = len(decoder_layers(build_extractnet(ExtractNetConfig(encoder, input_px=64))))
    assert found == DECODER_LAYERS[encoder] + (encoder == "plain")


@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name != "resnet152"])
def test_a_mask_has_the_photo_s_size(encoder):
    net = build_extractnet(ExtractNetConfig(encoder, width=4, input_px=64))
    logits = net({"image": np.zeros((2, 64, 64, 3), np.float32)})["mask"]
    assert logits.shape == (2, 64, 64, 1)
    assert np.isfinite(logits).all()


def test_resnet152_differs_from_resnet50_in_its_encoder_alone():
    deep, shallow = (build_extractnet(ExtractNetConfig(name, input_px=64)) for name in ("resnet152", "resnet50"))
    assert deep.count_params() - shallow.count_params() == 58_370_944 - 23_587_712
    assert deep.output["mask"].shape == (None, 64, 64, 1)


def test_the_simple_autoencoder_is_counted_by_hand():
    net = build_extractnet(replace(TINY, links=False, batch_norm=False))
    down = (9 * 3 * 4 + 4) + (9 * 4 * 8 + 8) + (9 * 8 * 16 + 16)
    up = (9 * 16 * 16 + 16) + (9 * 16 * 8 + 8) + (9 * 8 * 4 + 4)
    assert net.count_params() == down + up + (9 * 4 + 1)


def test_links_bring_the_encoder_s_features_into_the_decoder():
    with_links, without = (build_extractnet(replace(TINY, links=links)) for links in (True, False))
    assert with_links.get_layer("link2").output.shape == (None, 16, 16, 8 + 4)
    assert not any(layer.name.startswith("link") for layer in without.layers)


def test_prelu_has_one_parameter_a_layer():
    relu, prelu = (build_extractnet(replace(TINY, activation=name)) for name in ("relu", "prelu"))
    assert prelu.count_params() - relu.count_params() == 3


def test_every_net_of_the_report_s_table_is_there():
    assert len(PUBLISHED) == 12
    assert len(set(PUBLISHED.values())) == 12


def test_a_written_net_is_read_back_with_its_config(tmp_path, drawn_batch):
    net = build_extractnet(TINY)
    write_extractnet(tmp_path / "net.npz", net, TINY, {"steps": 7}, float16=False)
    read, config = read_extractnet(tmp_path / "net.npz")
    assert config == TINY
    assert read_extractnet_config(tmp_path / "net.npz") == (TINY, {"steps": 7})
    image = {"image": drawn_batch(32)[0]}
    np.testing.assert_allclose(read(image)["mask"], net(image)["mask"], atol=1e-6)
    assert len(named_variables(net)) == sum(len(layer.weights) for layer in net.layers)


def test_a_bundle_that_does_not_fit_its_config_is_a_weights_error(tmp_path):
    write_extractnet(tmp_path / "net.npz", build_extractnet(TINY), replace(TINY, width=5))
    with pytest.raises(WeightsError, match="does not fit"):
        read_extractnet(tmp_path / "net.npz")


def test_a_saved_keras_file_gives_the_same_answers(tmp_path, drawn_batch):
    net, image = build_extractnet(TINY), {"image": drawn_batch(32)[0]}
    net.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(again(image)["mask"], net(image)["mask"], atol=1e-6)


@pytest.mark.parametrize("change", [{"encoder": "vgg16"}, {"activation": "elu"}, {"input_px": 100}, {"width": 0}])
def test_a_config_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match=r"no encoder|no activation|multiple of 32"):
        replace(TINY, **change)


def test_it_learns_one_batch_by_heart(drawn_batch):
    keras.utils.set_random_seed(1)
    photos, masks = drawn_batch(32)
    net = build_extractnet(replace(TINY, width=8))
    net.compile(keras.optimizers.Adam(1e-2), loss={"mask": keras.losses.BinaryCrossentropy(from_logits=True)})
    net.fit({"image": photos}, {"mask": masks[..., None].astype(np.float32)}, batch_size=4, epochs=60, verbose=0)
    found = np.asarray(net({"image": photos}, training=True)["mask"])[..., 0] > 0
    assert iou(found, masks) > 0.95
