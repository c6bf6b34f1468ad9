"""How listening is going, in numbers: the level, the share of a core that it takes, and where the delay comes from."""

import math
import time
from collections import deque
from typing import NamedTuple

import numpy as np

from ..streaming.audio.ring import Samples

SILENCE_DB = -99.0  # stands for no signal at all
WINDOW = 50  # chunks that load and compute time are taken over


class Level(NamedTuple):
    """How loud a chunk is, in dB below full scale."""

    rms: float
    peak: float


class Status(NamedTuple):
    """The state of things at the end of a chunk. Times in seconds."""

    seconds: float
    """Of audio so far, lost audio included."""
    lost_seconds: float
    level: Level
    load: float
    """Share of one core that this process takes, everything included."""
    look_ahead: float
    """Audio after a phone that the model must hear."""
    buffering: float
    """From the microphone to the model: the system's buffers, filling a chunk, and waiting its turn."""
    compute: float
    """Of the model for a chunk: the median."""
    compute_p95: float


def level(samples: Samples) -> Level:
    """The level of `samples` [n]."""
    if not len(samples):
        return Level(SILENCE_DB, SILENCE_DB)
    scaled = samples.astype(np.float32) / 32768
    return Level(_decibels(float(np.sqrt(np.mean(scaled**2)))), _decibels(float(np.abs(scaled).max())))


def _decibels(amplitude: float) -> float:
    return max(SILENCE_DB, 20 * math.log10(amplitude)) if amplitude > 0 else SILENCE_DB


class Gauge:
    """Takes the times of each chunk and keeps the last `WINDOW`."""

    def __init__(self) -> None:
        self._compute: deque[float] = deque(maxlen=WINDOW)
        self._clocks: deque[tuple[float, float]] = deque([self._now()], maxlen=WINDOW)

    def add(self, compute: float) -> None:
        """A chunk took the model `compute` seconds."""
        self._compute.append(compute)
        self._clocks.append(self._now())

    @property
    def load(self) -> float:
        """Processor time by wall time, of the whole process."""
        (wall, processor), (wall_now, processor_now) = self._clocks[0], self._now()
        return (processor_now - processor) / max(wall_now - wall, 1e-3)

    @property
    def compute(self) -> tuple[float, float]:
        """Median and 95th percentile of the model's seconds for a chunk."""
        if not self._compute:
            return 0.0, 0.0
        median, p95 = np.percentile(list(self._compute), [50, 95])
        return float(median), float(p95)

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.monotonic(), time.process_time()
