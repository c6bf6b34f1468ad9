"""Sample-rate conversion whose memory is an explicit value, so that a stream can be saved and split anywhere.

Output sample m is the band-limited input at time m / target, a dot product of the input around that time with
a Kaiser-windowed sinc (linear phase, delay compensated):

    y[m] = sum_n x[n] h(m rate/target - n)
    h(t) = c sinc(c t) kaiser(t / W)
    c = 0.95 min(1, target/rate)    W = 58 max(1, rate/target) input samples

Flat to 0.9 of the lower rate's Nyquist frequency, at least 90 dB down from 1.0 of it on, so nothing aliases;
116 taps per output when upsampling, 116 rate/target when downsampling. Kaiser's formulas: J. F. Kaiser,
"Nonrecursive digital filter design using the I0-sinh window function", 1974.

rate/target is reduced by its gcd to down/up, whereupon y[m] needs one of only `up` sets of coefficients, the
polyphase bank. Odd rates (44099 Hz has up = 16000) would need a bank of up to a gigabyte: above 1024 phases
the bank holds 1024 and the output is interpolated linearly between two of them, an error below -115 dB.

Every output is one dot product in a fixed order, by `einsum` and not `matmul`: BLAS rounds differently with
the size of the batch, and starts threads of its own. The output therefore does not depend on how the input
was split.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..arrays import FloatArray

PASS_BAND = 0.9  # of the lower rate's Nyquist frequency; the stop band begins at 1.0
STOP_BAND_DB = 90
HALF_WIDTH = 58  # samples at the lower rate: (90 - 7.95) / (14.36 * 0.05) / 2, rounded up
KAISER_BETA = 0.1102 * (STOP_BAND_DB - 8.7)

MAX_PHASES = 1024
GATHER = 64  # outputs whose windows and coefficients are copied at a time: they then stay in the cache


class ResamplerState(NamedTuple):
    """All that a resampler remembers. The other three determine the length of `tail`."""

    rate: int  # Hz, of the input
    target: int  # Hz, of the output
    received: int  # input samples so far
    tail: FloatArray  # [n] the last of them, which outputs to come still need
    filter: "Filter | None" = None
    """That of these rates, kept while the stream is; None until the first samples."""


@dataclass(frozen=True, eq=False)
class Filter:
    """Coefficients for one pair of rates.

    Row i of `bank` is h((half - 1) + i/phases - j) for j = 0 … 2 half - 1: its dot product with a window of
    2 half input samples is the signal i/phases of a sample after the window's sample half - 1. The last row,
    i = phases, is there to interpolate towards.
    """

    up: int
    down: int
    half: int
    phases: int
    bank: FloatArray  # [phases + 1, 2 half]


_in_use: WeakValueDictionary[tuple[int, int], Filter] = WeakValueDictionary()


def design(rate: int, target: int) -> Filter:
    """The filter from `rate` to `target` Hz: at most some 20 MB, for 768 kHz; 0.2 MB for 44.1 kHz.

    There is one while anybody has it, and the latest few are kept longer.
    """
    found = _in_use.get((rate, target))
    if found is None:
        found = _in_use[rate, target] = _design(rate, target)
    return found


def is_odd(rate: int, target: int) -> bool:
    """Whether the rates have so small a common divisor that their filter is large, and slow to make."""
    return target // gcd(rate, target) > MAX_PHASES


@lru_cache(maxsize=8)
def _design(rate: int, target: int) -> Filter:
    common = gcd(rate, target)
    up, down = target // common, rate // common
    phases = min(up, MAX_PHASES)
    width, half = HALF_WIDTH * max(1.0, rate / target), half_taps(rate, target)
    cutoff = (PASS_BAND + 1) / 2 * min(1.0, target / rate)

    times = (half - 1) + np.arange(phases + 1)[:, None] / phases - np.arange(2 * half)
    inside = np.sqrt(np.maximum(0.0, 1 - (times / width) ** 2))
    window = np.where(abs(times) < width, np.i0(KAISER_BETA * inside) / np.i0(KAISER_BETA), 0.0)
    bank = (cutoff * np.sinc(cutoff * times) * window).astype(np.float32)
    bank.setflags(write=False)  # shared by all streams
    return Filter(up, down, half, phases, bank)


def half_taps(rate: int, target: int) -> int:
    """Input samples on either side of an output that it depends on, the outermost by nothing: h(half) = 0."""
    return 0 if rate == target else HALF_WIDTH * max(rate, target) // target + 1


def start(rate: int, target: int) -> ResamplerState:
    """The state before the first sample: silence lies in front of it."""
    return ResamplerState(rate, target, 0, np.zeros(tail_length(rate, target, 0), np.float32))


def resample(state: ResamplerState, samples: FloatArray) -> tuple[FloatArray, ResamplerState]:
    """Convert `samples` [n], the next ones of the stream, to every output [m] that they complete.

    Outputs lag by half the filter: 3.6 ms when downsampling to 16 kHz, 58 input samples when upsampling.
    Equal rates pass through at once, and the very array comes back. Neither `state` nor `samples` is changed.
    """
    rate, target, received, tail, own = state
    total_received = received + len(samples)
    if rate == target:
        return samples, state._replace(received=total_received)
    signal = np.concatenate([tail, samples])
    first, last = produced(rate, target, received), produced(rate, target, total_received)
    own = own or design(rate, target)
    output = _filter(own, signal, first, last - first)
    kept = tail_length(rate, target, total_received)
    return output, ResamplerState(rate, target, total_received, signal[len(signal) - kept :].copy(), own)


def flush(state: ResamplerState) -> FloatArray:
    """The outputs still due when the input ends here: as if silence followed, up to `total`."""
    silence = np.zeros(half_taps(state.rate, state.target), np.float32)
    return resample(state, silence)[0]


def total(rate: int, target: int, received: int) -> int:
    """Length of the whole output for `received` input samples: ceil(received target / rate)."""
    return -(-received * target // rate)


def produced(rate: int, target: int, received: int) -> int:
    """Outputs complete after `received` input samples: those m with floor(m down/up) + half < received."""
    return max(0, total(rate, target, received - half_taps(rate, target)))


def tail_length(rate: int, target: int, received: int) -> int:
    """Samples that the state holds after `received`: from the start of the next output's window on."""
    if rate == target:
        return 0
    first = produced(rate, target, received) * rate // target - half_taps(rate, target) + 1
    return received - first


def _filter(design: Filter, signal: FloatArray, first: int, count: int) -> FloatArray:
    """Outputs first … first + count - 1, where `signal` begins with the window of output `first`."""
    up, down, half, phases, bank = design.up, design.down, design.half, design.phases, design.bank
    output = np.empty(count, np.float32)
    if count == 0:
        return output
    windows = sliding_window_view(signal, 2 * half)
    # In units of 1/up of an input sample, counted from the sample at or before output `first`.
    position = first * down % up + np.arange(count) * down
    begin, phase = position // up, position % up

    if phases == up and count >= 8 * up:  # long input: all outputs of a phase at once, nothing copied
        for k in range(up):
            same = output[k::up]
            np.einsum("ij,j->i", windows[begin[k] :: down][: len(same)], bank[phase[k]], out=same)
        return output

    row = phase * phases // up
    for piece in (slice(i, i + GATHER) for i in range(0, count, GATHER)):
        window = windows[begin[piece]]
        np.einsum("ij,ij->i", window, bank[row[piece]], out=output[piece])
        if phases != up:
            weight = (phase[piece] * phases % up / up).astype(np.float32)
            after = np.einsum("ij,ij->i", window, bank[row[piece] + 1])
            output[piece] += weight * (after - output[piece])
    return output
