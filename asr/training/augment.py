"""Changes to training audio and features. Every draw comes from a generator that the caller seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.random import Generator
from numpy.typing import NDArray

from ...errors import DataError
from ...streaming.audio.samples import SAMPLE_RATE
from .channel import Samples, microphone, room, telephone
from .config import AugmentConfig
from .music import music

BABBLE_VOICES = (2, 7)  # fewest, and one more than the most
MUSIC_PIECES, PIECE_SECONDS = 60, 10.0
SPEECHLESS_DB = (-70.0, -15.0)  # loudness of what takes a recording's place, below full scale


@dataclass(frozen=True)
class Noises:
    """What is mixed into recordings or takes their place."""

    recorded: Sequence[Samples]
    music: Sequence[Samples]
    music_share: float  # of the cuts
    voices: Callable[[Generator], Samples] | None = None  # draws a recording of somebody who speaks

    def cut(self, length: int, rng: Generator) -> Samples:
        """`length` samples from as many recordings in a row as it takes, or from as many pieces of music."""
        source = self.music if _happens(self.music_share, rng) else self.recorded
        pieces: list[Samples] = []
        while sum(map(len, pieces)) < length:
            pieces.append(source[int(rng.integers(len(source)))])
        start = rng.integers(sum(map(len, pieces)) - length + 1)
        return np.concatenate(pieces)[start : start + length]


def noises_of(config: AugmentConfig, data: Path) -> Noises:
    """The recordings of `config.noise_dir` and always the same pieces of music, as far as `config` makes use of them.

    Raises:
        DataError: as `load_noises`.
    """
    folders = config.needs_noises and config.music_share < 1
    recorded = load_noises(data / config.noise_dir) if folders else []
    pieces = _pieces() if config.needs_noises and config.music_share > 0 else []
    return Noises(recorded, pieces, config.music_share)


@cache
def _pieces() -> list[Samples]:
    """The pieces of music, made once for all stages of a run: that takes seconds."""
    rng = np.random.default_rng(0)
    return [music(PIECE_SECONDS, rng) for _ in range(MUSIC_PIECES)]


def load_noises(folder: Path) -> list[Samples]:
    """Every audio file of `folder` at 16 kHz, mixed to one channel, in order of name.

    Raises:
        DataError: the folder has no audio, or a file that cannot be read.
    """
    noises = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower().lstrip(".") not in {"opus", "ogg", "wav", "flac", "mp3"}:
            continue
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise DataError(f"{path}: cannot be read as noise: {error}") from None
        noises.append(np.asarray(soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE), np.float32))
    if not noises:
        raise DataError(
            f"{folder}: no noise recordings there; set augment.noise_dir, or noise_probability to 0"
        )
    return noises


def speechless(length: int, config: AugmentConfig, noises: Noises, rng: Generator) -> Samples | None:
    """Noise `[length]` in place of a recording, at the level of speech or far below, or None: seldom is it its turn."""
    if not _happens(config.speechless_probability, rng):
        return None
    noise = noises.cut(length, rng)
    return at_level(noise, rng.uniform(*SPEECHLESS_DB))


def at_level(sound: Samples, decibels: float) -> Samples:
    """`sound` with the power of so many decibels of full scale, clipped."""
    gain = np.float32(10 ** (decibels / 20) / (np.sqrt(np.mean(np.square(sound))) + 1e-9))
    louder: Samples = np.clip(sound * gain, -1.0, 1.0, dtype=np.float32)
    return louder


def augment(samples: Samples, config: AugmentConfig, noises: Noises, rng: Generator) -> Samples:
    """Speed, room, noise, babble, microphone, telephone and gain, in this order: `[n]` to `[n / speed]`."""
    speed = rng.choice(config.speeds)
    if speed != 1.0:
        samples = soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE, quality="MQ")
    if _happens(config.room_probability, rng):
        decay, direct = rng.uniform(*config.room_decay_seconds), rng.uniform(*config.room_direct_db)
        samples = room(samples, decay, direct, rng)
    if _happens(config.noise_probability, rng):
        snr = rng.uniform(*config.noise_snr_db)
        samples = samples + at_snr(samples, noises.cut(len(samples), rng), snr)
    if noises.voices is not None and _happens(config.babble_probability, rng):
        snr = rng.uniform(*config.noise_snr_db)
        samples = samples + at_snr(samples, babble(noises.voices, len(samples), rng), snr)
    if _happens(config.microphone_probability, rng):
        samples = microphone(samples, config.microphone_deviation_db, rng)
    if _happens(config.telephone_probability, rng):
        samples = telephone(samples, rng.uniform(50, 300), rng.uniform(3300, 3900))
    gain = 10 ** (rng.uniform(*config.gain_db) / 20)
    louder: Samples = np.clip(samples * np.float32(gain), -1.0, 1.0, dtype=np.float32)
    return louder


def _happens(probability: float, rng: Generator) -> bool:
    """Draw; what is switched off draws nothing, so that older recipes keep their random numbers."""
    return probability > 0 and bool(rng.random() < probability)


def babble(voices: Callable[[Generator], Samples], length: int, rng: Generator) -> Samples:
    """Several people speaking at once, each as loud as the others: `[length]`."""
    mixed = np.zeros(length, np.float32)
    for _ in range(int(rng.integers(*BABBLE_VOICES))):
        voice = voices(rng)
        voice = voice / (np.sqrt(np.mean(np.square(voice))) + np.float32(1e-6))
        repeated = np.tile(voice, -(-(length + len(voice)) // len(voice)))
        start = int(rng.integers(len(voice)))
        mixed += repeated[start : start + length]
    return mixed


def at_snr(samples: Samples, noise: Samples, snr_db: float) -> Samples:
    """`noise` at `snr_db` below the power of `samples`."""
    power = float(np.mean(np.square(noise))) + 1e-12
    wanted = float(np.mean(np.square(samples))) / 10 ** (snr_db / 10)
    return noise * np.float32(np.sqrt(wanted / power))


def vocal_tract(config: AugmentConfig, rng: Generator) -> float:
    """By how much a voice's resonances are moved; 1 without a draw where they are never moved."""
    low, high = config.vocal_tract
    return float(rng.uniform(low, high)) if low < high else low


def feature_mask(mels: int, frames: int, config: AugmentConfig, rng: Generator) -> NDArray[np.bool_]:
    """SpecAugment (Park et al. 2019): bands of mel filters and stretches of time to hide, bool `[mels, frames]`."""
    mask = np.zeros((mels, frames), np.bool_)
    for _ in range(config.frequency_masks):
        width = int(rng.integers(min(config.frequency_mask_mels, mels) + 1))
        first = int(rng.integers(mels - width + 1))
        mask[first : first + width] = True
    count = int(rng.poisson(config.time_masks_per_second * frames / 100))
    room = int(config.time_mask_share * frames)
    for _ in range(count):
        width = int(rng.integers(min(config.time_mask_frames, room) + 1))
        first = int(rng.integers(frames - width + 1))
        mask[:, first : first + width] = True
        room -= width
    return mask
