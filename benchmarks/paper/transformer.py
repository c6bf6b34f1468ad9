"""A small autoregressive transformer whose attention can be chosen: for copying symbols and drawing images.

Pre-norm blocks, learnt positions, causal. `forward` is the parallel form for training; `step` is the recurrent one for
generation, with what the attention remembers handed in and out: `s` and `z`, or a cache of keys and values.
"""

from typing import Literal, NamedTuple

import torch
from lsh import BUCKET, Lsh
from torch import Tensor, nn
from torch.nn import functional

from phonestream.kernels import State, causal_linear_attention, feature_map

Kind = Literal["softmax", "linear", "lsh-1", "lsh-4"]


class Cache(NamedTuple):
    """Keys and values `[batch, heads, length, d]` of the elements so far. Written in place: to copy it in every step
    would be what the cache is there to avoid.
    """

    k: Tensor
    v: Tensor


class Attention(nn.Module):
    """Causal self-attention of one kind."""

    def __init__(self, width: int, heads: int, kind: Kind, bucket: int) -> None:
        super().__init__()
        self.heads = heads
        self.kind = kind
        self.project = nn.Linear(
            width, (2 if kind.startswith("lsh") else 3) * width
        )  # Reformer: one for q and k
        self.out = nn.Linear(width, width)
        self.lsh = Lsh(int(kind[4:]), causal=True, bucket=bucket) if kind.startswith("lsh") else None

    def _split(self, x: Tensor) -> list[Tensor]:
        """Projections `[batch, heads, time, d]` of `[batch, time, width]`."""
        parts = self.project(x).chunk(2 if self.lsh else 3, dim=-1)
        return [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]

    def forward(self, x: Tensor) -> Tensor:
        """A whole sequence `[batch, time, width]`."""
        if self.lsh is not None:
            y = self.lsh(*self._split(x))
        else:
            q, k, v = self._split(x)
            if self.kind == "linear":
                y = causal_linear_attention(feature_map(q), feature_map(k), v)[0]
            else:
                y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        z: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return z

    def start(self, batch: int, length: int) -> State | Cache:
        """What is remembered before the first of `length` elements.

        Raises:
            ValueError: LSH attention, which needs the whole sequence anew for every element.
        """
        width = self.out.in_features // self.heads
        weight = self.out.weight
        if self.kind == "linear":
            s = weight.new_zeros(batch, self.heads, width, width)
            return State(s, s.new_zeros(batch, self.heads, width))
        if self.kind == "softmax":
            shape = (batch, self.heads, length, width)
            return Cache(weight.new_empty(shape), weight.new_empty(shape))
        raise ValueError(f"{self.kind} attention cannot go on from one element to the next: use `forward`")

    def step(self, x: Tensor, position: int, past: State | Cache) -> tuple[Tensor, State | Cache]:
        """One element `[batch, 1, width]`, at `position`."""
        q, k, v = self._split(x)
        if isinstance(past, State):
            y, past = causal_linear_attention(
                feature_map(q), feature_map(k), v, state=past, backend="recurrent"
            )
        else:
            past.k[:, :, position], past.v[:, :, position] = k[:, :, 0], v[:, :, 0]
            seen = slice(position + 1)
            y = functional.scaled_dot_product_attention(q, past.k[:, :, seen], past.v[:, :, seen])
        z: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return z, past


class Block(nn.Module):
    """Attention, then a feed-forward layer of four times the width."""

    def __init__(self, width: int, heads: int, kind: Kind, bucket: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, kind, bucket)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, time, width]` to the same."""
        x = x + self.attention(self.attention_norm(x))
        y: Tensor = x + self.feed(x)
        return y

    def step(self, x: Tensor, position: int, past: State | Cache) -> tuple[Tensor, State | Cache]:
        """One element, as `Attention.step`."""
        y, past = self.attention.step(self.attention_norm(x), position, past)
        x = x + y
        return x + self.feed(x), past


class Transformer(nn.Module):
    """Logits of the next symbol after each of a sequence's. At most `length` symbols out of `symbols`.

    An element's position is the sum of two learnt vectors: of its row, and of its column in the row, where a row has
    `columns` elements; all are in one row if `columns` is None.
    """

    def __init__(
        self,
        *,
        symbols: int,
        outputs: int,
        length: int,
        width: int,
        layers: int,
        heads: int,
        kind: Kind,
        bucket: int = BUCKET,
        columns: int | None = None,
    ) -> None:
        super().__init__()
        self.length = length
        self.embedding = nn.Embedding(symbols, width)
        columns = columns or length
        self.rows = nn.Parameter(torch.empty(-(-length // columns), 1, width))
        self.columns = nn.Parameter(torch.empty(columns, width))
        self.blocks = nn.ModuleList(Block(width, heads, kind, bucket) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)
        nn.init.normal_(self.embedding.weight, std=0.5)
        nn.init.normal_(self.rows, std=0.5)
        nn.init.normal_(self.columns, std=0.5)

    def forward(self, symbols: Tensor) -> Tensor:
        """`[batch, time]` to `[batch, time, outputs]`."""
        positions = (self.rows + self.columns).flatten(0, 1)
        x = self.embedding(symbols) + positions[: symbols.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits

    def start(self, batch: int) -> list[State | Cache]:
        """What the layers remember before the first symbol."""
        return [block.attention.start(batch, self.length) for block in self.blocks]

    def step(
        self, symbols: Tensor, position: int, past: list[State | Cache]
    ) -> tuple[Tensor, list[State | Cache]]:
        """Symbols `[batch]` at `position` to logits `[batch, outputs]`, and what is remembered after them."""
        row, column = divmod(position, len(self.columns))
        x = (self.embedding(symbols) + self.rows[row, 0] + self.columns[column]).unsqueeze(1)
        after = []
        for block, before in zip(self.blocks, past, strict=True):
            x, remembered = block.step(x, position, before)
            after.append(remembered)
        return self.head(self.norm(x[:, 0])), after
