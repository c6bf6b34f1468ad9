"""From how well a keyword fits to a score that means the same for all keywords, by false alarms measured on dev.

The *level* of a peak is the log-odds that the keyword was said, by a logistic regression on

    s   the search's score, nats for each phone                  n    phones, at most 10
    p   the whole path's, s * max(phones - 2, 1)                 b    log-probability that it stands alone (`boundary`)

The score is 1 / (1 + f), f being the false alarms of an average keyword in an hour of speech at that level or above:
0.5 is one an hour, 0.9 one in nine hours. Both were fitted on the dev splits with the bundled model, for 376 words and
pairs of words of 2 to 18 phones that are said there, in 1.1 hours: below one alarm in 100 hours the scale is a guess.
"""

import math
from functools import lru_cache

import numpy as np

from .search import LOWEST

LONGEST = 10  # phones: longer keywords are as sure

WITH_BOUNDARIES = (-0.706, 1.398, 0.472, 0.197, 0.468)  # of 1, s, n, p, b
WITHOUT = (-2.096, 1.210, 0.600, 0.232)

LEVELS = (-8.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
# log10 of false alarms per keyword and hour at these levels or above
ALARMS_WITH_BOUNDARIES = (1.67, 1.61, 1.55, 1.42, 1.23, 1.01, 0.76, 0.39, -0.62, -1.33, -1.55, -2.8)
ALARMS_WITHOUT = (1.7, 1.69, 1.68, 1.53, 1.37, 1.22, 1.05, -0.13, -0.8, -1.18, -1.72, -2.8)


def level(fit: float, phones: int, boundary: float | None) -> float:
    """The log-odds that a keyword was said.

    Args:
        fit: the search's score, 0 at most.
        phones: of the pronunciation.
        boundary: log-probability that it stands alone; None: not known.
    """
    one, score, length, path = (WITHOUT if boundary is None else WITH_BOUNDARIES)[:4]
    odds = one + score * fit + length * min(phones, LONGEST) + path * fit * max(phones - 2, 1)
    return odds if boundary is None else odds + WITH_BOUNDARIES[4] * boundary


def false_alarms(level: float, bounded: bool) -> float:
    """Expected per keyword and hour of speech, at `level` or above; `bounded` says that boundaries are in it."""
    known = ALARMS_WITH_BOUNDARIES if bounded else ALARMS_WITHOUT
    if level < LEVELS[0]:  # the table's end, drawn on so that no two levels have one score
        return float(10 ** (known[0] + 0.02 * (LEVELS[0] - level)))
    if level > LEVELS[-1]:
        return float(10 ** (known[-1] - 0.4 * (level - LEVELS[-1])))
    return float(10 ** np.interp(level, LEVELS, known))


def score(fit: float, phones: int, boundary: float | None) -> float:
    """The score of a peak, in [0, 1]; arguments as of `level`."""
    return 1 / (1 + false_alarms(level(fit, phones, boundary), boundary is not None))


@lru_cache(maxsize=1000)
def least_fit(threshold: float, phones: int, bounded: bool) -> float:
    """The search's score below which no peak has the score `threshold`, whatever is around it; inf where none can."""
    boundary = 0.0 if bounded else None
    if score(0.0, phones, boundary) < threshold:
        return math.inf
    low, high = LOWEST, 0.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle, phones, boundary) < threshold else (low, middle)
    return low
