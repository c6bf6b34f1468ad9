"""Letters aligned with the phones they stand for, by expectation maximisation over a dictionary.

A letter stands for nought, one or two phones. The one table of graphone probabilities is re-estimated from
expected counts over all monotone alignments of each word with its phones (M. Bisani and H. Ney 2008, with
graphones of one letter). Words of equal length and equally many phones are computed together.
Training only; `g2p.py` decodes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .g2p import LETTERS, Graphone
from .phones import PHONES

_MOST_PHONES = 2  # of one letter: x as K S, u as Y UW
_SIZES = [len(PHONES) ** count for count in range(_MOST_PHONES + 1)]
# Of the graphones with 0, 1, 2 phones in a letter's row of the table
_OFFSETS = [0, *np.cumsum(_SIZES).tolist()]
_LETTER = {letter: index for index, letter in enumerate(LETTERS)}
_PHONE = {phone: index for index, phone in enumerate(PHONES)}

Entry = tuple[str, tuple[str, ...]]
"""A word of the letters a to z and its phones."""


class _Group:
    """Words of I letters and J phones: their letters [words, I] and phones [words, J]."""

    def __init__(self, members: list[int], entries: Sequence[Entry]) -> None:
        self.members = members
        self.letters = np.array([[_LETTER[c] for c in entries[m][0]] for m in members])
        self.phones = np.array([[_PHONE[p] for p in entries[m][1]] for m in members])

    def arcs(self) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """(i, j, n, cells [words]): letter i may stand for the n phones up to j, which are the table's `cells`."""
        count, total = self.letters.shape[1], self.phones.shape[1]
        for i in range(1, count + 1):
            row = self.letters[:, i - 1] * _OFFSETS[-1]
            for j in range(total + 1):
                for n in range(min(j, _MOST_PHONES) + 1):
                    cells = row + _OFFSETS[n]
                    for phone in range(j - n, j):
                        cells = cells + self.phones[:, phone] * len(PHONES) ** (j - 1 - phone)
                    yield i, j, n, cells


def _groups(entries: Sequence[Entry]) -> list[_Group]:
    by_size = defaultdict(list)
    for member, (word, phones) in enumerate(entries):
        if len(phones) <= _MOST_PHONES * len(word):
            by_size[len(word), len(phones)].append(member)
    return [_Group(members, entries) for _, members in sorted(by_size.items())]


def estimate(
    entries: Sequence[Entry], iterations: int = 6, report: Callable[[str], None] = lambda line: None
) -> np.ndarray:
    """Probabilities of all possible graphones, [letters * (1 + 39 + 39²)], by EM from a uniform start."""
    table = np.full(len(LETTERS) * _OFFSETS[-1], 1 / (len(LETTERS) * _OFFSETS[-1]))
    groups = _groups(entries)
    for iteration in range(iterations):
        counts = np.zeros_like(table)
        likelihood = 0.0
        for group in groups:
            words, count = group.letters.shape
            total = group.phones.shape[1]
            forward = np.zeros((count + 1, total + 1, words))
            forward[0, 0] = 1
            for i, j, n, cells in group.arcs():
                forward[i, j] += forward[i - 1, j - n] * table[cells]
            likelihood += np.log(forward[count, total]).sum()
            backward = np.zeros_like(forward)
            backward[count, total] = 1 / forward[count, total]
            for i, j, n, cells in reversed(list(group.arcs())):
                onward = table[cells] * backward[i, j]
                np.add.at(counts, cells, forward[i - 1, j - n] * onward)
                backward[i - 1, j - n] += onward
        table = counts / counts.sum()
        report(f"alignment pass {iteration + 1} of {iterations}: {likelihood / len(entries):.3f} nats a word")
    return table


def align(entries: Sequence[Entry], table: np.ndarray) -> list[list[Graphone]]:
    """The likeliest graphones of each entry; none where it has more phones than letters can stand for."""
    aligned: list[list[Graphone]] = [[] for _ in entries]
    log_table = np.log(np.maximum(table, 1e-300))
    for group in _groups(entries):
        words, count = group.letters.shape
        total = group.phones.shape[1]
        best = np.full((count + 1, total + 1, words), -np.inf)
        best[0, 0] = 0
        taken = np.zeros(best.shape, np.int8)
        for i, j, n, cells in group.arcs():
            score = best[i - 1, j - n] + log_table[cells]
            better = score > best[i, j]
            best[i, j][better] = score[better]
            taken[i, j][better] = n
        for column, member in enumerate(group.members):
            word, phones = entries[member]
            j = total
            for i in range(count, 0, -1):
                n = taken[i, j, column]
                aligned[member].append(Graphone(word[i - 1], phones[j - n : j]))
                j -= n
            aligned[member].reverse()
    return aligned


def inventory(aligned: Sequence[list[Graphone]], least: int = 5) -> list[Graphone]:
    """The graphones used at least `least` times, sorted; rarer ones are mistakes or abbreviations."""
    counts = Counter(graphone for word in aligned for graphone in word)
    return sorted(graphone for graphone, count in counts.items() if count >= least)
