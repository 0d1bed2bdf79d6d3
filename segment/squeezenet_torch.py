"""SqueezeNet 1.1 (Iandola et al. 2016) in PyTorch, as a backbone of mmdet: the same numbers as segment.nets.squeezenet.

Imports torch and mmdet: only segment.mask_rcnn and its training import this file, when they need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from segment.small_mask_rcnn import CHANNELS, FROZEN
from weights import WeightsError

_FIRES = {  # name -> channels in, squeezed to, expanded to by each of its two kernels
    "fire2": (64, 16, 64),
    "fire3": (128, 16, 64),
    "fire4": (128, 32, 128),
    "fire5": (256, 32, 128),
    "fire6": (256, 48, 192),
    "fire7": (384, 48, 192),
    "fire8": (384, 64, 256),
    "fire9": (512, 64, 256),
}
_STAGES = {4: ("fire2", "fire3"), 8: ("fire4", "fire5"), 16: ("fire6", "fire7", "fire8", "fire9")}


class Fire(nn.Module):
    """Squeezes the channels by 1x1, then expands them by 1x1 and by 3x3 side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze1x1(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


@MODELS.register_module()
class SqueezeNet(BaseModule):
    """Features at strides 4, 8, 16 and 32, each normalised: SqueezeNet has no BN and its activations reach hundreds.

    Stride 32 is none of SqueezeNet's, whose features see no more than 207 pixels: two more fires, taught here, see 367.
    """

    def __init__(self, frozen: tuple[str, ...] = FROZEN, init_cfg: Any = None) -> None:
        """frozen: layers that stay as they are; they must be the first ones."""
        super().__init__(init_cfg)
        self.conv1 = nn.Conv2d(3, 64, 3, 2)
        for name, sizes in _FIRES.items():
            self.add_module(name, Fire(*sizes))
        self.top = nn.Sequential(Fire(512, 64, 256), Fire(512, 64, 256))
        self.norms = nn.ModuleDict({str(stride): nn.GroupNorm(16, count) for stride, count in CHANNELS.items()})
        for name in frozen:
            for parameter in getattr(self, name).parameters():
                parameter.requires_grad = False

    def features(self, x: Tensor) -> dict[int, Tensor]:
        """Stride -> SqueezeNet's own features, (B, CHANNELS[stride], H/stride, W/stride), for strides 4, 8 and 16.

        x: (B, 3, H, W) float RGB less the means of ImageNet in 0..255; H and W multiples of 16.
        """
        # Keras pads even sizes on the right and at the bottom alone; so does a pooling that rounds up.
        x = F.relu(self.conv1(F.pad(x, (0, 1, 0, 1))))
        found = {}
        for stride, fires in _STAGES.items():
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            for name in fires:
                x = getattr(self, name)(x)
            found[stride] = x
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The normalised features at strides 4, 8, 16 and 32. x: as in features, sides multiples of 32."""
        found = {stride: self.norms[str(stride)](part) for stride, part in self.features(x).items()}
        top = self.top(F.max_pool2d(found[16], 3, 2, ceil_mode=True))
        return (*found.values(), self.norms["32"](top))


def start_from(backbone: SqueezeNet, file: str | Path) -> None:
    """Gives the backbone SqueezeNet's ImageNet weights; the norms and the layers on top keep theirs.

    file: .npz with "conv1/kernel", "fire2/squeeze1x1/kernel" and so on, kernels (kh, kw, in, out) for BGR pixels.
    Raises ValueError if an array is missing or has another shape, WeightsError if the file is no whole .npz.
    """
    try:
        with np.load(Path(file), allow_pickle=False) as archive:
            arrays: Mapping[str, Any] = {name: archive[name].astype(np.float32) for name in archive.files}
    except Exception as error:  # a damaged file can fail anywhere in the readers, with any exception
        raise WeightsError(f"{file} is not a whole .npz file ({error})") from error
    for name, parameter in backbone.named_parameters():
        layer, _, kind = name.rpartition(".")
        if not layer.startswith(("conv1", "fire")):
            continue
        key = f"{layer.replace('.', '/')}/{'kernel' if kind == 'weight' else 'bias'}"
        array = arrays.get(key)
        if array is not None and kind == "weight" and array.ndim == 4:
            if layer == "conv1":
                array = array[:, :, ::-1]  # the public weights see BGR
            array = array.transpose(3, 2, 0, 1)
        if array is None or array.shape != tuple(parameter.shape):
            raise ValueError(f"{file} is not SqueezeNet 1.1: {key} must be there and fit {tuple(parameter.shape)}")
        parameter.data.copy_(torch.from_numpy(np.ascontiguousarray(array)))
