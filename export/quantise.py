"""int8 weights: one scale for each output channel, chosen for the least squared error; activations stay float32.

A weight is the product `levels * scale`, one rounded multiplication, whoever does it: the ONNX file and `rounded` hold
the same float32 numbers bit for bit, and neither a chunk's length nor a batch's other streams can change a result.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor

from ..asr.model.encoder import Encoder

HIGHEST_LEVEL = 127  # levels run from -127 to 127, so that zero is one of them and the scale has no offset
FEWEST_INPUTS = 32  # of an output channel, from which int8 and a float32 scale are worth it
# Shares of a channel's largest weight to give the highest level
CLIPS = tuple(1.0 - 0.02 * step for step in range(16))


class Int8(NamedTuple):
    """A weight as integers: `levels` int8, of the weight's shape; `scale` float32 `[outputs, 1, …]`."""

    levels: Tensor
    scale: Tensor

    def dequantise(self) -> Tensor:
        """The float32 weight that this stands for."""
        return self.levels.float() * self.scale


def quantise(weight: Tensor) -> Int8:
    """Round a weight `[outputs, inputs…]` to int8.

    Each output channel takes that one of `CLIPS` with the smallest squared error: to clip a lone large weight can leave
    finer levels for all others.
    """
    rows = weight.detach().cpu().float().flatten(1)
    largest = rows.abs().amax(dim=1, keepdim=True)
    largest = torch.where(largest > 0, largest, 1.0)  # of a channel of zeros any scale is right
    best_scale, best_error = torch.ones_like(largest), torch.full_like(largest, float("inf"))
    for clip in CLIPS:
        scale = largest * (clip / HIGHEST_LEVEL)
        error = (_levels(rows, scale) * scale - rows).square().sum(dim=1, keepdim=True)
        best_scale = torch.where(error < best_error, scale, best_scale)
        best_error = torch.minimum(error, best_error)
    levels = _levels(rows, best_scale).to(torch.int8).view(weight.shape)
    return Int8(levels, best_scale.view(-1, *[1] * (weight.dim() - 1)))


def quantise_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor | Int8]:
    """Of a `state_dict` the matrices and convolution kernels as int8, the rest (biases, norms, statistics) as it is."""
    return {
        name: quantise(weight) if weight.dim() > 1 and weight[0].numel() >= FEWEST_INPUTS else weight
        for name, weight in weights.items()
    }


def rounded(encoder: Encoder) -> Encoder:
    """A copy of `encoder` with the weights that its int8 file holds."""
    return with_weights(encoder, quantise_weights(encoder.state_dict()))


def with_weights(encoder: Encoder, weights: Mapping[str, Tensor | Int8]) -> Encoder:
    """A copy of `encoder` with `weights`, those in int8 dequantised."""
    encoder = deepcopy(encoder)
    encoder.load_state_dict({name: to_float32(weight) for name, weight in weights.items()})
    return encoder


def to_float32(weight: Tensor | Int8) -> Tensor:
    """A weight as float32, in whichever form it came."""
    return weight.dequantise() if isinstance(weight, Int8) else weight


def _levels(rows: Tensor, scale: Tensor) -> Tensor:
    return (rows / scale).round().clamp(-HIGHEST_LEVEL, HIGHEST_LEVEL)
