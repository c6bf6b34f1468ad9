"""Memory for what lives no longer than one block, used again by the next.

On a CPU fresh memory is paid for page by page: batched products of [96, 32, 32] took six times as long into new
tensors as into memory used before.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from .blocks import Block


class Workspace:
    """Named buffers [sequences, heads, chunks, frames, d] of a block, contiguous.

    A tensor that came from a name is overwritten when that name is next asked for; names belong to one method each.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device
        self._buffers: dict[tuple[object, ...], Tensor] = {}

    def empty(self, name: str, block: Block, frames: int, d: int) -> Tensor:
        """[sequences, heads, chunks, frames, d] of anything; `frames` and `d` may be any two sizes."""
        return self._buffer(torch.empty, name, block, frames, d)

    def read(self, name: str, x: Tensor, block: Block) -> Tensor:
        """The block's part of x [batch, heads, time, d], a view if strides and dtype suit batched products."""
        part = block.of(x)
        if part.dtype == self._dtype and part.stride(4) == 1 and _evenly_spaced(part):
            return part
        return self.empty(name, block, block.frames, x.shape[3]).copy_(part)

    def write(self, name: str, x: Tensor, block: Block) -> tuple[Tensor, Tensor]:
        """The block's part of x [batch, heads, time, d], and where to compute it: there, if it is contiguous.

        Batched products into strided memory are slow: they are made one by one.
        """
        part = block.of(x)
        if part.dtype == self._dtype and part.is_contiguous():
            return part, part
        return part, self.empty(name, block, block.frames, x.shape[3])

    def extended(self, name: str, v: Tensor, block: Block) -> Tensor:
        """The block's part of v [batch, heads, time, d] and a column of ones."""
        d = v.shape[3]
        # Made of ones, of which the last column stays.
        extended = self._buffer(torch.ones, name, block, block.frames, d + 1)
        extended[..., :d] = block.of(v)
        return extended

    def scaled(self, name: str, x: Tensor, weights: Tensor | None, block: Block) -> Tensor:
        """x [sequences, heads, chunks, frames, d] times weights that broadcast against it, or x if None."""
        if weights is None:
            return x
        return torch.mul(x, weights, out=self.empty(name, block, *x.shape[3:]))

    def _buffer(self, make: Callable[..., Tensor], name: str, block: Block, frames: int, d: int) -> Tensor:
        shape = (block.sequences, block.heads, block.chunks, frames, d)
        buffer = self._buffers.get((name, *shape))
        if buffer is None:
            buffer = self._buffers[name, *shape] = make(shape, dtype=self._dtype, device=self._device)
        return buffer


def flat(x: Tensor) -> Tensor:
    """[sequences, heads, chunks, frames, d] as [sequences x heads x chunks, frames, d], for batched products."""
    return x.view(-1, *x.shape[3:])


def _evenly_spaced(x: Tensor) -> bool:
    """Whether `flat` can be a view: one step leads through chunks, heads and sequences."""
    steps = [(n, step) for n, step in zip(x.shape[:3], x.stride(), strict=False) if n > 1]
    return all(outer == n * inner for (_, outer), (n, inner) in itertools.pairwise(steps))
