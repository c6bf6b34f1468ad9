"""What the Triton kernels share: where a sequence lies in memory, tiles of it, and the weights of its frames."""

# ruff: noqa: N803, RET505 -- constants in capitals; a branch on one is compiled only as if and else

import triton
import triton.language as tl


@triton.jit
def power(n, log2_g, DECAYS: tl.constexpr, WIDE: tl.constexpr):
    """g^n where n >= 0, else 0."""
    if DECAYS:
        return tl.where(n >= 0, tl.exp2(tl.maximum(n, 0).to(WIDE) * log2_g), 0.0)
    else:
        return tl.where(n >= 0, 1.0, 0.0).to(WIDE)


@triton.jit
def slope(n, log2_g, WIDE: tl.constexpr):
    """The derivative of g^n by g: n g^(n-1) where n >= 1, else 0."""
    return tl.where(n >= 1, n.to(WIDE) * tl.exp2(tl.maximum(n - 1, 0).to(WIDE) * log2_g), 0.0)


@triton.jit
def log2_of(log2_decay, row, heads, DECAYS: tl.constexpr, WIDE: tl.constexpr):
    """log2 g of the head."""
    if DECAYS:
        return tl.load(log2_decay + row % heads)
    else:
        return tl.full([], 0.0, WIDE)


@triton.jit
def length_of(lengths, row, heads, time, RAGGED: tl.constexpr):
    """How many frames the sequence has. Lengths are int32 or int64."""
    if RAGGED:
        return tl.load(lengths + row // heads).to(tl.int32)
    else:
        return time


@triton.jit
def frames(pointer, strides, row, start, heads):
    """Where frame `start` of the sequence and head `row` begins; 64 bits, for tensors beyond 2^31 numbers."""
    b, h = (row // heads).to(tl.int64), (row % heads).to(tl.int64)
    return pointer + b * strides[0] + h * strides[1] + tl.cast(start, tl.int64) * strides[2]


@triton.jit
def load(pointer, rows, stride, columns, width: tl.constexpr, is_valid, WIDE: tl.constexpr):
    """The tile [rows, columns] of a matrix, zero where a row is not valid or a column beyond the width."""
    mask = is_valid[:, None] & (columns < width)[None, :]
    return tl.load(pointer + rows[:, None] * stride + columns[None, :], mask=mask, other=0.0).to(WIDE)


@triton.jit
def store(pointer, rows, stride, columns, width: tl.constexpr, is_valid, tile):
    """Write a tile, in the type of the memory, but for rows that are not valid and columns beyond the width."""
    mask = is_valid[:, None] & (columns < width)[None, :]
    tl.store(
        pointer + rows[:, None] * stride + columns[None, :], tile.to(pointer.dtype.element_ty), mask=mask
    )
