"""The network: a small anchor-free detector on three scales, written to train in minutes on one processor core.

Every point of three grids (strides 8, 16, 32) says how likely each class is there and how far the four edges of the
object's box lie away. Only training and export need torch; whoever serves the detector has the ONNX file.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

STRIDES: Final = (8, 16, 32)
_WIDTHS: Final = (16, 24, 48, 96, 128)
_NECK: Final = 64
_WIDEST: Final = 5.0  # exp(5) strides is far wider than any picture: keeps early training finite


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3, groups: int = 1) -> Any:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(inplace=True),
    )


class Residual(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A bottleneck that adds to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width // 2, kernel=1), _conv(width // 2, width))

    def forward(self, x: Any) -> Any:
        return x + self.body(x)


def _head(outputs: int) -> Any:
    last = nn.Conv2d(_NECK, outputs, 1)
    nn.init.constant_(last.bias[:4], 0.7)  # boxes start about four strides wide
    nn.init.constant_(last.bias[4:], -4.6)  # and classes at one percent, or the empty points drown the first steps
    return nn.Sequential(
        _conv(_NECK, _NECK), _conv(_NECK, _NECK, kernel=5, groups=_NECK), _conv(_NECK, _NECK, kernel=1), last
    )


class DemoNetwork(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Float RGB [N, 3, H, W] scaled 0..1 -> [N, A, 4 + classes]: log edge distances in strides, class logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        w = _WIDTHS
        self.fine = nn.Sequential(_conv(3, w[0], 2), _conv(w[0], w[1], 2), _conv(w[1], w[2], 2), Residual(w[2]))
        self.middle = nn.Sequential(_conv(w[2], w[3], 2), Residual(w[3]))
        self.coarse = nn.Sequential(_conv(w[3], w[4], 2), Residual(w[4]), Residual(w[4]))
        self.lateral = nn.ModuleList(_conv(width, _NECK, kernel=1) for width in w[2:])
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.heads = nn.ModuleList(_head(4 + classes) for _ in STRIDES)

    def forward(self, x: Any) -> Any:
        fine = self.fine(2 * x - 1)
        middle = self.middle(fine)
        coarse = self.lateral[2](self.coarse(middle))
        middle = self.lateral[1](middle) + self.grow(coarse)
        fine = self.lateral[0](fine) + self.grow(middle)
        levels = zip(self.heads, (fine, middle, coarse), strict=True)
        return torch.cat([head(level).flatten(2) for head, level in levels], 2).transpose(1, 2)


def grid(height: int, width: int) -> Any:
    """The points of all levels: float [A, 3] of x, y in pixels and the stride, in the order of the network's output."""
    levels = []
    for stride in STRIDES:
        y = (torch.arange(height // stride) + 0.5) * stride
        x = (torch.arange(width // stride) + 0.5) * stride
        ys, xs = torch.meshgrid(y, x, indexing="ij")
        levels.append(torch.stack([xs, ys, torch.full_like(xs, float(stride))], -1).reshape(-1, 3))
    return torch.cat(levels)


def edges(raw: Any, points: Any) -> Any:
    """Boxes xyxy in pixels from the network's first four channels [..., A, 4] and `points` [A, 3]."""
    reach = raw.clamp(max=_WIDEST).exp() * points[:, 2:]
    return torch.cat([points[:, :2] - reach[..., :2], points[:, :2] + reach[..., 2:]], -1)


class ExportedDetector(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The graph that is exported: `yolo_raw`, i.e. [N, 4 + classes, A] of cx, cy, w, h in pixels and probabilities."""

    def __init__(self, network: Any, side: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("points", grid(side, side))

    def forward(self, images: Any) -> Any:
        raw = self.network(images)
        boxes = edges(raw[..., :4], self.points)
        middle, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        return torch.cat([middle, size, raw[..., 4:].sigmoid()], -1).transpose(1, 2)
