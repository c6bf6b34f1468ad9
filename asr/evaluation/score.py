"""Phone error rate: reference and hypothesis aligned, errors counted by kind, and the confusion table."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..lexicon.phones import PHONES

Operation = Literal["equal", "substitute", "delete", "insert"]


class Edit(NamedTuple):
    """One step of an alignment: a reference phone, the decoded phone beside it, and which of the four it is."""

    operation: Operation
    reference: str | None  # None: an insertion
    hypothesis: str | None  # None: a deletion


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Edit]:
    """The Levenshtein alignment of two sequences, the same one every time.

    Several alignments often have the fewest edits. Of these, one with the fewest substitutions is taken: "A
    B" decoded as "B C" is A deleted and C inserted around a correct B rather than two substitutions (NIST
    sclite's weights of 4, 3 and 3 decide such a tie alike). If that leaves several, the alignment is read
    from its end, and there an equal or substituted pair goes before a deletion, and a deletion before an
    insertion.

    The number of edits, and so the error rate, is the plain Levenshtein distance (Levenshtein 1966; Wagner
    & Fischer 1974) and does not depend on the choice.

    Args:
        reference: [n] symbols.
        hypothesis: [m] symbols.

    Returns:
        Edits from the first to the last, at most n + m.
    """
    cost, edit = _costs(reference, hypothesis)
    n, m = len(reference), len(hypothesis)
    edits: list[Edit] = []
    while n or m:
        if n and m:
            equal = reference[n - 1] == hypothesis[m - 1]
            if cost[n, m] == cost[n - 1, m - 1] + (0 if equal else edit + 1):
                n, m = n - 1, m - 1
                edits.append(Edit("equal" if equal else "substitute", reference[n], hypothesis[m]))
                continue
        if n and cost[n, m] == cost[n - 1, m] + edit:
            n -= 1
            edits.append(Edit("delete", reference[n], None))
        else:
            m -= 1
            edits.append(Edit("insert", None, hypothesis[m]))
    return edits[::-1]


def matches(reference: Sequence[str], hypothesis: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where both have the same symbol in their alignment: its index in the one and in the other."""
    n = m = 0
    for edit in align(reference, hypothesis):
        if edit.operation == "equal":
            yield n, m
        n += edit.reference is not None
        m += edit.hypothesis is not None


def _costs(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """Cost of aligning every pair of prefixes, [n + 1, m + 1], and what an edit costs.

    One more substitution costs 1 and one more edit costs more than all substitutions together, so that the
    lowest cost has the fewest edits and, among these, the fewest substitutions.
    """
    n, m = len(reference), len(hypothesis)
    edit = min(n, m) + 1
    names = {symbol: number for number, symbol in enumerate(dict.fromkeys([*reference, *hypothesis]))}
    hypothesised = np.array([names[symbol] for symbol in hypothesis], dtype=np.int64)
    inserted = np.arange(m + 1, dtype=np.int64) * edit
    cost = np.empty((n + 1, m + 1), dtype=np.int64)
    cost[0] = inserted
    for row, symbol in enumerate(reference, start=1):
        best = cost[row - 1] + edit  # the symbol deleted
        paired = cost[row - 1, :-1] + np.where(hypothesised == names[symbol], 0, edit + 1)
        np.minimum(best[1:], paired, out=best[1:])
        # Insertions run along the row: best[j] = min over k <= j of best[k] + (j - k) edits.
        cost[row] = np.minimum.accumulate(best - inserted) + inserted
    return cost, edit


@dataclass(frozen=True)
class PhoneErrors:
    """Errors counted over one recording or, added up, over many: PER = (S + I + D) / N.

    The sum over a split is its micro-average: every reference phone weighs the same, whichever recording it
    is in.
    """

    substitutions: int = 0
    insertions: int = 0
    deletions: int = 0
    reference_length: int = 0  # N, phones

    @property
    def total(self) -> int:
        """S + I + D."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def per(self) -> float:
        """Phone error rate, a fraction; insertions can take it above 1. Empty references give 0 or infinity."""
        if self.reference_length:
            return self.total / self.reference_length
        return float("inf") if self.total else 0.0

    def __add__(self, other: "PhoneErrors") -> "PhoneErrors":
        return PhoneErrors(*map(int.__add__, astuple(self), astuple(other)))


def count_errors(alignment: Iterable[Edit]) -> PhoneErrors:
    """Errors of one alignment."""
    counts: dict[Operation, int] = {"equal": 0, "substitute": 0, "delete": 0, "insert": 0}
    for operation, _, _ in alignment:
        counts[operation] += 1
    length = counts["equal"] + counts["substitute"] + counts["delete"]
    return PhoneErrors(counts["substitute"], counts["insert"], counts["delete"], length)


def phone_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> PhoneErrors:
    """Errors of one hypothesis."""
    return count_errors(align(reference, hypothesis))


def total_errors(references: Iterable[Sequence[str]], hypotheses: Iterable[Sequence[str]]) -> PhoneErrors:
    """Errors of all hypotheses of a split."""
    pairs = zip(references, hypotheses, strict=True)
    return sum((phone_errors(*pair) for pair in pairs), PhoneErrors())


def confusion_table(alignments: Iterable[Iterable[Edit]]) -> NDArray[np.int64]:
    """How often each reference phone was decoded as each phone, [phones + 1, phones + 1].

    Row i, column j: reference `PHONES[i]` decoded as `PHONES[j]`. The last column counts deletions, the last
    row insertions, and their corner is 0; so a row but the last adds up to the reference's phones, and a
    column but the last to the hypothesis's.

    Raises:
        DataError: an alignment holds a symbol that is not among `PHONES`.
    """
    index: dict[str | None, int] = {None: len(PHONES)} | {phone: i for i, phone in enumerate(PHONES)}
    table = np.zeros((len(index), len(index)), np.int64)
    for alignment in alignments:
        for _, reference, hypothesis in alignment:
            for symbol in (reference, hypothesis):
                if symbol not in index:
                    raise DataError(
                        f"unknown phone {symbol!r} in an alignment: expected one of {' '.join(PHONES)}"
                    )
            table[index[reference], index[hypothesis]] += 1
    return table


class Confusion(NamedTuple):
    """A kind of error and how often it was made; None as in `Edit`."""

    reference: str | None
    hypothesis: str | None
    times: int

    @property
    def words(self) -> str:
        """The error in words."""
        if self.reference is None:
            return f"{self.hypothesis} inserted"
        if self.hypothesis is None:
            return f"{self.reference} deleted"
        return f"{self.reference} heard as {self.hypothesis}"


def top_confusions(table: NDArray[np.int64], limit: int) -> list[Confusion]:
    """The most frequent errors of a `confusion_table`, by count and then in the order of the table."""
    names: list[str | None] = [*PHONES, None]
    wrong = table.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    places = (np.unravel_index(place, wrong.shape) for place in order)
    return [Confusion(names[i], names[j], int(wrong[i, j])) for i, j in places if wrong[i, j]]
