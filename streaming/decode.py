"""Rows of log-probabilities to phones with times: greedy CTC decoding that never revises what it has said."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .arrays import Floats


class Phone(NamedTuple):
    """A phone that was heard, in seconds from the start of the stream."""

    symbol: str
    start: float
    end: float
    confidence: float
    """The highest posterior that the model gave it, in [0, 1]."""


class Run(NamedTuple):
    """Equal rows that are one phone, still going on."""

    column: int
    start: int  # its first row
    confidence: float  # the highest so far


class DecoderState(NamedTuple):
    """All that decoding remembers between rows."""

    row: int = 0  # the next row's index
    run: Run | None = None  # None after a blank


@dataclass(frozen=True)
class Decoder:
    """Greedy decoding (best path of Graves et al. 2006, "Connectionist temporal classification").

    Each row stands for its most probable column, the lowest index on ties. A run of equal rows is one phone,
    blanks are none, and a phone is emitted when a different row ends its run.
    """

    symbols: tuple[str, ...]
    """For each column, the blank's being unused."""
    blank: int
    row_seconds: float
    time_offset_seconds: float = 0.0
    """Subtracted from every time."""
    temperature: float = 1.0
    """Confidence is the highest softmax(log_probs / temperature) of the run."""

    def decode(self, state: DecoderState, rows: Floats) -> tuple[list[Phone], DecoderState]:
        """The phones that end within `rows` [n, columns]: log-probabilities, next after those seen before."""
        if len(rows) == 0:
            return [], state
        columns = rows.argmax(axis=1)
        scaled = rows.astype(np.float64) / self.temperature
        posteriors = 1 / np.exp(scaled - scaled.max(axis=1, keepdims=True)).sum(axis=1)  # of the best column

        phones = []
        row, run = state
        changes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
        for begin, end in zip([0, *changes], [*changes, len(rows)], strict=True):
            column, confidence = int(columns[begin]), float(posteriors[begin:end].max())
            if run is not None and run.column == column:  # goes on from the rows before
                run = run._replace(confidence=max(run.confidence, confidence))
                continue
            if run is not None:
                phones.append(self._phone(run, row + int(begin)))
            run = None if column == self.blank else Run(column, row + int(begin), confidence)
        return phones, DecoderState(row + len(rows), run)

    def finish(self, state: DecoderState) -> list[Phone]:
        """The phone whose run the end of the stream ends, if any."""
        return [] if state.run is None else [self._phone(state.run, state.row)]

    def _phone(self, run: Run, end: int) -> Phone:
        start_seconds, end_seconds = (
            max(0.0, row * self.row_seconds - self.time_offset_seconds) for row in (run.start, end)
        )
        return Phone(self.symbols[run.column], start_seconds, end_seconds, run.confidence)


def clip(phones: Iterable[Phone], duration: float) -> list[Phone]:
    """`phones` with no time beyond `duration` in seconds, where the stream ended."""
    return [
        phone._replace(start=min(phone.start, duration), end=min(phone.end, duration)) for phone in phones
    ]
