"""Viterbi's algorithm for all keywords at once, beginning anew at every row.

A pronunciation of phones 1 … n has the states of its CTC graph (Graves et al. 2006): phone i, and the blank after it.
Rows are divided by their maximum: a path costs nothing where it follows the best path of all, and

    path(row) = the best over all starts of the sum of log(p / max p) over the rows from the start to `row`

A keyword that ends at `row` has the score path(row) / max(n - 2, 1): a longer one has more phones that may be
misheard. The best of its pronunciations counts. Where it is highest within `WINDOW_SECONDS` is a *peak*.

A path's score and its first row are one 64-bit integer, score * 2^32 + 2^32 - 1 - row, the score in units of 2^-12 nat.
So maxima carry the row along, the earlier of equals, and sums are exact: cutting rows into calls changes nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, FloatArray

WINDOW_SECONDS = 0.5
"""A peak is the highest score so far around it, and is known so long after its row."""
LOWEST = -3.0
"""Score below which nothing is a peak."""
DWELL = 0.01  # nats for each blank within a keyword: one cannot wait for its end for ever
UNITS = 4096  # in a nat
STEEPEST = -30.0  # nats: no column counts as less probable than that beside the best

_ROW = 32  # bits
_NEVER = -(1 << 60)
_BARRED = -(1 << 50)
_MASK = (1 << _ROW) - 1
BLOCK = 64  # rows whose emissions are looked up together


class Peak(NamedTuple):
    """A place where a keyword fits best."""

    keyword: int
    variant: int
    """Index among all pronunciations of all keywords."""
    start: int
    """Its first row."""
    end: int
    """Its last row."""
    score: float
    """Nats, 0 at most."""


class SearchState(NamedTuple):
    """All that the search remembers: 16 bytes for each phone of each pronunciation, and the peaks to come."""

    row: int
    phone: AnyArray
    """int64 [variants, n]: the best path to each phone."""
    blank: AnyArray
    """int64 [variants, n]: to the blank after it."""
    pending: tuple[Peak, ...] = ()
    """Of each keyword that may have a peak the best so far, by keyword."""


class Search:
    """The graphs of keywords. It never changes, and streams may share it."""

    def __init__(
        self, variants: Sequence[Sequence[int]], owners: Sequence[int], *, blank: int, row_seconds: float
    ):
        """
        Args:
            variants: pronunciations as columns of the rows, at least one phone each.
            owners: which keyword each belongs to, ascending from 0 without gaps.
            blank: the blank's column.
            row_seconds: of a row.
        """
        self.window = max(1, round(WINDOW_SECONDS / row_seconds))
        self.owner = np.array(owners)
        length = np.array([len(phones) for phones in variants])
        self._blank = blank
        self._column = np.full((len(variants), int(length.max())), blank)
        for index, phones in enumerate(variants):
            self._column[index, : len(phones)] = phones
        self._barred = np.zeros(self._column.shape, np.int64)  # from a phone to an equal one without a blank
        self._barred[:, 1:] = np.where(self._column[:, 1:] == self._column[:, :-1], _BARRED, 0)
        self._barred[:, 0] = _BARRED
        self._last = np.arange(len(variants)) * self._column.shape[1] + length - 1
        self._scale = 1.0 / (UNITS * np.maximum(length - 2, 1))
        self._first = np.flatnonzero(np.diff(self.owner, prepend=-1))  # variant of each keyword
        self._end = np.append(self._first[1:], len(variants))

    def initial(self) -> SearchState:
        """The state before the first row."""
        nothing = np.full(self._column.shape, _NEVER, np.int64)
        return SearchState(0, nothing, nothing)

    def decode(self, state: SearchState, rows: FloatArray) -> tuple[list[Peak], SearchState]:
        """The peaks that `rows` [n, columns], log-probabilities next after those before, make certain; in order."""
        peaks: list[Peak] = []
        for begin in range(0, len(rows), BLOCK):
            found, state = self._block(state, rows[begin : begin + BLOCK])
            peaks += found
        return peaks, state

    def finish(self, state: SearchState) -> list[Peak]:
        """The peaks that the end of the stream makes certain."""
        return sorted(state.pending, key=lambda peak: (peak.end, peak.keyword))

    def _block(self, state: SearchState, rows: FloatArray) -> tuple[list[Peak], SearchState]:
        emissions = quantise(rows)
        row = state.row
        width = self._column.shape[1]
        # Column 0 is where a keyword is entered: at no cost, in any row.
        phone = np.full((len(self._column), width + 1), _NEVER, np.int64)
        after = phone.copy()
        phone[:, 1:], after[:, 1:] = state.phone, state.blank
        pending = {peak.keyword: peak for peak in state.pending}
        peaks: list[Peak] = []
        due = min((peak.end for peak in state.pending), default=row) + self.window
        silence = emissions[:, self._blank] - (round(DWELL * UNITS) << _ROW)
        for emission, silent in zip(emissions, silence.tolist(), strict=True):
            after[:, 0] = _MASK - (row & _MASK)
            best = np.maximum(phone[:, 1:], after[:, :-1])
            np.maximum(best, phone[:, :-1] + self._barred, out=best)
            best += emission.take(self._column)
            np.maximum(phone, after, out=after)
            after += silent
            phone[:, 1:] = best
            scores = (best.take(self._last) >> _ROW) * self._scale
            if scores.max() >= LOWEST:
                self._note(pending, scores, best, row)
                due = min(due, row + self.window)
            if pending and row >= due:
                settled = sorted(key for key, peak in pending.items() if row - peak.end >= self.window)
                peaks += [pending.pop(key) for key in settled]
                due = min((peak.end for peak in pending.values()), default=row) + self.window
            row += 1
        return peaks, SearchState(
            row, phone[:, 1:].copy(), after[:, 1:].copy(), tuple(pending[key] for key in sorted(pending))
        )

    def _note(self, pending: dict[int, Peak], scores: AnyArray, best: AnyArray, row: int) -> None:
        """Keep what is better than what there was of its keyword."""
        highest = np.maximum.reduceat(scores, self._first)
        for keyword in np.flatnonzero(highest >= LOWEST).tolist():
            known = pending.get(keyword)
            score = float(highest[keyword])
            if known is not None and score <= known.score:
                continue
            first = int(self._first[keyword])
            variant = first + int(scores[first : self._end[keyword]].argmax())
            age = (row + int(best.take(self._last[variant])) + 1) & _MASK
            pending[keyword] = Peak(keyword, variant, row - age, row, score)


def quantise(rows: FloatArray) -> AnyArray:
    """`rows` divided by their maxima, in units, where paths have their scores: int64 of the same shape."""
    relative = np.maximum(rows - rows.max(axis=-1, keepdims=True), np.float32(STEEPEST))
    scores: AnyArray = np.rint(relative * np.float32(UNITS)).astype(np.int64) << _ROW
    return scores
