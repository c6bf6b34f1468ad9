"""The forward CUDA kernels of the attention, in Triton: a scan over the chunks, then every chunk on its own.

`scan_states` computes the state that enters every chunk, a program for each tile of a head's state; with these
`attend` computes the outputs, a program for each tile of a chunk's. The equations and names are chunked.py's. Nothing
but y and the normaliser is kept for the backward pass, which scans again.

Tiles are converted as they are loaded, and all products are of numbers of `WIDE`, the type of the sums. `PRECISION`
says how: "ieee" for float32 and float64 inputs, since a GPU's default, TF32, keeps 10 bits of a float32's mantissa;
"tf32" for float16 and bfloat16 ones, every number of which it holds exactly, and whose sums over time may exceed what
float16 can hold. Frames beyond a sequence's length are loaded as zeros, and so give zeros in y and every gradient.

Arguments that the kernels, backward ones too, have in common:

    q, k, v, y, dy, dq, dk, dv  [batch, heads, time, d]; `…_strides` are of the first three, the last is 1
    normaliser, d_normaliser    [batch, heads, time]: y'[d_v] + eps, and the gradient of it
    s, z                        [batch, heads, chunks + 1, d_k, d_v], without d_v for z: what enters every chunk, and
                                what leaves the last
    ds, dz                      their gradients
    log2_decay                  [heads]: log2 g; None unless `DECAYS`
    lengths                     [batch]; None unless `RAGGED`
    heads, time, chunks         sizes
    D_K, D_V                    sizes of the heads
    C, BLOCK_K, BLOCK_V         frames of a chunk, columns of a tile of q or k and of v: powers of 2, of 16 at least

In the kernels `row` is a head of a sequence, `frame`, `i` and `j` count frames, d_k and d_v, and x_c is the
tile of x in the chunk at hand.
"""

# ruff: noqa: N803, PIE808 -- compiled, `for` wants both ends of its range, and constants are in capitals

import triton
import triton.language as tl

from .triton_tiles import frames, length_of, load, log2_of, power, store


@triton.jit
def scan_states(
    k,
    k_strides,
    v,
    v_strides,
    s0,
    z0,
    log2_decay,
    lengths,
    s,
    z,
    heads,
    time,
    chunks,
    D_K: tl.constexpr,
    D_V: tl.constexpr,
    C: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr,
    HAS_FIRST: tl.constexpr,
    DECAYS: tl.constexpr,
    RAGGED: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """s' <- g^n s' + (g^(n-1-j) k)^T v', kept before every chunk and after the last.

    Grid: batch x heads, tiles of d_k, tiles of d_v. s0 [batch x heads, d_k, d_v] and z0 [batch x heads, d_k] are
    what it starts from if `HAS_FIRST`, else zeros.
    """
    row, k_tile, v_tile = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    frame, i, j = (
        tl.arange(0, C),
        k_tile * BLOCK_K + tl.arange(0, BLOCK_K),
        v_tile * BLOCK_V + tl.arange(0, BLOCK_V),
    )
    i_valid = i < D_K
    log2_g = log2_of(log2_decay, row, heads, DECAYS, WIDE)
    length = length_of(lengths, row, heads, time, RAGGED)

    s_c = tl.full([BLOCK_K, BLOCK_V], 0.0, WIDE)
    z_c = tl.full([BLOCK_K], 0.0, WIDE)
    if HAS_FIRST:
        s_c += load(s0 + row.to(tl.int64) * D_K * D_V, i, D_V, j, D_V, i_valid, WIDE)
        z_c += tl.load(z0 + row.to(tl.int64) * D_K + i, mask=i_valid, other=0.0)
    slot = row.to(tl.int64) * (chunks + 1)
    for chunk in range(0, chunks):
        store(s + slot * D_K * D_V, i, D_V, j, D_V, i_valid, s_c)
        if v_tile == 0:
            tl.store(z + slot * D_K + i, z_c, mask=i_valid)
        slot += 1
        start = chunk * C
        count = tl.minimum(tl.maximum(length - start, 0), C)
        k_start, v_start = frames(k, k_strides, row, start, heads), frames(v, v_strides, row, start, heads)
        k_c = load(k_start, frame, k_strides[2], i, D_K, frame < count, WIDE)
        v_c = load(v_start, frame, v_strides[2], j, D_V, frame < count, WIDE)
        if DECAYS:
            k_c *= power(count - 1 - frame, log2_g, DECAYS, WIDE)[:, None]
            kept = power(count, log2_g, DECAYS, WIDE)
            s_c *= kept
            z_c *= kept
        s_c += tl.dot(tl.trans(k_c), v_c, input_precision=PRECISION, out_dtype=WIDE)
        z_c += tl.sum(k_c, 0)
    store(s + slot * D_K * D_V, i, D_V, j, D_V, i_valid, s_c)
    if v_tile == 0:
        tl.store(z + slot * D_K + i, z_c, mask=i_valid)


@triton.jit
def attend(
    q,
    q_strides,
    k,
    k_strides,
    v,
    v_strides,
    log2_decay,
    lengths,
    s,
    z,
    y,
    y_strides,
    normaliser,
    heads,
    time,
    chunks,
    D_K: tl.constexpr,
    D_V: tl.constexpr,
    C: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr,
    EPS: tl.constexpr,
    DECAYS: tl.constexpr,
    RAGGED: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """a = D * (q k^T),  y' = a v' + g^(t+1) q s',  y = y'[:d_v] / (y'[d_v] + eps).

    Grid: batch x heads x chunks, tiles of d_v.
    """
    row, chunk, v_tile = tl.program_id(0) // chunks, tl.program_id(0) % chunks, tl.program_id(1)
    frame, j = tl.arange(0, C), v_tile * BLOCK_V + tl.arange(0, BLOCK_V)
    log2_g = log2_of(log2_decay, row, heads, DECAYS, WIDE)
    start = chunk * C
    is_valid = start + frame < length_of(lengths, row, heads, time, RAGGED)
    q_start, k_start = frames(q, q_strides, row, start, heads), frames(k, k_strides, row, start, heads)
    v_start, y_start = frames(v, v_strides, row, start, heads), frames(y, y_strides, row, start, heads)
    slot = row.to(tl.int64) * (chunks + 1) + chunk

    a = tl.full([C, C], 0.0, WIDE)
    y_c = tl.full([C, BLOCK_V], 0.0, WIDE)
    n = tl.full([C], 0.0, WIDE)
    for first in range(0, D_K, BLOCK_K):
        i = first + tl.arange(0, BLOCK_K)
        q_c = load(q_start, frame, q_strides[2], i, D_K, is_valid, WIDE)
        k_c = load(k_start, frame, k_strides[2], i, D_K, is_valid, WIDE)
        s_c = load(s + slot * D_K * D_V, i, D_V, j, D_V, i < D_K, WIDE)
        z_c = tl.load(z + slot * D_K + i, mask=i < D_K, other=0.0)
        a += tl.dot(q_c, tl.trans(k_c), input_precision=PRECISION, out_dtype=WIDE)
        y_c += tl.dot(q_c, s_c, input_precision=PRECISION, out_dtype=WIDE)
        n += tl.sum(q_c * z_c[None, :], 1)
    a *= power(frame[:, None] - frame[None, :], log2_g, DECAYS, WIDE)
    entering = power(frame + 1, log2_g, DECAYS, WIDE)
    v_c = load(v_start, frame, v_strides[2], j, D_V, is_valid, WIDE)
    n = n * entering + tl.sum(a, 1) + EPS
    y_c = y_c * entering[:, None] + tl.dot(a, v_c, input_precision=PRECISION, out_dtype=WIDE)
    in_time = start + frame < time
    store(y_start, frame, y_strides[2], j, D_V, in_time, y_c / n[:, None])
    if v_tile == 0:
        tl.store(normaliser + row.to(tl.int64) * time + start + frame, n, mask=in_time)
