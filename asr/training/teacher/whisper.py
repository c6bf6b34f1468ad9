"""Whisper's encoder (Radford et al. 2022) in torch, frozen, for recordings of any length up to 30 s.

Whisper was trained on windows of 30 s, padded with silence. Its encoder takes shorter ones as well, at a fraction of
the cost: positions are counted from the window's start, and half a second of padding is enough for the last phones.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ....errors import ModelError
from .ctranslate2 import Variables, read_folder

RATE = 16000  # Hz
WINDOW, HOP = 400, 160  # samples, 25 and 10 ms
MELS = 80
STRIDE = 2  # of the second convolution: one row for 20 ms
ROW = STRIDE * HOP  # samples
PADDING = 0.5  # seconds of silence after a recording
LONGEST = 30.0  # seconds, padding included
LOWEST_ENERGY, RANGE = 1e-10, 8.0  # of a filter; decades below the loudest that are kept

SLANEY_BREAK, SLANEY_STEP = 1000.0, math.log(6.4) / 27  # mels are linear below 1 kHz: 15 of 66 2/3 Hz each


class Block(nn.Module):
    """Pre-norm transformer block: attention over the whole window, then a feed-forward layer with GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, 4 * width)
        self.feed_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Rows `[batch, time, width]` to the same."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.attention_in(self.attention_norm(x)).chunk(3, dim=-1)
        )
        attended = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.attention_out(attended)
        y: Tensor = x + self.feed_out(functional.gelu(self.feed_in(self.feed_norm(x))))
        return y


class WhisperEncoder(nn.Module):
    """Log-mel features to the rows of every layer."""

    positions: Tensor

    def __init__(self, width: int, heads: int, layers: int, longest: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("positions", torch.zeros(longest, width))
        self.convolution1 = nn.Conv1d(MELS, width, kernel_size=3, padding=1)
        self.convolution2 = nn.Conv1d(width, width, kernel_size=3, stride=STRIDE, padding=1)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Features `[batch, 80, 2 n]`, `n` at most 1500, to rows `[batch, n, width]`.

        Returns:
            Of each layer: first the convolutions', last the last block's after the final norm.
        """
        x = functional.gelu(self.convolution1(features))
        x = functional.gelu(self.convolution2(x)).transpose(1, 2)
        rows = [x + self.positions[: x.shape[1]].to(x.dtype)]
        for block in self.blocks:
            rows.append(block(rows[-1]))
        rows[-1] = self.norm(rows[-1])
        return rows


def load_whisper(folder: Path) -> WhisperEncoder:
    """The encoder of a Whisper model in CTranslate2's format, in evaluation mode, without gradients.

    Raises:
        ModelError: the folder has no such model, or its weights are quantised.
    """
    variables = read_folder(folder)
    try:
        return encoder_of(variables)
    except KeyError as error:
        raise ModelError(f"{folder}: is not a Whisper model: variable {error} is missing") from None
    except (ModelError, RuntimeError) as error:
        raise ModelError(f"{folder}: {error}") from None


def encoder_of(variables: Variables) -> WhisperEncoder:
    """The encoder with these weights. Raises as `load_whisper`, and KeyError for a missing variable."""
    layers = len(
        {name.split("/")[1] for name in variables if name.startswith("encoder/layer_") and "/ffn/" in name}
    )
    width = variables["encoder/conv1/weight"].shape[0]
    if variables["encoder/conv1/weight"].shape[1] != MELS:
        raise ModelError(
            f"takes {variables['encoder/conv1/weight'].shape[1]} mel filters, but only models with {MELS} are read: "
            "take Whisper base, small or medium"
        )
    longest = len(variables["encoder/position_encodings/encodings"])
    encoder = WhisperEncoder(width, int(variables["encoder/num_heads"]), layers, longest)
    encoder.load_state_dict({name: _tensor(variables, theirs) for name, theirs in _names(layers)})
    return encoder.eval().requires_grad_(False)


def _names(layers: int) -> Iterator[tuple[str, str]]:
    """The encoder's weights: names in torch's state_dict and in the file."""
    yield "positions", "encoder/position_encodings/encodings"
    parts = {"convolution1": "conv1", "convolution2": "conv2", "norm": "layer_norm"}
    of_block = {
        "attention_norm": "self_attention/layer_norm",
        "attention_in": "self_attention/linear_0",  # queries, keys, values
        "attention_out": "self_attention/linear_1",
        "feed_norm": "ffn/layer_norm",
        "feed_in": "ffn/linear_0",
        "feed_out": "ffn/linear_1",
    }
    for layer in range(layers):
        parts |= {f"blocks.{layer}.{ours}": f"layer_{layer}/{theirs}" for ours, theirs in of_block.items()}
    for ours, theirs in parts.items():
        weight, bias = ("gamma", "beta") if "norm" in ours else ("weight", "bias")
        yield f"{ours}.weight", f"encoder/{theirs}/{weight}"
        yield f"{ours}.bias", f"encoder/{theirs}/{bias}"


def _tensor(variables: Mapping[str, NDArray[np.generic]], name: str) -> Tensor:
    values = variables[name]
    if values.dtype not in (np.float16, np.float32):
        raise ModelError(f"its weights are {values.dtype}: take a model that is not quantised (float16)")
    return torch.from_numpy(values.astype(np.float32))


def log_mel(samples: NDArray[np.float32]) -> Tensor:
    """Whisper's features of `samples` `[n]` at 16 kHz: float32 `[80, 2 rows]`, two of 10 ms for each row.

    `PADDING` seconds of silence are added, as far as `LONGEST` has room. The range of 8 decades is counted from the
    loudest filter of the whole recording.
    """
    longest = int(LONGEST * RATE)
    length = max(len(samples), min(len(samples) + int(PADDING * RATE), longest))
    length = -(-length // ROW) * ROW
    audio = functional.pad(torch.from_numpy(np.ascontiguousarray(samples)), (0, length - len(samples)))
    spectrum = torch.stft(audio, WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True)
    power = spectrum[:, :-1].abs().square()
    energies = (mel_filters() @ power).clamp(min=LOWEST_ENERGY).log10()
    return (torch.maximum(energies, energies.max() - RANGE) + 4) / 4


def mel_filters() -> Tensor:
    """Slaney's triangular filters of equal area, 0 to 8 kHz: float32 `[80, 201]`."""
    edges = _hertz(np.linspace(_mel(0.0), _mel(RATE / 2), MELS + 2))
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    below, centre, above = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (bins - below) / (centre - below), (above - bins) / (above - centre)
    triangles = np.maximum(0, np.minimum(rise, fall)) * 2 / (above - below)
    return torch.from_numpy(triangles.astype(np.float32))


def _mel(hertz: float) -> float:
    if hertz < SLANEY_BREAK:
        return hertz * 15 / SLANEY_BREAK
    return 15 + math.log(hertz / SLANEY_BREAK) / SLANEY_STEP


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = SLANEY_BREAK * np.exp(SLANEY_STEP * (mels - 15))
    return np.where(mels < 15, mels * SLANEY_BREAK / 15, above)
