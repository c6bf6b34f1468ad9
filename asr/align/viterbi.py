"""The best path through a graph of CTC states, exact for minutes of speech and in bounded memory for hours.

Viterbi's algorithm (Forney 1973, "The Viterbi algorithm"), all states of a row at once. Two things bound its
memory. Only `WINDOW` states next to each other are kept at a time, about the best one: some 1500 phones, two
minutes of speech; a graph that is no larger is searched exactly. And of the back-pointers, one byte for each state
and row, at most `BLOCK_BYTES` are there at a time: of the rows before only the scores at the beginning of
each block are kept, and the block is done again when the path is traced back through it (checkpointing).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .graph import Graph, Integers

WINDOW = 4096  # states
BLOCK_BYTES = 64 << 20
STRIDE = 32  # rows between two moves of the window

_STAYED, _SKIPPED = 0, 255  # back-pointers; 1 ... 254 are layers of edges
_NEVER = -np.inf

Scores = NDArray[np.float64]


class Front(NamedTuple):
    """Scores of the states `low` ... `low + len(scores) - 1` after a row; no path that counts is in any other."""

    low: int
    scores: Scores


class _Window(NamedTuple):
    """The part of a graph between two states, its indices counted from the first, plus one: 0 is no state."""

    label: Integers
    layers: list[tuple[Integers, Integers]]
    gaps: Integers
    skipped: Scores  # [gaps] cost of skipping from the first gap to each; no gaps if nothing may be skipped


def best_path(
    graph: Graph, rows: NDArray[np.float32], *, window: int = WINDOW, block_bytes: int = BLOCK_BYTES
) -> tuple[Integers, float]:
    """The states that the rows stand for, [rows], and the score of that path in nats.

    If a path to the end of the graph has been lost (the window did not hold it, or there are fewer rows than
    phones), the path ends in the best state there is; its score is then minus infinity.

    Args:
        graph: of `graph.build`.
        rows: [rows, labels + 3] of `graph.emissions`, at least one row.
        window: states kept at a time.
        block_bytes: of back-pointers at a time.
    """
    width = min(window, graph.states)
    length = max(STRIDE, block_bytes // width // STRIDE * STRIDE)
    blocks = list(pairwise([*range(0, len(rows), length), len(rows)]))
    fronts = [_start(graph, width)]
    for begin, end in blocks[:-1]:
        *_, (front, _) = _forward(graph, rows[begin:end], fronts[-1])
        fronts.append(front)

    path = np.empty(len(rows), np.int32)
    state, score = -1, float(_NEVER)
    for (begin, end), front in reversed(list(zip(blocks, fronts, strict=True))):
        steps = list(_forward(graph, rows[begin:end], front))
        if state < 0:
            state, score = _end(graph, steps[-1][0])
        row = end
        for (at, _), back in reversed(steps):
            for pointers in back[::-1]:
                row -= 1
                path[row], state = _trace(graph, pointers, at, state)
    return path, score


def _start(graph: Graph, width: int) -> Front:
    """Before the first row: in the first gap, or in a later one for the words in between."""
    scores = np.full(width, _NEVER)
    inside = graph.gaps[graph.gaps < width]
    scores[inside] = -_skips(graph, 0, len(inside))
    return Front(0, scores)


def _skips(graph: Graph, first: int, count: int) -> Scores:
    """Cost of skipping from gap `first` to each of the `count` gaps from it on."""
    costs = np.cumsum(graph.skip[first : first + max(0, count - 1)], dtype=np.float64)
    return np.concatenate([[0.0], costs])[:count]


def _forward(
    graph: Graph, rows: NDArray[np.float32], front: Front
) -> Iterator[tuple[Front, NDArray[np.uint8]]]:
    """Fronts after every `STRIDE` rows, and the back-pointers [STRIDE, width] of these rows."""
    width = len(front.scores)
    for begin in range(0, len(rows), STRIDE):
        front = _moved(front, graph.states)
        part = _part(graph, front.low, width)
        piece = rows[begin : begin + STRIDE]
        back = np.empty((len(piece), width), np.uint8)
        before = np.concatenate([[_NEVER], front.scores])
        for row, pointers in zip(piece, back, strict=True):
            before = _step(part, before, row, pointers)
        front = Front(front.low, before[1:])
        yield front, back


def _moved(front: Front, states: int) -> Front:
    """The window moved on so that the best state is in its middle."""
    low, scores = front
    width = len(scores)
    shift = min(low + max(0, int(scores.argmax()) - width // 2), states - width) - low
    if shift <= 0:
        return front
    return Front(low + shift, np.concatenate([scores[shift:], np.full(shift, _NEVER)]))


def _part(graph: Graph, low: int, width: int) -> _Window:
    layers = []
    for into, origin in graph.edges:
        inside = slice(*np.searchsorted(into, [low, low + width]))
        layers.append((into[inside] - low + 1, np.maximum(origin[inside] - low + 1, 0)))
    first, last = (int(place) for place in np.searchsorted(graph.gaps, [low, low + width]))
    if not np.isfinite(graph.skip).all():
        last = first
    return _Window(
        graph.label[low : low + width],
        layers,
        graph.gaps[first:last] - low + 1,
        _skips(graph, first, last - first),
    )


def _step(part: _Window, before: Scores, row: NDArray[np.float32], pointers: NDArray[np.uint8]) -> Scores:
    """Scores after a row from those before it, both [1 + width]; fills in `pointers` [width]."""
    after = before.copy()
    chosen = np.full(len(before), _STAYED, np.uint8)
    for layer, (into, origin) in enumerate(part.layers, start=1):
        offered = before[origin]
        better = offered > after[into]
        places = into[better]
        after[places] = offered[better]
        chosen[places] = layer
    after[1:] += row[part.label]
    # From gap to gap without a row in between: a gap is reached from whichever before it leaves the most.
    reached = after[part.gaps] + part.skipped
    best = np.maximum.accumulate(reached)
    skipped = best > reached
    places = part.gaps[skipped]
    after[places] = (best - part.skipped)[skipped]
    chosen[places] = _SKIPPED
    pointers[:] = chosen[1:]
    return after


def _end(graph: Graph, front: Front) -> tuple[int, float]:
    """The state in which the best path ends, and its score."""
    low, scores = front
    ends = graph.ends[(graph.ends >= low) & (graph.ends < low + len(scores))]
    if len(ends):
        best = int(ends[scores[ends - low].argmax()])
        if np.isfinite(scores[best - low]):
            return best, float(scores[best - low])
    return low + int(scores.argmax()), float(_NEVER)


def _trace(graph: Graph, pointers: NDArray[np.uint8], low: int, state: int) -> tuple[int, int]:
    """The state that emitted this row on the way to `state` after it, and the state before the row."""
    while (pointer := int(pointers[state - low])) == _SKIPPED:
        state = int(graph.gaps[np.searchsorted(graph.gaps, state) - 1])
    if pointer == _STAYED:
        return state, state
    into, origin = graph.edges[pointer - 1]
    return state, int(origin[np.searchsorted(into, state)])
