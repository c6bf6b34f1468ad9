"""The backward CUDA kernels of the attention, in Triton: a scan back over the chunks, then every chunk on its own.

`divide` computes the gradient of the normaliser and `scan_gradients` that of the state that leaves every chunk;
with these and the states, which `scan_states` of the forward pass computes again, `differentiate_qk` and
`differentiate_v` compute the rest. The equations are chunked.py's, the arguments triton_forward.py's.
"""

# ruff: noqa: N803, PIE808 -- compiled, `for` wants both ends of its range, and constants are in capitals

import triton
import triton.language as tl

from .triton_tiles import frames, length_of, load, log2_of, power, slope, store


@triton.jit
def divide(
    dy,
    dy_strides,
    y,
    y_strides,
    normaliser,
    lengths,
    d_normaliser,
    heads,
    time,
    chunks,
    D_V: tl.constexpr,
    C: tl.constexpr,
    BLOCK_V: tl.constexpr,
    RAGGED: tl.constexpr,
    WIDE: tl.constexpr,
):
    """dy'[d_v] = -dy^T y / y'[d_v]; the other kernels divide dy itself, as they load it.

    Grid: batch x heads x chunks.
    """
    row, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    frame, start = tl.arange(0, C), chunk * C
    is_valid = start + frame < length_of(lengths, row, heads, time, RAGGED)
    dy_start, y_start = frames(dy, dy_strides, row, start, heads), frames(y, y_strides, row, start, heads)
    total = tl.full([C], 0.0, WIDE)
    for first in range(0, D_V, BLOCK_V):
        j = first + tl.arange(0, BLOCK_V)
        dy_c = load(dy_start, frame, dy_strides[2], j, D_V, is_valid, WIDE)
        total += tl.sum(dy_c * load(y_start, frame, y_strides[2], j, D_V, is_valid, WIDE), 1)
    here = row.to(tl.int64) * time + start + frame
    n = tl.load(normaliser + here, mask=is_valid, other=1.0)
    tl.store(d_normaliser + here, -total / n, mask=start + frame < time)


@triton.jit
def scan_gradients(
    q,
    q_strides,
    dy,
    dy_strides,
    normaliser,
    d_normaliser,
    ds_last,
    dz_last,
    log2_decay,
    lengths,
    ds,
    dz,
    heads,
    time,
    chunks,
    D_K: tl.constexpr,
    D_V: tl.constexpr,
    C: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr,
    HAS_LAST: tl.constexpr,
    DECAYS: tl.constexpr,
    RAGGED: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """ds' <- g^n ds' + (g^(t+1) q)^T dy', backwards in time, kept after every chunk and before the first.

    Grid: batch x heads, tiles of d_k, tiles of d_v. ds_last and dz_last, of the shapes of s0 and z0, are what it
    starts from if `HAS_LAST`, else zeros.
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

    ds_c = tl.full([BLOCK_K, BLOCK_V], 0.0, WIDE)
    dz_c = tl.full([BLOCK_K], 0.0, WIDE)
    if HAS_LAST:
        ds_c += load(ds_last + row.to(tl.int64) * D_K * D_V, i, D_V, j, D_V, i_valid, WIDE)
        dz_c += tl.load(dz_last + row.to(tl.int64) * D_K + i, mask=i_valid, other=0.0)
    slot = row.to(tl.int64) * (chunks + 1) + chunks
    for step in range(0, chunks):
        store(ds + slot * D_K * D_V, i, D_V, j, D_V, i_valid, ds_c)
        if v_tile == 0:
            tl.store(dz + slot * D_K + i, dz_c, mask=i_valid)
        slot -= 1
        start = (chunks - 1 - step) * C
        count = tl.minimum(tl.maximum(length - start, 0), C)
        is_valid = frame < count
        q_start, dy_start = (
            frames(q, q_strides, row, start, heads),
            frames(dy, dy_strides, row, start, heads),
        )
        here = row.to(tl.int64) * time + start + frame
        n = tl.load(normaliser + here, mask=is_valid, other=1.0)
        dn = tl.load(d_normaliser + here, mask=is_valid, other=0.0)
        q_c = load(q_start, frame, q_strides[2], i, D_K, is_valid, WIDE)
        dy_c = load(dy_start, frame, dy_strides[2], j, D_V, is_valid, WIDE) / n[:, None]
        if DECAYS:
            q_c *= power(frame + 1, log2_g, DECAYS, WIDE)[:, None]
            kept = power(count, log2_g, DECAYS, WIDE)
            ds_c *= kept
            dz_c *= kept
        ds_c += tl.dot(tl.trans(q_c), dy_c, input_precision=PRECISION, out_dtype=WIDE)
        dz_c += tl.sum(q_c * dn[:, None], 0)
    store(ds + slot * D_K * D_V, i, D_V, j, D_V, i_valid, ds_c)
    if v_tile == 0:
        tl.store(dz + slot * D_K + i, dz_c, mask=i_valid)


@triton.jit
def differentiate_qk(
    q,
    q_strides,
    k,
    k_strides,
    v,
    v_strides,
    dy,
    dy_strides,
    normaliser,
    d_normaliser,
    log2_decay,
    lengths,
    s,
    z,
    ds,
    dz,
    dq,
    dq_strides,
    dk,
    dk_strides,
    d_decay,
    heads,
    time,
    chunks,
    D_K: tl.constexpr,
    D_V: tl.constexpr,
    C: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr,
    DECAY_GRADIENT: tl.constexpr,
    DECAYS: tl.constexpr,
    RAGGED: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """With p = D * (dy' v'^T):  dq = p k + g^(t+1) dy' s'^T,  dk = p^T q + g^(n-1-j) v' ds'^T.

    Grid: batch x heads x chunks, tiles of d_k. If `DECAY_GRADIENT`, d_decay [batch x heads x chunks, tiles of
    d_k, C] takes shares of the decay's gradient, to be summed. (Triton 3.6 does not compile the sum of a vector to a
    number here for compute capability 100.)
    """
    row, chunk, k_tile = tl.program_id(0) // chunks, tl.program_id(0) % chunks, tl.program_id(1)
    frame, i = tl.arange(0, C), k_tile * BLOCK_K + tl.arange(0, BLOCK_K)
    i_valid = i < D_K
    log2_g = log2_of(log2_decay, row, heads, DECAYS, WIDE)
    start = chunk * C
    count = tl.minimum(tl.maximum(length_of(lengths, row, heads, time, RAGGED) - start, 0), C)
    is_valid = frame < count
    v_start, dy_start = frames(v, v_strides, row, start, heads), frames(dy, dy_strides, row, start, heads)
    here = row.to(tl.int64) * time + start + frame
    n = tl.load(normaliser + here, mask=is_valid, other=1.0)
    dn = tl.load(d_normaliser + here, mask=is_valid, other=0.0)
    slot = row.to(tl.int64) * (chunks + 1) + chunk
    z_c = tl.load(z + slot * D_K + i, mask=i_valid, other=0.0)
    dz_c = tl.load(dz + (slot + 1) * D_K + i, mask=i_valid, other=0.0)

    p = tl.full([C, C], 0.0, WIDE)
    dq_c = tl.full([C, BLOCK_K], 0.0, WIDE)  # through the state that enters the chunk, without its weight
    dk_c = tl.full([C, BLOCK_K], 0.0, WIDE)  # through the state that leaves it
    kept = tl.sum(z_c * dz_c, 0)
    for first in range(0, D_V, BLOCK_V):
        j = first + tl.arange(0, BLOCK_V)
        dy_c = load(dy_start, frame, dy_strides[2], j, D_V, is_valid, WIDE) / n[:, None]
        v_c = load(v_start, frame, v_strides[2], j, D_V, is_valid, WIDE)
        s_c = load(s + slot * D_K * D_V, i, D_V, j, D_V, i_valid, WIDE)
        ds_c = load(ds + (slot + 1) * D_K * D_V, i, D_V, j, D_V, i_valid, WIDE)
        p += tl.dot(dy_c, tl.trans(v_c), input_precision=PRECISION, out_dtype=WIDE)
        dq_c += tl.dot(dy_c, tl.trans(s_c), input_precision=PRECISION, out_dtype=WIDE)
        dk_c += tl.dot(v_c, tl.trans(ds_c), input_precision=PRECISION, out_dtype=WIDE)
        if DECAY_GRADIENT:
            kept += tl.sum(tl.sum(s_c * ds_c, 1), 0)
    p += dn[:, None]
    dq_c += dn[:, None] * z_c[None, :]
    dk_c += dz_c[None, :]

    q_start, k_start = frames(q, q_strides, row, start, heads), frames(k, k_strides, row, start, heads)
    q_c = load(q_start, frame, q_strides[2], i, D_K, is_valid, WIDE)
    k_c = load(k_start, frame, k_strides[2], i, D_K, is_valid, WIDE)
    distance = frame[:, None] - frame[None, :]
    if DECAY_GRADIENT:
        a = tl.dot(q_c, tl.trans(k_c), input_precision=PRECISION, out_dtype=WIDE)
        share = tl.sum(a * p * slope(distance, log2_g, WIDE), 1)
        share += tl.sum(dq_c * q_c, 1) * slope(frame + 1, log2_g, WIDE)
        share += tl.sum(dk_c * k_c, 1) * slope(count - 1 - frame, log2_g, WIDE)
        share += tl.where(frame == 0, kept * slope(count, log2_g, WIDE), 0.0)
        tile = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + k_tile
        tl.store(d_decay + tile * C + frame, share)
    p *= power(distance, log2_g, DECAYS, WIDE)
    dq_c = dq_c * power(frame + 1, log2_g, DECAYS, WIDE)[:, None]
    dk_c = dk_c * power(count - 1 - frame, log2_g, DECAYS, WIDE)[:, None]
    dq_c += tl.dot(p, k_c, input_precision=PRECISION, out_dtype=WIDE)
    dk_c += tl.dot(tl.trans(p), q_c, input_precision=PRECISION, out_dtype=WIDE)
    in_time = start + frame < time
    dq_start, dk_start = (
        frames(dq, dq_strides, row, start, heads),
        frames(dk, dk_strides, row, start, heads),
    )
    store(dq_start, frame, dq_strides[2], i, D_K, in_time, dq_c)
    store(dk_start, frame, dk_strides[2], i, D_K, in_time, dk_c)


@triton.jit
def differentiate_v(
    q,
    q_strides,
    k,
    k_strides,
    dy,
    dy_strides,
    normaliser,
    log2_decay,
    lengths,
    ds,
    dv,
    dv_strides,
    heads,
    time,
    chunks,
    D_K: tl.constexpr,
    D_V: tl.constexpr,
    C: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr,
    DECAYS: tl.constexpr,
    RAGGED: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """dv = a^T dy + g^(n-1-j) k ds, with a = D * (q k^T) and dy divided by the normaliser.

    Grid: batch x heads x chunks, tiles of d_v.
    """
    row, chunk, v_tile = tl.program_id(0) // chunks, tl.program_id(0) % chunks, tl.program_id(1)
    frame, j = tl.arange(0, C), v_tile * BLOCK_V + tl.arange(0, BLOCK_V)
    log2_g = log2_of(log2_decay, row, heads, DECAYS, WIDE)
    start = chunk * C
    count = tl.minimum(tl.maximum(length_of(lengths, row, heads, time, RAGGED) - start, 0), C)
    is_valid = frame < count
    q_start, k_start = frames(q, q_strides, row, start, heads), frames(k, k_strides, row, start, heads)
    dy_start, dv_start = (
        frames(dy, dy_strides, row, start, heads),
        frames(dv, dv_strides, row, start, heads),
    )
    leaving = row.to(tl.int64) * (chunks + 1) + chunk + 1

    a = tl.full([C, C], 0.0, WIDE)
    dv_c = tl.full([C, BLOCK_V], 0.0, WIDE)
    for first in range(0, D_K, BLOCK_K):
        i = first + tl.arange(0, BLOCK_K)
        q_c = load(q_start, frame, q_strides[2], i, D_K, is_valid, WIDE)
        k_c = load(k_start, frame, k_strides[2], i, D_K, is_valid, WIDE)
        ds_c = load(ds + leaving * D_K * D_V, i, D_V, j, D_V, i < D_K, WIDE)
        a += tl.dot(q_c, tl.trans(k_c), input_precision=PRECISION, out_dtype=WIDE)
        dv_c += tl.dot(k_c, ds_c, input_precision=PRECISION, out_dtype=WIDE)
    a *= power(frame[:, None] - frame[None, :], log2_g, DECAYS, WIDE)
    n = tl.load(normaliser + row.to(tl.int64) * time + start + frame, mask=is_valid, other=1.0)
    dy_c = load(dy_start, frame, dy_strides[2], j, D_V, is_valid, WIDE) / n[:, None]
    dv_c = dv_c * power(count - 1 - frame, log2_g, DECAYS, WIDE)[:, None]
    dv_c += tl.dot(tl.trans(a), dy_c, input_precision=PRECISION, out_dtype=WIDE)
    store(dv_start, frame, dv_strides[2], j, D_V, start + frame < time, dv_c)
