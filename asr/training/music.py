"""Music in which nobody sings, made of sums of harmonics: what a recogniser must be silent through.

Pieces differ in key, tempo, instruments and beat, so that a model learns what they share with each other and not with
speech: pitches that keep to a scale, and spectra that do not move as a mouth does.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ...streaming.audio.samples import SAMPLE_RATE
from .channel import Samples

_SCALES = ((0, 2, 4, 7, 9), (0, 3, 5, 7, 10), (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))
_LONGEST_NOTE = 2.0  # seconds
_FADE = 0.02  # seconds at a note's end


def music(seconds: float, rng: Generator) -> Samples:
    """A piece `[seconds * SAMPLE_RATE]` within -1 to 1: one to four instruments on one scale, on most pieces a drum."""
    out = np.zeros(round(seconds * SAMPLE_RATE))
    key = rng.uniform(40, 60)  # as MIDI counts: 60 is middle C
    scale = _SCALES[int(rng.integers(len(_SCALES)))]
    beat = 60 / rng.uniform(60, 180)
    for _ in range(int(rng.integers(1, 5))):
        _play(out, key + 12 * int(rng.integers(-1, 3)), scale, beat * 2.0 ** int(rng.integers(-1, 3)), rng)
    if rng.random() < 0.6:
        _drum(out, beat, rng)
    piece: Samples = (0.5 * out / (np.abs(out).max() + 1e-9)).astype(np.float32)
    return piece


def _play(out: NDArray[np.float64], key: float, scale: tuple[int, ...], step: float, rng: Generator) -> None:
    """Add one instrument: a note on a step of the scale, or a rest, every `step` seconds."""
    harmonics = np.arange(1, 13)
    strengths = rng.uniform(0.2, 1, 12) * harmonics ** -rng.uniform(0.5, 2.5)
    if rng.random() < 0.3:  # as of a pipe that is closed at one end
        strengths[1::2] *= 0.1
    attack, decay = 10 ** rng.uniform(-2.7, -0.8), 10 ** rng.uniform(-1, 0.7)  # seconds
    vibrato = rng.uniform(0, 0.01) if rng.random() < 0.4 else 0.0
    level, rests, degree = rng.uniform(0.2, 1), rng.uniform(0, 0.4), 0
    for at in np.arange(0, len(out) / SAMPLE_RATE, step):
        degree = int(np.clip(degree + rng.integers(-2, 3), -4, 8))
        if rng.random() < rests:
            continue
        octave, place = divmod(degree, len(scale))
        hertz = 440 * 2 ** ((key + 12 * octave + scale[place] - 69) / 12)
        first = int(at * SAMPLE_RATE)
        count = min(int(min(step * rng.uniform(0.5, 1.5), _LONGEST_NOTE) * SAMPLE_RATE), len(out) - first)
        time = np.arange(count) / SAMPLE_RATE
        phase = 2 * np.pi * hertz * (time + vibrato / 30 * np.sin(2 * np.pi * 5.5 * time))
        below_nyquist = harmonics[harmonics * hertz < SAMPLE_RATE / 2]
        tone = sum(strengths[h - 1] * np.sin(h * phase) for h in below_nyquist)
        shape = np.minimum(time / attack, 1) * np.exp(-time / decay) * np.minimum((time[::-1]) / _FADE, 1)
        out[first : first + count] += level * shape * tone


def _drum(out: NDArray[np.float64], beat: float, rng: Generator) -> None:
    """Add a burst of noise on every beat: dull as a drum or bright as a cymbal."""
    decay = 10 ** rng.uniform(-1.9, -0.8)
    stroke = rng.normal(size=int(min(beat, 5 * decay) * SAMPLE_RATE))
    stroke *= np.exp(-np.arange(len(stroke)) / (decay * SAMPLE_RATE))
    stroke = np.cumsum(stroke) / 8 if rng.random() < 0.5 else np.diff(stroke, prepend=0.0)
    stroke *= rng.uniform(0.2, 1) / (np.abs(stroke).max() + 1e-9)
    for at in np.arange(0, len(out) / SAMPLE_RATE, beat):
        first = int(at * SAMPLE_RATE)
        out[first : first + len(stroke)] += stroke[: len(out) - first]
