"""Viterbi's algorithm for whole utterances: pronunciations as a tree in which equal beginnings are one branch.

Unlike `search`, a path must explain the utterance from its first row to its last. Rows are divided by their maxima, and
no phone counts as less probable than `STEEPEST` beside the best. A CTC model gives a phone one clear row and is sure of
the blank elsewhere, so that short sequences win where speech is faint: each phone of a path is paid `BONUS`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, FloatArray

STEEPEST = -8.0  # nats
BONUS = 1.2  # nats a phone

_NEVER = -1e9


class TreeState(NamedTuple):
    """The best paths so far."""

    phone: AnyArray
    """float64 [nodes]: to each node's phone."""
    blank: AnyArray
    """float64 [nodes]: to the blank behind it."""


class PhoneTree:
    """Pronunciations in one tree. Node 0 is its root, where nothing has been said."""

    def __init__(self, sequences: Sequence[Sequence[int]], *, blank: int) -> None:
        """
        Args:
            sequences: pronunciations as columns of the rows, at least one phone each.
            blank: the blank's column.
        """
        children: dict[tuple[int, int], int] = {}
        column, parent = [blank], [0]
        ends = []
        for phones in sequences:
            node = 0
            for phone in phones:
                child = children.setdefault((node, phone), len(column))
                if child == len(column):
                    column.append(phone)
                    parent.append(node)
                node = child
            ends.append(node)
        self._blank = blank
        self._column, self._parent, self._ends = np.array(column), np.array(parent), np.array(ends)
        # A phone follows an equal one only behind a blank, and nothing follows the root's phone, which there is not.
        self._barred = np.where(self._column == self._column[self._parent], _NEVER, 0.0)
        self._barred[0] = _NEVER
        self._bonus = BONUS * np.array([len(phones) for phones in sequences])

    def __len__(self) -> int:
        return len(self._column)

    def initial(self) -> TreeState:
        """The state before the first row."""
        blank = np.full(len(self), _NEVER)
        blank[0] = 0.0
        return TreeState(np.full(len(self), _NEVER), blank)

    def decode(self, state: TreeState, rows: FloatArray) -> TreeState:
        """The state after `rows` [n, columns], as `relative` gives them."""
        phone, blank = state
        for row in rows:
            best = np.maximum(blank.take(self._parent), phone.take(self._parent) + self._barred)
            np.maximum(best, phone, out=best)
            best += row.take(self._column)
            best[0] = _NEVER
            blank = np.maximum(blank, phone) + row[self._blank]
            phone = best
        return TreeState(phone, blank)

    def scores(self, state: TreeState) -> AnyArray:
        """Of each sequence, nats: the best path on which all rows so far are that sequence and no more."""
        scores: AnyArray = np.maximum(state.phone, state.blank)[self._ends] + self._bonus
        return scores


def relative(rows: FloatArray) -> AnyArray:
    """`rows` [n, columns] of log-probabilities divided by their maxima, `STEEPEST` at least, float64."""
    exact = rows.astype(np.float64)
    values: AnyArray = np.maximum(exact - exact.max(axis=-1, keepdims=True), STEEPEST)
    return values


def free_score(rows: AnyArray, blank: int) -> float:
    """The best path of any phones at all through `rows`, as `relative` gives them, paid as in a tree."""
    phones = np.delete(rows, blank, axis=1)
    on = np.full(phones.shape[1], _NEVER)  # the best path that is now in each phone
    off = 0.0  # in a blank
    for row, silent in zip(phones, rows[:, blank].tolist(), strict=True):
        first, second = np.sort(on)[[-1, -2]]
        another = np.where(on == first, second, first)  # the best in another phone
        best = np.maximum(on, np.maximum(off, another) + BONUS)
        off = max(off, float(first)) + silent
        on = best + row
    return max(off, float(on.max()))
