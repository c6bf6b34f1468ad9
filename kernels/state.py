"""What all implementations of the attention share: the carried state, the one epsilon, the argument checks."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

EPS = 1e-6  # added to the normaliser phi(q)^T z: the same in every backend, in training and in the ONNX graph


class State(NamedTuple):
    """All that causal linear attention remembers of the past.

    `s` is [batch, heads, d_k, d_v], the decayed sum of phi(k) v^T; `z` is [batch, heads, d_k], the decayed
    sum of phi(k). Both are float32 (float64 for float64 inputs) whatever the inputs are: half precision
    stops counting within minutes of audio.
    """

    s: Tensor
    z: Tensor


def accumulator_dtype(v: Tensor) -> torch.dtype:
    """The type in which sums over time are kept: float64 for float64 values, float32 for all others."""
    return torch.float64 if v.dtype == torch.float64 else torch.float32


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A context in which products keep x's dtype: autocast would round sums over time to half precision."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def check_sequences(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None) -> None:
    """Check `q`, `k`, `v` and `lengths` against each other, and in torch's anomaly mode that they are finite.

    Raises:
        ValueError: a shape, a device or a length does not fit; a number is not finite.
        TypeError: a dtype does not fit.
    """
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.dim() != 4:
            raise ValueError(f"{name} must be [batch, heads, time, d], got {list(x.shape)}")
        if not x.dtype.is_floating_point:
            raise TypeError(f"{name} must be floating point, got {x.dtype}")
    if k.shape != q.shape:
        raise ValueError(f"k must have the shape of q, {list(q.shape)}, got {list(k.shape)}")
    if v.shape[:3] != q.shape[:3]:
        raise ValueError(
            f"v must be [batch, heads, time, d_v], the first three {list(q.shape[:3])} as in q, "
            f"got {list(v.shape)}"
        )
    for name, x in (("k", k), ("v", v)):
        _check_device(name, x, q)
        if x.dtype != q.dtype:
            raise TypeError(f"{name} must have the dtype of q, {q.dtype}, got {x.dtype}; convert one of them")
    if lengths is not None:
        _check_lengths(lengths, q)
    for name, x in (("q", q), ("k", k), ("v", v)):
        _check_finite(name, x)


def check_recurrence(q: Tensor, v: Tensor, decay: Tensor | None, state: tuple[Tensor, Tensor] | None) -> None:
    """Check `decay` and the initial `state` against sequences that `check_sequences` has passed.

    In torch's anomaly mode they are checked to be finite, too.

    Raises:
        ValueError: a shape, a device or a decay does not fit; a number is not finite.
        TypeError: a dtype does not fit.
    """
    batch, heads, _, d_k = q.shape
    if decay is not None:
        if decay.shape != (heads,):
            raise ValueError(f"decay must be [{heads}], one for each head of q, got {list(decay.shape)}")
        if not decay.dtype.is_floating_point:
            raise TypeError(f"decay must be floating point, got {decay.dtype}")
        _check_device("decay", decay, q)
        _check_finite("decay", decay)
        # `not all inside` rather than `any outside`: a NaN is inside nothing.
        if _values_are_readable(decay) and not bool(((decay > 0) & (decay <= 1)).all()):
            raise ValueError(f"decay must lie in (0, 1] for every head, got {decay.tolist()}")
    if state is not None:
        if len(state) != 2:
            raise ValueError(f"state must be a pair (s, z), got {len(state)} items")
        accumulator = accumulator_dtype(v)
        s, z = state
        for name, x, shape in (("s", s, (batch, heads, d_k, v.shape[3])), ("z", z, (batch, heads, d_k))):
            if x.shape != shape:
                raise ValueError(f"state {name} must be {list(shape)}, got {list(x.shape)}")
            if x.dtype != accumulator:
                raise TypeError(f"state {name} must be {accumulator} for {v.dtype} inputs, got {x.dtype}")
            _check_device(f"state {name}", x, q)
            _check_finite(f"state {name}", x)


def _check_lengths(lengths: Tensor, q: Tensor) -> None:
    batch, _, time, _ = q.shape
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must be [{batch}], one for each sequence of q, got {list(lengths.shape)}")
    if lengths.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"lengths must be int64 or int32, got {lengths.dtype}")
    _check_device("lengths", lengths, q)
    if _values_are_readable(lengths) and not bool(((lengths >= 0) & (lengths <= time)).all()):
        raise ValueError(f"lengths must lie in 0..{time}, the time of q, got {lengths.tolist()}")


def _check_device(name: str, x: Tensor, q: Tensor) -> None:
    if x.device != q.device:
        raise ValueError(
            f"{name} must be on q's device, {q.device}, got {x.device}; move it with .to(q.device)"
        )


def _check_finite(name: str, x: Tensor) -> None:
    # torch.autograd.detect_anomaly() stands for "I am looking for a NaN, and speed does not matter".
    if torch.compiler.is_compiling() or not (
        torch.is_anomaly_enabled() and torch.is_anomaly_check_nan_enabled()
    ):
        return
    wrong = (~x.detach().isfinite()).nonzero()
    if len(wrong):
        first = wrong[0].tolist()
        raise ValueError(
            f"{name} must be finite, got {x[tuple(first)].item()} at {first}, and {len(wrong)} such numbers in all; "
            f"look at what computed {name}"
        )


def _values_are_readable(x: Tensor) -> bool:
    """Whether looking at values is free: not while tracing, nor on an accelerator, which it would stall."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()
