"""The teacher's head: normalised rows of several layers, a small convolutional network, CTC."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from ....atomic import write_atomically
from ....errors import ModelError, system_errors_as
from ...lexicon.phones import PHONES
from ...model.blocks import by_row

FORMAT = "phonestream-teacher-head-1"
MERGED = 2  # encoder rows of 20 ms in one of the head's frames, and again as many CTC rows out of it


@dataclass(frozen=True)
class HeadConfig:
    """Shape of the head."""

    layers: int  # of the encoder
    input_width: int  # of each layer
    width: int = 256
    depth: int = 3
    taps: int = 11  # of a convolution, over frames of 40 ms to both sides
    dropout: float = 0.15


class ConvolutionBlock(nn.Module):
    """Gated depthwise convolution and feed-forward layer, both residual (as a Conformer's, without attention)."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.convolution = nn.Conv1d(width, width, config.taps, padding=config.taps // 2, groups=width)
        self.convolved_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, 2 * width)
        self.feed_out = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Frames `[batch, time, width]`; `real`, bool `[batch, time, 1]`, is False where they are padding."""
        gated = functional.glu(self.gate(self.norm(x)), dim=-1).masked_fill(~real, 0.0)
        convolved = self.convolution(gated.transpose(1, 2)).transpose(1, 2)
        x = x + self.dropout(self.out(functional.silu(self.convolved_norm(convolved))))
        y: Tensor = x + self.dropout(self.feed_out(functional.silu(self.feed_in(self.feed_norm(x)))))
        return y


class Head(nn.Module):
    """Features to log-probabilities, a CTC row for each encoder row."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.norms = nn.ModuleList(nn.LayerNorm(config.input_width) for _ in range(config.layers))
        self.into = nn.Linear(MERGED * config.layers * config.input_width, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(ConvolutionBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, MERGED * (len(PHONES) + 1))

    def forward(self, features: Tensor, rows: Tensor) -> Tensor:
        """Features float32 `[batch, time, layers, input width]` to log-probabilities `[batch, time, phones + 1]`.

        Args:
            rows: int64 `[batch]`, rows of each recording; those behind are padding.
        """
        time = features.shape[1]
        real = torch.arange(time, device=features.device) < rows.unsqueeze(1)
        odd = time % MERGED
        layers = [norm(features[:, :, index]) for index, norm in enumerate(self.norms)]
        x = torch.cat(layers, dim=-1).masked_fill(~real.unsqueeze(-1), 0.0)
        x = functional.pad(x, (0, 0, 0, odd)).reshape(len(x), (time + odd) // MERGED, -1)
        frames = functional.pad(real, (0, odd))[:, ::MERGED].unsqueeze(-1)
        x = self.into(self.dropout(x))
        for block in self.blocks:
            x = block(x, frames)
        scores = by_row(self.out(self.norm(x)), MERGED)[:, :time]
        return scores.float().log_softmax(dim=-1)


def save_head(head: Head, path: Path, whisper_digest: str) -> None:
    """Write a head, and the digest of the encoder that it belongs to, as safetensors.

    Raises:
        ModelError: the file cannot be written.
    """
    metadata = {
        "format": FORMAT,
        "config": json.dumps(asdict(head.config)),
        "whisper": whisper_digest,
        "phones": json.dumps(PHONES),
    }
    with system_errors_as(
        ModelError,
        f"{path}: the head cannot be written",
        "make room, or give another path",
        also=SafetensorError,
    ):
        content = save({name: weight.contiguous() for name, weight in head.state_dict().items()}, metadata)
        write_atomically(path, content)


def load_head(path: Path, whisper_digest: str) -> Head:
    """Read a head.

    Raises:
        ModelError: the file is not one, or belongs to another encoder.
    """
    with (
        system_errors_as(ModelError, f"{path}: cannot be read as a teacher's head", also=SafetensorError),
        safe_open(path, framework="pt") as file,
    ):
        metadata = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    if metadata.get("format") != FORMAT or metadata.get("phones") != json.dumps(PHONES):
        raise ModelError(
            f"{path}: is not a teacher's head of this version; train it again with `phonestream teacher`"
        )
    if metadata.get("whisper") != whisper_digest:
        raise ModelError(f"{path}: belongs to other Whisper weights; name those, or train another head")
    try:
        head = Head(HeadConfig(**json.loads(metadata["config"])))
        head.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: is damaged: {str(error).splitlines()[0]}") from None
    return head.eval()
