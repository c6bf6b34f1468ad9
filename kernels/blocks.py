"""How a call in chunks is cut into blocks: a few chunks of a few heads at a time, so that a core's cache holds them."""

from typing import NamedTuple

import torch
from torch import Tensor

# The work within chunks grows with their frames, that between them with the width of a head: for narrow heads shorter
# chunks are the fastest.
CHUNK = 48  # frames
SHORT_CHUNK = 32  # frames, where ...
NARROW = 32  # ... no head is wider than this
BLOCK = 2**17  # numbers of q, k or v in a block on a CPU: 512 KiB in float32
BLOCK_ELSEWHERE = 2**24  # accelerators want few launches, and do not live on their caches


class Block(NamedTuple):
    """`chunks` chunks of `frames` frames each, from frame `start` on, of some heads of a sequence or all of several."""

    sequence: int  # the first
    sequences: int
    head: int  # the first
    heads: int
    start: int
    chunks: int
    frames: int

    @property
    def rows(self) -> int:
        """Heads of all sequences."""
        return self.sequences * self.heads

    def of(self, x: Tensor) -> Tensor:
        """The block's part of x [batch, heads, time, d]: a view [sequences, heads, chunks, frames, d]."""
        sequence, head, frame, number = x.stride()
        first = self.sequence * sequence + self.head * head + self.start * frame
        shape = (self.sequences, self.heads, self.chunks, self.frames, x.shape[3])
        strides = (sequence, head, self.frames * frame, frame, number)
        return x.as_strided(shape, strides, x.storage_offset() + first)

    def state_of(self, states: Tensor) -> Tensor:
        """The block's part of states [batch, heads, d_v + 1, d_k]: a view."""
        sequences = slice(self.sequence, self.sequence + self.sequences)
        return states[sequences, self.head : self.head + self.heads]


def split(shape: torch.Size, width: int, device: torch.device) -> list[Block]:
    """Blocks that cover [batch, heads, time], the earlier before the later.

    Chunks have `CHUNK` or `SHORT_CHUNK` frames, but for the frames that are left over, which are a chunk of their own.

    Args:
        shape: begins with batch, heads, time.
        width: numbers of a frame, the larger of d_k and d_v.
        device: where the blocks are computed.
    """
    batch, heads, time = shape[:3]
    longest = SHORT_CHUNK if width <= NARROW else CHUNK
    room = (BLOCK if device.type == "cpu" else BLOCK_ELSEWHERE) // width
    blocks: list[Block] = []
    start = 0
    while start < time and batch * heads:
        frames = min(longest, time - start)
        rows = max(1, min(batch * heads, room // frames))
        at_once, sequences = min(heads, rows), max(1, rows // heads)
        chunks = max(1, min((time - start) // frames, room // (frames * at_once * sequences)))
        blocks += [
            Block(b, min(sequences, batch - b), h, min(at_once, heads - h), start, chunks, frames)
            for b in range(0, batch, sequences)
            for h in range(0, heads, at_once)
        ]
        start += chunks * frames
    return blocks
