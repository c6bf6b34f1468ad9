"""Rows of log-probabilities to phones with times: greedy CTC decoding that never revises what it has said."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .arrays import FloatArray
from .tiling import CERTAIN, Spike, Tiling, TilingState, Timed


class Phone(NamedTuple):
    """A phone that was heard, in seconds from the start of the stream."""

    symbol: str
    start: float
    end: float
    """Where the next phone begins, or a silence; `tiling.py` has the rule."""
    confidence: float
    """The highest posterior that the model gave it, in [0, 1]."""
    word_start: bool | None = None
    """Whether a word begins with it: a guess of beam search, from its language model. None: not known."""
    peak: float | None = None
    """When the model heard it: the middle of the CTC spike, within `start` to `end`. None: not known."""


class Run(NamedTuple):
    """Equal rows that are one phone, still going on."""

    label: int
    start: int  # its first row
    confidence: float  # the highest so far

    def spike(self, end: int) -> Spike:
        """The run as the spike of a phone, if its rows end before `end`."""
        return Spike(self.label, self.start, end, self.confidence)


class DecoderState(NamedTuple):
    """All that decoding remembers between rows."""

    row: int = 0  # the next row's index
    run: Run | None = None  # None after a blank
    tiling: TilingState = TilingState()

    @property
    def is_open(self) -> bool:
        """Whether a phone goes on, or has no end yet."""
        return self.run is not None or self.tiling.held is not None


@dataclass(frozen=True)
class Decoder:
    """Greedy decoding (best path of Graves et al. 2006, "Connectionist temporal classification").

    Each row stands for its most probable label, the lowest index on ties. A run of equal rows is one phone, and
    blanks are none. A phone is emitted when the run after its own ends, or when another would be behind a silence.
    """

    symbols: tuple[str, ...]
    """For each label, the blank's being unused."""
    blank: int
    row_seconds: float
    time_offset_seconds: float = 0.0
    """Subtracted from every time."""
    temperature: float = 1.0
    """Confidence is the highest softmax(log_probs / temperature) of the run."""

    @cached_property
    def tiling(self) -> Tiling:
        return Tiling(self.row_seconds, self.time_offset_seconds)

    @property
    def hold(self) -> int:
        """Rows within which a phone is emitted, counted from the end of its own."""
        return math.ceil(CERTAIN / self.row_seconds) + 1

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
        phones: list[Phone] = []
        row, run, tiling = state
        for label, confidence in zip(labels, posteriors, strict=True):
            if run is not None and run.label == label:
                if confidence > run.confidence:
                    run = run._replace(confidence=confidence)
            else:
                if run is not None:
                    timed, tiling = self.tiling.add(tiling, [run.spike(row)])
                    phones += self.phones(timed)
                run = None if label == self.blank else Run(label, row, confidence)
            row += 1
            if tiling.held is not None and self.tiling.certain(tiling.held, row):
                following = None if run is None else run.spike(row)
                timed, tiling = self.tiling.release(tiling, following, self.seconds(row))
                phones += self.phones(timed)
        return phones, DecoderState(row, run, tiling)

    def end_utterance(self, state: DecoderState, row: int) -> tuple[list[Phone], DecoderState]:
        """The phone that has no end yet, the utterance ending before `row`; a run that goes on is the next one's."""
        timed, tiling = self.tiling.finish(state.tiling, self.seconds(row))
        return self.phones(timed), state._replace(tiling=tiling)

    def finish(self, state: DecoderState, seconds: float | None = None) -> list[Phone]:
        """The last phones of a stream that ends at `seconds`; None: with its last row."""
        spikes = [] if state.run is None else [state.run.spike(state.row)]
        return self.finished(state.tiling, spikes, self.seconds(state.row) if seconds is None else seconds)

    def finished(self, tiling: TilingState, spikes: Iterable[Spike], seconds: float) -> list[Phone]:
        """The phone that is held and those of `spikes`, if the stream ends at `seconds`."""
        timed, tiling = self.tiling.add(tiling, spikes)
        return self.phones([*timed, *self.tiling.finish(tiling, seconds)[0]])

    def phones(self, timed: Iterable[Timed]) -> list[Phone]:
        return [
            Phone(self.symbols[spike.label], start, end, spike.confidence, spike.word_start, peak)
            for spike, start, end, peak in timed
        ]

    def seconds(self, row: int) -> float:
        """Where `row` begins on the audio clock."""
        return self.tiling.seconds(row)


def clip(phones: Iterable[Phone], duration: float) -> list[Phone]:
    """`phones` with no time beyond `duration` in seconds, where the stream ended."""
    return [
        phone._replace(
            start=min(phone.start, duration),
            end=min(phone.end, duration),
            peak=None if phone.peak is None else min(phone.peak, duration),
        )
        for phone in phones
    ]
