"""Many live streams on one core: whatever chunks are ready go through the model together, a tick at a time.

A server pushes audio as it comes, from any thread, and calls `tick` in one worker thread:

    pool = StreamPool(recognizer)
    stream = pool.open(sample_rate=48_000)
    stream.push(samples)                           # checked and kept, at once
    ...
    while pool.ready:                              # in the worker
        for stream, events, error, finished in pool.tick():
            ...

Each stream gives what it would give alone, but for the rounding of log-probabilities. It gives it a chunk at a time:
a pool waits until `chunk_seconds` of a stream are there, since one call for many frames costs less than many calls.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike

from ...errors import AudioError, ConfigError
from .. import snapshot, state
from ..audio.samples import check_rate, check_samples, mono
from ..endpoint import EndpointConfig
from ..model import MAX_BLOCK_SECONDS, Model
from ..recognizer import Recognizer, endpoint_config
from ..state import Lost, StreamState
from ..stream import DEFAULT_RATE, check_gap
from .channel import Channel
from .inbox import Request
from .results import PoolStats, TickResult
from .run import run_frames
from .slots import Slots

MAX_STREAMS = 65_536


class PooledStream:
    """One stream of a pool; `StreamPool.open` makes it.

    Attributes:
        sample_rate: in Hz, of all that is pushed.
        endpoints: its rules, or None.
    """

    def __init__(self, pool: "StreamPool", channel: Channel, rate: int, begin: StreamState) -> None:
        self.sample_rate = rate
        self.endpoints = begin.endpoints.config if begin.endpoints else None
        self._pool = pool
        self._channel = channel
        self._lost = [gap.event(rate) for gap in begin.lost]

    @property
    def finished(self) -> bool:
        """Whether `finish` has been called."""
        return self._channel.finished

    @property
    def closed(self) -> bool:
        """Whether it is over: heard to its end, handed over, failed or closed."""
        return self._channel.closed

    @property
    def seconds(self) -> float:
        """The audio clock: seconds pushed so far, lost audio included."""
        return self._channel.seconds

    @property
    def backlog_seconds(self) -> float:
        """Seconds of that which the model has not heard yet."""
        return self._channel.backlog_seconds

    @property
    def backlog_entries(self) -> int:
        """Pieces of audio, gaps and requests that wait; short pieces are joined."""
        return len(self._channel.inbox)

    @property
    def waited_seconds(self) -> float:
        """How long the oldest of what the last tick took had waited."""
        return self._channel.waited_seconds

    @property
    def lost(self) -> list[Lost]:
        """The gaps so far, in order, one for each call of `gap`."""
        return list(self._lost)

    @property
    def lost_seconds(self) -> float:
        return sum((lost.seconds for lost in self._lost), start=0.0)

    def push(self, samples: ArrayLike) -> None:
        """Take the next samples, any number of them, to be heard by the ticks to come.

        Args:
            samples: as for `Stream.accept`, at the stream's rate. Checked now, and copied.

        Raises:
            AudioError: as for `Stream.accept`, or the stream is closed. Nothing was taken, and the stream can go on.
        """
        audio = np.array(mono(check_samples(samples)), np.float32)  # the caller may reuse its buffer
        with self._pool.lock:
            self._check_open()
            self._channel.inbox.put_audio(audio)
            self._pool.note(self._channel)

    def gap(self, samples: int) -> None:
        """Account for `samples` that were lost; see `Stream.gap`.

        Raises:
            AudioError: a number below 0 or above 24 hours, or the stream is finished or closed.
        """
        count = check_gap(samples, self.sample_rate)
        with self._pool.lock:
            self._check_open()
            lost = self._channel.inbox.put_gap(count).event(self.sample_rate)
            if count:
                self._lost.append(lost)
                self._pool.lost_seconds += lost.seconds
            self._pool.note(self._channel)

    def finish(self) -> None:
        """Say that no more audio comes. A tick will give the last events, with `finished` true."""
        with self._pool.lock:
            self._channel.finished = True
            self._pool.note(self._channel)

    def request_snapshot(self, *, hand_over: bool = False) -> None:
        """Ask for a `Snapshot` among the events, once all that was pushed before has been heard.

        Args:
            hand_over: the stream goes on elsewhere: here it ends with the snapshot.

        Raises:
            AudioError: the stream is finished or closed.
        """
        with self._pool.lock:
            self._check_open()
            self._channel.inbox.put_request(Request.HAND_OVER if hand_over else Request.SNAPSHOT)
            self._pool.note(self._channel)

    def pause(self, paused: bool = True) -> None:
        """Let ticks pass the stream over, or no longer. What is pushed meanwhile waits."""
        with self._pool.lock:
            self._channel.paused = paused
            self._pool.note(self._channel)

    def save(self) -> bytes:
        """A snapshot of all that was pushed, as `Stream.save` would write it. Waits for a tick that is going on.

        What no tick has heard yet is heard first; the events come with the next tick, and are not in the snapshot.

        Raises:
            AudioError: the stream is closed, or being heard to its end.
            ModelError: the model gives NaN. The next tick says that the stream has failed.
        """
        return self._pool.save(self._channel)

    def close(self) -> None:
        """Forget the stream; what waits is dropped. Closing twice, or after its end, is no error."""
        self._pool.close(self._channel)

    def __repr__(self) -> str:
        status = ", closed" if self.closed else ", finished" if self.finished else ""
        return f"<PooledStream at {self.seconds:.3f} s{status}>"

    def _check_open(self) -> None:
        if self.closed or self.finished:
            raise AudioError(
                f"the stream is {'closed' if self.closed else 'finished'}: open another with pool.open()"
            )


class StreamPool:
    """Streams of one recogniser that advance together. Threads may share it.

    `open`, `push`, `gap`, `finish`, `close`, `ready` and `stats` never wait for a tick, so that an event loop may call
    them. `tick` and `save` take turns, and belong in a worker thread.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        chunk_seconds: float = 0.16,
        max_chunk_seconds: float | None = None,
        max_streams: int = 256,
    ) -> None:
        """Make a pool with room for `max_streams`. Memory is taken as streams come: twice a stream's state
        for each, and its sums once more while it is silent.

        Args:
            chunk_seconds: of a stream before a tick advances it, from a frame to 4 s, rounded down to whole frames.
            max_chunk_seconds: the most that a tick advances a stream by, where more is there; `chunk_seconds` when it
                is left out.

        Raises:
            ConfigError: `chunk_seconds`, `max_chunk_seconds` or `max_streams` out of range.
            ModelError: the model's states cannot lie side by side (see `slots`).
        """
        model: Model = recognizer._model
        if type(max_streams) is not int or not 1 <= max_streams <= MAX_STREAMS:
            raise ConfigError(f"max_streams={max_streams!r}: expected a whole number from 1 to {MAX_STREAMS}")
        self.max_streams = max_streams
        self.chunk_frames = _frames(model, "chunk_seconds", chunk_seconds, 1)
        longest = chunk_seconds if max_chunk_seconds is None else max_chunk_seconds
        self.max_chunk_frames = _frames(model, "max_chunk_seconds", longest, self.chunk_frames)
        self.chunk_seconds = self.chunk_frames * model.metadata.frame_samples / model.metadata.sample_rate
        self.lock = Lock()
        """Held for a moment, to read or change inboxes and what is open or ready."""
        self.lost_seconds = 0.0
        self._model = model
        self._slots: Slots[Channel] = Slots(model, max_streams)  # touched under _turn only
        self._turn = Lock()  # held by a tick
        self._open: dict[Channel, PooledStream] = {}
        self._ready: dict[Channel, None] = {}  # a set that keeps the order
        self._closed: list[Channel] = []  # their slots are still to be freed
        self._counts = dict.fromkeys(("opened", "finished", "failed", "ticks", "frames"), 0)
        self._compute_seconds = 0.0

    @property
    def full(self) -> bool:
        """Whether `open` would be refused now."""
        return len(self._open) >= self.max_streams

    @property
    def ready(self) -> int:
        """Streams that `tick` would advance now: a chunk is there, they finish, or have something to be told."""
        return len(self._ready)

    def open(
        self,
        *,
        sample_rate: int | None = None,
        endpoints: EndpointConfig | bool | None = None,
        posteriors: bool = False,
        report_gaps: bool = False,
        snapshot: bytes | None = None,
    ) -> PooledStream:
        """A new stream, or with `snapshot` one that was saved, here or anywhere with the same model, and goes on.

        Args:
            sample_rate: Hz of all that is pushed; 16000, or the snapshot's, when it is left out.
            endpoints: as for `Recognizer.stream`; none, or the snapshot's, when it is left out.
            posteriors: whether `Posteriors` come among the events. Where not, rows that a snapshot of
                `stream(posteriors=True)` holds are left out.
            report_gaps: whether `Lost` events come without endpoints too, as soon as a tick has got there.
            snapshot: what `Stream.save` or `PooledStream.save` gave.

        Raises:
            ConfigError: the pool is full; `endpoints` are not those of the snapshot, or it has no `posteriors`.
            AudioError: `sample_rate` is out of range or not that of the snapshot.
            SnapshotError: the snapshot is damaged or of another model.
        """
        begin = self._begin(sample_rate, endpoints, posteriors, snapshot)
        rate = (
            begin.resampler.rate
            if begin.resampler
            else check_rate(DEFAULT_RATE if sample_rate is None else sample_rate)
        )
        channel = Channel(self._model, rate, begin, self.lock, report_gaps)
        stream = PooledStream(self, channel, rate, begin)
        with self.lock:
            if self.full:
                raise ConfigError(
                    f"the pool holds {self.max_streams} streams: close one, or make it with more max_streams"
                )
            self._open[channel] = stream
            self._counts["opened"] += 1
            self.note(channel)
        return stream

    def tick(self, *, silent: bool = False) -> list[TickResult]:
        """Advance each ready stream by a chunk, all in as few calls of the model as can be.

        A stream with several chunks waiting gets one a tick, so that none delays the others: go on while `ready`. One
        that finishes is heard to its end as soon as less than a chunk is left. If the model gives NaN for a stream,
        that stream fails alone.

        Args:
            silent: whether streams that were advanced and have nothing to tell are in the result too.
        """
        with self._turn:
            began = time.perf_counter()
            with self.lock:
                ready, self._ready = [*self._ready], {}
            try:
                self._free()
                for channel in ready:
                    channel.fill(self.max_chunk_frames * self._model.metadata.frame_samples)
                sound = (channel for channel in ready if channel.error is None)
                self._run({c: c.budget(self.chunk_frames, self.max_chunk_frames) for c in sound})
                return self._results(ready, silent)
            finally:
                with self.lock:
                    for channel in ready:
                        self.note(channel)
                    self._counts["ticks"] += 1
                    self._compute_seconds += time.perf_counter() - began

    def waiting_seconds(self) -> float:
        """The longest backlog of a stream that a tick would advance."""
        with self.lock:
            return max((channel.backlog_seconds for channel in self._ready), default=0.0)

    def stats(self) -> PoolStats:
        """How the pool stands."""
        with self.lock:
            counts, meta = self._counts, self._model.metadata
            return PoolStats(
                streams=len(self._open),
                ready=len(self._ready),
                backlog_seconds=max((channel.backlog_seconds for channel in self._open), default=0.0),
                opened=counts["opened"],
                finished=counts["finished"],
                failed=counts["failed"],
                ticks=counts["ticks"],
                calls=self._slots.calls,
                audio_seconds=counts["frames"] * meta.frame_samples / meta.sample_rate,
                lost_seconds=self.lost_seconds,
                compute_seconds=self._compute_seconds,
            )

    def note(self, channel: Channel) -> None:
        """See whether a tick would advance a stream. Call with the lock held."""
        if channel.due(self.chunk_frames):
            self._ready[channel] = None
        else:
            self._ready.pop(channel, None)

    def save(self, channel: Channel) -> bytes:
        """`PooledStream.save`."""
        size = self.max_chunk_frames * self._model.metadata.frame_samples
        with self._turn:
            if channel.closed or channel.ending:
                raise AudioError("the stream is closed: save it before its end")
            self._free()
            try:
                while True:
                    channel.fill(size)
                    self._run({channel: len(channel.state.pending)})
                    if channel.error is not None:
                        raise channel.error
                    if not len(channel.inbox):
                        return snapshot.save(self._model, channel.state)
            finally:
                with self.lock:
                    self.note(channel)

    def close(self, channel: Channel) -> None:
        """`PooledStream.close`."""
        with self.lock:
            if not channel.closed:
                channel.closed = True
                channel.inbox.clear()
                del self._open[channel]
                self._ready.pop(channel, None)
                self._closed.append(channel)

    def __repr__(self) -> str:
        return f"<StreamPool of {len(self._open)} streams, {self.ready} ready>"

    def _begin(
        self,
        sample_rate: int | None,
        endpoints: EndpointConfig | bool | None,
        posteriors: bool,
        saved: bytes | None,
    ) -> StreamState:
        wanted = endpoint_config(False if endpoints is None else endpoints)
        if saved is None:
            return state.initial(self._model, posteriors, wanted)
        begin = snapshot.load(self._model, saved)
        own = begin.endpoints.config if begin.endpoints else None
        if endpoints is not None and wanted != own:
            raise ConfigError(
                "the snapshot's stream has other endpoint rules: leave `endpoints` out, its own go on"
            )
        if posteriors and begin.posteriors is None:
            raise ConfigError("the snapshot's stream keeps no posteriors: leave `posteriors` out")
        if sample_rate is not None and begin.resampler and begin.resampler.rate != check_rate(sample_rate):
            raise AudioError(
                f"sample rate {sample_rate} for a snapshot of a stream at {begin.resampler.rate} Hz"
            )
        return begin if posteriors else replace(begin, posteriors=None)

    def _run(self, budgets: dict[Channel, int]) -> None:
        """Advance each stream by all its frames that are pending, up to its budget."""
        going = dict(budgets)
        while counts := {
            channel: frames
            for channel, left in going.items()
            if (frames := min(left, state.ready_frames(self._model, channel.state)))
        }:
            for channel in counts:
                if channel not in self._slots:
                    model = self._slots.keep(channel, channel.state.model)
                    channel.state = replace(channel.state, model=model)
            states = {channel: channel.state for channel in counts}
            for channel, (events, after, error) in run_frames(self._model, states, counts, self._slots):
                if error is not None:
                    channel.error = error
                    del going[channel]
                    continue
                frames = after.frames - channel.state.frames
                going[channel] -= frames
                self._counts["frames"] += frames
                channel.advance(events, after)
        for channel in budgets:
            channel.settle()

    def _results(self, ready: Iterable[Channel], silent: bool) -> list[TickResult]:
        """What is to be told of the streams that a tick has advanced; those that are over are closed."""
        results = []
        for channel in ready:
            stream = self._open.get(channel)
            if stream is None:  # closed meanwhile
                continue
            over = channel.ended or channel.error is not None
            if over:
                self.close(channel)
                self._counts["finished" if channel.error is None else "failed"] += 1
            events, channel.events = channel.events, []
            if over or events or silent:
                results.append(TickResult(stream, events, channel.error, over))
        return results

    def _free(self) -> None:
        """Give back the slots of streams that have been closed."""
        with self.lock:
            closed, self._closed = self._closed, []
        for channel in closed:
            self._slots.drop(channel)


def _frames(model: Model, name: str, seconds: float, least: int) -> int:
    """Whole frames in `seconds`.

    Raises:
        ConfigError: it is no number, or not from `least` frames to a block.
    """
    frame_seconds = model.metadata.frame_samples / model.metadata.sample_rate
    low, high = least * frame_seconds, max(MAX_BLOCK_SECONDS, frame_seconds)
    if type(seconds) not in (int, float) or not low - 1e-9 <= seconds <= high:
        raise ConfigError(f"{name}={seconds!r}: expected seconds from {low:g} to {high:g}")
    return int(seconds / frame_seconds + 1e-9)
