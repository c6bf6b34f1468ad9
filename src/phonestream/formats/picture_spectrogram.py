"""The broad-band spectrogram that phoneticians read: formants as bars, voicing as vertical striation."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW_SECONDS = 0.005  # effective length: short enough to show each glottal pulse
HOP_SECONDS = 0.001  # at least
TOP_HZ = 8000.0
RANGE_DB = 50.0  # below the loudest point everything is white
EMPHASIS_HZ = 50.0  # above it the spectrum is raised by 6 dB an octave, as it falls in speech


class Spectrogram(NamedTuple):
    """Levels to draw."""

    level: NDArray[np.float32]
    """[frequencies, times], 0 (white) to 1 (the loudest point); the lowest frequency first."""
    top_hz: float
    """Upper edge of the last row; the first begins at 0."""


def spectrogram(samples: NDArray[np.float32], rate: int, columns: int) -> Spectrogram:
    """Levels of `samples` [n], spread over their whole duration.

    A Gaussian window of 5 ms (twice that from end to end), the sound outside taken for silence.

    Args:
        rate: Hz.
        columns: times at most; fewer where they would lie less than 1 ms apart.
    """
    half = max(8, round(WINDOW_SECONDS * rate))
    window = np.exp(-12 * (np.arange(-half, half) / (2 * half)) ** 2)
    count = max(1, min(columns, round(len(samples) / rate / HOP_SECONDS)))
    centres = ((np.arange(count) + 0.5) * len(samples) / count).astype(int)
    # The window is cut out around each centre: the time axis is exact, however many columns there are.
    padded = np.concatenate([np.zeros(half), samples, np.zeros(half)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)[centres]
    size = 1 << (4 * half - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(frames * window, size))
    hertz = np.fft.rfftfreq(size, 1 / rate)
    kept = hertz <= TOP_HZ
    power = (spectrum[:, kept] * np.maximum(hertz[kept], EMPHASIS_HZ)).T
    loudest = power.max()
    if loudest == 0:  # digital silence
        return Spectrogram(np.zeros(power.shape, np.float32), min(TOP_HZ, rate / 2))
    decibels = 20 * np.log10(np.maximum(power / loudest, 1e-6))
    level = np.clip(1 + decibels / RANGE_DB, 0, 1).astype(np.float32)
    return Spectrogram(level, min(TOP_HZ, rate / 2))
