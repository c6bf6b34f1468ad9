"""From the rows in which CTC spikes stand to the times at which phones begin and end.

A spike says that a phone is there, not how long: it is about one row, near the phone's beginning. Let c_i be the
centre of spike i, the mean time of its rows weighted with the phone's posteriors, less the model's constant
offset. Then

    phone i + 1 begins at    c_{i+1} - min((c_{i+1} - c_i) / 2, ONSET), where phone i ends,
    but behind a pause at    c_{i+1} - LEAD, and phone i ends at c_i + TAIL

A pause is where these last two are at least PAUSE apart, never within a word. At the beginning and the end of a
recording silence is told from a phone in the same way, with EDGE in place of PAUSE. `streaming/tiling.py` has the
same rule for phones that were decoded, and `benchmarks/alignment.py` measures this beside a forced alignment.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...streaming.tiling import EDGE, LEAD, ONSET, PAUSE, TAIL

SHORTEST = 0.002  # seconds between two spikes, at the ends of a recording too: no phone is without length


class Span(NamedTuple):
    """Seconds from the start of the recording."""

    start: float
    end: float


def centres(
    fine: NDArray[np.float32],
    times: NDArray[np.float64],
    labels: NDArray[np.int32],
    runs: Sequence[tuple[int, int]],
    time_shifts: int,
) -> list[float]:
    """Centre of each phone's spike in seconds; ascending.

    A spike's rows are those of all shifted copies from a row and a half before its run to as much behind, as far as no
    neighbour's run is nearer.

    Args:
        fine: [rows * time_shifts, labels] log-probabilities of all shifted copies, in order of time.
        times: [rows * time_shifts] of their middles, in seconds.
        labels: [phones] the CTC label of each phone.
        runs: for each phone the rows [first, behind last) of its spike in the last of each `time_shifts` rows.
        time_shifts: number of shifted copies.
    """
    found = []
    for index, (label, (begin, end)) in enumerate(zip(labels, runs, strict=True)):
        first, last = (begin + 1) * time_shifts - 1, end * time_shifts - 1  # the run's, among all
        low, high = first - time_shifts * 3 // 2, last + time_shifts * 3 // 2
        if index:
            low = max(low, runs[index - 1][1] * time_shifts)
        if index + 1 < len(runs):
            high = min(high, (runs[index + 1][0] + 1) * time_shifts - 2)
        if time_shifts == 1:  # neighbouring rows are then no better known than the run's own
            low, high = first, last
        rows = slice(max(low, 0), min(high, len(fine) - 1) + 1)
        weights = np.exp(fine[rows, label].astype(np.float64))
        total = weights.sum()
        found.append(float(weights @ times[rows] / total if total > 0 else times[rows].mean()))
    return found


def spans(centres: Sequence[float], joined: Sequence[bool], seconds: float) -> list[Span]:
    """When each phone begins and ends; in order, never overlapping, within [0, seconds].

    Args:
        centres: of the spikes, ascending.
        joined: for each phone but the last, whether the next one certainly follows at once: in the same word.
        seconds: length of the recording.
    """
    if not len(centres):
        return []
    count = np.arange(len(centres)) * SHORTEST
    low, high = count + SHORTEST / 2, seconds - (count[::-1] + SHORTEST / 2)
    apart = np.maximum.accumulate(np.asarray(centres, np.float64) - count) + count
    inside = np.minimum(np.maximum(apart, low), high)
    starts, ends = inside - LEAD, inside + TAIL
    together = np.asarray(joined, bool) | (starts[1:] - ends[:-1] < PAUSE)
    border = inside[1:] - np.minimum(np.diff(inside) / 2, ONSET)
    ends[:-1] = np.where(together, border, ends[:-1])
    starts[1:] = np.where(together, border, starts[1:])
    starts[0] = starts[0] if starts[0] >= EDGE else 0.0
    ends[-1] = ends[-1] if seconds - ends[-1] >= EDGE else seconds
    return [Span(float(start), float(end)) for start, end in zip(starts, ends, strict=True)]
