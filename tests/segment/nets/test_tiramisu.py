from dataclasses import replace

import keras
import numpy as np
import pytest

from segment.metrics import iou
from segment.nets.tiramisu import (
    PUBLISHED,
    TiramisuConfig,
    build_tiramisu,
    read_tiramisu,
    read_tiramisu_config,
    write_tiramisu,
)
from weights import WeightsError
from weights.nets import named_variables

TINY = TiramisuConfig(down=(2, 2), bottleneck=2, growth=4, first=8, dropout=0.0, input_px=32)
# Table 3 of the paper, in millions, with CamVid's 11 classes. The smallest as described has 1.4, not the printed 1.5.
PUBLISHED_MILLIONS = {56: (1.5, 0.11), 67: (3.5, 0.05), 103: (9.4, 0.05)}


@pytest.mark.parametrize("layers", PUBLISHED)
def test_layers_and_parameters_are_as_many_as_published(layers):
    net = build_tiramisu(replace(PUBLISHED[layers], classes=11))
    assert sum(isinstance(one, keras.layers.Conv2D | keras.layers.Conv2DTranspose) for one in net.layers) == layers
    millions, tolerance = PUBLISHED_MILLIONS[layers]
    assert net.count_params() / 1e6 == pytest.approx(millions, abs=tolerance)


def test_every_level_of_the_largest_has_the_published_channels():
    net = build_tiramisu(PUBLISHED[103])

    def channels(name):
        return net.get_layer(name).output.shape[-1]

    assert [channels(f"down{level}") for level in range(1, 6)] == [112, 192, 304, 464, 656]  # table 2 of the paper
    assert channels("pool5") + channels("new5") == 896
    up = [
        channels(f"skip{level}") + count * 16 for level, count in zip(range(5, 0, -1), (12, 10, 7, 5, 4), strict=True)
    ]
    assert up == [1088, 816, 576, 384, 256]  # the paper prints 578 for the third


@pytest.mark.parametrize("hw", [(32, 32), (64, 32)])
def test_a_mask_has_the_photo_s_size_and_a_channel_a_class(hw):
    logits = build_tiramisu(TINY)({"image": np.zeros((2, *hw, 3), np.float32)})["mask"]
    assert logits.shape == (2, *hw, 2)


def test_a_written_net_is_read_back_with_its_config(tmp_path, drawn_batch):
    net = build_tiramisu(TINY)
    write_tiramisu(tmp_path / "net.npz", net, TINY, {"steps": 7}, float16=False)
    read, config = read_tiramisu(tmp_path / "net.npz")
    assert config == TINY
    assert read_tiramisu_config(tmp_path / "net.npz") == (TINY, {"steps": 7})
    image = {"image": drawn_batch(32)[0]}
    np.testing.assert_allclose(read(image)["mask"], net(image)["mask"], atol=1e-6)
    assert len(named_variables(net)) == sum(len(layer.weights) for layer in net.layers)


def test_a_bundle_that_does_not_fit_its_config_is_a_weights_error(tmp_path):
    write_tiramisu(tmp_path / "net.npz", build_tiramisu(TINY), replace(TINY, growth=5))
    with pytest.raises(WeightsError, match="does not fit"):
        read_tiramisu(tmp_path / "net.npz")


@pytest.mark.parametrize("change", [{"down": ()}, {"growth": 0}, {"classes": 1}, {"input_px": 30}])
def test_a_config_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match=r"1 or more|multiple of"):
        replace(TINY, **change)


def test_it_learns_one_batch_by_heart(drawn_batch):
    keras.utils.set_random_seed(1)
    photos, masks = drawn_batch(32)
    net = build_tiramisu(TINY)
    net.compile(
        keras.optimizers.RMSprop(3e-3), loss={"mask": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    )
    net.fit({"image": photos}, {"mask": masks.astype(np.int32)}, batch_size=4, epochs=80, verbose=0)
    found = np.asarray(net({"image": photos}, training=True)["mask"]).argmax(-1) == 1
    assert iou(found, masks) > 0.95
