"""ResNet features (He et al. 2015): at a sixteenth of the picture as DeepMask uses them, or of all five stages.

ResNet-18 is built here; ResNet-50 and ResNet-152 are keras.applications'.
"""

from __future__ import annotations

import keras
from keras import layers, ops

STRIDE_PX = 16
ENCODERS = ("resnet18", "resnet50")
_RESNET50_END = "conv4_block6_out"
PYRAMIDS = {  # encoder -> stride -> keras.applications' name of the features
    "resnet50": {
        2: "conv1_relu",
        4: "conv2_block3_out",
        8: "conv3_block4_out",
        16: _RESNET50_END,
        32: "conv5_block3_out",
    },
    "resnet152": {
        2: "conv1_relu",
        4: "conv2_block3_out",
        8: "conv3_block8_out",
        16: "conv4_block36_out",
        32: "conv5_block3_out",
    },
}
# Means and deviations of ImageNet's pixels, RGB, as the public weights were trained with: torchvision's for ResNet-18
# and VGG-11, Caffe's (no deviations) for the nets of keras.applications.
_TORCHVISION = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_CAFFE = ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
_PIXELS = {
    "resnet18": _TORCHVISION,
    "vgg11": _TORCHVISION,
    "vgg19": _CAFFE,
    "resnet50": _CAFFE,
    "resnet152": _CAFFE,
}
_BN = {"epsilon": 1e-5, "momentum": 0.9}  # PyTorch's


@keras.saving.register_keras_serializable("clickaway")
class SymmetricPadding(layers.Layer):
    """Pads height and width by mirroring the border, its own pixels included.

    DeepMask's code replaces all zero padding by it: a window at the border is then no darker than one inside.
    Made of flips, because keras.ops.pad's "symmetric" is not the same on every backend.
    """

    def __init__(self, width_px: int, **kwargs):
        super().__init__(**kwargs)
        self.width_px = width_px

    def call(self, x):
        for axis in (1, 2):
            before = ops.flip(_edge(x, axis, slice(None, self.width_px)), axis)
            after = ops.flip(_edge(x, axis, slice(-self.width_px, None)), axis)
            x = ops.concatenate([before, x, after], axis)
        return x

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        grown = [None if side is None else side + 2 * self.width_px for side in (height, width)]
        return (batch, *grown, channels)

    def get_config(self):
        return {**super().get_config(), "width_px": self.width_px}


def _edge(x, axis, part):
    return x[:, part] if axis == 1 else x[:, :, part]


def normalised(image, encoder: str):
    """(B, H, W, 3) RGB 0..255 as the encoder's weights expect it."""
    means, deviations = _PIXELS[encoder]
    scale = [1 / deviation for deviation in deviations]
    offset = [-mean / deviation for mean, deviation in zip(means, deviations, strict=True)]
    return layers.Rescaling(scale, offset, name="normalise")(image)


def features(x, encoder: str, *, width: int = 64):
    """(B, H/16, W/16, C) features of (B, H, W, planes): C is 4 * width for "resnet18", 1024 for "resnet50".

    width: filters of ResNet-18's first layer, 64 as published. Raises ValueError for another encoder.
    """
    if encoder == "resnet18":
        return _resnet18(x, width)
    if encoder == "resnet50":
        trunk = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=x)
        return trunk.get_layer(_RESNET50_END).output
    raise ValueError(f"no encoder is called {encoder!r}: choose one of {', '.join(ENCODERS)}")


def pyramid(x, encoder: str) -> dict:
    """Stride -> features of (B, H, W, planes), of all five stages: 2, 4, 8, 16 and 32. H and W multiples of 32.

    Raises ValueError for an encoder that is not one of PYRAMIDS.
    """
    if encoder not in PYRAMIDS:
        raise ValueError(f"no encoder is called {encoder!r}: choose one of {', '.join(PYRAMIDS)}")
    make = {"resnet50": keras.applications.ResNet50, "resnet152": keras.applications.ResNet152}[encoder]
    trunk = make(include_top=False, weights=None, input_tensor=x)
    return {stride: trunk.get_layer(name).output for stride, name in PYRAMIDS[encoder].items()}


def copy_resnet50(source: keras.Model, net: keras.Model) -> None:
    """Copies the variables of keras.applications' ResNet-50, or ResNet-152, into the net's layers of those names.

    The public weights read BGR: their first kernel is turned round, so that the net reads RGB. Planes beyond the
    third, such as the distance from the click, start with weights of zero.
    """
    known = {layer.name: layer for layer in source.layers}
    for layer in net.layers:
        if not layer.weights or layer.name not in known:
            continue
        arrays = [ops.convert_to_numpy(variable) for variable in known[layer.name].weights]
        if layer.name == "conv1_conv":
            planes = layer.weights[0].shape[2]
            kernel = arrays[0][:, :, ::-1]
            more = ((0, 0), (0, 0), (0, planes - 3), (0, 0))
            arrays[0] = ops.convert_to_numpy(ops.pad(kernel.copy(), more))
        for variable, array in zip(layer.weights, arrays, strict=True):
            variable.assign(array)


def _resnet18(x, width: int):
    x = _conv(x, width, 7, 2, "conv1")
    x = layers.ReLU(name="conv1_relu")(x)
    x = SymmetricPadding(1, name="pool_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="pool")(x)  # (B, H/4, W/4, width)
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
        filters = width * 2 ** (stage - 1)
        for block in (1, 2):
            x = _block(x, filters, stride if block == 1 else 1, f"layer{stage}_{block}")
    return x  # (B, H/16, W/16, 4 * width)


def _block(x, filters: int, stride: int, name: str):
    """Two 3x3 convolutions and a shortcut: He et al. 2015, figure 5 left."""
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = layers.Conv2D(filters, 1, stride, use_bias=False, name=f"{name}_short")(x)
        shortcut = layers.BatchNormalization(name=f"{name}_short_bn", **_BN)(shortcut)
    x = _conv(x, filters, 3, stride, f"{name}_a")
    x = layers.ReLU(name=f"{name}_a_relu")(x)
    x = _conv(x, filters, 3, 1, f"{name}_b")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def _conv(x, filters: int, kernel_px: int, stride: int, name: str):
    x = SymmetricPadding(kernel_px // 2, name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, kernel_px, stride, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn", **_BN)(x)
