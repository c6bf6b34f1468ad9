"""Goodness of pronunciation: how well each phone of an alignment is what was said, as a posterior in [0, 1].

S. M. Witt and S. J. Young ("Phone-level pronunciation scoring and assessment for interactive language learning",
Speech Communication 30, 2000) compare a phone's likelihood over its frames with that of the best phone there. CTC
has no frames that are the phone's: its spike may stand in any. X. Cao, Z. Fan, T. Svendsen and G. Salvi ("A Framework
for Phoneme-Level Pronunciation Assessment Using CTC", Interspeech 2024) therefore compare sums over all CTC
paths: of the right sequence, and of those in which another phone or none stands in the place of the one that is
judged. Here is that comparison with the neighbours held in place. In the rows O between the spikes of the phones
before and after,

    P(q | O) = sum over s < e of  prod_{t < s} blank_t  prod_{s <= t < e} q_t  prod_{t >= e} blank_t
    P(none | O) = prod_t blank_t
    score = P(phone | O) / (P(none | O) + sum over all phones q of P(q | O))

so that 1 means that nothing else could have been said, and a phone of score below 0.5 is less likely than all
else together.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

REACH = 0.2  # seconds beyond a spike in which a phone is looked for
_TOGETHER = 256  # phones scored at a time


def said(
    log_probs: NDArray[np.float32],
    runs: Sequence[tuple[int, int]],
    *,
    blank: int,
    reach: int,
    temperature: float = 1.0,
) -> NDArray[np.float64]:
    """What was said in the place of each phone: probabilities of all labels, [phones, labels].

    The blank's is that nothing was said there.

    Args:
        log_probs: [rows, labels].
        runs: for each phone the rows [first, behind last) of its spike; ascending, not overlapping.
        blank: the blank's label.
        reach: rows beyond a spike in which the phone is looked for, if no neighbour's spike stands before.
        temperature: what log-probabilities are divided by.
    """
    shares = np.empty((len(runs), log_probs.shape[1]))
    befores = [0, *(end for _, end in runs)][: len(runs)]
    behinds = [*(begin for begin, _ in runs), len(log_probs)][1:]
    regions = [
        (max(before, begin - reach), min(behind, end + reach))
        for before, (begin, end), behind in zip(befores, runs, behinds, strict=True)
    ]
    for first in range(0, len(runs), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        shares[some] = _shares(log_probs, regions[some], blank, temperature)
    return shares


def inserted(
    log_probs: NDArray[np.float32],
    labels: NDArray[np.int32],
    runs: Sequence[tuple[int, int]],
    *,
    blank: int,
    reach: int,
    temperature: float = 1.0,
) -> NDArray[np.float64]:
    """What was said behind each phone, before the next: probabilities of all labels, [phones, labels].

    The blank's is that nothing was said there, as it should be. A label that is a neighbour's own has none: its rows
    are the neighbour's.

    Args:
        log_probs, runs, blank, reach, temperature: as for `said`.
        labels: [phones] the CTC label of each phone.
    """
    shares = np.zeros((len(runs), log_probs.shape[1]))
    shares[:, blank] = 1.0
    behinds = [*(begin for begin, _ in runs), len(log_probs)][1:]
    gaps = [(end, min(behind, end + reach)) for (_, end), behind in zip(runs, behinds, strict=True)]
    places = [place for place, (begin, end) in enumerate(gaps) if end > begin]
    for first in range(0, len(places), _TOGETHER):
        some = places[first : first + _TOGETHER]
        shares[some] = _shares(log_probs, [gaps[place] for place in some], blank, temperature)
    everywhere = np.arange(len(runs))
    shares[everywhere, labels] = 0.0
    shares[everywhere[:-1], labels[1:]] = 0.0
    return np.asarray(shares / np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(float).tiny))


def _shares(
    log_probs: NDArray[np.float32],
    regions: Sequence[tuple[int, int]],
    blank: int,
    temperature: float,
) -> NDArray[np.float64]:
    length = max(end - begin for begin, end in regions)
    # Behind a region's end the blank is certain: that changes no product.
    rows = np.full((length, len(regions), log_probs.shape[1]), -np.inf)
    rows[:, :, blank] = 0.0
    for index, (begin, end) in enumerate(regions):
        rows[: end - begin, index] = log_probs[begin:end]
    rows /= temperature
    none = np.zeros((len(regions), 1))  # blanks only so far
    during = np.full(rows.shape[1:], -np.inf)  # within the phone of each label
    after = during.copy()  # behind it
    for row in rows:
        silent = row[:, blank, None]
        after = np.logaddexp(after, during) + silent
        during = np.logaddexp(during, none) + row
        none = none + silent
    total = np.logaddexp(after, during)
    total[:, blank] = none[:, 0]
    total -= total.max(axis=1, keepdims=True)
    likelihoods = np.exp(total)
    return np.asarray(likelihoods / likelihoods.sum(axis=1, keepdims=True))
