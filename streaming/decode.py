"""Rows of log-probabilities to phones with times: greedy CTC decoding that never revises what it has said."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .arrays import FloatArray


class Phone(NamedTuple):
    """A phone that was heard, in seconds from the start of the stream."""

    symbol: str
    start: float
    end: float
    confidence: float
    """The highest posterior that the model gave it, in [0, 1]."""
    word_start: bool | None = None
    """Whether a word begins with it: a guess of beam search, from its language model. None: not known."""


class Run(NamedTuple):
    """Equal rows that are one phone, still going on."""

    label: int
    start: int  # its first row
    confidence: float  # the highest so far


class DecoderState(NamedTuple):
    """All that decoding remembers between rows."""

    row: int = 0  # the next row's index
    run: Run | None = None  # None after a blank


@dataclass(frozen=True)
class Decoder:
    """Greedy decoding (best path of Graves et al. 2006, "Connectionist temporal classification").

    Each row stands for its most probable label, the lowest index on ties. A run of equal rows is one phone,
    blanks are none, and a phone is emitted when a different row ends its run.
    """

    symbols: tuple[str, ...]
    """For each label, the blank's being unused."""
    blank: int
    row_seconds: float
    time_offset_seconds: float = 0.0
    """Subtracted from every time."""
    temperature: float = 1.0
    """Confidence is the highest softmax(log_probs / temperature) of the run."""

    def decode(self, state: DecoderState, rows: FloatArray) -> tuple[list[Phone], DecoderState]:
        """The phones that end within `rows` [n, labels]: log-probabilities, next after those seen before."""
        return self.decode_labels(state, *self.best(rows))

    def best(self, rows: FloatArray) -> tuple[list[Any], list[Any]]:
        """The most probable label of each of `rows` [..., labels], and its posterior: nested lists [...]."""
        labels = rows.argmax(axis=-1)
        scaled = rows.astype(np.float64) / self.temperature
        posteriors = 1 / np.exp(scaled - scaled.max(axis=-1, keepdims=True)).sum(axis=-1)
        return labels.tolist(), posteriors.tolist()

    def decode_labels(
        self, state: DecoderState, labels: Sequence[int], posteriors: Sequence[float]
    ) -> tuple[list[Phone], DecoderState]:
        """`decode`, given the `best` of the rows."""
        phones = []
        row, run = state
        for label, confidence in zip(labels, posteriors, strict=True):
            if run is not None and run.label == label:
                if confidence > run.confidence:
                    run = run._replace(confidence=confidence)
            else:
                if run is not None:
                    phones.append(self._phone(run, row))
                run = None if label == self.blank else Run(label, row, confidence)
            row += 1
        return phones, DecoderState(row, run)

    def finish(self, state: DecoderState) -> list[Phone]:
        """The phone whose run the end of the stream ends, if any."""
        return [] if state.run is None else [self._phone(state.run, state.row)]

    def _phone(self, run: Run, end: int) -> Phone:
        return Phone(self.symbols[run.label], self.seconds(run.start), self.seconds(end), run.confidence)

    def seconds(self, row: int) -> float:
        """Where `row` begins on the audio clock."""
        return max(0.0, row * self.row_seconds - self.time_offset_seconds)


def clip(phones: Iterable[Phone], duration: float) -> list[Phone]:
    """`phones` with no time beyond `duration` in seconds, where the stream ended."""
    return [
        phone._replace(start=min(phone.start, duration), end=min(phone.end, duration)) for phone in phones
    ]
