"""Two views of one recording are to be heard alike: consistency-regularised CTC (Yao et al. 2024).

The views differ in what SpecAugment hides from them. What one cannot hear, the other's rows tell it.
"""

from torch import Tensor

from .distillation import divergence


def disagreement(log_probs: Tensor, rows: Tensor) -> Tensor:
    """The mean of both views' divergences from each other, summed over the rows that are no padding.

    Args:
        log_probs: `[2 * batch, rows, phones + 1]`, all recordings in one view, then all in the other. To each the
            other is a teacher that does not learn.
        rows: int64 `[batch]`, rows of each recording.
    """
    one, other = log_probs.chunk(2)
    return (divergence(one, other, rows) + divergence(other, one, rows)) / 2
