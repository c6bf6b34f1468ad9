"""Whatever array a microphone, a file or a socket hands over, to mono float32, or a refusal."""

import operator
from collections.abc import Iterator
from os import PathLike
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from ...errors import AudioError
from ..arrays import AnyArray, FloatArray

SAMPLE_RATE = 16_000  # Hz, of the models
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64  # more is an array the wrong way round
MAX_LEVEL = 16.0  # 24 dB above full scale; decoders overshoot a little, a wrong unit by a factor of 32768


def check_rate(sample_rate: SupportsIndex | float) -> int:
    """`sample_rate` as an integer of Hz.

    Raises:
        AudioError: it is no whole number from 1000 to 768000.
    """
    try:
        if isinstance(sample_rate, float | np.floating) and float(sample_rate).is_integer():
            rate = int(sample_rate)
        else:
            rate = operator.index(sample_rate)  # type: ignore[arg-type]  # refuses other floats
    except TypeError:
        rate = 0
    if not MIN_RATE <= rate <= MAX_RATE or isinstance(sample_rate, bool):
        raise AudioError(
            f"sample rate {sample_rate!r}: expected a whole number of Hz from {MIN_RATE} to {MAX_RATE}"
        )
    return rate


def check_samples(samples: ArrayLike, channels: int | None = None) -> AnyArray:
    """`samples` as an array [n] or [n, channels] that `mono` can take, not copied where it is one already.

    An array with more columns than rows, and more than two of them, is taken for [channels, n] and refused: [2, 32] and
    [1, 64] are, [1, 2] is one sample in stereo. A chunk that is shorter than it has channels is told from these by the
    chunk before it, which had as many.

    Args:
        samples: an array or a list, or a tensor of torch, of any device and whether or not it needs a gradient.
        channels: of the chunk before in the same stream; None where there was none, or it was [n].

    Raises:
        AudioError: neither float nor int16, not of that shape, not finite, or far beyond full scale.
    """
    array = _as_array(samples)
    if array.dtype.kind != "f" and array.dtype.newbyteorder("=") != np.int16:
        raise AudioError(
            f"samples of type {array.dtype}: expected floats in [-1, 1] or int16; "
            "scale other integers to floats first (int32: samples / 2**31)"
        )
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise AudioError(f"samples of shape {array.shape}: expected [n] or [n, channels]")
    if array.ndim == 2 and array.size:
        count, width = array.shape
        if width > MAX_CHANNELS or (width > max(2, count) and width != channels):
            raise AudioError(
                f"samples of shape {array.shape} would be {width} channels: "
                "expected [n, channels], so transpose an array that is [channels, n]"
            )
    if array.dtype.kind == "f" and array.size:
        low, high = array.min(), array.max()
        if not (low >= -MAX_LEVEL and high <= MAX_LEVEL):  # also when either is NaN
            raise AudioError(_unusable(array))
    return array


def _as_array(samples: Any) -> AnyArray:
    """`samples` as numpy has them.

    Raises:
        AudioError: they are no array.
    """
    if isinstance(samples, str | bytes | PathLike):
        raise AudioError(
            f"samples={repr(samples)[:60]}: expected an array; recognizer.transcribe_file(path) reads a file"
        )
    try:
        if hasattr(samples, "detach"):  # a tensor
            samples = samples.detach().cpu()
        array: AnyArray = np.asarray(samples)
    except (ValueError, TypeError, RuntimeError) as error:  # a ragged list, a tensor of another kind
        raise AudioError(f"samples are no array: {' '.join(str(error).split())}") from None
    return array


def _unusable(array: AnyArray) -> str:
    bad = ~np.isfinite(array)
    if bad.any():
        where: Any = np.argwhere(bad)[0]
        return (
            f"sample {where[0]} of {len(array)} is {array[tuple(where)]}: expected finite floats in [-1, 1]"
        )
    return (
        f"samples reach {np.abs(array).max():.6g}: floats are in [-1, 1]; "
        "divide 16-bit values by 32768, or pass them as int16"
    )


def next_channels(samples: AnyArray, channels: int | None) -> int | None:
    """`channels` for `check_samples` of the chunk after the checked `samples`, which were checked with `channels`."""
    if samples.size == 0:
        return channels
    return samples.shape[1] if samples.ndim == 2 else None


def mono(samples: AnyArray) -> FloatArray:
    """Checked samples [n] or [n, channels] to float32 [n], the mean of the channels. May share memory."""
    if samples.dtype.kind == "f":
        scaled = samples.astype(np.float32, copy=False)
    else:
        scaled = samples.astype(np.float32) * np.float32(1 / 32768)
    if scaled.ndim == 1:
        return scaled
    mixed: FloatArray = scaled[:, 0] if scaled.shape[1] == 1 else scaled.mean(axis=1, dtype=np.float32)
    return mixed


def mix_block(block: AnyArray) -> FloatArray:
    """A block [n, channels] of a recording, however few samples it has, to float32 [n], the mean of the channels.

    Raises:
        AudioError: as `check_samples`.
    """
    return mono(check_samples(block, block.shape[-1]))


def slices(length: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` over `length` items."""
    return (slice(begin, min(begin + size, length)) for begin in range(0, length, size))
