from dataclasses import replace

import keras
import numpy as np
import pytest

from segment.metrics import iou
from segment.nets.configs import SubjectConfig, read_subject_config
from segment.nets.subject import build_subject, read_subject, write_subject
from weights import WeightsError
from weights.nets import named_variables

TINY = SubjectConfig(trunk=16, blocks=1, decoder=(12, 8, 6), input_px=32)


def test_the_net_fits_into_16_mib_of_float16():
    net = build_subject()
    assert 2 * net.count_params() < 16 * 2**20
    assert net.output["mask"].shape == (None, 256, 256, 1)


def test_its_encoder_is_squeezenet_with_one_normalisation_a_scale():
    net = build_subject(TINY)
    encoder = [layer for layer in net.layers if layer.name.startswith(("conv1", "fire"))]
    assert sum(layer.count_params() for layer in encoder) == 722_496
    assert sum(layer.name.startswith("normal") for layer in net.layers) == 4


def test_a_written_net_is_read_back_with_its_config(tmp_path, drawn_batch):
    net = build_subject(TINY)
    write_subject(tmp_path / "net.npz", net, TINY, {"steps": 7}, float16=False)
    read, config = read_subject(tmp_path / "net.npz")
    assert config == TINY
    assert read_subject_config(tmp_path / "net.npz") == (TINY, {"steps": 7})
    image = {"image": drawn_batch(32)[0]}
    np.testing.assert_allclose(read(image)["mask"], net(image)["mask"], atol=1e-5)
    assert len(named_variables(net)) == sum(len(layer.weights) for layer in net.layers)


def test_a_bundle_that_does_not_fit_its_config_is_a_weights_error(tmp_path):
    write_subject(tmp_path / "net.npz", build_subject(TINY), replace(TINY, trunk=17))
    with pytest.raises(WeightsError, match="does not fit"):
        read_subject(tmp_path / "net.npz")


@pytest.mark.parametrize("change", [{"decoder": (8, 8)}, {"trunk": 0}, {"input_px": 40}])
def test_a_config_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match=r"three sizes|1 or more|multiple of"):
        replace(TINY, **change)


def test_it_learns_one_batch_by_heart(drawn_batch):
    keras.utils.set_random_seed(1)
    photos, masks = drawn_batch(32)
    net = build_subject(TINY)
    net.compile(keras.optimizers.Adam(3e-3), loss={"mask": keras.losses.BinaryCrossentropy(from_logits=True)})
    net.fit({"image": photos}, {"mask": masks[..., None].astype(np.float32)}, batch_size=4, epochs=80, verbose=0)
    found = np.asarray(net({"image": photos}, training=True)["mask"])[..., 0] > 0
    assert iou(found, masks) > 0.9
