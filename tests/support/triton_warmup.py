"""Run by test_triton.py in a process of its own: launches of all kernels, up to the point where a GPU is needed.

Triton binds the arguments, makes types and constants of them as it does for a GPU of compute capability 80 (integers
that are 1 and pointers that are None are compiled in), and compiles. Prints a line for each launch.
"""

from typing import Any

import torch
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from phonestream.kernels import triton_launch
from phonestream.kernels.triton_attention import packed_rows


class NoDevice:
    """What Triton asks its driver for before a launch."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 80, 32)


def train(batch: int, heads: int, time: int, d: int, *, everything: bool) -> None:
    """A forward and a backward pass, with a decay, a state and lengths or with none of them; numbers are garbage."""
    q, k = (torch.rand(batch, time, heads, d).transpose(1, 2) for _ in range(2))
    v = torch.rand(batch, heads, time, d)
    s, z = torch.rand(batch, heads, d, d), torch.rand(batch, heads, d)
    options: tuple[Tensor | None, ...] = (None,) * 4
    if everything:
        options = torch.rand(heads), s, z, torch.full((batch,), time)
    y, normaliser = packed_rows(v), torch.rand(batch, heads, time)
    triton_launch.forward(q, k, v, *options, y)
    gradients = (y, s, z) if everything else (y, None, None)
    outputs = packed_rows(q), packed_rows(k), packed_rows(v)
    triton_launch.backward(gradients, (q, k, v, *options), y, normaliser, outputs, everything)


if __name__ == "__main__":
    launch = JITFunction.run

    def warm_up(kernel: Any, *args: Any, **options: Any) -> Any:
        print(kernel.__name__)
        return launch(kernel, *args, **options | {"warmup": True})

    JITFunction.run = warm_up
    driver.set_active(NoDevice())
    train(2, 4, 70, 24, everything=True)
    train(1, 1, 1, 1, everything=False)
