"""Which phones of a transcript are in a recording, and in which rows: its graph searched, in parts where it is long.

A transcript that is not longer than the search's window is searched exactly. A longer one is cut where it and the
recording certainly go together (see `anchors`), and each part is searched alone: exactly, unless it is too large, as
where recording and transcript have nothing in common for half an hour.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .anchors import Cut, Heard, find_cuts
from .graph import Costs, Graph, Integers, Variants, build, emissions
from .viterbi import WINDOW, best_path

EXACT = 1 << 31  # states times rows of a part up to which all its states are kept


class Spikes(NamedTuple):
    """The phones that were found, in order."""

    labels: Integers
    """[phones] CTC labels."""
    words: Integers
    """[phones] index of each one's word."""
    runs: list[tuple[int, int]]
    """Of each its rows [first, behind last)."""

    def without(self, words: Collection[int]) -> "Spikes":
        """The phones of the other words."""
        kept = ~np.isin(self.words, list(words))
        runs = [run for run, keep in zip(self.runs, kept, strict=True) if keep]
        return Spikes(self.labels[kept], self.words[kept], runs)


def find_spikes(
    rows: NDArray[np.float32],
    words: Sequence[Variants],
    heard: Sequence[Heard],
    *,
    blank: int,
    costs: Costs,
    unread: Collection[int] = (),
    window: int = WINDOW,
) -> Spikes:
    """The phones on the best path.

    Args:
        rows: [rows, labels] log-probabilities, at least one row.
        words: for each word its pronunciations, at least one.
        heard: the phones decoded without the transcript, in order.
        blank: the blank's label.
        costs: of what differs.
        unread: gaps, counted from 0, in which there is a word that cannot be read.
        window: states up to which a graph is searched whole.
    """
    states = 1 + len(words) + sum(2 * len(phones) - 1 for variants in words for phones in variants)
    cuts = find_cuts(words, heard, unread) if states > window else []
    labels, owners, runs = list[Integers](), list[Integers](), list[tuple[int, int]]()
    for (first, begin), (last, end) in pairwise([Cut(0, 0), *cuts, Cut(len(words), len(rows))]):
        graph = build(
            words[first:last],
            label_count=rows.shape[1],
            costs=costs,
            unread={gap - first for gap in unread if first <= gap <= last},
        )
        emitted = emissions(rows[begin:end], blank=blank, costs=costs)
        kept = graph.states if graph.states * len(emitted) <= EXACT else window
        found, places = _phones(graph, best_path(graph, emitted, window=kept)[0])
        labels.append(graph.label[found])
        owners.append(graph.word[found] + np.int32(first))
        runs += [(one + begin, behind + begin) for one, behind in places]
    return Spikes(np.concatenate(labels), np.concatenate(owners), runs)


def _phones(graph: Graph, path: Integers) -> tuple[Integers, list[tuple[int, int]]]:
    """The states of phones on a path, and for each its rows [first, behind last).

    The last word may be unfinished, where the path could not get to the end of the graph; it then has none.
    """
    last = int(path[-1])
    unfinished = graph.word[last] if graph.word[last] >= 0 and _goes_on(graph, last) else -1
    edges = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    runs = [
        (begin, end)
        for begin, end in pairwise(edges)
        if graph.phone[path[begin]] >= 0 and graph.word[path[begin]] != unfinished
    ]
    return path[[begin for begin, _ in runs]], runs


def _goes_on(graph: Graph, state: int) -> bool:
    """Whether the state behind is of the same pronunciation."""
    return bool(
        graph.word[state + 1] == graph.word[state] and graph.variant[state + 1] == graph.variant[state]
    )
