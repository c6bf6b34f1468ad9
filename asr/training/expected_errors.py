"""Minimum Bayes risk training: the expected number of phone errors, from sampled paths, as a loss (Shannon 2017).

CTC's likelihood asks for the whole transcript; what is counted in the end is phone errors. Here paths are drawn from
the model's rows, decoded, and aligned with the transcript, and what made fewer errors than the others becomes likelier.
An error is laid to the rows near it alone: what was drawn a second away had no part in it, and would only be noise.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..lexicon.phones import BLANK

PATHS = 8  # of each recording
# Paths are drawn from the rows to this power: decoding follows likely paths, not average ones
SHARPNESS = 2.0
WINDOW_ROWS = 10  # an error is laid to so many rows before it and after it

Integers = NDArray[np.int64]


def expected_errors_loss(log_probs: Tensor, targets: Tensor, rows: Tensor, phones: Tensor) -> Tensor:
    """Mean errors of the paths drawn, summed over the batch; its gradient is an estimate of the expectation's.

    Draws from torch's own generator.

    Args:
        log_probs: `[batch, rows, phones + 1]`, which gradients reach.
        targets: int64 `[sum of phones]`, labels of all recordings one after the other.
        rows: int64 `[batch]`, rows of each recording.
        phones: int64 `[batch]`, reference phones of each recording.
    """
    batch, length, _ = log_probs.shape
    policy = (SHARPNESS * log_probs).log_softmax(dim=-1)
    with torch.no_grad():
        noise = -torch.empty(PATHS, *policy.shape, device=policy.device).exponential_().log()  # Gumbel's
        paths = (policy + noise).argmax(dim=-1)  # [paths, batch, rows]
        real = torch.arange(length, device=paths.device) < rows.to(paths.device).unsqueeze(1)
        paths.masked_fill_(~real, BLANK)
        references = np.split(targets.cpu().numpy(), np.cumsum(phones.cpu().numpy())[:-1])
        errors = local_errors(
            paths.flatten(0, 1).cpu().numpy(),
            references * PATHS,
            rows.repeat(PATHS).cpu().numpy(),
        )
        drawn = torch.from_numpy(errors).to(policy).reshape(PATHS, batch, length)
        near = _window_sums(drawn)
        advantage = (near - near.mean(dim=0)).masked_fill_(~real, 0.0) / (PATHS - 1)
    chosen = policy.expand(PATHS, -1, -1, -1).gather(-1, paths.unsqueeze(-1)).squeeze(-1)
    estimate = (advantage * chosen).sum()
    errors_each: Tensor = drawn.sum() / PATHS
    return errors_each + estimate - estimate.detach()


def _window_sums(errors: Tensor) -> Tensor:
    """Of each row the errors at most `WINDOW_ROWS` away, `[paths, batch, rows]`."""
    sums = torch.nn.functional.pad(errors, (WINDOW_ROWS + 1, WINDOW_ROWS)).cumsum(dim=-1)
    width = 2 * WINDOW_ROWS + 1
    return sums[..., width:] - sums[..., :-width]


def local_errors(paths: Integers, references: list[Integers], rows: Integers) -> NDArray[np.float32]:
    """Errors of paths, each at the row where it happened, `[paths, rows]`; a path's sum is its edit distance.

    A substitution or insertion is at the row in which its phone begins; deletions are spread evenly between the phones
    beside them.

    Args:
        paths: `[paths, rows]`, labels; what lies behind a path's own rows is blank.
        references: of each path, the labels `[phones]` of what was said.
        rows: `[paths]`, rows of each.
    """
    count, length = paths.shape
    begins = paths != BLANK
    begins[:, 1:] &= paths[:, 1:] != paths[:, :-1]
    heard = begins.sum(axis=1)
    widest = int(heard.max(initial=1))
    # Of each phone, between a row before all and one behind all
    place = np.full((count, widest + 2), -1, np.int64)
    hypotheses = np.full((count, widest), -1, np.int64)
    which, where = np.nonzero(begins)
    number = np.arange(len(which)) - np.repeat(np.cumsum(heard) - heard, heard)
    place[which, number + 1] = where
    hypotheses[which, number] = paths[which, where]
    every = np.arange(count)
    place[every, heard + 1] = rows

    said = np.array([len(reference) for reference in references], np.int64)
    padded = np.full((count, int(said.max(initial=1))), -2, np.int64)
    for index, reference in enumerate(references):
        padded[index, : len(reference)] = reference
    costs = _edit_distances(hypotheses, padded)

    errors = np.zeros((count, length), np.float32)
    deleted = np.zeros((count, widest + 1), np.int64)  # before the phone of that number
    n, m = said.copy(), heard.copy()
    while True:
        left = (n > 0) | (m > 0)
        if not left.any():
            break
        here = costs[n, every, m]
        both = left & (n > 0) & (m > 0)
        before_n, before_m = np.maximum(n - 1, 0), np.maximum(m - 1, 0)
        wrong = padded[every, before_n] != hypotheses[every, before_m]
        paired = both & (costs[before_n, every, before_m] + wrong == here)
        omitted = left & ~paired & (n > 0) & (costs[before_n, every, m] + 1 == here)
        inserted = left & ~paired & ~omitted
        at = (paired & wrong) | inserted
        errors[every[at], place[every[at], m[at]]] += 1
        deleted[every[omitted], m[omitted]] += 1
        n, m = n - (paired | omitted), m - (paired | inserted)
    for index, phone in zip(*np.nonzero(deleted), strict=True):
        first, last = place[index, phone], place[index, phone + 1]
        times = int(deleted[index, phone])
        spread = first + (last - first) * np.arange(1, times + 1) / (times + 1)
        np.add.at(errors[index], np.clip(np.rint(spread).astype(np.int64), 0, length - 1), 1)
    return errors


def _edit_distances(hypotheses: Integers, references: Integers) -> Integers:
    """Levenshtein distances of all prefixes, `[n + 1, pairs, m + 1]` (Wagner & Fischer 1974); see `evaluation.score`.

    Args:
        hypotheses: `[pairs, m]`.
        references: `[pairs, n]`.
    """
    pairs, widest = hypotheses.shape
    inserted = np.arange(widest + 1)
    costs = np.empty((references.shape[1] + 1, pairs, widest + 1), np.int64)
    costs[0] = inserted
    for row in range(references.shape[1]):
        best = costs[row] + 1
        paired = costs[row, :, :-1] + (hypotheses != references[:, row, None])
        np.minimum(best[:, 1:], paired, out=best[:, 1:])
        costs[row + 1] = np.minimum.accumulate(best - inserted, axis=1) + inserted
    return costs
