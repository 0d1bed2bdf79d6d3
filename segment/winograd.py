"""3x3 convolutions with a quarter of the multiplications (Winograd 1980; Lavin and Gray 2016, "Fast Algorithms for
Convolutional Neural Networks", F(4x4, 3x3)), for processors, whose libraries have none for 32-bit floats.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Lavin and Gray, section 4.3: of tiles of 6x6 pixels, 3x3 kernels and 4x4 results.
_PIXELS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_RESULT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
_AT_ONCE = 2**20  # floats
LEAST_CHANNELS = 128  # with fewer, turning tiles round takes longer than what is saved


class WinogradConv2d(nn.Module):
    """Takes the place of a 3x3 convolution of stride 1 and padding 1, for prediction alone."""

    kernel: Tensor  # (36, C, F)
    bias: Tensor | None
    pixels: Tensor  # (36, 36)
    result: Tensor  # (16, 36)

    def __init__(self, like: nn.Conv2d) -> None:
        super().__init__()
        turn = torch.tensor(_KERNEL, dtype=torch.float64)
        kernel = torch.einsum("ay,bx,ocyx->abco", turn, turn, like.weight.detach().double())
        self.register_buffer("kernel", kernel.reshape(36, like.in_channels, like.out_channels).float().contiguous())
        self.register_buffer("bias", None if like.bias is None else like.bias.detach().clone())
        self.register_buffer("pixels", _both_ways(_PIXELS))
        self.register_buffer("result", _both_ways(_RESULT))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, F, H, W), channels last in memory."""
        batch, channels, height, width = x.shape
        down, across = -(-height // 4), -(-width // 4)
        x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 4 * across + 1 - width, 1, 4 * down + 1 - height))
        tiles = x.unfold(1, 6, 4).unfold(2, 6, 4).permute(4, 5, 0, 1, 2, 3)  # (6, 6, B, down, across, C): a view
        filters = self.kernel.shape[2]
        whole = x.new_empty(batch, down, 4, across, 4, filters)
        # Row by row, as many at a time as the processor's cache holds.
        step = max(1, _AT_ONCE // max(1, 36 * batch * across * max(channels, filters)))
        for row in range(0, down, step):
            part = tiles[:, :, :, row : row + step]
            rows = part.shape[3]
            count = batch * rows * across
            turned = (self.pixels @ part.reshape(36, count * channels)).view(36, count, channels)
            products = torch.bmm(turned, self.kernel).view(36, count * filters)
            found = (self.result @ products).view(4, 4, batch, rows, across, filters)
            whole[:, row : row + rows] = found.permute(2, 3, 0, 4, 1, 5)
        whole = whole.view(batch, 4 * down, 4 * across, filters)
        if self.bias is not None:
            whole += self.bias
        return whole[:, :height, :width].permute(0, 3, 1, 2)


def use_winograd(net: nn.Module) -> None:
    """Puts it in the place of every convolution of the net that it is faster than."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Conv2d and _suits(child):
                setattr(module, name, WinogradConv2d(child))


def _suits(layer: nn.Conv2d) -> bool:
    plain = layer.kernel_size == (3, 3) and layer.stride == layer.padding == layer.dilation == (1, 1)
    wide = min(layer.in_channels, layer.out_channels) >= LEAST_CHANNELS
    return plain and wide and layer.groups == 1 and layer.padding_mode == "zeros"


def _both_ways(matrix: tuple[tuple[int, ...], ...]) -> Tensor:
    """The matrix that turns rows and columns of a tile at once."""
    once = torch.tensor(matrix, dtype=torch.float32)
    return torch.kron(once, once)
