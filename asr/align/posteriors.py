"""What a model makes of a recording that is to be aligned, more finely than its rows are apart.

A model's rows are tens of milliseconds apart. For times between them the recording is heard several times at once, each
time a little later within a row: the rows of all hearings, laid between each other, are that much closer.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ConfigError
from ...streaming.decode import Phone
from ...streaming.recognizer import Recognizer

HEARINGS = 4
MAX_HEARINGS = 8


@dataclass(frozen=True)
class Hearing:
    """What a model makes of a recording."""

    rows: NDArray[np.float32]
    """[rows, columns] log-probabilities."""
    fine: NDArray[np.float32]
    """[rows * hearings, columns] those of all hearings, in the order of time."""
    fine_times: NDArray[np.float64]
    """[rows * hearings] seconds at the middle of each, the model's constant offset taken off."""
    seconds: float
    """Length of the recording."""
    heard: tuple[Phone, ...]
    """What the model hears without a transcript."""

    @property
    def hearings(self) -> int:
        return len(self.fine) // max(1, len(self.rows))


def hear(
    recognizer: Recognizer, blocks: Iterable[ArrayLike], sample_rate: int, hearings: int = HEARINGS
) -> Hearing:
    """Hear a recording `hearings` times at once, every time `row_seconds / hearings` later.

    Args:
        recognizer: hears it.
        blocks: the recording's samples, in parts as for `Stream.accept`.
        sample_rate: in Hz.
        hearings: 1 to 8.

    Raises:
        AudioError: the samples cannot be used.
        ConfigError: `hearings` is not from 1 to 8.
    """
    if not 1 <= hearings <= MAX_HEARINGS:
        raise ConfigError(f"hearings={hearings!r}: expected a whole number from 1 to {MAX_HEARINGS}")
    meta = recognizer.metadata
    step = meta.row_seconds / hearings
    streams = [recognizer.stream(posteriors=True) for _ in range(hearings)]
    for later, stream in enumerate(streams[1:], start=1):
        stream.accept(np.zeros(round(later * step * sample_rate), np.float32), sample_rate)
    heard: list[Phone] = []
    for block in blocks:
        heard += streams[0].accept(block, sample_rate)
        for stream in streams[1:]:
            stream.accept(block, sample_rate)
    heard += streams[0].finish()
    for stream in streams[1:]:
        stream.finish()
    rows = [stream.take_posteriors() for stream in streams]
    # The latest hearing's row begins earliest: its audio has the most silence in front.
    together = np.stack([each[: len(rows[0])] for each in reversed(rows)], axis=1)
    fine = together.reshape(-1, together.shape[-1])
    first = meta.row_seconds / 2 - (hearings - 1) * step - meta.time_offset_seconds
    return Hearing(
        rows=rows[0],
        fine=fine,
        fine_times=first + np.arange(len(fine), dtype=np.float64) * step,
        seconds=streams[0].seconds,
        heard=tuple(heard),
    )
