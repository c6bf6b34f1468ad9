"""One temperature for a model, so that of the phones it is 80 % sure of, 80 % are right.

Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks", with the phone in place of the class: a
phone's confidence is what streaming reports (`streaming.decode`), and it is right where the alignment with the
reference says so.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..asr.evaluation.score import align
from ..asr.model.offline import greedy_decode, greedy_phones
from ..errors import DataError

COLDEST, HOTTEST = 0.25, 8.0
GRID = 12  # temperatures to bracket the best one with, evenly spread in their logarithm
PRECISION = 0.01  # of the logarithm
SUREST = 1e-6  # confidences are kept this far from 0 and 1, or one error made with full confidence would decide alone


def fit_temperature(log_probs: Sequence[NDArray[np.float32]], references: Sequence[Sequence[str]]) -> float:
    """The temperature at which confidences best foretell which of the emitted phones are right.

    Best is the least negative log-likelihood, each phone being right with the probability that is its confidence.

    Args:
        log_probs: `[rows, phones + 1]` for each recording.
        references: its phones.

    Raises:
        DataError: no phone is emitted, right or wrong, to fit anything to.
    """
    right = np.array(
        [
            edit.operation == "equal"
            for rows, reference in zip(log_probs, references, strict=True)
            for edit in align(reference, greedy_phones(rows))
            if edit.hypothesis is not None
        ]
    )
    if not len(right):
        raise DataError(
            f"no phone is recognised in {len(log_probs)} recordings, so no temperature fits: "
            "train for longer, or export without data"
        )

    def loss(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        sure = np.array(
            [phone.confidence for rows in log_probs for phone in greedy_decode(rows, temperature)]
        )
        sure = sure.clip(SUREST, 1 - SUREST)
        return float(-np.where(right, np.log(sure), np.log1p(-sure)).mean())

    grid = np.linspace(math.log(COLDEST), math.log(HOTTEST), GRID)
    best = int(np.argmin([loss(float(point)) for point in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, GRID - 1)])
    return round(math.exp(_lowest(loss, low, high)), 3)


def _lowest(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where `loss`, which has one valley between `low` and `high`, is lowest: golden-section search to `PRECISION`."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > PRECISION:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = loss(right)
    return (low + high) / 2
