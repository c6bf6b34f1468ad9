"""The powers of the decay that weigh frames inside a chunk and at its borders, and their derivatives.

All are g^n for a number of frames n, which is negative where a weight is zero: frames that are not yet
seen, or lie beyond their sequence's end.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Chunk(NamedTuple):
    """Frames `start` to `end` of every sequence."""

    start: int
    end: int

    @property
    def frames(self) -> int:
        return self.end - self.start

    @property
    def here(self) -> slice:
        return slice(self.start, self.end)


def power(g: Tensor, n: Tensor) -> Tensor:
    """g^n where n >= 0, else 0."""
    return torch.where(n >= 0, g ** n.clamp(min=0), 0)


def slope(g: Tensor, n: Tensor) -> Tensor:
    """The derivative of `power` by g: n g^(n-1) where n >= 1, else 0."""
    return torch.where(n >= 1, n * g ** (n - 1).clamp(min=0), 0)


class Powers:
    """The weights of one call, as tensors that broadcast against [batch, heads, frames, ...].

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
        g = torch.ones(1, dtype=dtype, device=device) if decay is None else decay.detach().to(dtype)
        self._g = g.view(-1, 1, 1)
        self._decays = decay is not None
        self._lengths = None if lengths is None else lengths.to(dtype).view(-1, 1, 1, 1)
        self._made: dict[tuple[object, ...], Tensor] = {}

    def within(self, chunk: Chunk) -> Tensor:
        """g^(t-j), the weight of frame j at frame t of the chunk, 0 for j > t. [heads or 1, frames, frames]."""
        return self._make(power, self._distance, Chunk(0, chunk.frames))

    def within_slope(self, chunk: Chunk) -> Tensor:
        return self._make(slope, self._distance, Chunk(0, chunk.frames))

    def entering(self, chunk: Chunk) -> Tensor | None:
        """g^(t+1), the weight at frame t of the state that enters the chunk. [heads, frames, 1]."""
        return self._make(power, self._age, Chunk(0, chunk.frames)) if self._decays else None

    def entering_slope(self, chunk: Chunk) -> Tensor:
        return self._make(slope, self._age, Chunk(0, chunk.frames))

    def leaving(self, chunk: Chunk) -> Tensor | None:
        """g^(n-1-j), the weight of frame j in the state that leaves. [batch or 1, heads or 1, frames, 1].

        n is the number of the sequence's frames in this chunk; the weight is 0 for j >= n.
        """
        if not self._decays and self._lengths is None:
            return None
        return self._make(power, self._to_end, chunk)

    def leaving_slope(self, chunk: Chunk) -> Tensor:
        return self._make(slope, self._to_end, chunk)

    def kept(self, chunk: Chunk) -> Tensor | None:
        """g^n, the weight of the state that enters in the one that leaves. [batch or 1, heads, 1, 1]."""
        return self._make(power, self._count, chunk) if self._decays else None

    def kept_slope(self, chunk: Chunk) -> Tensor:
        return self._make(slope, self._count, chunk)

    def valid(self, chunk: Chunk) -> Tensor | None:
        """1 for frames of a sequence, 0 for those beyond its end. [batch, 1, frames, 1]."""
        if self._lengths is None:
            return None
        return (self._frame(chunk) < self._count(chunk)).to(self._g.dtype)

    def _make(
        self, function: Callable[[Tensor, Tensor], Tensor], exponent: Callable[[Chunk], Tensor], chunk: Chunk
    ) -> Tensor:
        if self._lengths is None:  # chunks of one length are alike, and there are one or two lengths
            chunk = Chunk(0, chunk.frames)
        key = (function, exponent, chunk)
        if key not in self._made:
            self._made[key] = function(self._g, exponent(chunk))
        return self._made[key]

    def _frame(self, chunk: Chunk) -> Tensor:
        return torch.arange(chunk.frames, dtype=self._g.dtype, device=self._g.device).unsqueeze(1)

    def _distance(self, chunk: Chunk) -> Tensor:
        frame = self._frame(chunk)
        return frame - frame.mT

    def _age(self, chunk: Chunk) -> Tensor:
        return self._frame(chunk) + 1

    def _to_end(self, chunk: Chunk) -> Tensor:
        return self._count(chunk) - 1 - self._frame(chunk)

    def _count(self, chunk: Chunk) -> Tensor:
        if self._lengths is None:
            return torch.full((1, 1, 1, 1), chunk.frames, dtype=self._g.dtype, device=self._g.device)
        return (self._lengths - chunk.start).clamp(0, chunk.frames)
