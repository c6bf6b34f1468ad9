"""By how much a teacher's CTC spikes come before a student's: measured on recordings that both have decoded."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ....errors import DataError
from ...evaluation.score import matches
from ...lexicon.phones import BLANK

FEWEST = 20  # matched phones for a median worth having

Rows = NDArray[np.float32]


def measure_lead(pairs: Iterable[tuple[Rows, Rows]], teacher_row_seconds: float, row_seconds: float) -> float:
    """Median seconds from a phone's spike in the teacher's rows to its spike in the student's.

    Args:
        pairs: for each recording the teacher's and the student's log-probabilities `[rows, phones + 1]`.

    Raises:
        DataError: the two agree on too few phones.
    """
    leads: list[float] = []
    for teacher, student in pairs:
        ours, theirs = spikes(student), spikes(teacher)
        for own, their in matches([str(label) for label, _ in ours], [str(label) for label, _ in theirs]):
            leads.append(ours[own][1] * row_seconds - theirs[their][1] * teacher_row_seconds)
    if len(leads) < FEWEST:
        raise DataError(
            f"teacher and student agree on {len(leads)} phones of dev, too few to measure the teacher's lead: "
            "train the head for more passes, or name a trained model with --student"
        )
    return float(np.median(leads))


def spikes(log_probs: Rows) -> list[tuple[int, int]]:
    """Label and first row of each run of equal most probable labels, blanks left out."""
    best = log_probs.argmax(axis=1)
    starts = np.flatnonzero(np.diff(best, prepend=BLANK) != 0)
    return [(int(best[row]), int(row)) for row in starts if best[row] != BLANK]
