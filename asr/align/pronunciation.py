"""How probable it is that a phone was said right, and what was said instead: scores calibrated on known errors.

A score (see `score`) is the model's share for the phone of the transcript. How sure one may be at a score is measured:
in transcripts of right speech one phone is replaced in some words, and a logistic function of the score's log odds is
fitted to which phones were left alone (J. Platt, "Probabilistic outputs for support vector machines", 1999), weighted
so that one phone in ten is wrong. `benchmarks/pronunciation.py` fits it on dev and dev-cv, and measures thresholds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SLOPE, INTERCEPT = 0.74, 5.08  # of the log odds that a phone is right, fitted by benchmarks/pronunciation.py
# Share of a phone between two others from which on it is told: one gap in a hundred has it wrongly
INSERTED = 0.82
FLOOR = 1e-6  # of a score and of its distance from 1


class Instead(NamedTuple):
    """What was most likely said in the place of a phone, if not the phone."""

    symbol: str
    """Of another phone; empty where nothing was said."""
    probability: float
    """That this was said, in [0, 1]; together with the phone's own `pronunciation` at most 1."""


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds of scores, bounded."""
    inside = np.clip(scores, FLOOR, 1 - FLOOR)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def probability_right(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that each phone was said right, from its score; ascending with it."""
    return np.asarray(1 / (1 + np.exp(-(SLOPE * log_odds(scores) + INTERCEPT))))


def most_likely_inserted(
    shares: NDArray[np.float64], symbols: tuple[str, ...], blank: int
) -> list[Instead | None]:
    """For each phone what was said behind it that is not in the transcript; None where that is not likely.

    Args:
        shares: [phones, labels] of `score.inserted`.
        symbols: names of all labels.
        blank: the blank's label.
    """
    others = shares.copy()
    others[:, blank] = 0.0
    best = others.argmax(axis=1) if len(shares) else np.zeros(0, np.int64)
    return [
        Instead(symbols[label], float(others[row, label])) if others[row, label] >= INSERTED else None
        for row, label in enumerate(best)
    ]


def most_likely_instead(
    shares: NDArray[np.float64], labels: NDArray[np.int32], symbols: tuple[str, ...], blank: int
) -> list[Instead]:
    """For each phone what was most likely said if not this.

    Args:
        shares: [phones, labels] of `score.said`.
        labels: [phones] the CTC label of each phone.
        symbols: names of all labels.
        blank: the blank's label.
    """
    rows = np.arange(len(labels))
    wrong = 1 - probability_right(shares[rows, labels])
    others = shares.copy()
    others[rows, labels] = 0.0
    best = others.argmax(axis=1) if len(rows) else rows
    share = others[rows, best] / np.maximum(others.sum(axis=1), np.finfo(float).tiny)
    return [
        Instead("" if label == blank else symbols[label], float(probability))
        for label, probability in zip(best, wrong * share, strict=True)
    ]
