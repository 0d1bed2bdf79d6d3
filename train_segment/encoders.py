"""ImageNet weights for encoders, from the files in which each of them is public."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segment.nets import extractnet, resnet, squeezenet, vgg


def start_encoder(net: Any, encoder: str, weights: str) -> None:
    """Gives the net's encoder its ImageNet weights.

    weights: for "vgg19", "resnet50" and "resnet152" the file of keras.applications without its top (.h5), or
    "imagenet", which downloads it; for "vgg11" torchvision's state dict (.pth); for "squeezenet" an .npz.
    Raises ValueError if the encoder takes none or the file is another's, FileNotFoundError if it is not there.
    """
    if weights != "imagenet" and not Path(weights).is_file():
        raise FileNotFoundError(f"there is no file {weights} with the encoder's weights")
    if encoder == "squeezenet":
        squeezenet.start_from(net, weights)
    elif encoder == "vgg11":
        vgg.copy_torchvision(_state_dict(weights), net, encoder)
    elif encoder in resnet.PYRAMIDS or encoder == "vgg19":
        import keras

        kinds = {
            "vgg19": keras.applications.VGG19,
            "resnet50": keras.applications.ResNet50,
            "resnet152": keras.applications.ResNet152,
        }
        source = kinds[encoder](include_top=False, weights=weights)
        if encoder == "vgg19":
            vgg.copy_vgg19(source, net)
        else:
            resnet.copy_resnet50(source, net)
    else:
        raise ValueError(
            f"the encoder {encoder!r} has no ImageNet weights: one of {', '.join(extractnet.ENCODERS[1:])}"
        )


def hold_back(net: Any, *, known: bool, rate: float, frozen: Sequence[str] = ()) -> dict[str, float]:
    """Has SqueezeNet's layers learn slower than the net's own, the first not at all. Returns the factors on the rate.

    known: its weights came from a file. Random ones learn like all others: what is to stay must be something first.
    rate: the factor. frozen: what the names of layers of net that stay as they are begin with.
    """
    for layer in net.layers:
        layer.trainable = not (known and layer.name.startswith(tuple(frozen)))
    return {"conv1": rate, "fire": rate} if known else {}


def _state_dict(path: str) -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        raise ValueError("torchvision's files are read by torch, which is not installed") from error
    if path == "imagenet":
        raise ValueError("vgg11 is not downloaded: give torchvision's vgg11 file (.pth)")
    return {name: tensor.numpy() for name, tensor in torch.load(path, map_location="cpu", weights_only=True).items()}
