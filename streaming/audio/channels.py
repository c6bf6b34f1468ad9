"""Channels that cancel when they are mixed, as where one wire of two is swapped: told, as nothing would be heard."""

from collections.abc import Iterator

import numpy as np

from ..arrays import FloatArray
from .recording import Audio
from .samples import MAX_CHANNELS

SPLIT = "make one of them a file, for example with: ffmpeg -i FILE -af 'pan=mono|c0=c0' one.wav"
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


class Mixed:
    """A recording whose channels are going to be mixed: `Audio`, whose remarks say at the end whether they cancel.

    Args:
        audio: the recording; it is closed with this one.
        remedy: what the reader of a remark can do.
    """

    def __init__(self, audio: Audio, remedy: str = SPLIT) -> None:
        self.path = audio.path
        self.sample_rate = audio.sample_rate
        self.channels = audio.channels
        self.seconds = audio.seconds
        self._audio = audio
        self._remedy = remedy
        self._level = MixLevel()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines that do not name the file; of the channels, as far as it has been read."""
        told = self.cancelling
        return self._audio.remarks if told is None else (*self._audio.remarks, told)

    @property
    def cancelling(self) -> str | None:
        """The remark on channels that cancel, where they do."""
        return self._level.describe("its", self._remedy)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[FloatArray]:
        """As those of the recording."""
        for block in self._audio.blocks(start, stop):
            self._level.add(block)
            yield block

    def close(self) -> None:
        self._audio.close()
