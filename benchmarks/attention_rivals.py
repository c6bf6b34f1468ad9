"""What the attention's benchmarks measure: ours, other libraries' and softmax, on the same inputs."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from phonestream.kernels import causal_linear_attention, feature_map
from phonestream.kernels.blocks import split

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]

SOFTMAX_LIMIT = 2**14  # frames beyond which softmax takes minutes
OTHERS_LIMIT = 2**15


def ours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Phonestream's: `chunked` on a CPU, `triton` on a GPU."""
    return causal_linear_attention(feature_map(q), feature_map(k), v)[0]


def softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal softmax attention, as torch does it best on the device."""
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def fast_transformers() -> Attention | None:
    """The kernel of the paper's authors, compiled for CPUs; None where it is not installed."""
    try:
        from fast_transformers.attention import CausalLinearAttention
        from fast_transformers.masking import LengthMask, TriangularCausalMask
    except ImportError:
        return None

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        batch, _, frames, width = q.shape
        lengths = LengthMask(torch.full((batch,), frames))
        module = CausalLinearAttention(width)
        swapped = (part.transpose(1, 2) for part in (q, k, v))  # it wants [batch, time, heads, width]
        y: Tensor = module(*swapped, TriangularCausalMask(frames), lengths, lengths)
        return y.transpose(1, 2)

    return attend


def flash_linear_attention() -> Attention | None:
    """flash-linear-attention's kernel on a GPU; None where it is not installed."""
    try:
        from fla.ops.linear_attn import chunk_linear_attn
    except ImportError:
        return None

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        swapped = (part.transpose(1, 2) for part in (feature_map(q), feature_map(k), v))
        y: Tensor = chunk_linear_attn(*swapped, scale=1.0, normalize=True)[0]
        return y.transpose(1, 2)

    return attend


def contestants(device: str) -> dict[str, Attention]:
    """Name and function of everything that can be measured here, ours first."""
    found: dict[str, Attention | None] = {"phonestream": ours}
    if device == "cpu":
        found["fast-transformers"] = fast_transformers()
    else:
        found["flash-linear-attention"] = flash_linear_attention()
    found["softmax"] = softmax
    return {name: function for name, function in found.items() if function is not None}


def limit(name: str) -> int:
    """Longest sequence that is worth the wait."""
    return {"phonestream": 2**30, "softmax": SOFTMAX_LIMIT}.get(name, OTHERS_LIMIT)


class Inputs:
    """Random queries, keys and values `[batch, heads, frames, width]`, and a gradient for the output."""

    def __init__(
        self, batch: int, heads: int, frames: int, width: int, device: str, dtype: torch.dtype
    ) -> None:
        torch.manual_seed(frames)
        shape = (batch, heads, frames, width)
        self.qkv = [torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3)]
        self.dy = torch.randn(shape, device=device, dtype=dtype)

    def step(self, attention: Attention) -> None:
        """Forward and backward."""
        for tensor in self.qkv:
            tensor.grad = None
        attention(*self.qkv).backward(self.dy)


def seconds(inputs: Inputs, attention: Attention, least: float) -> float:
    """Time of a step, the mean of as many as fill `least` seconds.

    On a CPU the processor's time, which on one thread is the clock's, less what other processes take.
    """
    gpu = inputs.dy.is_cuda
    clock = time.perf_counter if gpu else time.process_time
    count, began = 0, clock()
    while True:
        inputs.step(attention)
        if gpu:
            torch.cuda.synchronize()
        count += 1
        if (elapsed := clock() - began) >= least:
            return elapsed / count


def gemm_rate(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a big matrix product, which nothing here can exceed."""
    size = 1024 if device == "cpu" else 8192
    clock = time.process_time if device == "cpu" else time.perf_counter
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = math.inf
    for _ in range(8):
        began = clock()
        a @ b
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, clock() - began)
    return 2 * size**3 / best


def operations(batch: int, heads: int, frames: int, width: int) -> float:
    """Multiplications and additions of the chunked form's matrix products, forward and backward."""
    total = 0
    for block in split(torch.Size((batch, heads, frames)), width, torch.device("cpu")):
        c = block.frames
        within = 2 * c * c * (7 * width + 2)  # q k^T and a v'; again q k^T, then p, dq, dk, dv
        across = 2 * c * width * (5 * (width + 1) + width)  # q s'^T, v'^T k; then into dq, dk, dv, ds'
        total += block.rows * block.chunks * (within + across)
    return float(total)
