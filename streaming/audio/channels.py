"""Channels that cancel when they are mixed, as where one wire of two is swapped: told, as nothing would be heard."""

import sys
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...errors import AudioWarning
from ..arrays import AnyArray, FloatArray
from .recording import Audio, Lost
from .samples import MAX_CHANNELS, next_channels, slices

SPLIT = "make one of them a file, for example with: ffmpeg -i FILE -af 'pan=mono|c0=c0' one.wav"
CANCELLED = 0.1  # of the energy that unrelated channels would leave in their mean
SURE_SECONDS = 10.0  # of a stream, after which it is told before the end that its channels cancel
PIECE = 1 << 18  # samples whose levels are measured at a time


class MixLevel(NamedTuple):
    """How much of the channels' energy is left in their mean, over all of a recording so far."""

    channels: int = 1
    energy: float = 0.0
    mixed: float = 0.0

    def add(self, block: AnyArray) -> "MixLevel":
        """With the next samples [n, channels]; those of one channel change nothing."""
        if not (block.ndim == 2 and 1 < block.shape[1] <= MAX_CHANNELS):
            return self
        energy, mixed = self.energy, self.mixed
        for piece in slices(len(block), PIECE):
            energy += float(np.square(block[piece], dtype=np.float64).sum())
            mixed += float(np.square(block[piece].mean(axis=1, dtype=np.float64)).sum())
        return MixLevel(block.shape[1], energy, mixed)

    @property
    def cancelled(self) -> bool:
        """Whether the mean has less than a tenth of what unrelated channels would leave: energy / channels squared."""
        return self.mixed < CANCELLED * self.energy / self.channels**2

    @property
    def remark(self) -> str | None:
        """A line for a person at the command line, None where nothing is wrong."""
        return self.describe("its", "hear one alone: --channel 1")

    def describe(self, whose: str, remedy: str) -> str | None:
        """The same for others, who name the recording and its remedy in their own way."""
        if not self.cancelled:
            return None
        return f"{whose} {self.channels} channels cancel each other when mixed, so that little is heard; {remedy}"


class InputChannels(NamedTuple):
    """What a stream of samples from Python knows of its chunks' channels; audio is accepted into a new value.

    It warns (`AudioWarning`) once, after 10 s of audio or at the end, where the channels cancel each other.
    """

    width: int | None = None
    """Of the last chunk, if it was [n, channels]; for `check_samples`."""
    level: MixLevel = MixLevel()
    seconds: float = 0.0
    """Of audio that had several channels."""
    told: bool = False

    def accept(self, samples: AnyArray, rate: int) -> "InputChannels":
        """With the next checked samples [n] or [n, channels]."""
        if samples.ndim == 1 and self.width is None:
            return self
        width = next_channels(samples, self.width)
        if samples.ndim == 1 or self.told:
            return self._replace(width=width)
        seconds = self.seconds + len(samples) / rate
        after = self._replace(width=width, level=self.level.add(samples), seconds=seconds)
        return after.end() if seconds >= SURE_SECONDS else after

    def end(self) -> "InputChannels":
        """After the last samples."""
        remark = None if self.told else self.level.describe("the", "give one of them alone: samples[:, 0]")
        if remark is None:
            return self
        warn_of_audio(remark)
        return self._replace(told=True)


def warn_of_audio(*remarks: str) -> None:
    """Warn with remarks on audio, of the line outside of Phonestream that brought it."""
    package, frame, level = __name__.partition(".")[0], sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    for remark in remarks:
        warnings.warn(remark, AudioWarning, stacklevel=level)


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
        told = self._level.describe("its", self._remedy)
        return self._audio.remarks if told is None else (*self._audio.remarks, told)

    @property
    def lost(self) -> tuple[Lost, ...]:
        return self._audio.lost

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[FloatArray]:
        """As those of the recording."""
        for block in self._audio.blocks(start, stop):
            self._level = self._level.add(block)
            yield block

    def close(self) -> None:
        self._audio.close()
