"""A phone language model ready for search: rows of scores and of next contexts, expanded when they are first asked for.

Loading reads the trie and no more. The row of a context is that of its suffix plus its back-off weight, with its own
children in their places; so is its row of next contexts, where a child that is no context stands for the longest
suffix of it that is one. That rule also tells each child its suffix, which the file does not hold.
"""

from threading import Lock
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray
from . import trie
from .trie import START, Trie

ROOT = 0  # the context of no symbols
MAX_ROWS = 65536  # expanded at a time: 64 MB with 80 symbols, after some six minutes of speech
_UNKNOWN = -1


class Rows(NamedTuple):
    """Expanded contexts. Rows are added in place, behind those that anyone knows of."""

    scores: AnyArray
    """float64 [rows, symbols]: log-probability of each symbol, nats."""
    nexts: AnyArray
    """int32 [rows, symbols]: the context after it."""
    place: AnyArray
    """int32 [contexts]: the row of each, -1 for one that is not expanded."""
    used: int


class PhoneLM:
    """A language model of phones. What it knows never changes, and threads may share it.

    A context is a number; `start` is that of a sentence's beginning.
    """

    def __init__(self, model: Trie) -> None:
        """Take over a trie that `trie.validate` has passed."""
        self.phones = model.phones
        self.word_marks = model.word_marks
        self.sha256 = model.sha256
        """Of the model's contents, in hexadecimal; snapshots carry it."""
        self.end = model.end
        """The symbol of a sentence's end; phones have 1 to `end` - 1."""
        self._trie = model
        self._nodes = np.flatnonzero(model.children)  # of each context
        self._first = trie.first_children(model.children[self._nodes])
        self._bounds = trie.level_bounds(self._first, self._nodes)
        self._number = np.full(len(model.symbol), _UNKNOWN, np.int32)
        self._number[self._nodes] = np.arange(len(self._nodes))
        self._suffix = np.full(len(self._nodes), _UNKNOWN, np.int32)
        self._lock = Lock()
        self._rows = self._empty(64)
        self.start = self.walk([START])

    @property
    def contexts(self) -> int:
        return len(self._nodes)

    @property
    def order(self) -> int:
        """n: symbols of its longest n-grams."""
        return len(self._bounds) - 1

    def rows(self, contexts: AnyArray) -> tuple[Rows, AnyArray]:
        """Where the scores after `contexts` [n] are: rows, and the row of each [n]."""
        rows = self._rows
        places = rows.place[contexts]
        if places.min(initial=0) < 0:
            with self._lock:
                rows = self._expand(contexts)
            places = rows.place[contexts]
        return rows, places

    def walk(self, symbols: list[int]) -> int:
        """The context after `symbols`, with nothing before them."""
        context = ROOT
        for symbol in symbols:
            rows, places = self.rows(np.array([context]))
            context = int(rows.nexts[places[0], symbol])
        return context

    def _empty(self, size: int) -> Rows:
        width = self.end + 1
        place = np.full(len(self._nodes), _UNKNOWN, np.int32)
        return Rows(np.empty((size, width)), np.empty((size, width), np.int32), place, 0)

    def _expand(self, contexts: AnyArray) -> Rows:
        """Rows in which all `contexts` are. The lock is held."""
        wanted = np.unique(contexts[self._rows.place[contexts] < 0])
        if self._rows.used + self.order * len(wanted) > MAX_ROWS:
            wanted = np.unique(contexts)
            self._rows = self._empty(max(64, 2 * self.order * len(wanted)))
        size = self._rows.used + self.order * len(wanted)  # if no suffix has a row yet
        if size > len(self._rows.scores):  # whoever reads the old arrays goes on with them
            spare = 2 * size - len(self._rows.scores)
            self._rows = self._rows._replace(
                scores=np.pad(self._rows.scores, ((0, spare), (0, 0))),
                nexts=np.pad(self._rows.nexts, ((0, spare), (0, 0))),
                place=self._rows.place.copy(),
            )
        rows = self._rows
        used = rows.used
        for context in wanted.tolist():
            for missing in reversed(self._missing(rows, context)):
                self._fill(rows, missing, used)
                used += 1
        self._rows = rows._replace(used=used)
        return self._rows

    def _missing(self, rows: Rows, context: int) -> list[int]:
        """`context`, its suffix, and so on down to the first that has a row."""
        missing = []
        while rows.place.item(context) < 0:
            missing.append(context)
            if context == ROOT:
                break
            if self._suffix.item(context) == _UNKNOWN:
                self._find_suffix(context)
            context = self._suffix.item(context)
        return missing

    def _find_suffix(self, context: int) -> None:
        """By its definition, for one that no row has led to: that of a restored search."""
        symbols = []
        while context != ROOT:
            node = self._nodes[context]
            symbols.append(int(self._trie.symbol[node]))
            context = int(np.searchsorted(self._first, node, side="right")) - 1
        symbols.reverse()
        context, suffix = ROOT, ROOT
        for place, symbol in enumerate(symbols):
            child = int(self._number[self._child(context, symbol)])
            suffix = ROOT if place == 0 else self._next(suffix, symbol)
            self._suffix[child] = suffix
            context = child

    def _child(self, context: int, symbol: int) -> int:
        """The node of `symbol` after `context`, -1 if there is none."""
        begin, end = self._first[context : context + 2]
        node = int(begin + np.searchsorted(self._trie.symbol[begin:end], symbol))
        return node if node < end and self._trie.symbol[node] == symbol else -1

    def _next(self, context: int, symbol: int) -> int:
        """The context after `symbol`, without rows."""
        while True:
            node = self._child(context, symbol)
            if node >= 0 and self._number[node] >= 0:
                return int(self._number[node])
            if context == ROOT:
                return ROOT
            if self._suffix[context] == _UNKNOWN:
                self._find_suffix(context)
            context = int(self._suffix[context])

    def _fill(self, rows: Rows, context: int, new: int) -> None:
        """Make row `new` that of `context`, whose suffix has one: one by one, since few at a time are missing."""
        scores, nexts = rows.scores[new], rows.nexts[new]
        if context == ROOT:
            scores[:], nexts[:] = 0.0, ROOT
        else:
            below = rows.place.item(self._suffix.item(context))
            np.add(rows.scores[below], self._trie.back_off.item(context), out=scores)
            nexts[:] = rows.nexts[below]
        children = slice(self._first.item(context), self._first.item(context + 1))
        symbols = self._trie.symbol[children]
        scores[symbols] = self._trie.score[children]
        if context < self._bounds[-2]:  # a longest context has no children that are contexts
            numbers = self._number[children]
            inner = numbers >= 0
            symbols, numbers = symbols[inner], numbers[inner]
            self._suffix[numbers] = nexts[symbols]
            nexts[symbols] = numbers
        rows.place[context] = new


def uniform(phones: tuple[str, ...]) -> PhoneLM:
    """The model that says nothing: every score is 0."""
    nodes = len(phones) + 3
    symbol = np.concatenate([[0], np.arange(nodes - 1)]).astype(np.uint8)
    children = np.zeros(nodes, np.uint8)
    children[0] = nodes - 1
    return PhoneLM(Trie(phones, False, symbol, children, np.zeros(nodes), np.zeros(1)))
