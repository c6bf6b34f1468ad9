"""The attention in chunks of time, to train with: matrix products inside a chunk, a recurrence between chunks.

With values extended by a column of ones, v' = [v, 1], numerator and normaliser are one product, and
s' = [s, z] one state. A chunk of C frames, which the state s' enters, computes, with t, j in 0..C-1 and
D[t, j] = g^(t-j) for j <= t, 0 for j > t,

    forward    a = D * (q k^T)
               y' = a v' + g^(t+1) q s'                      y = y'[:d_v] / (y'[d_v] + eps)
               s' <- g^C s' + (g^(C-1-j) k)^T v'

and, given dy' (from dy) and the gradient ds' of the state that leaves the chunk, with p = D * (dy' v'^T),

    backward   dq = p k + g^(t+1) dy' s'^T
               dk = p^T q + g^(C-1-j) v' ds'^T
               dv = (a^T dy' + g^(C-1-j) k ds')[:d_v]
               ds' <- g^C ds' + (g^(t+1) q)^T dy'

Every power of g has an exponent of at least 0, so that nothing is divided by a number that may have
underflowed. Forward keeps the state that enters each chunk, backward computes a and p again: memory is
O(T d), besides one chunk's [C, C].

Where a sequence ends before its chunk does, C in the weights of the state is the number of its frames in
the chunk, and beyond them y and dy' are zero. Nothing else needs to know.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .powers import Chunk, Powers
from .state import EPS, State, accumulator_dtype
from .workspace import Workspace

CHUNK = 32  # frames at most; of 16 to 128 the fastest on a CPU core, for d_k = d_v = 32 and for 64


def chunked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    state: tuple[Tensor, Tensor] | None,
    lengths: Tensor | None,
) -> tuple[Tensor, State]:
    """`causal_linear_attention` in chunks: memory O(T d) in forward and backward, first derivatives only."""
    s0, z0 = (None, None) if state is None else state
    y, s, z = _Chunked.apply(q, k, v, decay, s0, z0, lengths)  # type: ignore[no-untyped-call]
    return y, State(s, z)


def split(time: int) -> list[Chunk]:
    """As few chunks as `CHUNK` allows, as even as possible: all but the last have one length."""
    count = -(-time // CHUNK)
    frames = -(-time // count) if count else 1
    return [Chunk(start, min(start + frames, time)) for start in range(0, time, frames)]


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        decay: Tensor | None,
        s0: Tensor | None,
        z0: Tensor | None,
        lengths: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, heads, time, d_k = q.shape
        d_v, accumulator = v.shape[3], accumulator_dtype(v)
        chunks = split(time)
        powers = Powers(decay, lengths, q.device, accumulator)
        space = Workspace(batch, heads, accumulator, q.device)
        y = torch.empty_like(v)
        normaliser = q.new_empty(batch, heads, time, 1, dtype=accumulator)
        # The state that enters chunk i is entering[i]; without a backward to come, the last two are enough.
        kept_states = len(chunks) + 1 if any(ctx.needs_input_grad) else 2
        entering = q.new_empty(kept_states, batch * heads, d_k, d_v + 1, dtype=accumulator)
        _join(space.by_head(entering[0]), s0, z0)

        for i, chunk in enumerate(chunks):
            c, here = chunk.frames, chunk.here
            state, next_state = entering[i % kept_states], entering[(i + 1) % kept_states]
            q_c, k_c = space.rows("q", q[:, :, here]), space.rows("k", k[:, :, here])
            v_c = space.extended("v", v[:, :, here])

            a = torch.bmm(q_c, k_c.mT, out=space.empty("a", c, c))
            space.by_head(a).mul_(powers.within(chunk))
            y_c = torch.bmm(a, v_c, out=space.empty("y", c, d_v + 1))
            if i > 0 or s0 is not None:
                y_c.baddbmm_(space.scaled("weighted", q_c, powers.entering(chunk)), state)
            y_c = space.by_head(y_c)
            torch.add(y_c[..., d_v:], EPS, out=normaliser[:, :, here])
            torch.div(y_c[..., :d_v], normaliser[:, :, here], out=y[:, :, here])
            if (valid := powers.valid(chunk)) is not None:
                y[:, :, here] *= valid

            torch.bmm(space.scaled("weighted", k_c, powers.leaving(chunk)).mT, v_c, out=next_state)
            if (kept := powers.kept(chunk)) is None:
                next_state += state
            else:
                space.by_head(next_state).addcmul_(space.by_head(state), kept)

        ctx.save_for_backward(q, k, v, decay, lengths, y, normaliser, entering)
        ctx.has_state, ctx.device = s0 is not None, q.device
        ctx.set_materialize_grads(False)
        return y, *_parted(space.by_head(entering[len(chunks) % kept_states]))

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dy: Tensor | None, ds: Tensor | None, dz: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        with torch.autocast(ctx.device.type, enabled=False):
            return _backward(ctx, dy, ds, dz)


def _backward(ctx: Any, dy: Tensor | None, ds: Tensor | None, dz: Tensor | None) -> tuple[Tensor | None, ...]:
    # Looked at once only, which is what activation checkpointing allows.
    q, k, v, decay, lengths, y, normaliser, entering = ctx.saved_tensors
    batch, heads, time, d_k = q.shape
    d_v, accumulator = v.shape[3], accumulator_dtype(v)
    powers = Powers(decay, lengths, q.device, accumulator)
    space = Workspace(batch, heads, accumulator, q.device)
    dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    d_decay = torch.zeros_like(decay, dtype=accumulator) if ctx.needs_input_grad[3] else None
    d_state = q.new_empty(batch * heads, d_k, d_v + 1, dtype=accumulator)
    _join(space.by_head(d_state), ds, dz)
    state_is_used = ds is not None or dz is not None  # by anything that the loss sees: else d_state is 0

    for i, chunk in reversed(list(enumerate(split(time)))):
        c, here = chunk.frames, chunk.here
        q_c, k_c = space.rows("q", q[:, :, here]), space.rows("k", k[:, :, here])
        v_c = space.extended("v", v[:, :, here])
        dy_c = space.empty("dy", c, d_v + 1)
        if dy is None:
            dy_c.zero_()
        else:
            quotient = dy[:, :, here], y[:, :, here], normaliser[:, :, here]
            _divided(*quotient, powers.valid(chunk), space, out=dy_c)

        a = torch.bmm(q_c, k_c.mT, out=space.empty("a", c, c))
        p = torch.bmm(dy_c, v_c.mT, out=space.empty("p", c, c))
        if d_decay is not None:
            product = (space.by_head(a) * space.by_head(p)).sum(0)
            d_decay += (product * powers.within_slope(chunk)).sum((1, 2))
        space.by_head(a).mul_(powers.within(chunk))
        space.by_head(p).mul_(powers.within(chunk))
        dq_c = torch.bmm(p, k_c, out=space.empty("dq", c, d_k))
        dk_c = torch.bmm(p.mT, q_c, out=space.empty("dk", c, d_k))
        dv_c = torch.bmm(a.mT, dy_c[..., :d_v], out=space.empty("dv", c, d_v))

        if state_is_used:  # what the loss sees of this chunk through the state that leaves it
            weights = powers.leaving(chunk)
            product = _add_product(dk_c, v_c, d_state, weights, space)
            dv_c.baddbmm_(space.scaled("weighted", k_c, weights), d_state[..., :d_v])
            if d_decay is not None:
                product *= k_c
                d_decay += (space.by_head(product) * powers.leaving_slope(chunk)).sum((0, 2, 3))
                product = space.by_head(d_state * entering[i])
                d_decay += (product * powers.kept_slope(chunk)).sum((0, 2, 3))
        if i > 0 or ctx.has_state:  # what this chunk sees of the state that enters it
            weights = powers.entering(chunk)
            product = _add_product(dq_c, dy_c, entering[i], weights, space)
            if d_decay is not None:
                product *= q_c
                d_decay += (space.by_head(product) * powers.entering_slope(chunk)).sum((0, 2, 3))
            if (kept := powers.kept(chunk)) is not None:
                space.by_head(d_state).mul_(kept)
            d_state.baddbmm_(space.scaled("weighted", q_c, weights).mT, dy_c)
            state_is_used = True
        for whole, part in ((dq, dq_c), (dk, dk_c), (dv, dv_c)):
            whole[:, :, here] = space.by_head(part)

    ds0, dz0 = _parted(space.by_head(d_state)) if ctx.has_state else (None, None)
    return dq, dk, dv, None if d_decay is None else d_decay.to(decay.dtype), ds0, dz0, None


def _divided(
    dy: Tensor, y: Tensor, normaliser: Tensor, valid: Tensor | None, space: Workspace, *, out: Tensor
) -> None:
    """From the gradient of y = numerator / normaliser write dy', that of both, [batch x heads, frames, d_v + 1]."""
    d_numerator, d_normaliser = space.by_head(out).tensor_split((y.shape[3],), -1)
    torch.div(dy, normaliser, out=d_numerator)
    if valid is not None:
        d_numerator *= valid
    product = torch.mul(d_numerator, y, out=space.by_head(space.empty("product", *y.shape[2:])))
    torch.sum(product, -1, keepdim=True, out=d_normaliser).neg_()


def _add_product(total: Tensor, x: Tensor, state: Tensor, weights: Tensor | None, space: Workspace) -> Tensor:
    """Add weights * (x state^T) to `total` [batch x heads, frames, d_k].

    Returns the product without weights, where there are any; it is needed for their derivative only.
    """
    if weights is None:
        return total.baddbmm_(x, state.mT)
    product = torch.bmm(x, state.mT, out=space.empty("product", *total.shape[1:]))
    space.by_head(total).addcmul_(space.by_head(product), weights)
    return product


def _join(joined: Tensor, s: Tensor | None, z: Tensor | None) -> None:
    """Write s' = [s, z] into [batch, heads, d_k, d_v + 1]; None is zero."""
    joined[..., :-1] = 0 if s is None else s
    joined[..., -1] = 0 if z is None else z


def _parted(joined: Tensor) -> tuple[Tensor, Tensor]:
    """s [batch, heads, d_k, d_v] and z [batch, heads, d_k] of s' [batch, heads, d_k, d_v + 1], as copies."""
    s, z = (x.clone(memory_format=torch.contiguous_format) for x in (joined[..., :-1], joined[..., -1]))
    return s, z
