"""Linear attention over the full context: every frame sees the whole sequence, past and future."""

import torch
from torch import Tensor

from .state import EPS, accumulator_dtype, check_sequences, without_autocast


def linear_attention(q: Tensor, k: Tensor, v: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """Attend from every frame to every frame, in time and memory linear in the number of frames. It cannot stream.

    y_t = phi(q_t)^T s / (phi(q_t)^T z + eps), where s and z sum phi(k_j) v_j^T and phi(k_j) over all j
    (Katharopoulos et al. 2020, section 3.2).

    Args:
        q, k: [batch, heads, time, d_k], after the feature map.
        v: [batch, heads, time, d_v], of the dtype of q and k.
        lengths: [batch] integers in 0..time, or None if every sequence fills its row. Frames beyond a
            sequence's length are not attended to, and their outputs and gradients are zero; they must be
            finite.

    Returns:
        y, [batch, heads, time, d_v], in v's dtype. Sums over time are float32 at least.

    Raises:
        ValueError, TypeError: an argument does not fit the others; the message says which, and what it may
            be. Within `torch.autograd.detect_anomaly()` numbers that are not finite are errors too.
    """
    check_sequences(q, k, v, lengths)
    accumulator = accumulator_dtype(v)
    y_dtype, time = v.dtype, q.shape[2]
    with without_autocast(q):
        q, k, v = q.to(accumulator), k.to(accumulator), v.to(accumulator)
        if lengths is not None:
            valid = torch.arange(time, device=q.device) < lengths.unsqueeze(1)
            valid = valid[:, None, :, None].to(accumulator)
            k = k * valid
        s = k.mT @ v  # [batch, heads, d_k, d_v]
        z = k.sum(-2).unsqueeze(-1)  # [batch, heads, d_k, 1]
        y = (q @ s) / (q @ z + EPS)
        if lengths is not None:
            y = y * valid
    return y.to(y_dtype)
