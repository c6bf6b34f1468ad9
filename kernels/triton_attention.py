"""The Triton kernels as torch operators: shapes for tracing, gradients, and errors that say what is missing.

As an operator of its own, opaque and without side effects, the attention stays one node under torch.compile and is
computed again by activation checkpointing. Triton itself is imported when the first call runs.
"""

import importlib.util
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .state import State, accumulator_dtype

MAX_HEAD_SIZE = 128  # of d_k and d_v: the greatest that the kernels are compiled and tested for
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
IS_INSTALLED = importlib.util.find_spec("triton") is not None


def triton_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    state: tuple[Tensor, Tensor] | None,
    lengths: Tensor | None,
) -> tuple[Tensor, State]:
    """`causal_linear_attention` by CUDA kernels: memory O(T d) in forward and backward, first derivatives only.

    Raises:
        ModuleNotFoundError: Triton is not installed.
        ValueError: a head size is beyond `MAX_HEAD_SIZE`, or the tensors are not on a CUDA device (the CPU will do
            if TRITON_INTERPRET=1 was set before Triton was imported).
        TypeError: a dtype is not one of `DTYPES`.
    """
    if (problem := _problem(q, v)) is not None:
        raise problem
    s0, z0 = (None, None) if state is None else state
    y, s, z, _ = _forward(q, k, v, decay, s0, z0, lengths)
    return y, State(s, z)


def suits(q: Tensor, v: Tensor) -> bool:
    """Whether this is the backend to choose: on a CUDA device, for sizes and dtypes that it takes."""
    return q.device.type == "cuda" and _problem(q, v) is None


def _problem(q: Tensor, v: Tensor) -> Exception | None:
    other = "or use backend='chunked'"
    if not IS_INSTALLED:
        return ModuleNotFoundError(f"backend 'triton' needs Triton: pip install triton, {other}")
    if q.dtype not in DTYPES:
        return TypeError(f"backend 'triton' takes {', '.join(map(str, DTYPES))}, got {q.dtype}; {other[3:]}")
    for name, size in (("d_k", q.shape[3]), ("d_v", v.shape[3])):
        if not 1 <= size <= MAX_HEAD_SIZE:
            return ValueError(
                f"backend 'triton' takes head sizes of 1 to {MAX_HEAD_SIZE}, got {name} = {size}; "
                f"have more and smaller heads, {other}"
            )
    return None


def _launch(device: torch.device) -> ModuleType:
    from . import triton_launch

    if device.type != "cuda" and not (device.type == "cpu" and triton_launch.INTERPRETED):
        raise ValueError(
            f"backend 'triton' needs tensors on a CUDA device, got {device}; move them with .to('cuda'), "
            "or use backend='chunked' (for debugging, TRITON_INTERPRET=1 in the environment of a new process "
            "interprets the kernels on the CPU)"
        )
    return triton_launch


def packed_rows(x: Tensor) -> Tensor:
    """Memory for a result like x [batch, heads, time, d], without gaps; heads lie inside time if they do in x."""
    batch, heads, time, d = x.shape
    if x.stride(1) < x.stride(2):
        return x.new_empty(batch, time, heads, d).transpose(1, 2)
    return x.new_empty(batch, heads, time, d)


@torch.library.custom_op("phonestream::causal_linear_attention", mutates_args=())
def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    s0: Tensor | None,
    z0: Tensor | None,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, s, z, and for the backward pass the normaliser [batch, heads, time]."""
    y = packed_rows(v)
    s, z, normaliser = _launch(q.device).forward(q, k, v, decay, s0, z0, lengths, y)
    return y, s, z, normaliser


@_forward.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *others: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch, heads, time, d_k = q.shape
    shapes = (batch, heads, d_k, v.shape[3]), (batch, heads, d_k), (batch, heads, time)
    s, z, normaliser = (q.new_empty(shape, dtype=accumulator_dtype(v)) for shape in shapes)
    return packed_rows(v), s, z, normaliser


@torch.library.custom_op("phonestream::causal_linear_attention_backward", mutates_args=())
def _backward(
    dy: Tensor | None,
    ds: Tensor | None,
    dz: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    s0: Tensor | None,
    z0: Tensor | None,
    lengths: Tensor | None,
    y: Tensor,
    normaliser: Tensor,
    decay_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """dq, dk, dv, ds0, dz0, and the decay's gradient [heads], zero unless it is asked for."""
    dq, dk, dv = packed_rows(q), packed_rows(k), packed_rows(v)
    gradients = dy, ds, dz
    inputs = q, k, v, decay, s0, z0, lengths
    ds0, dz0, d_decay = _launch(q.device).backward(
        gradients, inputs, y, normaliser, (dq, dk, dv), decay_gradient
    )
    return dq, dk, dv, ds0, dz0, d_decay


@_backward.register_fake
def _(
    dy: Tensor | None, ds: Tensor | None, dz: Tensor | None, q: Tensor, k: Tensor, v: Tensor, *others: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch, heads, _, d_k = q.shape
    shapes = (batch, heads, d_k, v.shape[3]), (batch, heads, d_k), (heads,)
    ds0, dz0, d_decay = (q.new_empty(shape, dtype=accumulator_dtype(v)) for shape in shapes)
    return packed_rows(q), packed_rows(k), packed_rows(v), ds0, dz0, d_decay


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    y, _, _, normaliser = output
    ctx.save_for_backward(*inputs, y, normaliser)
    ctx.mark_non_differentiable(normaliser)
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, dy: Tensor | None, ds: Tensor | None, dz: Tensor | None, _: None
) -> tuple[Tensor | None, ...]:
    decay_gradient = ctx.needs_input_grad[3]
    saved = ctx.saved_tensors  # once only: activation checkpointing computes them again at every look
    dq, dk, dv, ds0, dz0, d_decay = _backward(dy, ds, dz, *saved, decay_gradient)
    decay, s0 = saved[3:5]
    return (
        dq,
        dk,
        dv,
        d_decay.to(decay.dtype) if decay_gradient else None,
        None if s0 is None else ds0,
        None if s0 is None else dz0,
        None,
    )


_forward.register_autograd(_differentiate, setup_context=_keep)
