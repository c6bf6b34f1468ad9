"""The one signature of causal linear attention, and the choice of the implementation that runs it."""

from collections.abc import Callable

from torch import Tensor

from .chunked import chunked
from .quadratic import quadratic
from .recurrent import recurrent
from .state import State, check_recurrence, check_sequences, without_autocast
from .triton_attention import suits, triton_attention

Backend = Callable[
    [Tensor, Tensor, Tensor, Tensor | None, tuple[Tensor, Tensor] | None, Tensor | None], tuple[Tensor, State]
]

_BACKENDS: dict[str, Backend] = {
    "chunked": chunked,
    "quadratic": quadratic,
    "recurrent": recurrent,
    "triton": triton_attention,
}
BACKENDS = tuple(_BACKENDS)


def causal_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    decay: Tensor | None = None,
    state: tuple[Tensor, Tensor] | None = None,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> tuple[Tensor, State]:
    """Attend from every frame to itself and its past; state in, state out, nothing changed in place.

    For each head with decay g (1 if there is none), from s_0 and z_0 (zero if there is no state)::

        s_t = g s_{t-1} + k_t v_t^T        z_t = g z_{t-1} + k_t        y_t = q_t^T s_t / (q_t^T z_t + EPS)

    Args:
        q, k: [batch, heads, time, d_k], after the feature map. Time may be 0: the state passes through.
        v: [batch, heads, time, d_v], of the dtype of q and k.
        decay: [heads], in (0, 1], or None.
        state: what an earlier call returned, or any pair of s [batch, heads, d_k, d_v] and
            z [batch, heads, d_k] in float32 (float64 for float64 inputs); None at the start of a sequence.
        lengths: [batch] integers in 0..time, or None if every sequence fills its row. Beyond a sequence's
            length outputs and gradients are zero, and its state is the one at its length. Frames there must
            be finite.
        backend: one of `BACKENDS`, or None for the one that suits training best: `triton` for CUDA tensors, if
            Triton is installed and the head sizes are not beyond its limit, otherwise `chunked`.

    Returns:
        y [batch, heads, time, d_v] in v's dtype, and the `State` after the last frame, for the next call.

    Raises:
        ValueError, TypeError: an argument does not fit the others; the message says which, and what it may
            be. The values of `decay` and `lengths` are checked on the CPU only: elsewhere that would stall
            the device. Within `torch.autograd.detect_anomaly()`, torch's mode for finding NaNs, numbers that are
            not finite are errors too, in any argument and on any device.
    """
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, or None, got {backend!r}")
    check_sequences(q, k, v, lengths)
    check_recurrence(q, v, decay, state)
    if backend is None:
        backend = "triton" if suits(q, v) else "chunked"
    run = _BACKENDS[backend]
    with without_autocast(q):
        return run(q, k, v, decay, state, lengths)
