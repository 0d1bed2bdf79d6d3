from dataclasses import replace

import keras
import numpy as np
import pytest

from segment.mask_ops import grow, shrink
from segment.nets.pets_unet import (
    PetsUNetConfig,
    build_pets_unet,
    read_pets_unet,
    read_pets_unet_config,
    write_pets_unet,
)
from weights import WeightsError
from weights.nets import named_variables

TINY = PetsUNetConfig(filters=(8, 16), input_px=32)
# The report's table of output shapes, row by row, at 128x128x3.
PUBLISHED_SHAPES = {
    "pool1": (64, 64, 32),
    "pool2": (32, 32, 64),
    "pool3": (16, 16, 128),
    "pool4": (8, 8, 256),
    "pool5": (4, 4, 512),
    "up5b": (8, 8, 256),
    "up4b": (16, 16, 128),
    "up3b": (32, 32, 64),
    "up2b": (64, 64, 32),
    "mask_layer": (128, 128, 3),
}


def test_every_row_of_the_report_s_table_has_its_shape():
    net = build_pets_unet()
    assert {name: tuple(net.get_layer(name).output.shape[1:]) for name in PUBLISHED_SHAPES} == PUBLISHED_SHAPES
    assert sum(isinstance(layer, keras.layers.Conv2DTranspose) for layer in net.layers) == 5


def test_parameters_are_counted_by_hand():
    def conv(i, o):
        return 9 * i * o + o

    down = [(3, 32), (32, 64), (64, 128), (128, 256), (256, 512)]
    expected = sum(conv(i, o) + conv(o, o) + 2 * 4 * o for i, o in down)  # 4: batch norm's
    for below, skip, here in ((512, 512, 256), (256, 256, 128), (128, 128, 64), (64, 64, 32)):
        expected += conv(below, here) + conv(here + skip, here) + conv(here, here) + 2 * 4 * here
    assert build_pets_unet().count_params() == expected + conv(32, 32) + conv(32, 3)


def test_a_written_net_is_read_back_with_its_config(tmp_path, drawn_batch):
    net = build_pets_unet(TINY)
    write_pets_unet(tmp_path / "net.npz", net, TINY, {"steps": 7}, float16=False)
    read, config = read_pets_unet(tmp_path / "net.npz")
    assert config == TINY
    assert read_pets_unet_config(tmp_path / "net.npz") == (TINY, {"steps": 7})
    image = {"image": drawn_batch(32)[0]}
    np.testing.assert_allclose(read(image)["mask"], net(image)["mask"], atol=1e-6)
    assert len(named_variables(net)) == sum(len(layer.weights) for layer in net.layers)


def test_a_bundle_that_does_not_fit_its_config_is_a_weights_error(tmp_path):
    write_pets_unet(tmp_path / "net.npz", build_pets_unet(TINY), replace(TINY, filters=(8, 17)))
    with pytest.raises(WeightsError, match="does not fit"):
        read_pets_unet(tmp_path / "net.npz")


@pytest.mark.parametrize("change", [{"filters": ()}, {"classes": 1}, {"input_px": 30}])
def test_a_config_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match=r"1 or more|multiple of"):
        replace(TINY, **change)


def test_it_learns_one_batch_of_three_classes_by_heart(drawn_batch):
    keras.utils.set_random_seed(1)
    photos, masks = drawn_batch(32)
    classes = np.stack([np.where(shrink(m, 1), 0, np.where(grow(m, 1), 2, 1)) for m in masks])
    net = build_pets_unet(TINY)
    net.compile(
        keras.optimizers.Adam(1e-2), loss={"mask": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    )
    net.fit({"image": photos}, {"mask": classes}, batch_size=4, epochs=80, verbose=0)
    found = np.asarray(net({"image": photos}, training=True)["mask"]).argmax(-1)
    assert (found == classes).mean() > 0.98
