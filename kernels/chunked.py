"""The attention in chunks of time, to train with: matrix products inside chunks, and one from chunk to chunk.

With values extended by a column of ones, v' = [v, 1], numerator and normaliser are one product, and
s' = [s, z]^T one state, [d_v + 1, d_k]. A chunk of C frames, which the state s' enters, computes, with
t, j in 0..C-1 and D[t, j] = g^(t-j) for j <= t, 0 for j > t,

    forward    a = D * (q k^T)
               x = v'^T (g^(C-1-j) k)                        what the chunk adds to the state
               y' = a v' + g^(t+1) q s'^T                    y = y'[:d_v] / (y'[d_v] + eps)

and, given dy' (from dy) and the gradient dx of what it adds, with p = D * (dy' v'^T),

    backward   ds' = dy'^T (g^(t+1) q)                       by way of y' alone
               dq = p k + g^(t+1) dy' s'
               dk = p^T q + g^(C-1-j) v' dx
               dv = (a^T dy' + g^(C-1-j) k dx^T)[:d_v]

From chunk to chunk s' <- g^C s' + x. Unrolled, each state is a sum of the first one and of every x before
it, weighted by powers of g, so that the states of all chunks of a block (`blocks`) are one product of a triangular
matrix with all x (`powers.Between`), and all dx are one of its transpose with all ds'. The rest is
done for all chunks of a block at once.

Every power of g has an exponent of at least 0, so that nothing is divided by a number that may have
underflowed. Forward keeps the state that enters each chunk, backward computes a and p again: memory is
O(T d), besides one block's [C, C].

Where a sequence ends before its chunk does, C in the weights of the state is the number of its frames in
the chunk, and beyond them y and dy' are zero. Nothing else needs to know.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .blocks import Block, split
from .powers import Powers
from .state import EPS, State, accumulator_dtype
from .workspace import Workspace, flat


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
        blocks = split(q.shape, max(d_k, d_v), q.device)
        powers = Powers(decay, lengths, q.device, accumulator)
        space = Workspace(accumulator, q.device)
        y = torch.empty_like(v)
        normaliser = q.new_empty(batch, heads, time, 1, dtype=accumulator)
        state = _joined(q, v, s0, z0)
        # What enters the chunks, of all blocks one after another; without a backward to come, of one at a time.
        kept = sum(block.rows * block.chunks for block in blocks) if any(ctx.needs_input_grad) else 0
        entering = q.new_empty(kept, d_v + 1, d_k, dtype=accumulator)

        done = 0
        for block in blocks:
            c, n = block.frames, block.rows * block.chunks
            q_b, k_b = space.read("q", q, block), space.read("k", k, block)
            v_b = flat(space.extended("v", v, block))
            states = entering[done : done + n] if kept else flat(space.empty("s", block, d_v + 1, d_k))
            done += n

            k_weighted = flat(space.scaled("weighted", k_b, powers.leaving(block), block))
            added = space.empty("x", block, d_v + 1, d_k)
            torch.bmm(v_b.mT, k_weighted, out=flat(added))
            _accumulate(added, powers.kept(block), block.state_of(state), out=states.view_as(added))

            a, y_b = space.empty("a", block, c, c), space.empty("y", block, c, d_v + 1)
            torch.bmm(flat(q_b), flat(k_b).mT, out=flat(a))
            a *= powers.within(block)
            q_weighted = flat(space.scaled("weighted", q_b, powers.entering(block), block))
            torch.bmm(flat(a), v_b, out=flat(y_b)).baddbmm_(q_weighted, states.mT)
            y_block, normaliser_block = block.of(y), block.of(normaliser)
            torch.add(y_b[..., d_v:], EPS, out=normaliser_block)
            torch.div(y_b[..., :d_v], normaliser_block, out=y_block)
            if (valid := powers.valid(block)) is not None:
                y_block *= valid

        ctx.save_for_backward(q, k, v, decay, lengths, y, normaliser, entering)
        ctx.powers, ctx.has_state, ctx.device = powers, s0 is not None, q.device
        ctx.set_materialize_grads(False)
        return y, *_parted(state)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dy: Tensor | None, ds: Tensor | None, dz: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        with torch.autocast(ctx.device.type, enabled=False):
            return _backward(ctx, dy, ds, dz)


def _backward(ctx: Any, dy: Tensor | None, ds: Tensor | None, dz: Tensor | None) -> tuple[Tensor | None, ...]:
    # Looked at once only, which is what activation checkpointing allows.
    q, k, v, decay, _, y, normaliser, entering = ctx.saved_tensors
    d_k, d_v, accumulator = q.shape[3], v.shape[3], accumulator_dtype(v)
    powers: Powers = ctx.powers
    space = Workspace(accumulator, q.device)
    dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    d_decay = torch.zeros_like(decay, dtype=accumulator) if ctx.needs_input_grad[3] else None
    d_state = _joined(q, v, ds, dz)

    done = len(entering)
    for block in reversed(split(q.shape, max(d_k, d_v), q.device)):
        c, n = block.frames, block.rows * block.chunks
        q_b, k_b = space.read("q", q, block), space.read("k", k, block)
        v_b = flat(space.extended("v", v, block))
        states = entering[done - n : done]
        done -= n
        dy_b = space.empty("dy", block, c, d_v + 1)
        if dy is None:
            dy_b.zero_()
        else:
            _divided(dy, y, normaliser, powers, space, block, out=dy_b)
        dy_b = flat(dy_b)

        q_weighted = flat(space.scaled("weighted", q_b, powers.entering(block), block))
        d_states, d_added = (space.empty(name, block, d_v + 1, d_k) for name in ("ds", "dx"))
        torch.bmm(dy_b.mT, q_weighted, out=flat(d_states))
        _accumulate(d_states, powers.kept(block), block.state_of(d_state), out=d_added, backwards=True)

        a, p = space.empty("a", block, c, c), space.empty("p", block, c, c)
        torch.bmm(flat(q_b), flat(k_b).mT, out=flat(a))
        torch.bmm(dy_b, v_b.mT, out=flat(p))
        if d_decay is not None:
            product = torch.mul(a, p, out=space.empty("product", block, c, c))
            _add_slope(d_decay, product, powers.within_slope(block), block)
        a *= powers.within(block)
        p *= powers.within(block)

        written = [space.write(name, x, block) for name, x in (("dq", dq), ("dk", dk), ("dv", dv))]
        dq_b, dk_b, dv_b = (buffer for _, buffer in written)
        weights = powers.entering(block)
        torch.bmm(flat(p), flat(k_b), out=flat(dq_b))
        product = _add_product(dq_b, dy_b, states, weights, space, block)
        if d_decay is not None:
            _add_slope(d_decay, product.mul_(q_b), powers.entering_slope(block), block)
        weights = powers.leaving(block)
        torch.bmm(flat(p).mT, flat(q_b), out=flat(dk_b))
        product = _add_product(dk_b, v_b, flat(d_added), weights, space, block)
        k_weighted = flat(space.scaled("weighted", k_b, weights, block))
        torch.bmm(flat(a).mT, dy_b[..., :d_v], out=flat(dv_b))
        flat(dv_b).baddbmm_(k_weighted, flat(d_added)[:, :d_v].mT)
        if d_decay is not None:
            _add_slope(d_decay, product.mul_(k_b), powers.leaving_slope(block), block)
            _add_slope(d_decay, d_added.mul_(states.view_as(d_added)), powers.kept_slope(block), block)
        for part, buffer in written:
            if buffer is not part:
                part.copy_(buffer)

    ds0, dz0 = _parted(d_state) if ctx.has_state else (None, None)
    return dq, dk, dv, None if d_decay is None else d_decay.to(decay.dtype), ds0, dz0, None


def _divided(
    dy: Tensor, y: Tensor, normaliser: Tensor, powers: Powers, space: Workspace, block: Block, *, out: Tensor
) -> None:
    """From the gradient of y = numerator / normaliser write a block's dy', that of both."""
    y = block.of(y)
    d_numerator, d_normaliser = out[..., :-1], out[..., -1:]
    torch.div(block.of(dy), block.of(normaliser), out=d_numerator)
    if (valid := powers.valid(block)) is not None:
        d_numerator *= valid
    product = torch.mul(d_numerator, y, out=space.empty("product", block, *y.shape[3:]))
    torch.sum(product, 4, keepdim=True, out=d_normaliser).neg_()


def _add_product(
    total: Tensor, x: Tensor, state: Tensor, weights: Tensor | None, space: Workspace, block: Block
) -> Tensor:
    """Add weights * (x state) to `total` [sequences, heads, chunks, frames, d_k].

    Returns the product without weights, where there are any; it is needed for their derivative only.
    """
    if weights is None:
        return flat(total).baddbmm_(x, state)
    product = space.empty("product", block, *total.shape[3:])
    torch.bmm(x, state, out=flat(product))
    total.addcmul_(product, weights)
    return product


def _add_slope(d_decay: Tensor, product: Tensor, slope: Tensor, block: Block) -> None:
    """Add to d_decay [heads], by the slope of some powers, a block's product: the derivative by these powers."""
    alike = [dim for dim in (2, 3, 4) if slope.shape[dim] == 1]  # summed before they are weighted
    weighted = product.sum(alike, keepdim=True) * slope
    d_decay[block.head : block.head + block.heads] += weighted.sum((0, 2, 3, 4))


def _accumulate(
    added: Tensor, kept: Tensor | None, state: Tensor, *, out: Tensor, backwards: bool = False
) -> None:
    """Lead a state through the chunks of a block: to each what was there before it, and from each what it adds.

    `state`, at first what comes to the block, becomes what goes on from it. Gradients go backwards.

    Args:
        added, out: [sequences, heads, chunks, d_v + 1, d_k].
        kept: weights of the state at each chunk, or None for 1.
        state: [sequences, heads, d_v + 1, d_k].
    """
    step = -1 if backwards else 1
    xs, states = added.unbind(2)[::step], out.unbind(2)[::step]
    states[0].copy_(state)
    if kept is None:
        for x, before, after in zip(xs, states, (*states[1:], state), strict=True):
            torch.add(x, before, out=after)
    else:
        weights = kept.expand(-1, -1, len(xs), -1, -1).unbind(2)[::step]
        for x, before, weight, after in zip(xs, states, weights, (*states[1:], state), strict=True):
            torch.addcmul(x, before, weight, out=after)


def _joined(q: Tensor, v: Tensor, s: Tensor | None, z: Tensor | None) -> Tensor:
    """s' = [s, z]^T [batch, heads, d_v + 1, d_k]; None is zero."""
    joined = q.new_empty(*q.shape[:2], v.shape[3] + 1, q.shape[3], dtype=accumulator_dtype(v))
    joined[:, :, :-1] = 0 if s is None else s.mT
    joined[:, :, -1] = 0 if z is None else z
    return joined


def _parted(joined: Tensor) -> tuple[Tensor, Tensor]:
    """s [batch, heads, d_k, d_v] and z [batch, heads, d_k] of s' [batch, heads, d_v + 1, d_k], as copies."""
    s, z = (x.clone(memory_format=torch.contiguous_format) for x in (joined[:, :, :-1].mT, joined[:, :, -1]))
    return s, z
