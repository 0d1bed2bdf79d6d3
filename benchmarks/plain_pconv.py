"""The partial-convolution U-Net in plain PyTorch, as the equations read and as it is usually published.

Liu et al. 2018, equations 1 and 2, with validity repeated over every channel and counted by a convolution with ones,
batch norm as a layer, upsampled maps and concatenations made in full: what a user would otherwise pick, to measure
against. Reads the same bundles as inpaint.pconv_unet and predicts the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from weights.bundle import read_bundle

_KERNELS = {1: 7, 2: 5, 3: 5}  # 3 from level 4 on
_NAMES = {  # of the variables here, behind the layer's name in a bundle
    ("conv", "weight"): "/kernel",
    ("conv", "bias"): "/bias",
    ("norm", "weight"): "_bn/gamma",
    ("norm", "bias"): "_bn/beta",
    ("norm", "running_mean"): "_bn/moving_mean",
    ("norm", "running_var"): "_bn/moving_variance",
}


class PlainPartialConv(nn.Module):
    """(features, valid), both (B, C, H, W), to the same of `filters` channels."""

    def __init__(self, channels: int, filters: int, size: int, stride: int, *, normed: bool, slope: float | None):
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, size, stride, size // 2, bias=not normed)
        self.count = nn.Conv2d(channels, filters, size, stride, size // 2, bias=False)
        nn.init.ones_(self.count.weight)
        self.norm = nn.BatchNorm2d(filters, eps=1e-5) if normed else None
        self.activation = None if slope is None else nn.LeakyReLU(slope)

    def forward(self, features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        count = self.count(valid)
        found = count > 0.5
        window = self.conv.weight[0].numel()
        x = functional.conv2d(features * valid, self.conv.weight, None, self.conv.stride, self.conv.padding)
        x = x * (window / count.clamp(min=1))
        if self.conv.bias is not None:
            x = x + self.conv.bias[:, None, None]
        x = torch.where(found, x, 0.0)
        x = self.norm(x) if self.norm else x
        return (self.activation(x) if self.activation else x), found.to(x.dtype)


class PlainPConvUNet(nn.Module):
    """`net(image, valid)`: (B, 3, H, W) in -1..1 and (B, 1, H, W) to (B, 3, H, W)."""

    def __init__(self, levels: int, width: int):
        super().__init__()
        filters = [3, *(width * min(2**level, 8) for level in range(levels))]
        self.encoder = nn.ModuleDict()
        self.decoder = nn.ModuleDict()
        for level in range(1, levels + 1):
            self.encoder[f"enc{level}"] = PlainPartialConv(
                filters[level - 1], filters[level], _KERNELS.get(level, 3), 2, normed=level > 1, slope=0.0
            )
        for level in range(levels, 0, -1):
            last = level == 1
            self.decoder[f"dec{level}"] = PlainPartialConv(
                filters[level] + filters[level - 1],
                filters[level - 1],
                3,
                1,
                normed=not last,
                slope=None if last else 0.2,
            )

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        skips = [(image, valid.expand_as(image))]
        for layer in self.encoder.values():
            skips.append(layer(*skips[-1]))
        x, known = skips.pop()
        for layer in self.decoder.values():
            skip, skip_known = skips.pop()
            x = torch.cat([functional.interpolate(x, scale_factor=2), skip], dim=1)
            known = torch.cat([functional.interpolate(known, scale_factor=2), skip_known], dim=1)
            x, known = layer(x, known)
        return x


def read_plain_pconv(path: Path) -> PlainPConvUNet:
    """The net of a bundle. Raises ValueError if it has a base or a head, which the published net has not."""
    config, arrays = read_bundle(path)
    net = config["net"]
    if net.get("pull_push_base") or net.get("head_width") or tuple(net.get("kernels", (7, 5, 5))) != (7, 5, 5):
        raise ValueError(f"{path} is not a net as published: it has a pull-push base, a head or other kernels")
    model = PlainPConvUNet(net["levels"], net["width"])
    state = model.state_dict()  # of which a bundle holds all but the kernels of ones that count
    for key in state:
        _, name, module, variable = key.split(".")
        array = arrays.get(name + _NAMES.get((module, variable), ""))
        if array is not None:
            state[key] = torch.from_numpy(
                np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array)
            )
    model.load_state_dict(state)
    return model.eval()
