"""How likely blank is, against phones: CTC's greedy decoder takes whichever is higher, which is not what errs least.

A model that learnt under masks and noise is careful: where it hears badly it says nothing, so that it drops more phones
than it makes up. Lowering blank's score everywhere by one number balances the two.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..asr.evaluation.score import PhoneErrors, phone_errors
from ..asr.lexicon.phones import BLANK, PHONES
from ..asr.model.encoder import Encoder
from ..asr.model.offline import greedy_phones

PENALTIES = tuple(round(0.1 * step, 1) for step in range(-5, 16))  # nats, tried
AS_GOOD = 1.005  # times the fewest errors: among such penalties the smallest, since what is not speech must stay blank


def fit_blank_penalty(log_probs: Sequence[NDArray[np.float32]], references: Sequence[Sequence[str]]) -> float:
    """What to take off blank's log-probability, in nats, so that greedy decoding errs least, within `AS_GOOD`.

    Args:
        log_probs: `[rows, phones + 1]` for each recording.
        references: its phones.
    """

    def errors(penalty: float) -> int:
        found = sum(
            (
                phone_errors(reference, greedy_phones(_penalised(rows, penalty)))
                for rows, reference in zip(log_probs, references, strict=True)
            ),
            PhoneErrors(),
        )
        return found.substitutions + found.insertions + found.deletions

    found = {penalty: errors(penalty) for penalty in PENALTIES}
    return min((p for p in PENALTIES if found[p] <= AS_GOOD * min(found.values())), key=abs)


@torch.no_grad()
def lower_blank(encoder: Encoder, penalty: float) -> None:
    """Take `penalty` off the score of blank in each of the head's rows, in place."""
    encoder.head.bias.view(encoder.config.rows_per_frame, len(PHONES) + 1)[:, BLANK] -= penalty


def _penalised(rows: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """Log-probabilities but for their sum, which does not matter to what is highest."""
    lowered = rows.copy()
    lowered[:, BLANK] -= penalty
    return lowered
