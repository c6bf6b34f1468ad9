"""LSH attention (Reformer, Kitaev et al. 2020) as reformer-pytorch implements it, in the shape of our own attention."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

BUCKET = 32  # keys in a bucket, as in the paper's experiments


class Lsh(nn.Module):
    """`rounds` rounds of hashing. Queries and keys are one sequence, as Reformer has it.

    Sequences of any length: they are padded to a multiple of two buckets, and what lies beyond is not attended to.
    The hashes are drawn anew in every call, from torch's generator.

    Raises:
        ModuleNotFoundError: `pip install reformer-pytorch`.
    """

    def __init__(self, rounds: int, causal: bool, bucket: int = BUCKET) -> None:
        super().__init__()
        from reformer_pytorch import LSHAttention

        self.bucket = bucket
        self.attention: Any = LSHAttention(bucket_size=bucket, n_hashes=rounds, causal=causal)

    def forward(self, q: Tensor, v: Tensor, lengths: Tensor | None = None) -> Tensor:
        """`[batch, heads, time, d]` to the same; `lengths` `[batch]` leaves out what lies beyond them."""
        batch, heads, time, width = q.shape
        padding = -time % (2 * self.bucket)
        flat = [functional.pad(part, (0, 0, 0, padding)).flatten(0, 1) for part in (q, v)]
        heard = None
        if padding or lengths is not None:
            ends = q.new_full((batch,), time, dtype=torch.int64) if lengths is None else lengths
            heard = torch.arange(time + padding, device=q.device) < ends.unsqueeze(1)
            heard = heard.repeat_interleave(heads, dim=0)
        y: Tensor = self.attention(*flat, input_mask=heard)[0]
        return y[:, :time].reshape(batch, heads, time, width)
