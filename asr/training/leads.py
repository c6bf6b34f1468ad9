"""Audio before a training recording, of which only the state is kept: silence, room tone, noise, others' speech.

A live stream seldom begins with speech. A model trained from fresh states alone makes twice the errors after ten
seconds of silence, since the attention's sums `s` and `z` then hold what it has never seen there. So in every step a
few leads are computed without gradient, and recordings begin with the state that one of them has left.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from ...streaming.audio.samples import SAMPLE_RATE
from ..model.encoder import FRAME, Encoder
from .augment import Noises, at_level
from .channel import Samples
from .config import AugmentConfig

LEADS = 3  # in each step
ROOM_TONE_DB = (-85.0, -45.0)  # RMS below full scale
NOISE_DB = (-60.0, -20.0)


def leads(
    config: AugmentConfig, noises: Noises, speech: Callable[[Generator], Samples], rng: Generator
) -> Tensor | None:
    """Leads of one step, float32 `[LEADS, samples]`, whole frames; None where no recording takes one.

    All are of one length, drawn from `config.lead_seconds` uniformly in its logarithm. Each begins with digital
    silence; room tone, noise or speech may follow, and more silence after that.

    Args:
        speech: draws somebody else's recording `[n]`.
    """
    if config.lead_probability == 0:
        return None
    low, high = np.log(config.lead_seconds)
    frames = max(1, round(float(np.exp(rng.uniform(low, high))) * SAMPLE_RATE / FRAME))
    audio = np.zeros((LEADS, frames * FRAME), np.float32)
    for lead in audio:
        kind = int(rng.integers(4))
        if kind == 1:
            lead[:] = rng.standard_normal(len(lead)) * 10 ** (rng.uniform(*ROOM_TONE_DB) / 20)
        elif kind == 2:
            _end_with(lead, _noise(noises, len(lead), rng), rng)
        elif kind == 3:
            _end_with(lead, speech(rng), rng)
    return torch.from_numpy(audio)


def draw_lead(config: AugmentConfig, rng: Generator) -> int:
    """The index of the lead before a recording, or -1: a fresh state. Without leads nothing is drawn."""
    if config.lead_probability == 0:
        return -1
    return int(rng.integers(LEADS)) if rng.random() < config.lead_probability else -1


@torch.no_grad()
def lead_state(encoder: Encoder, audio: Tensor, chosen: Tensor) -> dict[str, Tensor]:
    """States `[batch, …]` after `audio[chosen]`, initial states where `chosen` is -1.

    Args:
        audio: `[leads, samples]`, whole frames.
        chosen: int64 `[batch]`, indices of leads.
    """
    device = encoder.head.weight.device
    _, after = encoder(audio.to(device))
    fresh = encoder.initial_state(1)
    index = chosen.to(device) + 1
    return {name: torch.cat([fresh[name], tensor])[index] for name, tensor in after.items()}


def _noise(noises: Noises, length: int, rng: Generator) -> Samples:
    if not noises.recorded and not noises.music:
        return np.zeros(0, np.float32)
    cut = noises.cut(int(length * rng.uniform(0.3, 1.0)), rng)
    return at_level(cut, rng.uniform(*NOISE_DB))


def _end_with(lead: Samples, sound: Samples, rng: Generator) -> None:
    """Put `sound` at the lead's end, followed by as much silence as is drawn: often none, at most half the lead."""
    pause = max(0, int(rng.uniform(-0.5, 0.5) * len(lead)))
    room = lead[: len(lead) - pause]
    kept = sound[len(sound) - min(len(sound), len(room)) :]
    room[len(room) - len(kept) :] = kept
