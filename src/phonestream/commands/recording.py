"""A WAV file that grows while it is recorded and can be read at any moment, however the recording ends.

After every write the header is made to say how long the file is. Beyond 4 GiB, half a day of one channel at 48 kHz,
the header becomes that of RF64 (EBU Tech 3306), for which a `JUNK` chunk keeps the room from the beginning:

    RIFF size WAVE   JUNK 28 …                          fmt  16 …   data size  samples …
    RF64 -1   WAVE   ds64 28 size, data, samples, 0     fmt  16 …   data -1    samples …
"""

import struct

import numpy as np

from ..errors import AudioError, reason_of, system_errors_as
from ..streaming.audio.closing import Closing
from ..streaming.audio.ring import Samples

HEADER = 80  # bytes before the first sample
RIFF_LIMIT = (1 << 32) - 1  # bytes after the first eight that a RIFF header can tell of
ZEROS = 1 << 15  # samples of silence that are written at a time

_UNKNOWN = (1 << 32) - 1


class Recording(Closing):
    """One channel of 16-bit samples, written to `path` as they come.

    Attributes:
        path: as given.
        samples: written so far.

    Raises:
        AudioError: the file is there already, or cannot be made or written; the message begins with the path.
    """

    def __init__(self, path: str, sample_rate: int) -> None:
        self.path = path
        self.samples = 0
        self._rate = sample_rate
        try:
            self._file = open(path, "xb", buffering=0)  # noqa: SIM115
        except FileExistsError:
            raise AudioError(f"{path}: is there already; choose another name, or remove it first") from None
        except (OSError, ValueError) as error:  # ValueError: a name with a null character
            raise AudioError(f"{path}: cannot be made: {reason_of(error)}") from None
        self.write(np.empty(0, np.int16))

    def write(self, samples: Samples) -> None:
        """Add `samples` [n].

        Raises:
            AudioError: they cannot be written. What the file had before is still there.
        """
        data = samples.astype("<i2", copy=False).tobytes()
        with system_errors_as(
            AudioError, f"{self.path}: cannot be written after {self.samples / self._rate:.2f} s", "make room"
        ):
            self._put(HEADER + 2 * self.samples, data)
            self._put(0, header(self.samples + len(samples), self._rate))
        self.samples += len(samples)

    def silence(self, count: int) -> None:
        """Add `count` zeros, in the place of samples that were lost.

        Raises:
            AudioError: as for `write`.
        """
        for begin in range(0, count, ZEROS):
            self.write(np.zeros(min(ZEROS, count - begin), np.int16))

    def close(self) -> None:
        self._file.close()

    def _put(self, offset: int, data: bytes) -> None:
        """All of `data`: a call of the system may write less, when the disk is nearly full."""
        self._file.seek(offset)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]


def header(samples: int, sample_rate: int) -> bytes:
    """The `HEADER` bytes of a file with one channel of 16-bit `samples`."""
    data = 2 * samples
    riff = HEADER - 8 + data
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    if riff <= RIFF_LIMIT:
        spare = struct.pack("<4sI28x", b"JUNK", 28)
        return (
            struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + spare + form + struct.pack("<4sI", b"data", data)
        )
    long = struct.pack("<4sIQQQI", b"ds64", 28, riff, data, samples, 0)
    return (
        struct.pack("<4sI4s", b"RF64", _UNKNOWN, b"WAVE")
        + long
        + form
        + struct.pack("<4sI", b"data", _UNKNOWN)
    )
