"""A microphone: its audio in chunks, on a clock that stays right whatever is lost on the way."""

import re
import time
from collections.abc import Iterator
from threading import Event
from typing import Any, NamedTuple

import numpy as np

from ...errors import AudioError
from .closing import Closing
from .devices import Device, devices, explained, portaudio
from .ring import Ring, Samples
from .wall_clock import WallClock

CHUNK_MS = 40
BUFFER_SECONDS = 30.0
# Without a call from PortAudio: the device is gone. A sound server may take 2 s to begin.
SILENT_SECONDS = 5.0
WAIT_SECONDS = 0.25  # at a time, for a chunk


class Chunk(NamedTuple):
    """What came next from a microphone."""

    lost: int
    """Samples that were lost just before."""
    samples: Samples
    """[n], none where only a loss is known yet."""
    arrived: float
    """When the last of them reached this process, by `time.monotonic()`."""


class MicrophoneGoneError(AudioError):
    """No more audio comes: it was unplugged, or the system took it away."""


class Microphone(Closing):
    """An open microphone. Capture begins at once and goes on whether or not anybody reads.

        with Microphone(find(None, devices())) as microphone:
            for chunk in microphone:
                phones = stream.gap(chunk.lost, microphone.sample_rate)
                phones += stream.accept(chunk.samples, microphone.sample_rate)

    PortAudio's callback copies a chunk into a ring and does nothing else. Where the reader is late by more than the
    ring holds, chunks are lost: their number and place are exact. Where the system lost audio before it came
    here, the wall clock says how much (`WallClock`).

    Attributes:
        device: as it was given.
        sample_rate: in Hz, the device's own.
        latency: seconds that audio spends in the system before it comes here, by PortAudio's account.

    Raises:
        AudioError: the device cannot be opened.
    """

    def __init__(
        self, device: Device, *, chunk_ms: float = CHUNK_MS, buffer_seconds: float = BUFFER_SECONDS
    ) -> None:
        """Open `device`.

        Args:
            chunk_ms: length of a chunk in milliseconds.
            buffer_seconds: audio that may wait for a late reader before some is lost.
        """
        self.device = device
        self.sample_rate = device.sample_rate
        self.latency = 0.0
        self._chunk = max(1, round(self.sample_rate * chunk_ms / 1000))
        slots = max(2, round(buffer_seconds * self.sample_rate / self._chunk))
        self._ring = Ring(slots, self._chunk)
        self._ready = Event()  # something to read, or the end
        self._clock = WallClock(self.sample_rate)
        self._position = 0  # samples on the audio clock that `read` has given, lost ones included
        self._missing = 0  # of those, samples that never reached the ring
        self._idle = 0.0  # seconds waited in vain
        self._restarted = False  # the next block follows a pause of unknown length
        self._stopped = False
        self._stream: Any = None
        self._open(device)

    @property
    def seconds(self) -> float:
        """The audio clock: what `read` has given and what was lost."""
        return self._position / self.sample_rate

    def read(self) -> Chunk | None:
        """The next chunk; None if none came within `WAIT_SECONDS`, or if after `stop` none is left.

        Raises:
            MicrophoneGoneError: none will come, as the device has gone.
        """
        for wait in (True, False):
            self._ready.clear()
            block = self._ring.read()
            if block is not None:
                self._idle = 0.0
                return self._chunk_of(block.start, block.samples, block.arrived, block.overflow)
            if self._stopped:
                return self._rest()
            if self._stream is None or not self._stream.active:
                raise self._gone("has stopped giving audio")
            if wait:
                self._ready.wait(WAIT_SECONDS)
        # Counted, not timed: a process that was stopped for a minute has waited but once.
        self._idle += WAIT_SECONDS
        if self._idle >= SILENT_SECONDS:
            raise self._gone(f"has given no audio for {SILENT_SECONDS:g} s")
        return None

    def __iter__(self) -> Iterator[Chunk]:
        """Chunks as they come, until `stop` was called and all are read.

        Raises:
            MicrophoneGoneError: none will come, as the device has gone.
        """
        while (chunk := self.read()) is not None or not self._stopped:
            if chunk is not None:
                yield chunk

    @property
    def stopped(self) -> bool:
        return self._stopped

    def stop(self) -> None:
        """Capture no more. What was captured can still be read."""
        self._stopped = True
        self._close_stream()

    def reopen(self) -> bool:
        """Try to open the device again after `MicrophoneGoneError`, wherever it is plugged in now.

        It is known by its name and host API. The time without it is lost audio.
        """
        self._close_stream()
        sounddevice = portaudio()
        sounddevice._terminate()  # PortAudio looks for devices only when it starts
        sounddevice._initialize()
        same = [device for device in devices() if _lasting(device) == _lasting(self.device)]
        self._restarted, self._idle = True, 0.0
        try:
            self._open(same[0])
        except (IndexError, AudioError):
            return False
        return True

    def elapse(self) -> Chunk:
        """While the device is away: the time since the last audio, or since the last call, as lost audio."""
        now = time.monotonic()
        end = self._ring.offered + self._missing
        # A little is left for the first block after `reopen`, which knows better.
        self._missing += max(0, self._clock.missing(end, now - WAIT_SECONDS))
        lost = self._ring.offered + self._missing - self._position
        self._position += lost
        return Chunk(lost, np.empty(0, np.int16), now)

    def close(self) -> None:
        self.stop()

    def _open(self, device: Device) -> None:
        sounddevice = portaudio()
        with explained(f"{device}: cannot be opened"):
            self._stream = sounddevice.RawInputStream(
                samplerate=self.sample_rate,
                blocksize=self._chunk,
                device=device.number,
                channels=1,
                dtype="int16",
                dither_off=True,
                callback=self._capture,
                finished_callback=self._ready.set,
            )
            self._stream.start()
            self.latency = float(self._stream.latency)

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)

    def _capture(self, data: Any, count: int, times: Any, status: Any) -> None:
        """Called by PortAudio, in a thread that must not wait."""
        self._ring.write(np.frombuffer(data, np.int16), time.monotonic(), status.input_overflow)
        self._ready.set()

    def _chunk_of(self, start: int, samples: Samples, arrived: float, overflow: bool) -> Chunk:
        """`samples`, which are the ring's from `start` on, and what was lost between them and those before."""
        begin = start + self._missing
        found = self._clock.lost(begin + len(samples), arrived, overflow or self._restarted)
        self._restarted = False
        self._missing += found
        lost = begin + found - self._position
        self._position += lost + len(samples)
        return Chunk(lost, samples, arrived)

    def _rest(self) -> Chunk | None:
        """What the ring refused at the very end."""
        lost = self._ring.offered + self._missing - self._position
        if lost == 0:
            return None
        self._position += lost
        return Chunk(lost, np.empty(0, np.int16), time.monotonic())

    def _gone(self, what: str) -> MicrophoneGoneError:
        return MicrophoneGoneError(
            f"{self.device}: {what}, {self.seconds:.2f} s after it began: it was unplugged or taken away; "
            "plug it in and start again, or let --reconnect wait for it"
        )


def _lasting(device: Device) -> tuple[str, str]:
    """What stays of a device when it is plugged in again: not the number that ALSA adds to the name."""
    return re.sub(r" \(hw:\d+,\d+\)$", "", device.name), device.host_api
