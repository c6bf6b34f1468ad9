"""From how well a keyword fits to a score that means the same for all keywords, by false alarms measured on dev.

The *level* of a peak is the log-odds that the keyword was said, by a logistic regression (in which a keyword's
hits count as four at most, however often it is said) on

    s   the search's score, nats for each phone                  n    log of the number of phones
    p   the whole path's, s * max(phones - 2, 1)                 w    log-probability that it is said (`context`)

The score is 1 / (1 + f), f being the false alarms of an average keyword in an hour of speech at that level or above:
0.5 is one an hour, 0.9 one in nine hours. Both were fitted on the dev splits with version 1.5.0 of the model, for 217
words and pairs of words of 2 to 18 phones that are said there, in 1.1 hours: below one alarm in 100 hours the scale is
a guess.
"""

import math
from functools import lru_cache

import numpy as np

from .search import LOWEST

UNLIKELY = -7.0  # nats: w counts as no less

WITH_CONTEXT = (-4.526, 0.425, 5.045, 0.254, 0.635)  # of 1, s, n, p, w
WITHOUT = (-6.215, 1.16, 4.583, 0.285)

LEVELS = (-8.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
# log10 of false alarms per keyword and hour at these levels or above
ALARMS_WITH_CONTEXT = (1.62, 1.46, 1.35, 1.18, 0.86, 0.54, 0.17, -0.15, -0.61, -1.13, -1.49, -2.09)
ALARMS_WITHOUT = (1.62, 1.55, 1.48, 1.31, 0.81, 0.6, 0.18, -0.11, -0.56, -1.18, -1.61, -2.56)


def level(fit: float, phones: int, words: float | None) -> float:
    """The log-odds that a keyword was said.

    Args:
        fit: the search's score, 0 at most.
        phones: of the pronunciation.
        words: log-probability that it is said, as words of its own; None: not known.
    """
    one, score, length, path = (WITHOUT if words is None else WITH_CONTEXT)[:4]
    odds = one + score * fit + length * math.log(phones) + path * fit * max(phones - 2, 1)
    return odds if words is None else odds + WITH_CONTEXT[4] * min(0.0, max(UNLIKELY, words))


def false_alarms(level: float, in_context: bool) -> float:
    """Expected per keyword and hour of speech, at `level` or above; `in_context` says that w is in it."""
    known = ALARMS_WITH_CONTEXT if in_context else ALARMS_WITHOUT
    if level < LEVELS[0]:  # the table's end, drawn on so that no two levels have one score
        return float(10 ** (known[0] + 0.02 * (LEVELS[0] - level)))
    if level > LEVELS[-1]:
        return float(10 ** (known[-1] - 0.4 * (level - LEVELS[-1])))
    return float(10 ** np.interp(level, LEVELS, known))


def score(fit: float, phones: int, words: float | None) -> float:
    """The score of a peak, in [0, 1]; arguments as of `level`."""
    return 1 / (1 + false_alarms(level(fit, phones, words), words is not None))


def least_words(threshold: float, fit: float, phones: int) -> float:
    """Log-probability that it is said below which a peak has no score of `threshold`; -inf where it has at any."""
    words = (_least_level(threshold, True) - level(fit, phones, 0.0)) / WITH_CONTEXT[4]
    return words if words > UNLIKELY else -math.inf


def least_fit(threshold: float, phones: int, in_context: bool) -> float:
    """The search's score below which no peak has the score `threshold`, whatever is around it; inf where none can."""
    words = 0.0 if in_context else None
    best = level(0.0, phones, words)
    fit = (_least_level(threshold, in_context) - best) / (best - level(-1.0, phones, words))
    return math.inf if fit > 0 else max(LOWEST, fit)


@lru_cache(maxsize=1000)
def _least_level(threshold: float, in_context: bool) -> float:
    """The level that has the score `threshold`; beyond the table's ends by far where none near it has."""
    low, high = -200.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        enough = 1 / (1 + false_alarms(middle, in_context)) >= threshold
        low, high = (low, middle) if enough else (middle, high)
    return low
