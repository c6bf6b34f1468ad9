"""The powers of the decay that weigh frames inside a chunk, at its borders, and their derivatives.

All are g^n for a number of frames n, which is negative where a weight is zero: frames that are not yet
seen, or lie beyond their sequence's end.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .blocks import Block


def power(g: Tensor, n: Tensor) -> Tensor:
    """g^n where n >= 0, else 0."""
    return torch.where(n >= 0, g ** n.clamp(min=0), 0)


def slope(g: Tensor, n: Tensor) -> Tensor:
    """The derivative of `power` by g: n g^(n-1) where n >= 1, else 0."""
    return torch.where(n >= 1, n * g ** (n - 1).clamp(min=0), 0)


class Powers:
    """The weights of one call, as tensors that broadcast against [sequences, heads, chunks, frames, d] of a block.

    `None` stands for weights that are all 1. Each `…_slope` is the derivative by the decay, for a call that
    has one.

    Args:
        decay: [heads] or None.
        lengths: [batch] or None.
        device, dtype: of the weights.
    """

    def __init__(
        self, decay: Tensor | None, lengths: Tensor | None, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._g = None if decay is None else decay.detach().to(dtype).view(1, -1, 1, 1, 1)
        self._lengths = None if lengths is None else lengths.to(dtype).view(-1, 1, 1, 1, 1)
        self._device, self._dtype = device, dtype
        self._made: dict[tuple[object, ...], Tensor] = {}

    def within(self, block: Block) -> Tensor:
        """g^(t-j), the weight of frame j at frame t of a chunk, 0 for j > t. [1, heads or 1, 1, frames, frames]."""
        return self._make(power, _distance, block)

    def within_slope(self, block: Block) -> Tensor:
        return self._make(slope, _distance, block)

    def entering(self, block: Block) -> Tensor | None:
        """g^(t+1), the weight at frame t of the state that enters the chunk. [1, heads, 1, frames, 1]."""
        return None if self._g is None else self._make(power, _age, block)

    def entering_slope(self, block: Block) -> Tensor:
        return self._make(slope, _age, block)

    def leaving(self, block: Block) -> Tensor | None:
        """g^(n-1-j), the weight of frame j in what its chunk adds. [sequences or 1, heads or 1, chunks, frames, 1].

        n is the number of the sequence's frames in this chunk; the weight is 0 for j >= n.
        """
        return None if self._g is None and self._lengths is None else self._make(power, _to_end, block)

    def leaving_slope(self, block: Block) -> Tensor:
        return self._make(slope, _to_end, block)

    def kept(self, block: Block) -> Tensor | None:
        """g^n, what a state weighs that enters a chunk as it leaves. [sequences or 1, heads, chunks, 1, 1]."""
        return None if self._g is None else self._make(power, _count, block)

    def kept_slope(self, block: Block) -> Tensor:
        return self._make(slope, _count, block)

    def valid(self, block: Block) -> Tensor | None:
        """1 for frames of a sequence, 0 for those beyond its end. [sequences, 1, chunks, frames, 1]."""
        return None if self._lengths is None else self._make(_is_there, _to_end, block)

    def _make(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        exponent: Callable[[Tensor, Tensor], Tensor],
        block: Block,
    ) -> Tensor:
        """function(g, exponent), made for all heads and sequences at once, and seen by the block's.

        Only where sequences end does it matter when a block starts.
        """
        start = 0 if self._lengths is None else block.start
        key = (function, exponent, start, block.chunks, block.frames)
        if key not in self._made:
            frame = torch.arange(block.frames, dtype=self._dtype, device=self._device).unsqueeze(1)
            n = exponent(self._count(block), frame)
            self._made[key] = _is_there(n, n) if self._g is None else function(self._g, n)
        weights = self._made[key]
        if weights.shape[0] > 1:
            weights = weights.narrow(0, block.sequence, block.sequences)
        if weights.shape[1] > 1:
            weights = weights.narrow(1, block.head, block.heads)
        return weights

    def _count(self, block: Block) -> Tensor:
        """Frames of each chunk that its sequence has. [batch or 1, 1, chunks, 1, 1]."""
        start = block.frames * torch.arange(block.chunks, dtype=self._dtype, device=self._device)
        start = start.view(1, 1, -1, 1, 1)
        if self._lengths is None:
            return torch.full_like(start, block.frames)
        return (self._lengths - block.start - start).clamp(0, block.frames)


def _is_there(_: Tensor, n: Tensor) -> Tensor:
    """`power` for g = 1."""
    return (n >= 0).to(n.dtype)


def _distance(count: Tensor, frame: Tensor) -> Tensor:
    return (frame - frame.mT).expand(1, 1, 1, -1, -1)


def _age(count: Tensor, frame: Tensor) -> Tensor:
    return (frame + 1).expand(1, 1, 1, -1, -1)


def _count(count: Tensor, frame: Tensor) -> Tensor:
    return count


def _to_end(count: Tensor, frame: Tensor) -> Tensor:
    return count - 1 - frame
