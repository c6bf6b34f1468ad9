"""The blank penalty: a constant taken off blank's score so that greedy decoding makes the fewest errors.

A model trained under masks and noise prefers blank where it is unsure, so that it makes more deletions than insertions.
One penalty on blank's score balances the two.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..asr.evaluation.score import total_errors
from ..asr.lexicon.phones import BLANK, PHONES
from ..asr.model.encoder import Encoder
from ..asr.model.offline import greedy_phones

PENALTIES = tuple(round(0.1 * step, 1) for step in range(-5, 16))  # nats, tried
AS_GOOD = 1.005  # of the minimum error count: the smallest such penalty is taken, since noise must stay blank


def fit_blank_penalty(log_probs: Sequence[NDArray[np.float32]], references: Sequence[Sequence[str]]) -> float:
    """The smallest penalty in nats within 0.5 % (relative) of the minimum error count of greedy decoding.

    Args:
        log_probs: `[rows, phones + 1]` for each recording.
        references: its phones.
    """

    def errors(penalty: float) -> int:
        return total_errors(
            references, (greedy_phones(_penalised(rows, penalty)) for rows in log_probs)
        ).total

    found = {penalty: errors(penalty) for penalty in PENALTIES}
    return min((p for p in PENALTIES if found[p] <= AS_GOOD * min(found.values())), key=abs)


@torch.no_grad()
def apply_blank_penalty(encoder: Encoder, penalty: float) -> None:
    """Subtract `penalty` from blank's bias in each of the head's rows, in place."""
    encoder.head.bias.view(encoder.config.rows_per_frame, len(PHONES) + 1)[:, BLANK] -= penalty


def _penalised(rows: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """Not normalised: the sum makes no difference to the highest score."""
    penalised = rows.copy()
    penalised[:, BLANK] -= penalty
    return penalised
