"""What a transcript may sound like, as a graph of CTC states: words in order, each with all its pronunciations.

States are numbered so that every edge but a state's own leads upwards:

    gap 0 | word 0: its pronunciations side by side | gap 1 | word 1 | ... | gap n

A pronunciation of phones p q r is the states  p - q - r,  where - is the blank, which may be passed over between
different phones and not between equal ones (Graves et al. 2006, "Connectionist temporal classification", section
4.1). A gap is the blank before, between and after words: silence, or nothing, since the next word may follow at
once. Where a pronunciation ends the next word begins, whichever pronunciation that has.

Two things more let a transcript differ from what was said: a gap takes in speech that is not in the transcript, and
from the gap before a word one may go on in the gap behind it, as the word was not said. `Costs` says at what price.
A word whose pronunciation nobody knows is no word of the graph: the gap in its place takes in anything nearly for
nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]
Variants = Sequence[Sequence[int]]
"""Pronunciations of a word, each the CTC labels of its phones."""


class Costs(NamedTuple):
    """What a path pays, in nats, for what plain forced alignment does not allow or does not mind."""

    skip_word: float
    """For a word that was not said, besides ..."""
    skip_phone: float
    """... for each of its phones, the word taken at its shortest; infinite where all words must be said."""
    filler: float
    """For each row of speech in a gap, below the row's most probable label; infinite where a gap must be blank."""
    dwell: float
    """For each row of blank within a word, so that no word is drawn out over a pause to a phone behind it."""
    skip_least: float = 0.0
    """For a word that was not said, at least: so that words of a phone or two are not skipped for being said badly."""
    unread: float = 0.5
    """As `filler`, in a gap in which there is a word that cannot be read."""


PLAIN = Costs(skip_word=0.0, skip_phone=np.inf, filler=np.inf, dwell=0.0)
"""Forced alignment as it is defined: everything must be said, and nothing else."""


class Edges(NamedTuple):
    """At most one edge into each state, sorted by where they lead."""

    into: Integers  # [edges] ascending
    origin: Integers  # [edges], each below `into`


@dataclass(frozen=True)
class Graph:
    """States 0 ... states - 1, as above. Every state also has an edge to itself."""

    label: Integers
    """[states] what a state emits, an index into the rows of `emissions`."""
    word: Integers
    """[states] index of the word, -1 in gaps."""
    variant: Integers
    """[states] which of the word's pronunciations, -1 in gaps."""
    phone: Integers
    """[states] index of the phone in its pronunciation, -1 in gaps and blanks."""
    edges: tuple[Edges, ...]
    """Edges from lower states, in layers: a state's first edge is in the first layer, and so on."""
    gaps: Integers
    """[words + 1] the states that are gaps."""
    ends: Integers
    """Where a path may end: the last gap and the last phones of the last word."""
    skip: NDArray[np.float32]
    """[words] cost of going from the gap before a word to the one behind it; infinite where that is ruled out."""

    @property
    def states(self) -> int:
        return len(self.label)


def build(
    words: Sequence[Variants], *, label_count: int, costs: Costs, unread: Collection[int] = ()
) -> Graph:
    """The graph of `words`.

    Args:
        words: for each word its pronunciations, at least one, of at least one phone each.
        label_count: number of CTC labels, the blank included.
        costs: of skipping words.
        unread: gaps, counted from 0, in which there is a word that cannot be read.
    """
    # The labels of gaps, of blanks within words, and of gaps with a word that cannot be read.
    silence, held, anything = label_count, label_count + 1, label_count + 2
    # Label, word, variant, phone
    states: list[tuple[int, int, int, int]] = [(anything if 0 in unread else silence, -1, -1, -1)]
    incoming: list[list[int]] = [[]]  # for each state the lower states that lead to it
    gap, ends, gaps = 0, list[int](), [0]  # the last gap, the last phones of the last word, all gaps

    def add(state: tuple[int, int, int, int], origins: list[int]) -> int:
        states.append(state)
        incoming.append(origins)
        return len(states) - 1

    for index, variants in enumerate(words):
        last = []
        for variant, phones in enumerate(variants):
            origins = [gap, *(end for end in ends if states[end][0] != phones[0])]
            at = add((phones[0], index, variant, 0), origins)
            for position, phone in enumerate(phones[1:], start=1):
                between = add((held, index, variant, -1), [at])
                at = add(
                    (phone, index, variant, position),
                    [between] if phone == phones[position - 1] else [between, at],
                )
            last.append(at)
        ends = last
        gap = add((anything if index + 1 in unread else silence, -1, -1, -1), list(ends))
        gaps.append(gap)

    deepest = max(map(len, incoming))
    layers = [
        Edges(
            np.array([state for state, origins in enumerate(incoming) if len(origins) > layer], np.int32),
            np.array([origins[layer] for origins in incoming if len(origins) > layer], np.int32),
        )
        for layer in range(deepest)
    ]
    table = np.array(states, np.int32)
    return Graph(
        label=table[:, 0].copy(),
        word=table[:, 1].copy(),
        variant=table[:, 2].copy(),
        phone=table[:, 3].copy(),
        edges=tuple(layers),
        gaps=np.array(gaps, np.int32),
        ends=np.array([*ends, gap], np.int32),
        skip=np.array(
            [
                max(costs.skip_least, costs.skip_word + costs.skip_phone * min(map(len, variants)))
                for variants in words
            ],
            np.float32,
        ),
    )


def emissions(log_probs: NDArray[np.float32], *, blank: int, costs: Costs) -> NDArray[np.float32]:
    """`log_probs` [rows, labels] with three more labels: [rows, labels + 3].

    The first is what gaps emit: the blank or, `costs.filler` below the best label of the row, anything that was said.
    The second is the blank within words, `costs.dwell` below the blank. The third is as the first with `costs.unread`
    in the place of `costs.filler`.
    """
    silent = log_probs[:, blank, None]
    best = log_probs.max(axis=1, keepdims=True, initial=-np.inf)
    gap, unread = (np.maximum(silent, best - np.float32(cost)) for cost in (costs.filler, costs.unread))
    return np.concatenate([log_probs, gap, silent - np.float32(costs.dwell), unread], axis=1)
