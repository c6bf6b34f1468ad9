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
from dataclasses import replace
from threading import Lock
from typing import NamedTuple

from ..errors import AudioError, ConfigError, PhonestreamError
from . import batch, snapshot, state
from .audio.samples import check_rate
from .endpoint import EndpointConfig
from .model import MAX_BLOCK_SECONDS, Model
from .pooled import PooledStream
from .recognizer import Recognizer, endpoint_config
from .slots import Slots
from .state import Event, StreamState
from .stream import DEFAULT_RATE

MAX_STREAMS = 65_536


class Heard(NamedTuple):
    """What one tick brought for one stream."""

    stream: PooledStream
    events: list[Event]
    """In time order; only `Phone`s unless the stream was opened with endpoints."""
    error: PhonestreamError | None
    """Not None: the stream has failed, and is closed."""
    finished: bool
    """The stream has been heard to its end, or has failed. It is closed, and nothing more comes from it."""


class PoolStats(NamedTuple):
    """How a pool stands, and what it has done since it was made."""

    streams: int  # open now
    ready: int  # of them, those that a tick would advance
    backlog_seconds: float  # of audio pushed and not heard yet, of the stream that has the most
    opened: int
    finished: int
    failed: int
    ticks: int
    calls: int  # of the model
    audio_seconds: float  # heard by the model, of all streams together
    lost_seconds: float  # told by `gap`
    compute_seconds: float  # spent in ticks


class StreamPool:
    """Streams of one recogniser that advance together. Threads may share it.

    `open`, `push`, `gap`, `finish`, `close`, `ready` and `stats` never wait for a tick, so that an event loop may call
    them. `tick` and `save` take turns, and belong in a worker thread.
    """

    def __init__(
        self, recognizer: Recognizer, *, chunk_seconds: float = 0.16, max_streams: int = 256
    ) -> None:
        """Make a pool with room for `max_streams`. Memory is taken as streams come: twice a stream's state for each.

        Args:
            chunk_seconds: how much of a stream a tick advances, from a frame to 4 s, rounded down to whole frames.

        Raises:
            ConfigError: `chunk_seconds` or `max_streams` out of range.
            ModelError: the model's states cannot lie side by side (see `slots`).
        """
        model: Model = recognizer._model
        frame_seconds = model.metadata.frame_samples / model.metadata.sample_rate
        limit = max(MAX_BLOCK_SECONDS, frame_seconds)
        number = type(chunk_seconds) in (int, float)
        if not (number and frame_seconds - 1e-9 <= chunk_seconds <= limit):
            raise ConfigError(
                f"chunk_seconds={chunk_seconds!r}: expected seconds from a frame's {frame_seconds:g} to {limit:g}"
            )
        if type(max_streams) is not int or not 1 <= max_streams <= MAX_STREAMS:
            raise ConfigError(f"max_streams={max_streams!r}: expected a whole number from 1 to {MAX_STREAMS}")
        self._model = model
        self.max_streams = max_streams
        self.chunk_frames = int(chunk_seconds / frame_seconds + 1e-9)
        self.chunk_seconds = self.chunk_frames * frame_seconds
        self._chunk_samples = self.chunk_frames * model.metadata.frame_samples
        self._slots: Slots[PooledStream] = Slots(model, max_streams)  # touched under _turn only
        self._turn = Lock()  # held by a tick
        self._lock = Lock()  # held for a moment, to read or change what is below and the streams' inboxes
        self._streams: set[PooledStream] = set()
        self._ready: dict[PooledStream, None] = {}  # a set that keeps the order
        self._closed: list[PooledStream] = []  # their slots are still to be freed
        self._counts = dict.fromkeys(("opened", "finished", "failed", "ticks", "calls", "frames"), 0)
        self._lost_seconds = self._compute_seconds = 0.0

    @property
    def full(self) -> bool:
        """Whether `open` would be refused now."""
        return len(self._streams) >= self.max_streams

    @property
    def ready(self) -> int:
        """Streams that `tick` would advance now: a chunk is there, they finish, or `save` has left events."""
        return len(self._ready)

    def open(
        self,
        *,
        sample_rate: int | None = None,
        endpoints: EndpointConfig | bool | None = None,
        snapshot: bytes | None = None,
    ) -> PooledStream:
        """A new stream, or with `snapshot` one that was saved, here or anywhere with the same model, and goes on.

        Args:
            sample_rate: Hz of all that is pushed; 16000, or the snapshot's, when it is left out.
            endpoints: as for `Recognizer.stream`; none, or the snapshot's, when it is left out.
            snapshot: what `Stream.save` or `PooledStream.save` gave. Rows that it holds of
                `stream(posteriors=True)` are left out.

        Raises:
            ConfigError: the pool is full, or `endpoints` are not those of the snapshot.
            AudioError: `sample_rate` is out of range or not that of the snapshot.
            SnapshotError: the snapshot is damaged or of another model.
        """
        begin = self._begin(sample_rate, endpoints, snapshot)
        rate = (
            begin.resampler.rate
            if begin.resampler
            else check_rate(DEFAULT_RATE if sample_rate is None else sample_rate)
        )
        stream = PooledStream(self, rate, begin)
        with self._lock:
            if self.full:
                raise ConfigError(
                    f"the pool holds {self.max_streams} streams: close one, or make it with more max_streams"
                )
            self._streams.add(stream)
            self._counts["opened"] += 1
            self._note(stream)
        return stream

    def tick(self) -> list[Heard]:
        """Advance each ready stream by a chunk, all in as few calls of the model as can be.

        A stream with several chunks waiting gets one a tick, so that none delays the others: go on while `ready`. One
        that finishes is heard to its end as soon as less than a chunk is left. Streams with nothing to tell are left
        out of the result. If the model gives NaN for a stream, that stream fails alone.
        """
        with self._turn:
            began = time.perf_counter()
            with self._lock:
                ready, self._ready = [*self._ready], {}
                closed, self._closed = self._closed, []
            try:
                for stream in closed:
                    self._slots.drop(stream)
                heard = self._advance(ready)
            finally:
                with self._lock:
                    for stream in ready:
                        self._note(stream)
                    self._counts["ticks"] += 1
                    self._compute_seconds += time.perf_counter() - began
            return heard

    def stats(self) -> PoolStats:
        """How the pool stands."""
        with self._lock:
            counts, meta = self._counts, self._model.metadata
            return PoolStats(
                streams=len(self._streams),
                ready=len(self._ready),
                backlog_seconds=max((stream._backlog() for stream in self._streams), default=0.0),
                opened=counts["opened"],
                finished=counts["finished"],
                failed=counts["failed"],
                ticks=counts["ticks"],
                calls=counts["calls"],
                audio_seconds=counts["frames"] * meta.frame_samples / meta.sample_rate,
                lost_seconds=self._lost_seconds,
                compute_seconds=self._compute_seconds,
            )

    def __repr__(self) -> str:
        return f"<StreamPool of {len(self._streams)} streams, {self.ready} ready>"

    def _begin(
        self, sample_rate: int | None, endpoints: EndpointConfig | bool | None, saved: bytes | None
    ) -> StreamState:
        wanted = endpoint_config(False if endpoints is None else endpoints)
        if saved is None:
            return state.initial(self._model, endpoints=wanted)
        begin = snapshot.load(self._model, saved)
        own = begin.endpoints.config if begin.endpoints else None
        if endpoints is not None and wanted != own:
            raise ConfigError(
                "the snapshot's stream has other endpoint rules: leave `endpoints` out, its own go on"
            )
        if sample_rate is not None and begin.resampler and begin.resampler.rate != check_rate(sample_rate):
            raise AudioError(
                f"sample rate {sample_rate} for a snapshot of a stream at {begin.resampler.rate} Hz"
            )
        return replace(begin, posteriors=None)

    def _advance(self, ready: list[PooledStream]) -> list[Heard]:
        """Chunks of the streams that have one, then the ends of those that finish and have less."""
        chunks, ends = [], []
        for stream in ready:
            stream._hear(self._chunk_samples)
            if len(stream._state.pending) >= self._chunk_samples:
                chunks.append(stream)
            elif stream.finished:
                ends.append(stream)
        failed = self._chunks(chunks) if chunks else {}
        failed |= self._ends(ends) if ends else {}
        over = {*ends, *failed}
        for stream in over:
            stream.close()
            self._slots.drop(stream)
        self._counts["failed"] += len(failed)
        self._counts["finished"] += len(over) - len(failed)
        heard = []
        for stream in ready:
            events, stream._events = stream._events, []
            if stream in over or (events and not stream.closed):
                heard.append(Heard(stream, events, failed.get(stream), stream in over))
        return heard

    def _chunks(self, streams: list[PooledStream]) -> dict[PooledStream, PhonestreamError]:
        """Advance `streams` by a chunk each; those that failed."""
        size = self._chunk_samples
        for stream in streams:
            if stream not in self._slots:
                self._slots.put(stream, stream._state.model)
                stream._state = replace(stream._state, model={})
        audio = [stream._state.pending[:size] for stream in streams]
        order, log_probs, calls = self._slots.advance(streams, audio)
        self._counts["calls"] += calls
        self._counts["frames"] += len(streams) * self.chunk_frames
        finite = batch.usable(log_probs)
        columns, posteriors = self._model.metadata.decoder.best(log_probs)
        failed: dict[PooledStream, PhonestreamError] = {}
        for row, stream in enumerate(order):
            if not finite[row]:
                failed[stream] = self._model.unusable()
                continue
            now = replace(stream._state, pending=stream._state.pending[size:].copy())
            best = columns[row], posteriors[row]
            events, stream._state = state.absorb(self._model, now, log_probs[row], now.model, best)
            stream._events += events
        return failed

    def _ends(self, streams: list[PooledStream]) -> dict[PooledStream, PhonestreamError]:
        """Finish `streams`; those that failed."""
        results = batch.finish(self._model, [self._whole(stream) for stream in streams])
        failed: dict[PooledStream, PhonestreamError] = {}
        for stream, result in zip(streams, results, strict=True):
            self._counts["frames"] += result.state.frames - stream._state.frames
            stream._state = result.state
            stream._events += result.events
            if result.error is not None:
                failed[stream] = result.error
        return failed

    def _save(self, stream: PooledStream) -> bytes:
        """`PooledStream.save`."""
        with self._turn:
            if stream.closed:
                raise AudioError("the stream is closed: save it before its end")
            stream._state = self._whole(stream)
            self._slots.drop(stream)  # the next tick gives it a slot again
            try:
                while True:
                    stream._hear(self._chunk_samples)
                    events, stream._state = state.advance(self._model, stream._state)
                    stream._events += events
                    if not stream._inbox:
                        return snapshot.save(self._model, stream._state)
            finally:
                with self._lock:
                    self._note(stream)

    def _whole(self, stream: PooledStream) -> StreamState:
        """The state of `stream` with its model's tensors, wherever they are."""
        return (
            replace(stream._state, model=self._slots.get(stream)) if stream in self._slots else stream._state
        )

    def _note(self, stream: PooledStream) -> None:
        """See whether a tick would advance `stream`. Call with the lock held."""
        if not stream.closed and stream._due():
            self._ready[stream] = None
