"""The training loss: named parts, each summed over a batch, and the weights of their sum."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..lexicon.phones import BLANK
from .config import TrainConfig


class StepResult(NamedTuple):
    """What a step computed, over all processes."""

    loss: float  # the weighted sum of `parts`, per reference phone
    gradient_norm: float  # before clipping
    parts: dict[str, float]  # each of `loss_weights`, unweighted, per reference phone, summed over all views


def loss_weights(config: TrainConfig) -> dict[str, float]:
    """The weight of each part of the loss; a part that is not used is not in it.

    CTC's and the teacher's parts are means over the views of a recording: the configuration's shares are of that mean.
    """
    last = (1 - config.intermediate) / config.views  # of what is computed from the last block's output
    weights = {
        "ctc": (1 - config.distillation) * last,
        "distillation": config.distillation * last,
        "intermediate_ctc": config.intermediate / config.views,
        "consistency": config.consistency,
        "expected_errors": config.expected_errors / config.views,
        "word_discrimination": config.word_discrimination / config.views,
    }
    return {name: weight for name, weight in weights.items() if weight > 0}


def ctc_loss(log_probs: Tensor, targets: Tensor, rows: Tensor, phones: Tensor) -> Tensor:
    """Negative log-likelihood of each recording's reference phones, float32 `[batch]` (Graves et al. 2006).

    Args:
        log_probs: `[batch, rows, phones + 1]`.
        targets: int64 `[sum of phones]`, labels of all recordings one after the other.
        rows: int64 `[batch]`, rows of each recording.
        phones: int64 `[batch]`, reference phones of each recording.
    """
    return functional.ctc_loss(
        log_probs.transpose(0, 1), targets, rows, phones, blank=BLANK, reduction="none"
    )


def distillation_loss(student: Tensor, teacher: Tensor, rows: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's rows from the teacher's, summed over the rows that are no padding.

    Args:
        student, teacher: log-probabilities `[batch, rows, phones + 1]`; gradients reach the student alone.
        rows: int64 `[batch]`, rows of each recording.
    """
    each = functional.kl_div(student, teacher.detach(), reduction="none", log_target=True).sum(dim=-1)
    real = torch.arange(each.shape[1], device=each.device) < rows.to(each.device).unsqueeze(1)
    return each.masked_fill(~real, 0.0).sum()


def teacher_rows_loss(student: Tensor, teacher: Tensor, taught: Tensor, rows: Tensor) -> Tensor:
    """Divergence of the student's rows from a teacher's rows, both smeared over three rows, summed over the batch.

    A teacher's spikes lie in the student's row or in one beside it. Smearing only the targets would teach the student
    flat spikes, in which blank wins; with both smeared, a sharp spike within a row of the teacher's costs little.

    Args:
        student: log-probabilities `[batch, rows, phones + 1]`, which gradients reach.
        teacher: probabilities `[batch, rows, phones + 1]`.
        taught: bool `[batch]`; the others count nothing.
        rows: int64 `[batch]`, rows of each recording.
    """
    rows = rows.to(student.device)
    index = torch.arange(student.shape[1], device=student.device)
    real = (index < rows.unsqueeze(1)) & taught.unsqueeze(1)
    # At a recording's ends the row beside is the first or the last one again.
    beside = [
        (index + shift).clamp(min=0).minimum(rows.unsqueeze(1) - 1).clamp(min=0) for shift in (-1, 0, 1)
    ]
    beside = [places.unsqueeze(-1).expand_as(student) for places in beside]
    targets = torch.stack([teacher.gather(1, places) for places in beside]).mean(dim=0)
    smeared = torch.stack([student.gather(1, places) for places in beside]).logsumexp(dim=0) - math.log(3)
    each = functional.kl_div(smeared, targets, reduction="none").sum(dim=-1)
    return each.masked_fill(~real, 0.0).sum()


def consistency_loss(log_probs: Tensor, rows: Tensor) -> Tensor:
    """Mean of the two views' divergences from each other: consistency-regularised CTC (Yao et al. 2024).

    The views differ in what SpecAugment hides from them. To each the other is a teacher that does not learn.

    Args:
        log_probs: `[2 * batch, rows, phones + 1]`, all recordings in one view, then all in the other.
        rows: int64 `[batch]`, rows of each recording.
    """
    one, other = log_probs.chunk(2)
    return (distillation_loss(one, other, rows) + distillation_loss(other, one, rows)) / 2
