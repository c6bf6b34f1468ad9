"""Memory for what lives no longer than one chunk, used again by the next.

On a CPU fresh memory is paid for page by page: batched products of [96, 32, 32] took six times as long into new
tensors as into memory used before.
"""

import torch
from torch import Tensor


class Workspace:
    """Named buffers of [batch x heads, frames, d], contiguous: batched products into strided memory are slow.

    A tensor that came from a name is overwritten when that name is next asked for.
    """

    def __init__(self, batch: int, heads: int, dtype: torch.dtype, device: torch.device) -> None:
        self._batch, self._heads = batch, heads
        self._dtype, self._device = dtype, device
        self._buffers: dict[str, Tensor] = {}

    def empty(self, name: str, frames: int, d: int) -> Tensor:
        """[batch x heads, frames, d] of anything."""
        rows = self._batch * self._heads
        size = rows * frames * d
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size:
            buffer = torch.empty(size, dtype=self._dtype, device=self._device)
            self._buffers[name] = buffer
        return buffer[:size].view(rows, frames, d)

    def rows(self, name: str, x: Tensor) -> Tensor:
        """x [batch, heads, frames, d] as [batch x heads, frames, d], a view if strides and dtype allow it."""
        if x.dtype == self._dtype and x.stride(0) == x.stride(1) * self._heads and x.stride(3) == 1:
            return x.flatten(0, 1)
        flat = self.empty(name, *x.shape[2:])
        self.by_head(flat).copy_(x)
        return flat

    def extended(self, name: str, v: Tensor) -> Tensor:
        """v [batch, heads, frames, d] and a column of ones, as [batch x heads, frames, d + 1]."""
        frames, d = v.shape[2:]
        flat = self.empty(name, frames, d + 1)
        self.by_head(flat)[..., :d] = v
        flat[..., d] = 1
        return flat

    def scaled(self, name: str, x: Tensor, weights: Tensor | None) -> Tensor:
        """x [batch x heads, frames, d] times weights [batch or 1, heads or 1, frames, 1], or x if None."""
        if weights is None:
            return x
        flat = self.empty(name, *x.shape[1:])
        torch.mul(self.by_head(x), weights, out=self.by_head(flat))
        return flat

    def by_head(self, x: Tensor) -> Tensor:
        """[batch x heads, ...] seen as [batch, heads, ...]."""
        return x.view(self._batch, self._heads, *x.shape[1:])
