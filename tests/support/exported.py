"""Small encoders with seeded weights, for the tests that look at model files."""

from dataclasses import replace
from pathlib import Path

import torch

from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.model.encoder import Encoder
from phonestream.export import Description, Summary, export_encoder

DESCRIPTION = Description(
    "test", version="7", licence="CC0-1.0", training_data="none", time_offset_seconds=0.02
)

SMALL = EncoderConfig(subsampling_width=48, width=32, layers=1, heads=2, head_width=16, feed_forward=64)
CONFIGS = {
    "fixed decay": SMALL,
    "learnt decay, self-conditioned": replace(
        SMALL,
        decay="learnt",
        convolution=2,
        heads=3,
        layers=2,
        look_ahead_convolution=2,
        rows_per_frame=2,
        self_condition_after=1,
    ),
    "the paper's": replace(
        SMALL, layers=2, decay="none", convolution=0, rows_per_frame=2, look_ahead_frames=0
    ),
}


def make_encoder(config: EncoderConfig, seed: int = 0) -> Encoder:
    """Random weights that emit phones, not only blanks, with statistics of speech."""
    torch.manual_seed(seed)
    encoder = Encoder(config).eval()
    with torch.no_grad():
        encoder.frontend.mean.fill_(8.0)
        encoder.frontend.scale.fill_(0.3)
        encoder.head.weight.mul_(8.0)
        if encoder.look_ahead is not None:  # as made it is a mere delay
            encoder.look_ahead.convolution.weight.normal_(std=0.1)
        if encoder.conditioning is not None:  # as made it tells nothing
            encoder.conditioning.back.weight.normal_(std=0.1)
        for name, parameter in encoder.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.1, 0.1)
    return encoder


def export_small(config: str, path: Path, *, int8: bool = False) -> tuple[Encoder, Summary]:
    """One of `CONFIGS` as a model file. Its graph, which takes seconds, is traced once in a test run."""
    encoder = make_encoder(CONFIGS[config])
    return encoder, export_encoder(encoder, path, DESCRIPTION, int8=int8)
