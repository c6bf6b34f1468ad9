"""Building blocks of the encoder. Each takes its carried state and returns the next one; none keeps any."""

import math
from contextlib import nullcontext

import torch
from torch import Tensor, autocast, nn
from torch.nn import functional

from ...kernels import State, causal_linear_attention, feature_map, linear_attention
from ..model.config import EncoderConfig


class Subsampling(nn.Module):
    """Two causal convolutions of stride 2: feature frames of 10 ms to encoder frames of 40 ms.

    Encoder frame `j` sees feature frames `4 j - 3 … 4 j + 3`. Outside training they are summed in float64: large terms
    cancel here, and in rare rows the layers above would make 1e-4 of a log-probability out of float32's rounding, which
    is not the same in torch and in ONNX Runtime.
    """

    def __init__(self, mels: int, hidden: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(mels, hidden, kernel_size=3, stride=2)
        self.second = nn.Conv1d(hidden, width, kernel_size=3, stride=2)

    def forward(self, features: Tensor, tails: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Features `[batch, 4 n, mels]` and the frame before, at both rates, to `[batch, n, width]`.

        The frames before, and those that are next in their place, are `[batch, channels, 1]`.
        """
        hidden = functional.relu(self._convolve(self.first, features, tails[0]))
        frames = self._convolve(self.second, hidden, tails[1])
        return frames, (features[:, -1:].transpose(1, 2), hidden[:, -1:].transpose(1, 2))

    def _convolve(self, layer: nn.Conv1d, x: Tensor, before: Tensor) -> Tensor:
        """`layer` over `[batch, 2 n, channels]`.

        In float64 as a matrix product, since ONNX Runtime has no such convolution.
        """
        if self.training:
            y: Tensor = layer(torch.cat([before, x.transpose(1, 2)], dim=2))
            return y.transpose(1, 2)
        pairs = x.reshape(x.shape[0], -1, 2 * x.shape[2])
        earlier = torch.cat([before.transpose(1, 2), pairs[..., x.shape[2] :]], dim=1)[:, :-1]
        taps = torch.cat([earlier, pairs], dim=2)
        # The weights on the left: ONNX Runtime, which rearranges the right factor in every call, has less to rearrange.
        weight, bias = layer.weight.permute(0, 2, 1).flatten(1), layer.bias
        assert bias is not None
        y = torch.addmm(bias.double().unsqueeze(1), weight.double(), taps.double().flatten(0, 1).T)
        return y.float().T.reshape(*taps.shape[:2], -1)


class CausalConvolution(nn.Module):
    """Depthwise convolution over the present and the `taps - 1` frames before it."""

    def __init__(self, width: int, taps: int) -> None:
        super().__init__()
        self.width = width
        self.taps = taps
        self.weight = nn.Parameter(torch.empty(width, 1, 1, taps))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.uniform_(self.weight, -(taps**-0.5), taps**-0.5)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Frames `[batch, time, width]` and the `[batch, taps - 1, width]` before them to frames and next tail."""
        x = torch.cat([tail, x], dim=1)
        # As a 2-D convolution in channels-last order: oneDNN's 1-D backward is twice as slow. Always in float32 on a
        # CPU: with AVX512-BF16, oneDNN (torch 2.11) may not return from a bfloat16 depthwise convolution of few
        # channels (16 with 15 taps), and such a convolution is too small a part of a block to gain from bfloat16.
        exact = autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()
        with exact:
            # By one transposition there and back each, which ONNX Runtime does as a part of its convolution.
            y = functional.conv2d(
                x.unsqueeze(1).permute(0, 3, 1, 2), self.weight, self.bias, groups=self.width
            )
        return y.permute(0, 2, 3, 1).squeeze(1), x[:, -(self.taps - 1) :]


class LookAhead(nn.Module):
    """A delay of some frames and a convolution over them: limited future context.

    The row convolution of Amodei et al. (2016), "Deep Speech 2", beside a plain delay. CTC is free to speak as soon as
    it is sure enough, and then leaves a look-ahead unused; after a delay the look-ahead is always in the input. New
    weights are zero, so that adding the layer to a trained model changes no output but its delay.
    """

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, kernel_size=frames + 1)
        nn.init.zeros_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Frames `[batch, time, width]` and the `[batch, frames, width]` before them to late frames and next tail."""
        flat = x.dim() == 2
        x = torch.cat([tail, x.reshape(tail.shape[0], -1, x.shape[-1])], dim=1)
        normed = self.norm(x)
        if self.training:
            context = self.convolution(normed.transpose(1, 2)).transpose(1, 2)
        else:  # ONNX Runtime's convolution takes several times as long, most of all for many streams of few frames
            time = x.shape[1] - self.frames
            taps = [normed[:, first : first + time] for first in range(self.frames + 1)]
            context = functional.linear(
                torch.cat(taps, dim=2).flatten(0, 1),
                self.convolution.weight.permute(0, 2, 1).flatten(1),
                self.convolution.bias,
            )
            context = context if flat else context.reshape(tail.shape[0], -1, context.shape[-1])
        late = x[:, : -self.frames]
        return (late.flatten(0, 1) if flat else late) + context, x[:, -self.frames :]


class SelfConditioning(nn.Module):
    """Intermediate CTC head whose posteriors are projected back into the input of the later blocks.

    Self-conditioned CTC (Nozaki and Komatsu 2021). CTC takes rows to be conditionally independent; later blocks
    that see earlier predictions need not. The projection back is initially zero, so that adding the layer to a trained
    model changes no output.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)
        self.back = nn.Linear(outputs, width, bias=False)
        nn.init.zeros_(self.back.weight)

    def forward(self, x: Tensor, rows_per_frame: int) -> tuple[Tensor, Tensor]:
        """Frames `[batch, time, width]` to conditioned frames and scores `[batch, rows, outputs]`."""
        scores = self.head(self.norm(x))
        posteriors = scores.unflatten(-1, (rows_per_frame, -1)).softmax(dim=-1).flatten(-2)
        return x + self.back(posteriors), by_row(scores, rows_per_frame)


def by_row(scores: Tensor, rows_per_frame: int) -> Tensor:
    """A CTC head's scores `[batch, time, rows_per_frame * labels]` as `[batch, time * rows_per_frame, labels]`."""
    if rows_per_frame == 1:
        return scores
    apart: Tensor = scores.unflatten(-1, (rows_per_frame, -1))  # type: ignore[no-untyped-call]
    return apart.flatten(1, 2)


class Block(nn.Module):
    """Pre-norm block: attention and a gated convolution side by side, then a feed-forward layer.

    The two share one projection in and one out, which is less to stream through a cache than two of each. With
    `convolution = 0` what is left is the transformer block of Katharopoulos et al. (2020).
    """

    log_decay: Tensor | None

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.inner = config.heads * config.head_width
        mixed = self.inner + (config.width if config.convolution else 0)
        self.mix_norm = nn.LayerNorm(config.width)
        self.mix_in = nn.Linear(
            config.width, 3 * self.inner + (2 * config.width if config.convolution else 0)
        )
        self.mix_out = nn.Linear(mixed, config.width)
        self.convolution = CausalConvolution(config.width, config.convolution) if config.convolution else None
        self.feed_norm = nn.LayerNorm(config.width)
        self.feed_in = nn.Linear(config.width, config.feed_forward)
        self.feed_out = nn.Linear(config.feed_forward, config.width)
        for layer in (self.mix_out, self.feed_out):  # every block starts small beside the residual stream
            nn.init.normal_(layer.weight, std=(2 * config.layers * layer.in_features) ** -0.5)
            nn.init.zeros_(layer.bias)
        rates = _log_half_life_rates(config)
        if config.decay == "learnt":
            self.log_decay = nn.Parameter(rates)
        else:
            self.register_buffer("log_decay", rates if config.decay == "fixed" else None, persistent=False)

    def decay(self) -> Tensor | None:
        """The factor in (0, 1) by which each head's `s` and `z` fade in a frame, `[heads]`; None for the paper's 1."""
        return None if self.log_decay is None else torch.exp(-torch.exp(self.log_decay))

    def forward(
        self,
        x: Tensor,
        state: State,
        tail: Tensor | None,
        *,
        frames: Tensor | None = None,
        dropout: float = 0.0,
        backend: str | None = None,
    ) -> tuple[Tensor, State, Tensor | None]:
        """Frames `[batch, time, width]`, attention state and convolution tail to the same, one block later.

        Frames may be `[batch * time, width]`, and then stay so; the batch is that of the state.
        """
        batch = state.s.shape[0]
        mixed = self.mix_in(self.mix_norm(x)).reshape(batch, -1, self.mix_in.out_features)
        parts = [2 * self.inner, self.inner] + [self.config.width] * (
            2 if self.convolution is not None else 0
        )
        qk, v, *gated = mixed.split(parts, dim=-1)
        attended, state = self._attend(qk, v, state, frames, backend)
        if self.convolution is not None and tail is not None:
            value, gate = gated
            convolved, tail = self.convolution(value, tail)
            attended = torch.cat([attended, convolved * functional.silu(gate)], dim=-1)
        if x.dim() == 2:
            attended = attended.flatten(0, 1)
        x = x + functional.dropout(self.mix_out(attended), dropout, training=dropout > 0)
        hidden = functional.relu(self.feed_in(self.feed_norm(x)))
        x = x + functional.dropout(self.feed_out(hidden * hidden), dropout, training=dropout > 0)
        return x, state, tail

    def _heads(self, x: Tensor) -> Tensor:
        """`[batch, time, n * head_width]` to `[batch, n, time, head_width]`."""
        return x.reshape(*x.shape[:2], -1, self.config.head_width).transpose(1, 2)

    def _attend(
        self, qk: Tensor, v: Tensor, state: State, frames: Tensor | None, backend: str | None
    ) -> tuple[Tensor, State]:
        """Queries and keys `[batch, time, 2 * inner]`, values `[…, inner]` through this configuration's attention."""
        if self.config.attention.startswith("linear"):
            qk = feature_map(qk)
        (q, k), v = self._heads(qk).chunk(2, dim=1), self._heads(v)
        match self.config.attention:
            case "linear-causal":
                y, state = causal_linear_attention(q, k, v, decay=self.decay(), state=state, backend=backend)
            case "linear":
                y = linear_attention(q, k, v, lengths=frames)
            case "softmax":
                mask = None if frames is None else _within(frames, k.shape[2])
                y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            case "softmax-causal":
                y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).flatten(2), state


def _within(frames: Tensor, time: int) -> Tensor:
    """Which of `time` frames lie within recordings of `frames` frames: bool `[batch, 1, 1, time]`."""
    return (torch.arange(time, device=frames.device) < frames.unsqueeze(1))[:, None, None]


def _log_half_life_rates(config: EncoderConfig) -> Tensor:
    """`log(-log g)` of decays with `half_lives`: float32 `[heads]`."""
    return torch.log(math.log(2.0) / torch.tensor(half_lives(config), dtype=torch.float64)).float()


def half_lives(config: EncoderConfig) -> list[float]:
    """Frames in which each head's sums fade to a half when decays are fixed or begin to learn, spread geometrically."""
    shortest, longest = math.log(config.shortest_half_life), math.log(config.longest_half_life)
    frames: list[float] = torch.exp(
        torch.linspace(shortest, longest, config.heads, dtype=torch.float64)
    ).tolist()
    return frames
