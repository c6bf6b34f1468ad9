"""Channels that cancel when they are mixed, as where one wire of two is swapped: told, as nothing would be heard."""

import numpy as np

from ..arrays import FloatArray
from .samples import MAX_CHANNELS

CANCELLED = 0.1  # of the energy that unrelated channels would leave in their mean


class MixLevel:
    """How much of the channels' energy is left in their mean, over a whole recording."""

    def __init__(self) -> None:
        self._channels = 1
        self._energy = 0.0
        self._mixed = 0.0

    def add(self, block: FloatArray) -> None:
        """The next samples [n, channels]."""
        if block.ndim == 2 and 1 < block.shape[1] <= MAX_CHANNELS:
            self._channels = block.shape[1]
            self._energy += float(np.square(block, dtype=np.float64).sum())
            self._mixed += float(np.square(block.mean(axis=1, dtype=np.float64)).sum())

    @property
    def cancelled(self) -> bool:
        """Whether the mean has less than a tenth of what unrelated channels would leave: energy / channels squared."""
        return self._mixed < CANCELLED * self._energy / self._channels**2

    @property
    def remark(self) -> str | None:
        """A line for a person at the command line, None where nothing is wrong."""
        return self.describe("its", "hear one alone: --channel 1")

    def describe(self, whose: str, remedy: str) -> str | None:
        """The same for others, who name the recording and its remedy in their own way."""
        if not self.cancelled:
            return None
        return f"{whose} {self._channels} channels cancel each other when mixed, so that little is heard; {remedy}"
