"""How probable a keyword is where it fits, beside all else that may have been said there.

Phones alone do not tell *white* from the end of *quite*. A language model of phones that knows where words begin does.
Of all ways to read the rows around a keyword, weighed by the rows and by the language model,

    log P(the keyword is said, as words of its own | rows)
        = log sum over the ways in which it is where it was found, and words begin with it and behind it
        - log sum over all ways

The sums are those of the forward algorithm over the contexts of the language model, less improbable ones. Rows are
divided by their maxima, which changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ..arrays import AnyArray

BEFORE_SECONDS, AFTER_SECONDS = 0.4, 0.3  # of rows around a keyword; less than it takes until one is certain
SIZE = 32  # states at a time
BEAM = 10.0  # nats below the best one at which a state is given up
CUT = 8.0  # nats below a row's best column at which a phone is not tried
BONUS = 1.0  # nats a phone: a language model favours what is short
SURE = 3.0  # nats by which a blank is above all phones where no phone begins
BEHIND = 5.0  # nats; by more than that the rows behind a keyword hardly ever make it more probable (1 of 1,662 peaks)
NEVER = -1e30

_OTHER, _SAID, _WORD = range(3)  # nothing; the keyword ends here, as words; another word has begun behind it
_MARK_BITS = 2
_MARK = (1 << _MARK_BITS) - 1
# [mark, whether a word begins]: the next mark
_NEXT = np.array([[_OTHER, _OTHER], [_OTHER, _WORD], [_WORD, _WORD]])


class Expanded(Protocol):
    """Contexts of a language model."""

    @property
    def scores(self) -> AnyArray:
        """float [rows, symbols]: log-probability of each symbol, nats."""

    @property
    def nexts(self) -> AnyArray:
        """int [rows, symbols]: the context after it."""


class PhoneLM(Protocol):
    """A back-off language model of phones, context 0 the empty one. Phone i (from 0) has the symbol i + 1 within a word
    and, in a model with word marks, i + 1 + phones where a word begins with it."""

    @property
    def phones(self) -> tuple[str, ...]: ...

    @property
    def word_marks(self) -> bool: ...

    def rows(self, contexts: AnyArray) -> tuple[Expanded, AnyArray]:
        """Where the scores after `contexts` [n] are: rows, and the row of each."""
        ...


class Likelihood(NamedTuple):
    """What the rows around a keyword say, in nats."""

    words: float
    """Log-probability that it is said, as words of its own; about 0 at most."""
    boundary: float
    """Log-probability that it is words of its own if it is said at all; at most 0."""


class _States(NamedTuple):
    """States of the forward algorithm, in the order of their keys."""

    key: AnyArray
    """int64 [n]: context of the language model, its last symbol and a mark, as one number."""
    ways: AnyArray
    """float64 [2, n]: log sums of all ways to be there that end in a blank, and that end in the phone."""
    total: AnyArray
    """float64 [n]: of both."""


class Context:
    """A language model's opinion of what is said around keywords. It never changes, and streams may share it."""

    def __init__(self, lm: PhoneLM, columns: Mapping[str, int], *, blank: int, row_seconds: float) -> None:
        """
        Args:
            columns: of the rows, by phone.
            blank: the blank's column.
            row_seconds: of a row.

        Raises:
            ValueError: the language model does not know words from phones.
        """
        if not lm.word_marks:
            raise ValueError("a language model without word marks")
        self._lm = lm
        self._blank = blank
        self._phones = len(lm.phones)
        symbols = 1 + 2 * self._phones
        self._symbol_bits = symbols.bit_length()
        known = {phone: place for place, phone in enumerate(lm.phones, start=1) if phone in columns}
        self._symbol = {columns[phone]: symbol for phone, symbol in known.items()}  # within a word
        inside = np.array(list(known.values()))
        self._tried = np.concatenate([inside, inside + self._phones])  # symbols
        self._column = np.full(1 << self._symbol_bits, blank)  # of each symbol
        for column, symbol in self._symbol.items():
            self._column[[symbol, symbol + self._phones]] = column
        self._tried_column = self._column[self._tried]
        self.before = round(BEFORE_SECONDS / row_seconds)
        """Rows that are looked at before a keyword."""
        self.after = round(AFTER_SECONDS / row_seconds)
        """And behind it."""

    def judge(
        self,
        rows: AnyArray,
        begin: int,
        end: int,
        fit: float,
        phones: Sequence[int],
        starts: Sequence[bool],
        least: float = -np.inf,
    ) -> Likelihood:
        """What is to be thought of a keyword that is heard in `rows` [n, columns] from row `begin` to before `end`.

        Args:
            rows: log-probabilities divided by their maxima.
            fit: log-probability of its best path there.
            phones: of the keyword, as columns.
            starts: of each, whether a word begins with it.
            least: nats; where the keyword's rows alone say that it is less probable by more than `BEHIND`, those behind
                it are not looked at.
        """
        values = rows.astype(np.float64)
        root = _States(np.zeros(1, np.int64), np.array([[0.0], [NEVER]]), np.zeros(1))
        left = self._forward(root, values[:begin])
        anything = self._forward(left, values[begin:end])
        said = self._enter(left, fit, phones, starts)
        words = _words(said)
        so_far = words - _log_sum(anything.total)
        if so_far < least - BEHIND:
            return Likelihood(so_far, words - _log_sum(said.total))
        anything, said = (self._forward(states, values[end:]) for states in (anything, said))
        words = _words(said)
        return Likelihood(words - _log_sum(anything.total), words - _log_sum(said.total))

    def _enter(self, states: _States, fit: float, phones: Sequence[int], starts: Sequence[bool]) -> _States:
        """`states` after a keyword, whatever words its phones belong to; marked where it is words of its own."""
        mark = np.full(len(states.key), _SAID)
        context, column, _ = self._parts(states.key)
        score = np.where(column == phones[0], states.ways[0], states.total)
        for phone, start in zip(phones, starts, strict=True):
            both = self._symbol[phone] + np.array([0, self._phones])
            lm_rows, places = self._lm.rows(context)
            scores = score[:, None] + lm_rows.scores[places[:, None], both] + BONUS
            right = (mark[:, None] == _SAID) & (np.array([False, True]) == start)
            key = self._key(lm_rows.nexts[places[:, None], both], both) | np.where(right, _SAID, _OTHER)
            states = _merged(key.ravel(), _phones(scores.ravel()))
            score, (context, _, mark) = states.ways[1], self._parts(states.key)
        return _States(states.key, states.ways + fit, states.total + fit)

    def _forward(self, states: _States, rows: AnyArray) -> _States:
        """`states` after `rows` [n, columns]."""
        phones = rows[:, self._tried_column]
        sure = (phones.max(axis=-1, initial=NEVER) < rows[:, self._blank] - SURE).tolist()
        likely = phones > -CUT
        phones += BONUS
        context, column, mark = self._parts(states.key)
        marked = bool(mark.any())  # or no state will ever be
        for row, phone, tried, is_sure in zip(rows, phones, likely, sure, strict=True):
            if is_sure:
                stay = np.empty_like(states.ways)
                np.add(states.total, row[self._blank], out=stay[0])
                np.add(states.ways[1], row[column], out=stay[1])
                states = _States(states.key, stay, np.logaddexp(*stay))
                continue
            symbols, columns = self._tried[tried], self._tried_column[tried]
            lm_rows, places = self._lm.rows(context)
            places = places[:, None]
            before = np.where(column[:, None] == columns, states.ways[0][:, None], states.total[:, None])
            cells = places * lm_rows.scores.shape[1] + symbols  # one index: take() is faster than [i, j]
            before += lm_rows.scores.take(cells)
            before += phone[tried]
            scores = before.reshape(-1)
            near = (scores > np.maximum.reduce(scores) - BEAM).nonzero()[0]
            which = near // len(symbols)
            symbol = symbols.take(near - which * len(symbols))
            key = self._key(lm_rows.nexts.take(cells.take(near)), symbol)
            if marked:
                key |= _NEXT[mark[which], (symbol > self._phones).view(np.int8)]
            known = len(states.key)
            ways = np.empty((2, known + len(key)))
            np.add(states.total, row[self._blank], out=ways[0, :known])
            np.add(states.ways[1], row[column], out=ways[1, :known])
            ways[0, known:] = NEVER
            ways[1, known:] = scores.take(near)
            states = _merged(np.concatenate([states.key, key]), ways)
            context, column, mark = self._parts(states.key)
        return states

    def _parts(self, key: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
        """Of each key the context, the column of its last symbol, and the mark."""
        inside = key >> _MARK_BITS
        last = inside & ((1 << self._symbol_bits) - 1)
        return inside >> self._symbol_bits, self._column[last], key & _MARK

    def _key(self, context: AnyArray, symbol: AnyArray) -> AnyArray:
        """Of each context and last symbol the key, without a mark."""
        key = context.astype(np.int64)
        key <<= self._symbol_bits
        key |= symbol
        key <<= _MARK_BITS
        return key


def _phones(scores: AnyArray) -> AnyArray:
    """`ways` that end in phones."""
    ways = np.full((2, len(scores)), NEVER)
    ways[1] = scores
    return ways


def _merged(key: AnyArray, ways: AnyArray) -> _States:
    """States of equal keys as one, and the most probable of them."""
    order = key.argsort(kind="stable")
    key = key.take(order)
    differs = np.empty(len(key), np.bool_)
    differs[:1] = True
    np.not_equal(key[1:], key[:-1], out=differs[1:])
    first = differs.nonzero()[0]
    key, ways = key.take(first), np.logaddexp.reduceat(ways.take(order, axis=1), first, axis=1)
    total = np.logaddexp(ways[0], ways[1])
    kept = (total > np.maximum.reduce(total) - BEAM).nonzero()[0]
    if len(kept) > SIZE:
        kept = kept[(-total.take(kept)).argsort(kind="stable")[:SIZE]]
        kept.sort()
    if len(kept) == len(key):
        return _States(key, ways, total)
    return _States(key.take(kept), ways.take(kept, axis=1), total.take(kept))


def _words(states: _States) -> float:
    """Log sum of all ways in which the keyword is words of its own."""
    return _log_sum(states.total[states.key & _MARK != _OTHER])


def _log_sum(values: AnyArray) -> float:
    return float(np.logaddexp.reduce(values, initial=NEVER))
