"""Runs the Triton kernels on tensors: tile sizes, grids, and memory for what lives between two kernels.

Importing this imports Triton, which decides then, by the environment variable TRITON_INTERPRET, whether kernels are
compiled for a GPU or interpreted on the CPU.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from .state import EPS, accumulator_dtype
from .triton_backward import differentiate_qk, differentiate_v, divide, scan_gradients
from .triton_forward import attend, scan_states

INTERPRETED = isinstance(attend, InterpretedFunction)


class Tiles(NamedTuple):
    """What a program works on at a time."""

    frames: int  # of a chunk
    columns: int  # of q, k or v, at most
    warps: int


TILES = {
    torch.float64: Tiles(32, 16, 4),
    torch.float32: Tiles(32, 32, 4),
    torch.bfloat16: Tiles(64, 32, 4),
    torch.float16: Tiles(64, 32, 4),
}


def constants(dtype: torch.dtype, d_k: int, d_v: int) -> dict[str, Any]:
    """What is compiled into a kernel for q, k and v of `dtype` and head sizes d_k and d_v."""
    columns = TILES[dtype].columns
    return {
        "D_K": d_k,
        "D_V": d_v,
        "C": TILES[dtype].frames,
        "BLOCK_K": min(columns, max(16, triton.next_power_of_2(d_k))),
        "BLOCK_V": min(columns, max(16, triton.next_power_of_2(d_v))),
        "EPS": EPS,
        "WIDE": tl.float64 if dtype == torch.float64 else tl.float32,
        "PRECISION": "ieee" if dtype in (torch.float32, torch.float64) else "tf32",
    }


Sequences = tuple[Tensor, Tensor, Tensor]
Inputs = tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    s0: Tensor | None,
    z0: Tensor | None,
    lengths: Tensor | None,
    y: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Write y; return the last s and z, and the normaliser [batch, heads, time], which `backward` takes back."""
    call = _Call(q, v, decay, lengths)
    q, k, v = _rows(q), _rows(k), _rows(v)
    normaliser = call.empty(q.shape[2])
    s, z = call.states(k, v, s0, z0)
    call.run(attend, call.chunks_by("BLOCK_V"), q=q, k=k, v=v, s=s, z=z, y=y, normaliser=normaliser)
    return s[:, :, -1].clone(), z[:, :, -1].clone(), normaliser


def backward(
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None],
    inputs: Inputs,
    y: Tensor,
    normaliser: Tensor,
    outputs: Sequences,
    decay_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradients of y, s and z, the `inputs` of `forward` and what it gave, write dq, dk and dv.

    Returns ds0, dz0, and the decay's gradient [heads] in the accumulator's type, zero unless it is asked for.
    """
    dy, ds_last, dz_last = gradients
    q, k, v, decay, s0, z0, lengths = inputs
    dq, dk, dv = outputs
    call = _Call(q, v, decay, lengths)
    q, k, v = _rows(q), _rows(k), _rows(v)
    dy = torch.zeros_like(y) if dy is None else _rows(dy)
    divided = {"dy": dy, "normaliser": normaliser, "d_normaliser": torch.empty_like(normaliser)}
    call.run(divide, call.chunks_by(None), **divided, y=y)
    s, z = call.states(k, v, s0, z0)
    ds, dz = call.gradients(q, divided, ds_last, dz_last)

    given = {"q": q, "k": k, "v": v, **divided, "s": s, "z": z, "ds": ds, "dz": dz}
    grid = call.chunks_by("BLOCK_K")
    shares = s.new_empty(*grid, call.frames) if decay_gradient else None
    call.run(differentiate_qk, grid, **given, dq=dq, dk=dk, d_decay=shares, DECAY_GRADIENT=decay_gradient)
    call.run(differentiate_v, call.chunks_by("BLOCK_V"), **given, dv=dv)
    d_decay = s.new_zeros(q.shape[1]) if shares is None else call.summed(shares)
    return ds[:, :, 0].clone(), dz[:, :, 0].clone(), d_decay


def _rows(x: Tensor) -> Tensor:
    """x, or a copy of it if the numbers of its last dimension do not lie side by side."""
    return x if x.stride(3) == 1 else x.contiguous()


class _Call:
    """The arguments that all kernels of one call share, and how its work is cut into programs."""

    def __init__(self, q: Tensor, v: Tensor, decay: Tensor | None, lengths: Tensor | None) -> None:
        self._like, self._d = v, (q.shape[3], v.shape[3])
        self._batch, self._heads, time = q.shape[:3]
        self.frames = TILES[q.dtype].frames  # of a chunk
        self._warps = TILES[q.dtype].warps
        self._constants = constants(q.dtype, *self._d)
        self._chunks = -(-time // self.frames)
        self._common: dict[str, Any] = {
            "heads": self._heads,
            "time": time,
            # As a plain number the interpreter would make it an array of one, which numpy >= 2.4 takes for no range.
            "chunks": tl.constexpr(self._chunks) if INTERPRETED else self._chunks,
            # Computed here, in double precision: a GPU's fast logarithm is off by much of log2(0.999).
            "log2_decay": None if decay is None else decay.double().log2().to(accumulator_dtype(v)),
            "lengths": None if lengths is None else lengths.contiguous(),
            "DECAYS": decay is not None,
            "RAGGED": lengths is not None,
        }

    def run(self, kernel: Any, grid: tuple[int, ...], **given: Any) -> None:
        """Launch the kernel with those of the arguments that it has, x's strides as x_strides."""
        if 0 in grid:
            return
        arguments = self._constants | self._common | given
        for name, x in given.items():
            if isinstance(x, Tensor) and f"{name}_strides" in kernel.arg_names:
                arguments[f"{name}_strides"] = x.stride()[:3]
        with torch.cuda.device_of(self._like):  # type: ignore[no-untyped-call] # where Triton launches
            kernel[grid](**{name: arguments[name] for name in kernel.arg_names}, num_warps=self._warps)

    def chunks_by(self, block: str | None) -> tuple[int, ...]:
        """A program for every chunk of every head, and for every tile of d_k (BLOCK_K) or d_v (BLOCK_V)."""
        programs = self._batch * self._heads * self._chunks
        return (programs,) if block is None else (programs, self._tiles(block))

    def states(self, k: Tensor, v: Tensor, s0: Tensor | None, z0: Tensor | None) -> tuple[Tensor, Tensor]:
        """s [batch, heads, chunks + 1, d_k, d_v] and z [batch, heads, chunks + 1, d_k] that enter every chunk."""
        s, z = self._empty_states()
        first = {"s0": _dense(s0), "z0": _dense(z0), "HAS_FIRST": s0 is not None}
        self.run(scan_states, self._state_tiles(), k=k, v=v, s=s, z=z, **first)
        return s, z

    def gradients(
        self, q: Tensor, divided: dict[str, Tensor], ds_last: Tensor | None, dz_last: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Their gradients."""
        ds, dz = self._empty_states()
        last: dict[str, Any] = {"ds_last": None, "dz_last": None, "HAS_LAST": False}
        if ds_last is not None or dz_last is not None:
            ds_last = torch.zeros_like(ds[:, :, 0]) if ds_last is None else ds_last
            dz_last = torch.zeros_like(dz[:, :, 0]) if dz_last is None else dz_last
            last = {"ds_last": _dense(ds_last), "dz_last": _dense(dz_last), "HAS_LAST": True}
        self.run(scan_gradients, self._state_tiles(), q=q, **divided, ds=ds, dz=dz, **last)
        return ds, dz

    def empty(self, *shape: int) -> Tensor:
        """[batch, heads, *shape] in the accumulator's type."""
        return self._like.new_empty(self._batch, self._heads, *shape, dtype=accumulator_dtype(self._like))

    def summed(self, shares: Tensor) -> Tensor:
        """For every head the sum of `shares`, whose first two dimensions are those of `chunks_by`."""
        return shares.sum((1, 2)).view(self._batch, self._heads, self._chunks).sum((0, 2))

    def _empty_states(self) -> tuple[Tensor, Tensor]:
        slots = self._chunks + 1
        return self.empty(slots, *self._d), self.empty(slots, self._d[0])

    def _state_tiles(self) -> tuple[int, ...]:
        return self._batch * self._heads, self._tiles("BLOCK_K"), self._tiles("BLOCK_V")

    def _tiles(self, block: str) -> int:
        size: int = self._constants[block]
        return -(-self._d[block == "BLOCK_V"] // size)


def _dense(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()
