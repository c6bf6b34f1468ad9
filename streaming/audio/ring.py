"""Audio on its way from a capture callback, which must never wait, to a thread that may be late."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]


class Block(NamedTuple):
    """Samples that were captured in one piece."""

    start: int
    """Its first sample's index among all that were offered to the ring, taken or not."""
    samples: Samples
    """[n]"""
    arrived: float
    """When it was offered, in seconds on the writer's clock."""
    overflow: bool
    """Whether the source said that audio was lost just before this block, or before one that the ring refused."""


class Ring:
    """A fixed number of blocks between one thread that writes and one that reads.

    A block carries its own place in time, so that there is no list of losses to keep: what the ring had no room
    for is whatever lies between the end of one block and the start of the next. Neither side ever waits for the
    other. `_written` is changed by the writer alone and `_read` by the reader alone; a slot is filled before
    `_written` says so, and copied before `_read` does.
    """

    def __init__(self, slots: int, block: int) -> None:
        """Take all the memory at once: `slots` blocks of at most `block` samples."""
        self._samples: Samples = np.zeros((slots, block), np.int16)
        self._length = [0] * slots
        self._start = [0] * slots
        self._arrived = [0.0] * slots
        self._overflow = [False] * slots
        self._written = self._read = 0  # blocks, ever
        self._offered = 0  # samples, ever
        self._overflowed = False  # said of a block that was refused

    @property
    def offered(self) -> int:
        """Samples that `write` was called with, taken or not."""
        return self._offered

    @property
    def waiting(self) -> int:
        """Blocks that can be read."""
        return self._written - self._read

    def write(self, samples: Samples, arrived: float, overflow: bool = False) -> None:
        """Take a block [n], or refuse it if there is no room: for the writing thread alone."""
        count, slots = len(samples), len(self._length)
        overflow = overflow or self._overflowed
        if self._written - self._read == slots:
            self._overflowed = overflow
        else:
            slot = self._written % slots
            self._samples[slot, :count] = samples
            self._length[slot] = count
            self._start[slot] = self._offered
            self._arrived[slot] = arrived
            self._overflow[slot] = overflow
            self._overflowed = False
            self._written += 1
        self._offered += count

    def read(self) -> Block | None:
        """The oldest block, copied, or None if there is none: for the reading thread alone."""
        if self._written == self._read:
            return None
        slot = self._read % len(self._length)
        block = Block(
            self._start[slot],
            self._samples[slot, : self._length[slot]].copy(),
            self._arrived[slot],
            self._overflow[slot],
        )
        self._read += 1
        return block
