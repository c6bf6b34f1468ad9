"""Viterbi's algorithm for all keywords at once, beginning anew at every row.

A pronunciation of phones 1 … n has the states of its CTC graph (Graves et al. 2006): phone i, and the blank after it.
Rows are divided by their maximum: a path costs nothing where it follows the best path of all, and

    path(row) = the best over all starts of the sum of log(p / max p) over the rows from the start to `row`

A keyword that ends at `row` has the score path(row) / max(n - 2, 1): a longer one has more phones that may be
misheard. The best of its pronunciations counts. Where it is highest within `WINDOW_SECONDS` is a *peak*.

A path that begins at or before the end of its keyword's last peak and fits no better is the same occurrence, whose
last phone is heard again: no peak.

In a row where the blank is *sure*, all phones being less probable by `SURE` nats and more, paths are in a blank. A
quarter of all rows are so, and next to nothing is to be done in them.

A path's score and its first row are one 64-bit integer, score * 2^32 + 2^32 - 1 - row, the score in units of 2^-12 nat.
So maxima carry the row along, the earlier of equals, and sums are exact: cutting rows into calls changes nothing.

A path never gets better. One below the lowest score of its keyword is forgotten, so that silence of any length ends in
one state, and no sum runs over.
"""

from collections.abc import Mapping, Sequence
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
SURE = 7.0  # nats

_ROW = 32  # bits
NEVER = -(1 << 60)
_BARRED = -(1 << 50)
_OUT_OF_REACH = 1 << 62
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
    """All that the search remembers, and the peaks to come.

    Pronunciations lie one behind the other in *cells*: one where they are entered, and one for each phone.
    """

    row: int
    phone: AnyArray
    """int64 [cells]: the best path to each phone."""
    blank: AnyArray
    """int64 [cells]: to the blank after it."""
    pending: tuple[Peak, ...] = ()
    """Of each keyword that may have a peak the best so far, by keyword."""
    last: tuple[Peak, ...] = ()
    """Of each keyword that had one the last certain peak, by keyword."""

    def repeats(self, before: "SearchState") -> bool:
        """Whether all paths are those of `before`, begun so many rows later, and no peak is open."""
        then = before.skip(self.row - before.row)
        return (
            not self.pending
            and np.array_equal(self.phone, then.phone)
            and np.array_equal(self.blank, then.blank)
        )

    def skip(self, rows: int) -> "SearchState":
        """What `repeats` after each of some rows is after `rows` of them."""
        phone, blank = (np.where(cells == NEVER, NEVER, cells - rows) for cells in (self.phone, self.blank))
        return self._replace(row=self.row + rows, phone=phone, blank=blank)


class Search:
    """The graphs of keywords. It never changes, and streams may share it."""

    def __init__(
        self,
        variants: Sequence[Sequence[int]],
        owners: Sequence[int],
        *,
        blank: int,
        row_seconds: float,
        lowest: Sequence[float] | None = None,
    ):
        """
        Args:
            variants: pronunciations as columns of the rows, at least one phone each.
            owners: which keyword each belongs to, ascending from 0 without gaps.
            blank: the blank's column.
            row_seconds: of a row.
            lowest: of each keyword, score below which nothing is a peak, `LOWEST` at least; None: `LOWEST`.
        """
        self.window = max(1, round(WINDOW_SECONDS / row_seconds))
        self.owner = np.array(owners)
        length = np.array([len(phones) for phones in variants])
        self._blank = blank
        self._entry = np.concatenate([[0], np.cumsum(length + 1)[:-1]])
        self._last = self._entry + length
        self._column = np.array([column for phones in variants for column in (blank, *phones)])
        # Phones to which no path leads from the one before, an equal one, without a blank.
        self._twins = 1 + np.flatnonzero(self._column[1:] == self._column[:-1])
        self._scale = 1.0 / (UNITS * np.maximum(length - 2, 1))
        self._first = np.flatnonzero(np.diff(self.owner, prepend=-1))  # variant of each keyword
        self._end = np.append(self._first[1:], len(variants))
        self._lowest = np.full(len(self._first), LOWEST) if lowest is None else np.array(lowest, np.float64)
        least = np.ceil(self._lowest[self.owner] / self._scale)  # in units; above 0 nothing is
        self._least = np.where(least > 0, _OUT_OF_REACH, np.minimum(least, 0).astype(np.int64) << _ROW)
        self._forgotten = np.repeat(self._least, length + 1)  # of cells: below that

    def initial(self) -> SearchState:
        """The state before the first row."""
        nothing = np.full(self._column.shape, NEVER, np.int64)
        return SearchState(0, nothing, nothing)

    def take_over(self, before: "Search", state: SearchState, kept: Mapping[int, int]) -> SearchState:
        """What another search's state has of this one's keywords; of its others what `initial` has.

        Args:
            before: the other search.
            state: its own.
            kept: of keywords here, ascending, which they are there; their pronunciations are the same.
        """
        first = self.initial()
        phone, blank = first.phone.copy(), first.blank.copy()
        pending, last = ({peak.keyword: peak for peak in some} for some in (state.pending, state.last))
        moved: tuple[list[Peak], list[Peak]] = [], []
        for here, there in kept.items():
            cells, own = before._cells(there), self._cells(here)
            phone[own], blank[own] = state.phone[cells], state.blank[cells]
            shift = int(self._first[here] - before._first[there])
            for some, peaks in zip((pending, last), moved, strict=True):
                if there in some:
                    peaks.append(some[there]._replace(keyword=here, variant=some[there].variant + shift))
        return SearchState(state.row, phone, blank, *map(tuple, moved))

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

    def _cells(self, keyword: int) -> slice:
        """Where the pronunciations of a keyword lie."""
        first, end = self._first[keyword], self._end[keyword]
        return slice(int(self._entry[first]), int(self._last[end - 1]) + 1)

    def _block(self, state: SearchState, rows: FloatArray) -> tuple[list[Peak], SearchState]:
        emissions = quantise(rows)
        silence = (emissions[:, self._blank] - (round(DWELL * UNITS) << _ROW)).tolist()
        emissions[:, self._blank] = NEVER  # what is left are phones
        sure = (emissions.max(axis=-1) <= -round(SURE * UNITS) << _ROW).tolist()
        ends = np.empty((len(rows), len(self.owner)), np.int64)
        phone, after = state.phone.copy(), state.blank.copy()
        best = np.empty_like(phone)
        row, entry, twins = state.row, self._entry, self._twins
        for place, is_sure in enumerate(sure):
            if is_sure:
                np.maximum(phone, after, out=after)
                phone.fill(NEVER)
                ends[place] = NEVER
            else:
                after[entry] = _MASK - (row + place & _MASK)  # a keyword is entered at no cost, in any row
                if twins.size:
                    barred = np.maximum(phone[twins - 1] + _BARRED, after[twins - 1])
                    np.maximum(barred, phone[twins], out=barred)
                np.maximum(phone, after, out=after)
                np.maximum(phone[1:], after[:-1], out=best[1:])
                if twins.size:
                    best[twins] = barred
                best += emissions[place].take(self._column)
                best[entry] = NEVER
                phone, best = best, phone
                phone.take(self._last, out=ends[place], mode="clip")  # the mode that needs no buffer
            after += silence[place]
        phone[phone < self._forgotten] = NEVER
        after[after < self._forgotten] = NEVER
        peaks: list[Peak] = []
        pending, last = state.pending, state.last
        fits = ends >= self._least
        if pending or np.count_nonzero(fits):
            peaks, pending, last = self._peaks(state, ends, np.flatnonzero(fits.any(axis=1)).tolist())
        return peaks, SearchState(row + len(rows), phone, after, pending, last)

    def _peaks(
        self, state: SearchState, ends: AnyArray, fitting: Sequence[int]
    ) -> tuple[list[Peak], tuple[Peak, ...], tuple[Peak, ...]]:
        """The peaks that some rows make certain, those that may come, and the last ones.

        Args:
            state: before these rows.
            ends: int64 [rows, pronunciations]: the best path to each end.
            fitting: the rows of them, ascending, in which some keyword fits well enough.
        """
        pending, last = ({peak.keyword: peak for peak in some} for some in (state.pending, state.last))
        peaks: list[Peak] = []

        def settle(until: int) -> None:
            """Make certain what is so after the row before `until`."""
            due = sorted((peak.end, key) for key, peak in pending.items() if peak.end + self.window < until)
            for _, key in due:
                last[key] = pending.pop(key)
                peaks.append(last[key])

        for place in fitting:
            settle(state.row + place)
            self._note(pending, last, ends[place], state.row + place)
        settle(state.row + len(ends))
        return peaks, _in_order(pending), _in_order(last)

    def _note(self, pending: dict[int, Peak], last: dict[int, Peak], ends: AnyArray, row: int) -> None:
        """Keep what is better than what there was of its keyword, unless it is the occurrence of its last peak."""
        scores = (ends >> _ROW) * self._scale
        highest = np.maximum.reduceat(scores, self._first)
        for keyword in np.flatnonzero(highest >= self._lowest).tolist():
            known = pending.get(keyword)
            score = float(highest[keyword])
            if known is not None and score <= known.score:
                continue
            first = int(self._first[keyword])
            variant = first + int(scores[first : self._end[keyword]].argmax())
            start = row - ((row + int(ends[variant]) + 1) & _MASK)
            told = last.get(keyword)
            if told is None or start > told.end or score > told.score:
                pending[keyword] = Peak(keyword, variant, start, row, score)


def begins_before(cells: AnyArray, row: int) -> bool:
    """Whether all paths in `cells` that may still lead to a peak begin before `row`."""
    paths = cells[cells > NEVER // 2]
    return bool((_MASK - (paths & _MASK) < row).all())


def _in_order(peaks: Mapping[int, Peak]) -> tuple[Peak, ...]:
    return tuple(peaks[keyword] for keyword in sorted(peaks))


def quantise(rows: FloatArray) -> AnyArray:
    """`rows` divided by their maxima, in units, where paths have their scores: int64 of the same shape."""
    relative = rows - rows.max(axis=-1, keepdims=True)
    np.maximum(relative, np.float32(STEEPEST), out=relative)
    relative *= np.float32(UNITS)
    scores: AnyArray = np.rint(relative, out=relative).astype(np.int64)
    scores <<= _ROW
    return scores
