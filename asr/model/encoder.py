"""The acoustic model: samples and carried state in, log-probabilities of phones and the next state out.

One forward serves training, offline decoding and streaming; they differ in how much audio a call brings.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, autocast, nn

from ...errors import ConfigError
from ...kernels import State
from ..lexicon.phones import PHONES
from ..model.config import EncoderConfig
from .blocks import Block, LookAhead, SelfConditioning, Subsampling, by_row
from .frontend import CARRY, HOP, LogMel

FRAME = 4 * HOP  # samples in an encoder frame, 40 ms


class Encoder(nn.Module):
    """Causal phone recogniser: log-mel front end, subsampling by 4, blocks, CTC head.

    Between blocks there are, if configured, a look-ahead convolution and a self-conditioning intermediate head.

    `backend` names the attention implementation (`phonestream.kernels`), None the best one for the device. `precision`
    is that of the blocks' matrix products (`torch.autocast`), None float32; front end, norms, sums and the attention's
    `s` and `z` stay as they are. `flat` lays all streams' frames below one another, `[batch * time, width]`, in the
    blocks: the same numbers, but only then does ONNX Runtime add a bias within a product.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backend: str | None = None
        self.precision: torch.dtype | None = None
        self.flat = False
        self.frontend = LogMel(config.mels)
        self.subsampling = Subsampling(config.mels, config.subsampling_width, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        later = config.look_ahead_convolution
        self.look_ahead = LookAhead(config.width, later) if later else None
        self.look_ahead_after = look_ahead_after(config.layers)
        outputs = config.rows_per_frame * (len(PHONES) + 1)
        self.conditioning = SelfConditioning(config.width, outputs) if config.self_condition_after else None
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, outputs)

    @property
    def streams(self) -> bool:
        """Whether the configured attention is causal and has a state that can be carried."""
        return self.config.attention == "linear-causal"

    def initial_state(self, batch: int) -> dict[str, Tensor]:
        """Zeros for the start of `batch` streams, in the order and by the names of the ONNX file."""
        config = self.config
        shapes: dict[str, tuple[int, ...]] = {
            "audio_tail": (CARRY,),
            "feature_tail": (config.mels, 1),
            "subsampling_tail": (config.subsampling_width, 1),
        }
        for layer in range(config.layers):
            shapes[f"s{layer}"] = (config.heads, config.head_width, config.head_width)
            shapes[f"z{layer}"] = (config.heads, config.head_width)
            if config.convolution > 1:
                shapes[f"convolution_tail{layer}"] = (config.convolution - 1, config.width)
        if config.look_ahead_convolution:
            shapes["look_ahead_tail"] = (config.look_ahead_convolution, config.width)
        device = self.head.weight.device
        return {name: torch.zeros(batch, *shape, device=device) for name, shape in shapes.items()}

    def forward(
        self,
        audio: Tensor,
        state: dict[str, Tensor] | None = None,
        *,
        feature_mask: Tensor | None = None,
        filters: Tensor | None = None,
        intermediate: list[Tensor] | None = None,
        keep_blocks: Sequence[bool] | None = None,
        frames: Tensor | None = None,
        dropout: float = 0.0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Advance `batch` streams by the same number of frames.

        Args:
            audio: float32 `[batch, samples]` in [-1, 1] at 16 kHz, `samples` a multiple of 640 and not 0.
            state: what the call before returned, or None at the start.
            feature_mask: bool `[batch, mels, samples / 160]`; True hides a feature (SpecAugment).
            filters: float32 `[batch, bins, mels]`, mel filters in place of the front end's (`LogMel.warped`).
            intermediate: a list to which the intermediate head's log-probabilities are added, of the shape of the
                last head's.
            keep_blocks: for each block whether it takes part (layer drop).
            frames: int64 `[batch]`, encoder frames of each recording in a padded batch, look-ahead included. Attention
                over the full context stops there; causal attention has no need of it.
            dropout: probability, after each residual branch.

        Returns:
            Log-probabilities `[batch, rows, phones + 1]`, `rows_per_frame` rows for each 640 samples, and the next
            state. Row `t` of the recording comes `look_ahead_frames` frames late.
        """
        if state is None:
            state = self.initial_state(audio.shape[0])
        waveform = torch.cat([state["audio_tail"], audio], dim=1)
        after = {"audio_tail": waveform[:, -CARRY:]}
        features = self.frontend(waveform, filters)
        if feature_mask is not None:
            features = features.masked_fill(feature_mask, 0.0)
        x, tails = self.subsampling(
            features.transpose(1, 2), (state["feature_tail"], state["subsampling_tail"])
        )
        after["feature_tail"], after["subsampling_tail"] = tails
        batch = audio.shape[0]
        if self.flat:
            x = x.flatten(0, 1)
        for layer, block in enumerate(self.blocks):
            attention = State(state[f"s{layer}"], state[f"z{layer}"])
            tail = state.get(f"convolution_tail{layer}")
            if keep_blocks is None or keep_blocks[layer]:
                with nullcontext() if self.precision is None else autocast(x.device.type, self.precision):
                    x, attention, tail = block(
                        x, attention, tail, frames=frames, dropout=dropout, backend=self.backend
                    )
            after[f"s{layer}"], after[f"z{layer}"] = attention
            if tail is not None:
                after[f"convolution_tail{layer}"] = tail
            if self.look_ahead is not None and layer == self.look_ahead_after:
                x, after["look_ahead_tail"] = self.look_ahead(x, state["look_ahead_tail"])
            if self.conditioning is not None and layer + 1 == self.config.self_condition_after:
                x, early = self.conditioning(x, self.config.rows_per_frame)
                if intermediate is not None:
                    intermediate.append(early.float().log_softmax(dim=-1))
        scores = self.head(self.norm(x))
        if self.flat:
            scores = scores.unflatten(0, (batch, -1))
        scores = by_row(scores, self.config.rows_per_frame)
        return scores.float().log_softmax(dim=-1), after

    def offline(self, audio: Tensor, **options: object) -> Tensor:
        """Log-probabilities `[batch, rows, phones + 1]` of recordings padded by `pad`, aligned with the audio."""
        log_probs: Tensor = self(audio, **options)[0]
        return self.trim_look_ahead(log_probs)

    def trim_look_ahead(self, log_probs: Tensor) -> Tensor:
        """Rows `[batch, rows, …]` without the first `look_ahead_frames` frames', which stand for no audio."""
        return log_probs[:, self.config.look_ahead_frames * self.config.rows_per_frame :]

    def rows(self, samples: int) -> int:
        """CTC rows of a recording of `samples` samples: `rows_per_frame` for each started frame of 640."""
        return -(-samples // FRAME) * self.config.rows_per_frame


def look_ahead_after(layers: int) -> int:
    """Index of the block that the look-ahead convolution follows, in a model of so many."""
    return (layers - 1) // 3


def pad(recordings: Sequence[Tensor], look_ahead_frames: int) -> Tensor:
    """Recordings `[samples]` as one batch `[batch, samples]`: zeros to whole frames, then the look-ahead in zeros."""
    frames = max(-(-len(samples) // FRAME) for samples in recordings)
    batch = torch.zeros(len(recordings), (frames + look_ahead_frames) * FRAME)
    for row, samples in zip(batch, recordings, strict=True):
        row[: len(samples)] = samples
    return batch


def check_streams(encoder: Encoder) -> None:
    """Refuse an encoder that cannot stream.

    Raises:
        ConfigError: its attention is not `linear-causal`.
    """
    if not encoder.streams:
        raise ConfigError(
            f"attention is {encoder.config.attention!r}, which has no state to stream with: "
            'only a model with attention = "linear-causal" can be exported'
        )
