"""Posteriors of a recording that is to be aligned, on a grid finer than the model's rows.

A model's rows are tens of milliseconds apart. For times between them the recording is decoded several times at once,
each copy shifted by a part of a row: the copies' rows, interleaved, are that much closer together.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import ConfigError
from ...streaming.decode import Phone
from ...streaming.recognizer import Recognizer

TIME_SHIFTS = 4
MAX_TIME_SHIFTS = 8


@dataclass(frozen=True)
class Posteriors:
    """A model's output for one recording."""

    rows: NDArray[np.float32]
    """[rows, labels] log-probabilities."""
    fine: NDArray[np.float32]
    """[rows * time_shifts, labels] log-probabilities of all shifted copies, in order of time."""
    fine_times: NDArray[np.float64]
    """[rows * time_shifts] seconds at the middle of each, the model's constant offset taken off."""
    seconds: float
    """Length of the recording."""
    phones: tuple[Phone, ...]
    """Decoded without a transcript."""

    @property
    def time_shifts(self) -> int:
        return len(self.fine) // max(1, len(self.rows))


def compute_posteriors(
    recognizer: Recognizer, blocks: Iterable[ArrayLike], sample_rate: int, time_shifts: int = TIME_SHIFTS
) -> Posteriors:
    """Decode `time_shifts` copies of a recording, each delayed by `row_seconds / time_shifts` more than the last.

    Args:
        recognizer: the model.
        blocks: the recording's samples, in parts as for `Stream.accept`.
        sample_rate: in Hz.
        time_shifts: number of copies, 1 to 8.

    Raises:
        AudioError: the samples cannot be used.
        ConfigError: `time_shifts` is not from 1 to 8.
    """
    if not 1 <= time_shifts <= MAX_TIME_SHIFTS:
        raise ConfigError(f"time_shifts={time_shifts!r}: expected a whole number from 1 to {MAX_TIME_SHIFTS}")
    meta = recognizer.metadata
    step = meta.row_seconds / time_shifts
    streams = [recognizer.stream(posteriors=True, decoder="greedy") for _ in range(time_shifts)]
    for delay, stream in enumerate(streams[1:], start=1):
        stream.accept(np.zeros(round(delay * step * sample_rate), np.float32), sample_rate)
    phones: list[Phone] = []
    for block in blocks:
        phones += streams[0].accept(block, sample_rate)
        for stream in streams[1:]:
            stream.accept(block, sample_rate)
    phones += streams[0].finish()
    for stream in streams[1:]:
        stream.finish()
    rows = [stream.take_posteriors() for stream in streams]
    # The row of the most delayed copy begins earliest in the recording: it has the most silence in front.
    interleaved = np.stack([each[: len(rows[0])] for each in reversed(rows)], axis=1)
    fine = interleaved.reshape(-1, interleaved.shape[-1])
    first = meta.row_seconds / 2 - (time_shifts - 1) * step - meta.time_offset_seconds
    return Posteriors(
        rows=rows[0],
        fine=fine,
        fine_times=first + np.arange(len(fine), dtype=np.float64) * step,
        seconds=streams[0].seconds,
        phones=tuple(phones),
    )
