"""Samples without a header on standard input, as capture programs write them: transcribed while they arrive."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..errors import AudioError, system_errors_as
from ..streaming.arrays import AnyArray, FloatArray
from ..streaming.audio.containers.magic import container_name
from ..streaming.audio.recording import Lost

ENCODINGS: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
STANDARD_INPUT = 0  # its descriptor
BLOCK_SECONDS = 10  # of audio at a time at most


class Raw(NamedTuple):
    """What the samples are like; channels are interleaved."""

    rate: int  # Hz
    encoding: str = "s16le"  # one of ENCODINGS
    channels: int = 1


class RawInput:
    """Standard input as a recording, used like `AudioFile`; its length is known at its end.

    Attributes:
        path, sample_rate, channels: as `AudioFile` has them.
        seconds: None.
    """

    path = "-"
    seconds: float | None = None
    remarks: tuple[str, ...] = ()
    lost: tuple[Lost, ...] = ()

    def __init__(self, raw: Raw) -> None:
        self.sample_rate = raw.rate
        self.channels = raw.channels
        self._type = ENCODINGS[raw.encoding]

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[FloatArray]:
        """Everything up to the end of the input. There is no way to begin elsewhere, so both must be left out.

        Raises:
            AudioError: nothing came, the end is within a sample, or it cannot be read.
        """
        if (start, stop) != (0, None):
            raise ValueError("standard input has no parts")
        width = self._type.itemsize * self.channels
        rest, done = b"", 0
        with system_errors_as(AudioError, "-: standard input cannot be read"):
            while piece := os.read(STANDARD_INPUT, BLOCK_SECONDS * self.sample_rate * width):
                data = rest + piece
                if not done and (kind := container_name(data)) is not None:
                    raise AudioError(
                        f"-: is a {kind} file, not bare samples; leave --rate out to have its header read"
                    )
                whole = len(data) // width * width
                rest = data[whole:]
                done += whole // width
                if whole:
                    yield self._samples(data[:whole])
        if rest:
            raise AudioError(
                f"-: ends within a sample after {done / self.sample_rate:.2f} s: "
                "it was cut off, or --encoding or --channels is wrong"
            )
        if not done:
            raise AudioError("-: standard input holds no samples; check the program that writes into it")

    def close(self) -> None:
        """Standard input stays open."""

    def _samples(self, data: bytes) -> FloatArray:
        values: AnyArray = np.frombuffer(data, self._type).reshape(-1, self.channels)
        samples: FloatArray = values.astype(np.float32)
        return samples if values.dtype.kind == "f" else samples * np.float32(1 / 32768)
