"""One go of `phonestream listen`: chunks of a microphone to events, each as early as it can be had."""

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..errors import AudioError
from ..streaming.audio.microphone import Chunk, Microphone, MicrophoneGoneError
from ..streaming.decode import Phone
from ..streaming.endpoint import Endpoint
from ..streaming.events import Failure, Final
from ..streaming.recognizer import Recognizer
from ..streaming.spotting.commands import CommandResult, Commands
from ..streaming.spotting.keywords import Keywords
from ..streaming.spotting.spotter import Spotted
from ..streaming.stream import Lost
from ..streaming.visemes import next_visemes, rest
from .listen_display import Display
from .listen_status import Gauge, Status, level
from .recording import Recording

RETRY_SECONDS = 0.5  # between two looks for a device that has gone


def chunks(
    microphone: Microphone, reconnect: bool, interrupted: Callable[[], bool], remark: Callable[[str], None]
) -> Iterator[Chunk]:
    """What comes from `microphone` until `interrupted()`, and then what it had captured by that moment.

    While nothing comes there are empty chunks, so that whoever takes them is never stuck here. With `reconnect`, a
    device that goes away is waited for, and the time until it is back is lost audio.

    Raises:
        MicrophoneGoneError: it went away, without `reconnect`.
    """
    gone: float | None = None  # when it went, on the audio clock
    while True:
        if interrupted():
            microphone.stop()
        try:
            chunk = microphone.read()
        except MicrophoneGoneError:
            if not reconnect:
                raise
            if gone is None:
                gone = microphone.seconds
                remark(f"{microphone.device} went away after {gone:.2f} s; waiting for it to come back")
            yield microphone.elapse()
            if not microphone.reopen():
                time.sleep(RETRY_SECONDS)
            continue
        if chunk is None and microphone.stopped:
            return
        if chunk is not None and len(chunk.samples) and gone is not None:
            remark(f"{microphone.device} is back after {microphone.seconds - gone:.2f} s")
            gone = None
        yield chunk or Chunk(0, np.empty(0, np.int16), time.monotonic())


def first(chunks: Iterable[Chunk], limit: int) -> Iterator[Chunk]:
    """`chunks` up to `limit` samples, lost ones included: the last one is cut."""
    left = limit
    for chunk in chunks:
        lost = min(chunk.lost, left)
        samples = chunk.samples[: left - lost]
        left -= lost + len(samples)
        yield chunk._replace(lost=lost, samples=samples)
        if left == 0:
            return


class Session:
    """A stream, and all that is shown and kept of it."""

    def __init__(
        self,
        recognizer: Recognizer,
        microphone: Microphone,
        recording: Recording | None,
        display: Display,
        keywords: Keywords | None = None,
        commands: Commands | None = None,
        visemes: str | None = None,
    ) -> None:
        metadata = recognizer.metadata
        self.complete = True
        """False if some of the audio could not be saved."""
        self._stream = recognizer.stream(endpoints=True, keywords=keywords, commands=commands)
        self.look_ahead = metadata.look_ahead_frames * metadata.frame_samples / metadata.sample_rate
        """Seconds of audio after a phone that the model must hear."""
        self._microphone = microphone
        self._rate = microphone.sample_rate
        self._recording = recording
        self._display = display
        self._gauge = Gauge()
        self._losing = False  # a loss may go on
        self._visemes = visemes
        self._until = 0.0  # where the last phone ended

    def take(self, chunk: Chunk) -> None:
        """Hear, keep and show a chunk."""
        before = time.perf_counter()
        events = []
        if chunk.lost:
            events += self._stream.gap(chunk.lost, self._rate)
            self._losing = True
        if len(chunk.samples):
            self._show_lost()
            events += self._stream.accept(chunk.samples, self._rate)
        compute = time.perf_counter() - before
        self._show(events)
        self._display.tentative(self._stream.tentative())
        self._save(chunk)
        if chunk.lost or len(chunk.samples):
            self._gauge.add(compute)
        self._display.status(self._status(chunk))

    def finish(self, failure: MicrophoneGoneError | None) -> None:
        """Show what was still pending, and the end."""
        self._show_lost()
        self._show(self._stream.finish())
        self._display.tentative(())
        if self._visemes is not None:
            for shape in rest(self._visemes, self._until, self._stream.seconds):
                self._display.show(shape)
        if failure is not None:
            self._display.show(Failure(str(failure)))
        self._display.show(Final(self._stream.seconds, self._stream.lost_seconds))

    def _show(self, events: Iterable[Phone | Endpoint | Lost | Spotted | CommandResult]) -> None:
        """Show phones and endpoints; a loss that goes on over many chunks is shown once, by `_show_lost`."""
        for event in events:
            if not isinstance(event, Lost):
                self._display.show(event)
            if self._visemes is not None and isinstance(event, Phone):
                for shape in next_visemes(self._visemes, self._until, event):
                    self._display.show(shape)
                self._until = event.end

    def _show_lost(self) -> None:
        if self._losing:
            self._display.show(self._stream.lost[-1])  # adjoining gaps are one there
            self._losing = False

    def _save(self, chunk: Chunk) -> None:
        """Keep the chunk. When that fails listening goes on: what is said now cannot be said again."""
        if self._recording is None:
            return
        try:
            self._recording.silence(chunk.lost)
            self._recording.write(chunk.samples)
        except AudioError as error:
            self._display.remark(f"{error}; listening goes on")
            self._recording, self.complete = None, False

    def _status(self, chunk: Chunk) -> Status:
        median, p95 = self._gauge.compute
        filling = len(chunk.samples) / self._rate
        return Status(
            seconds=self._stream.seconds,
            lost_seconds=self._stream.lost_seconds,
            level=level(chunk.samples),
            load=self._gauge.load,
            look_ahead=self.look_ahead,
            buffering=self._microphone.latency + filling + max(0.0, time.monotonic() - chunk.arrived),
            compute=median,
            compute_p95=p95,
        )
