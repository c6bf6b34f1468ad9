"""The attention as one masked matrix product, O(T^2): what tests trust, and what the ONNX graph is traced from.

Written for tracing: no control flow on values, no specialisation on the time, few operations. A streaming
step runs it once per layer on a few frames, where no other form is cheaper.
"""

import torch
from torch import Tensor

from .state import EPS, State, accumulator_dtype


def quadratic(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    state: tuple[Tensor, Tensor] | None,
    lengths: Tensor | None,
) -> tuple[Tensor, State]:
    """`causal_linear_attention` by its [time, time] matrix of weights; memory O(T^2), gradients by autograd."""
    accumulator = accumulator_dtype(v)
    y_dtype, time = v.dtype, q.shape[2]
    q, k, v = q.to(accumulator), k.to(accumulator), v.to(accumulator)
    weights = q @ k.mT  # [batch, heads, time, time]: phi(q_t)^T phi(k_j), below to be 0 where j > t
    from_start = q  # what the initial state is multiplied by: g^(t+1) phi(q_t)
    into_state = k  # what the final state sums: g^(n-1-j) phi(k_j) where j < n, the sequence's length
    kept: Tensor | None = None  # of the initial state in the final one: g^n

    if decay is None:
        weights = weights.tril()
    else:
        g = decay.to(accumulator).clamp(min=torch.finfo(accumulator).tiny)  # 0 would have no logarithm
        rate = g.log().view(-1, 1, 1)  # exp(n * log g) takes a tenth of g^n's time
        frame = torch.arange(time + 1, dtype=accumulator, device=q.device).unsqueeze(1)
        powers = torch.exp(rate * frame)  # [heads, time + 1, 1]
        frame = frame[:-1]
        weights = weights * torch.tril(torch.exp(rate * (frame - frame.mT).clamp(min=0)))
        from_start = q * powers[:, 1:]
        if lengths is None:
            into_state = k * powers[:, :-1].flip(1)
            kept = powers[:, -1:]
        else:
            n = lengths.to(accumulator).view(-1, 1, 1, 1)
            into_state = k * torch.exp(rate * (n - 1 - frame).clamp(min=0))
            kept = torch.exp(rate * n)
    if lengths is not None:
        valid = torch.arange(time, device=q.device) < lengths.unsqueeze(1)
        valid = valid[:, None, :, None].to(accumulator)
        into_state = into_state * valid

    numerator = weights @ v
    normaliser = weights.sum(-1, keepdim=True)
    s = into_state.mT @ v
    z = into_state.sum(-2)
    if state is not None:
        s0, z0 = state
        numerator = numerator + from_start @ s0
        normaliser = normaliser + from_start @ z0.unsqueeze(-1)
        s = s + (s0 if kept is None else s0 * kept)
        z = z + (z0 if kept is None else z0 * kept.squeeze(-1))
    y = numerator / (normaliser + EPS)
    if lengths is not None:
        y = y * valid
    return y.to(y_dtype), State(s, z)
