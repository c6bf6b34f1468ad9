"""Where a long transcript and a long recording certainly go together, so that each part can be aligned alone.

The phones that were decoded without the transcript are matched with the transcript's own: runs of `RUN` phones that are
in both, and of these the longest chain that is in order in both (the longest increasing subsequence; M. Fredman, "On
computing the length of longest increasing subsequences", Discrete Mathematics 11, 1975). A cut is made between two
words about which the chain is dense and straight: of the `REACH` phones on either side at least `DENSE` are matched,
and no phones more than `SLACK` are put in or left out. What is missing in one or the other is then between two cuts.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .graph import Variants

RUN = 6  # phones that must be equal
MOST = 4  # places in the transcript that a run may have: what is said often tells nothing
REACH = 12  # phones on either side of a cut ...
DENSE = 8  # ... of which so many are matched
SLACK = 4  # phones put in or left out about a cut, at most
SPACING = 150  # phones between two cuts, at least; of the cuts up to twice that, the one in the longest pause is made


class Heard(NamedTuple):
    """A phone that was decoded without the transcript."""

    label: int
    begin: int
    """The first of its rows, and ..."""
    end: int
    """... the one behind its last."""


def best_path_phones(rows: NDArray[np.float32], blank: int) -> list[Heard]:
    """The phones of greedy decoding.

    Args:
        rows: [rows, labels] log-probabilities.
    """
    found: list[Heard] = []
    end = 0
    for label, run in groupby(rows.argmax(axis=1).tolist()):
        begin, end = end, end + sum(1 for _ in run)
        if label != blank:
            found.append(Heard(label, begin, end))
    return found


class Cut(NamedTuple):
    """A place that is certain."""

    word: int
    """The first word behind it, and ..."""
    row: int
    """... the first row."""


def find_cuts(words: Sequence[Variants], heard: Sequence[Heard], unread: Collection[int] = ()) -> list[Cut]:
    """Cuts between words, in order; none where nothing is certain.

    Args:
        words: for each word its pronunciations, of which the first is matched.
        heard: the phones of the whole recording, in order.
        unread: gaps, counted from 0, in which there is a word that cannot be read: no cut is made there.
    """
    firsts = np.cumsum([0, *(len(variants[0]) for variants in words)])
    said = np.array([phone for variants in words for phone in variants[0]], np.int64)
    partner = _partners(said, np.array([phone.label for phone in heard], np.int64))
    possible = [
        (word, int(first))
        for word, first in enumerate(firsts[:-1].tolist())
        if word and word not in unread and _is_certain(partner, int(first))
    ]
    cuts: list[Cut] = []
    done, at = 0, 0
    while at < len(possible):
        if possible[at][1] < done + SPACING:
            at += 1
            continue
        near = [place for place in possible[at:] if place[1] < done + 2 * SPACING] or possible[at : at + 1]
        word, first = max(near, key=lambda place: _pause(heard, int(partner[place[1]])))
        behind = heard[partner[first]]
        cuts.append(Cut(word, (heard[partner[first] - 1].end + behind.begin) // 2))
        done = first
    return cuts


def _pause(heard: Sequence[Heard], index: int) -> int:
    """Rows between a phone and the one before it."""
    return heard[index].begin - heard[index - 1].end


def _is_certain(partner: NDArray[np.int64], first: int) -> bool:
    """Whether a cut may be made before the phone `first` of the transcript."""
    if first < 1 or partner[first] < 1 or partner[first - 1] != partner[first] - 1:
        return False
    places = np.arange(max(0, first - REACH), min(len(partner), first + REACH))
    matched = partner[places] >= 0
    before, behind = matched[places < first].sum(), matched[places >= first].sum()
    shift = (partner[places] - places)[matched]
    return bool(before >= DENSE and behind >= DENSE and np.ptp(shift) <= SLACK)


def _partners(said: NDArray[np.int64], heard: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each phone that is said the one that was heard, -1 for none; ascending."""
    partner = np.full(len(said), -1, np.int64)
    places = defaultdict[int, list[int]](list)
    for place, run in enumerate(_runs(said)):
        places[run].append(place)
    hits = [
        (place, other)
        for other, run in enumerate(_runs(heard))
        for place in reversed(places.get(run, ()))
        if len(places[run]) <= MOST
    ]
    for place, other in _chain(hits):
        partner[place : place + RUN] = np.arange(other, other + RUN)
    for place, following in pairwise(np.flatnonzero(partner >= 0).tolist()):
        if partner[following] <= partner[place]:  # two runs that overlap and disagree
            partner[following] = -1
    return partner


def _runs(labels: NDArray[np.int64]) -> list[int]:
    """A number for each `RUN` labels in a row, equal for equal ones."""
    if len(labels) < RUN:
        return []
    base = int(labels.max()) + 1
    weights = np.array([base**power for power in range(RUN)], np.int64)
    found: list[int] = (np.lib.stride_tricks.sliding_window_view(labels, RUN) @ weights).tolist()
    return found


def _chain(hits: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest chain of pairs ascending in both; `hits` ascend in the second, among equals descend in the first."""
    tails: list[int] = []  # the least first of any chain of each length
    ends: list[int] = []  # the hit at the end of that chain
    before = [-1] * len(hits)
    for index, (place, _) in enumerate(hits):
        length = bisect_left(tails, place)
        before[index] = ends[length - 1] if length else -1
        tails[length : length + 1] = [place]
        ends[length : length + 1] = [index]
    chain, index = list[tuple[int, int]](), ends[-1] if ends else -1
    while index >= 0:
        chain.append(hits[index])
        index = before[index]
    return chain[::-1]
