"""How much better a command fits an utterance than all that is no command: its level, and the score made of it.

The *level*, in nats, is a log-likelihood ratio and a share of how well the command fits at all,

    words = T log(sum over other words of e^(word / T))
    level = best - log(e^words + e^(phones - max(8, 2 n))) + 0.5 best

with `best` and `word` the best paths of the command and of each other word, `phones` that of any phones at all, as
`phone_tree` pays them, n the phones of the command and T = 1.5. The sum, not the maximum: several words that fit nearly
as well speak against a command together. Any phones fit best of all, so they count only where a whole phone of the
command is wrong, or one in four of a long one.

The score is 1 / (1 + e^(LEVEL_AT_HALF - level)). The weights were chosen on words, and pairs of words, cut out of the
dev splits, where 3 in 100 other words have a score above 0.5; `python benchmarks/commands.py --split dev,dev-cv`
measures that for a model.
"""

import math

import numpy as np

from ..arrays import AnyArray
from .phone_tree import STEEPEST

ONE_PHONE = -STEEPEST  # nats that a wrong phone costs
WRONG = 0.25  # of the phones of a long command
TEMPERATURE = 1.5  # of the other words' sum: above 1, those that fit less well count for more
FIT_WEIGHT = 0.5
LEVEL_AT_HALF = -5.0


def log_sum(scores: AnyArray) -> AnyArray:
    """Of nats [..., n] their log sum [...] at `TEMPERATURE`."""
    total: AnyArray = TEMPERATURE * np.logaddexp.reduce(scores / TEMPERATURE, axis=-1)
    return total


def level(
    best: AnyArray | float, length: AnyArray | int, words: AnyArray | float, phones: AnyArray | float
) -> AnyArray:
    """The level of commands [...].

    Args:
        best: path of each, nats.
        length: of each, phones.
        words: log sum of all other words, nats.
        phones: path of any phones at all, nats.
    """
    ratio = best - np.logaddexp(words, phones - ONE_PHONE * np.maximum(1, WRONG * np.asarray(length)))
    levels: AnyArray = np.asarray(ratio + FIT_WEIGHT * best)
    return levels


def score(level: float) -> float:
    """The score, in [0, 1]."""
    return 1 / (1 + math.exp(min(LEVEL_AT_HALF - level, 500.0)))
