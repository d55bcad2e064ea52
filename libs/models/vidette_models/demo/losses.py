"""What training minimises: which grid points answer for which object, and how wrong their answers are.

Points near an object's middle, on the grid that fits its size, answer for it (centre sampling, FCOS, arXiv:1904.01355).
Classes use the quality focal loss (arXiv:2006.04388), boxes the generalised overlap (GIoU, arXiv:1902.09630).
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.nn import functional

from vidette_models.demo.network import STRIDES, edges

_SIZES: Final = ((0.0, 40.0), (28.0, 80.0), (60.0, 1e9))
"""Longest side in pixels that each grid learns; the ranges overlap so that no size falls between two grids."""
_REACH: Final = 1.5
"""How far, in strides, a point may lie from the middle of the object it answers for."""
_BOX_WEIGHT: Final = 2.0


def _assign(boxes: Any, classes: Any, points: Any) -> tuple[Any, Any]:
    """For each point whether it answers for an object, and for which: bool [B, A], int [B, A]. The smallest wins."""
    at, stride = points[:, :2], points[:, 2]
    level = (stride / STRIDES[0]).log2().round().long()
    lows, highs = stride.new_tensor(_SIZES)[level].unbind(1)
    middle, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    longest = size.amax(-1)[:, None]
    off = (at[None, :, None] - middle[:, None]).abs().amax(-1)
    inside = torch.minimum(at[None, :, None] - boxes[:, None, :, :2], boxes[:, None, :, 2:] - at[None, :, None])
    fits = (longest >= lows[None, :, None]) & (longest < highs[None, :, None])
    near = (inside.amin(-1) > 0) & (off < _REACH * stride[None, :, None])
    allowed = fits & near & (classes >= 0)[:, None]
    area = torch.where(allowed, size.prod(-1)[:, None], torch.inf)
    least, which = area.min(-1)
    return least < torch.inf, which


def _overlaps(found: Any, true: Any) -> tuple[Any, Any]:
    """Plain and generalised overlap of boxes [K, 4] pair by pair."""
    common = (torch.minimum(found[:, 2:], true[:, 2:]) - torch.maximum(found[:, :2], true[:, :2])).clamp(min=0)
    shared = common.prod(1)
    union = (found[:, 2:] - found[:, :2]).prod(1) + (true[:, 2:] - true[:, :2]).prod(1) - shared
    hull = (torch.maximum(found[:, 2:], true[:, 2:]) - torch.minimum(found[:, :2], true[:, :2])).prod(1)
    plain = shared / (union + 1e-7)
    return plain, plain - (hull - union) / (hull + 1e-7)


def detection_loss(raw: Any, boxes: Any, classes: Any, points: Any) -> Any:
    """Scalar loss of the network's output [B, A, 4 + C] against boxes [B, M, 4] and classes [B, M] (-1 for none)."""
    answering, which = _assign(boxes, classes, points)
    batch, place = answering.nonzero(as_tuple=True)
    targets = torch.zeros_like(raw[..., 4:])
    box_loss, weight = raw.sum() * 0, raw.new_tensor(1.0)
    if len(batch):
        mine = which[batch, place]
        found = edges(raw[batch, place, :4], points[place])
        plain, general = _overlaps(found, boxes[batch, mine])
        quality = plain.detach().clamp(min=0.05)
        weight = quality.sum().clamp(min=1)
        box_loss = ((1 - general) * quality).sum() / weight
        targets[batch, place, classes[batch, mine]] = quality
    logits = raw[..., 4:]
    surprise = (logits.sigmoid() - targets).detach().abs() ** 2
    plain_loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (plain_loss * surprise).sum() / weight + _BOX_WEIGHT * box_loss
