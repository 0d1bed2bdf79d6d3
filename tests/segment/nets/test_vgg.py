import keras
import numpy as np
import pytest

from segment.nets import vgg


def test_features_lie_before_each_pool_and_after_the_last():
    found = vgg.features(keras.Input((64, 64, 3)), "vgg11")
    assert {stride: tuple(x.shape[1:]) for stride, x in found.items()} == {
        1: (64, 64, 64),
        2: (32, 32, 128),
        4: (16, 16, 256),
        8: (8, 8, 512),
        16: (4, 4, 512),
        32: (2, 2, 512),
    }


def test_weights_of_keras_applications_see_rgb_as_they_saw_bgr():
    source = keras.applications.VGG19(include_top=False, weights=None, input_shape=(32, 32, 3))
    x = keras.Input((32, 32, 3))
    net = keras.Model(x, vgg.features(x, "vgg19")[32])
    vgg.copy_vgg19(source, net)
    rgb = np.random.default_rng(0).uniform(-100, 100, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(net(rgb), source(rgb[..., ::-1].copy()), rtol=1e-4, atol=1e-4)


def test_torchvision_s_vgg11_gives_the_same_features():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = []
    channels = 3
    for filters in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"):  # torchvision's "A"
        if filters == "pool":
            layers.append(torch.nn.MaxPool2d(2))
            continue
        layers += [torch.nn.Conv2d(channels, filters, 3, padding=1), torch.nn.ReLU()]
        channels = filters
    theirs = torch.nn.Sequential(*layers)
    arrays = {f"features.{name}": array.numpy() for name, array in theirs.state_dict().items()}
    x = keras.Input((32, 32, 3))
    net = keras.Model(x, vgg.features(x, "vgg11")[32])
    vgg.copy_torchvision(arrays, net, "vgg11")
    photo = np.random.default_rng(1).normal(size=(1, 32, 32, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(photo.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(net(photo), expected, rtol=1e-4, atol=1e-4)
    del arrays["features.3.bias"]
    with pytest.raises(ValueError, match=r"not torchvision's vgg11: features\.3"):
        vgg.copy_torchvision(arrays, net, "vgg11")
