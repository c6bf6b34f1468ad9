"""What lies between a mouth and a recogniser: rooms, microphones and telephones, simulated for training."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ...streaming.audio.samples import SAMPLE_RATE

MU = 255  # of G.711's mu-law
EQUALISER_POINTS = 8  # of a microphone's response, spread evenly over the mel scale
FASTEST_SOUND = 0.002  # seconds after the direct sound at which the first reflections arrive

Samples = NDArray[np.float32]


def room(samples: Samples, decay_seconds: float, direct_db: float, rng: Generator) -> Samples:
    """`samples` `[n]` in a room, the direct sound not delayed, so that phones keep their times.

    The tail is noise that decays exponentially, as diffuse reflections do (Polack 1988, "La transmission de l'énergie
    sonore dans les salles").

    Args:
        decay_seconds: until the tail has fallen by 60 dB.
        direct_db: energy of the direct sound above the tail's.
    """
    length = int(decay_seconds * SAMPLE_RATE)
    first = int(FASTEST_SOUND * SAMPLE_RATE)
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[:first] = 0.0
    tail *= 10 ** (-direct_db / 20) / (np.sqrt(np.sum(tail**2)) + 1e-12)
    tail[0] = 1.0
    size = _fast_size(len(samples) + length)
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(tail, size)
    return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)


def microphone(samples: Samples, deviation_db: float, rng: Generator) -> Samples:
    """`samples` `[n]` through a smooth frequency response drawn with this standard deviation at each of its points."""
    points = rng.normal(0.0, deviation_db, EQUALISER_POINTS)
    size = _fast_size(len(samples))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    mels = np.log1p(hertz / 700)
    gain = 10 ** (np.interp(mels, np.linspace(0, mels[-1], EQUALISER_POINTS), points) / 20)
    return np.fft.irfft(np.fft.rfft(samples, size) * gain, size)[: len(samples)].astype(np.float32)


def telephone(samples: Samples, lowest_hz: float, highest_hz: float) -> Samples:
    """`samples` `[n]` through a call: band-limited, at 8 kHz, in mu-law of 8 bits (ITU-T G.711), and back at 16 kHz.

    Args:
        lowest_hz, highest_hz: the pass band; 300 and 3400 are the network's classic ones. At most 4000.
    """
    size = _fast_size(len(samples))
    spectrum = np.fft.rfft(samples, size)
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum *= np.clip((hertz - lowest_hz) / 100 + 1, 0, 1) * np.clip((highest_hz - hertz) / 100 + 1, 0, 1)
    narrow = np.fft.irfft(spectrum[: size // 4 + 1], size // 2) / 2
    peak = np.abs(narrow).max() + 1e-9  # a caller's gain is set so that speech fills the range, more or less
    companded = np.sign(narrow) * np.log1p(MU * np.abs(narrow) / peak) / np.log1p(MU)
    steps = np.round(companded * 127) / 127
    narrow = np.sign(steps) * peak * np.expm1(np.abs(steps) * np.log1p(MU)) / MU
    wide = np.zeros(size // 2 + 1, np.complex128)
    wide[: size // 4 + 1] = np.fft.rfft(narrow) * 2
    return np.fft.irfft(wide, size)[: len(samples)].astype(np.float32)


def _fast_size(length: int) -> int:
    """A multiple of 4096 that holds `length` samples and some silence: quick to transform, and nothing wraps round."""
    return -(-(length + 512) // 4096) * 4096
