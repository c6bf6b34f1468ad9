"""The attention as a recurrent network, one frame at a time: the definition as it stands, to check with."""

import torch
from torch import Tensor

from .state import EPS, State, accumulator_dtype


def recurrent(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    state: tuple[Tensor, Tensor] | None,
    lengths: Tensor | None,
) -> tuple[Tensor, State]:
    """`causal_linear_attention` by its recurrence; gradients by autograd, which keeps every s and z."""
    accumulator = accumulator_dtype(v)
    batch, heads, time, d_k = q.shape
    if state is None:
        s = q.new_zeros(batch, heads, d_k, v.shape[3], dtype=accumulator)
        z = q.new_zeros(batch, heads, d_k, dtype=accumulator)
    else:
        s, z = state
    g = None if decay is None else decay.to(accumulator).view(-1, 1)
    rows = []
    for t in range(time):
        q_t, k_t, v_t = (x[:, :, t].to(accumulator) for x in (q, k, v))
        next_s = (s if g is None else s * g.unsqueeze(-1)) + k_t.unsqueeze(-1) * v_t.unsqueeze(-2)
        next_z = (z if g is None else z * g) + k_t
        y_t = (q_t.unsqueeze(-2) @ next_s).squeeze(-2) / ((q_t * next_z).sum(-1, keepdim=True) + EPS)
        if lengths is None:
            s, z = next_s, next_z
        else:
            going_on = (t < lengths).view(batch, 1, 1)
            s, z = torch.where(going_on.unsqueeze(-1), next_s, s), torch.where(going_on, next_z, z)
            y_t = torch.where(going_on, y_t, 0)
        rows.append(y_t.to(v.dtype))
    return torch.stack(rows, dim=2) if rows else torch.zeros_like(v), State(s, z)
