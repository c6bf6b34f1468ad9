"""From the rows in which CTC spikes stand to the times at which phones begin and end: the rule for all that is decoded.

A spike says that a phone is there, not how long: it is a row or two, in the middle of the phone that was spoken. Where
one phone ends and the next begins is estimated from the times of the spikes alone. With s, c and e the start, middle
and end of a spike, 1 and 2 two neighbours:

    border    c2 - min((c2 - c1) / 2, ONSET)                          half-way, or not long before the later
    silence   from max(c1 + TAIL, e1) to min(c2 - LEAD, s2)           instead, if it is at least PAUSE long

The beginning of a stream, and the end of a stream or of an utterance, are treated likewise, with EDGE in place of
PAUSE.

So a phone's end needs the next spike. One whose spike is final is *held* until the next one's is final too, or until
its decoder waits no longer and *releases* it with what is then known of the next. Should another phone come than was
expected, it begins where the held one was said to end, or behind a silence. All that counts is rows from the start of
the stream: how audio came in changes nothing.

`benchmarks/tiling.py` measures this beside a forced alignment. Rules that read the posteriors between the spikes (where
the earlier phone's falls below the later's, the area under each, the middle weighted by them) were further off: a spiky
model has hardly any opinion there. `asr/align/times.py` has the same rule for a transcript that is aligned.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .arrays import AnyArray

ONSET = 0.07  # seconds by which a phone begins before its spike, at most, where another phone is before it
LEAD = 0.05  # seconds by which it begins before its spike after a silence
TAIL = 0.11  # seconds that it goes on after its spike before a silence: last syllables are drawn out
PAUSE = 0.12  # seconds of the shortest silence between words, or between decoded phones
EDGE = 0.05  # seconds of the shortest silence at the beginning and at the end
CERTAIN = TAIL + PAUSE + LEAD  # seconds after a spike's middle: another phone after that is behind a silence


class Spike(NamedTuple):
    """Rows that are one phone."""

    label: int
    start: int  # the first row
    end: int  # the row behind the last
    confidence: float
    word_start: bool | None = None


class Held(NamedTuple):
    """A phone that has no end yet."""

    spike: Spike
    begin: float  # seconds


class TilingState(NamedTuple):
    """All that tiling remembers between spikes, in seconds from the start of the stream."""

    until: float = 0.0  # where the last phone ended
    floor: float = 0.0  # where the utterance began: no phone begins before
    held: Held | None = None


class Timed(NamedTuple):
    """A spike with the interval of its phone, in seconds."""

    spike: Spike
    start: float
    end: float
    peak: float
    """The middle of the spike."""


@dataclass(frozen=True)
class Tiling:
    """The rule on a model's clock."""

    row_seconds: float
    time_offset_seconds: float = 0.0
    """Subtracted from every time."""

    def seconds(self, row: int) -> float:
        """Where `row` begins on the audio clock."""
        return max(0.0, row * self.row_seconds - self.time_offset_seconds)

    def add(self, state: TilingState, spikes: Iterable[Spike]) -> tuple[list[Timed], TilingState]:
        """The phones that end where the next of `spikes` begin: final ones, in order, after those before."""
        done: list[Timed] = []
        for spike in spikes:
            until, floor, held = state
            if held is None:
                begin = self._onset(spike)
                least = PAUSE if until else EDGE
                begin = begin if begin - until >= least else until
            else:
                end, begin = self._between(held.spike, spike)
                done.append(self._timed(held, end))
                until = done[-1].end
            state = TilingState(until, floor, Held(spike, max(begin, until, floor)))
        return done, state

    def release(
        self, state: TilingState, following: Spike | None, bound: float
    ) -> tuple[list[Timed], TilingState]:
        """The phone that is held, though what follows it is not final.

        Args:
            following: the best guess at the next spike; None: that there is silence.
            bound: seconds before which no later phone will have its peak.
        """
        if state.held is None:
            return [], state
        spike = state.held.spike
        end = self._tail(spike) if following is None else self._between(spike, following)[0]
        timed = self._timed(state.held, min(end, bound))
        return [timed], TilingState(timed.end, state.floor)

    def finish(self, state: TilingState, seconds: float) -> tuple[list[Timed], TilingState]:
        """The phone that is held when an utterance or the stream ends at `seconds`; the next utterance's state."""
        if state.held is None:
            return [], state._replace(floor=seconds)
        end = self._tail(state.held.spike)
        timed = self._timed(state.held, end if seconds - end >= EDGE else seconds)
        return [timed], TilingState(timed.end, seconds)

    def certain(self, held: Held, row: int) -> bool:
        """Whether a phone that begins in `row` or later is behind a silence."""
        if row - held.spike.end < self._pause_rows:  # most rows: this is asked after each
            return False
        return self.seconds(row) - LEAD - self._tail(held.spike) >= PAUSE

    @cached_property
    def _pause_rows(self) -> int:
        """Rows behind a spike that are no silence yet."""
        return math.floor((PAUSE + LEAD) / self.row_seconds - 1e-6)

    def middle(self, spike: Spike) -> float:
        return (self.seconds(spike.start) + self.seconds(spike.end)) / 2

    def middles(self, starts: AnyArray, rows: AnyArray) -> AnyArray:
        """`middle` of spikes [n] that begin at `starts` and are so many rows long, float64 [n]."""
        begin, end = (
            np.maximum(0.0, row * self.row_seconds - self.time_offset_seconds)
            for row in (starts, starts + rows)
        )
        middles: AnyArray = (begin + end) / 2
        return middles

    def _timed(self, held: Held, end: float) -> Timed:
        spike, begin = held
        return Timed(spike, begin, max(begin, end), self.middle(spike))

    def _tail(self, spike: Spike) -> float:
        """Where a phone ends before a silence."""
        return max(self.middle(spike) + TAIL, self.seconds(spike.end))

    def _onset(self, spike: Spike) -> float:
        """Where it begins after one."""
        return max(0.0, min(self.middle(spike) - LEAD, self.seconds(spike.start)))

    def _between(self, first: Spike, second: Spike) -> tuple[float, float]:
        """Where the earlier of two neighbours ends and where the later begins."""
        end, begin = self._tail(first), self._onset(second)
        if begin - end >= PAUSE:
            return end, begin
        left, right = self.middle(first), self.middle(second)
        border = right - min((right - left) / 2, ONSET)
        return border, border
