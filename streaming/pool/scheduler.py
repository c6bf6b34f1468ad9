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
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from ...errors import AudioError, ConfigError
from .. import snapshot as snapshots
from .. import state
from ..audio.samples import check_rate
from ..decoding.config import Decoding
from ..endpoint import EndpointConfig
from ..model import MAX_BLOCK_SECONDS, Model
from ..recognizer import Recognizer, endpoint_config
from ..spotting.commands import Commands, check_commands
from ..spotting.keywords import Keywords
from ..stream import DEFAULT_RATE
from ..stream_state import StreamState
from .results import PoolStats, TickResult
from .run import run_frames
from .slots import Slots
from .stream import PooledStream

MAX_STREAMS = 65_536


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
        on_ready: Callable[[], object] | None = None,
        decoder: Decoding | None = None,
    ) -> None:
        """Make a pool with room for `max_streams`. Memory is taken as streams come: twice a stream's state
        for each, and its sums once more while it is silent.

        Args:
            chunk_seconds: of a stream before a tick advances it, from a frame to 4 s, rounded down to whole frames.
            max_chunk_seconds: the most that a tick advances a stream by, where more is there; `chunk_seconds` when it
                is left out.
            on_ready: called when a stream becomes ready, in whatever thread that happens. It must return at once.
            decoder: how streams decode, as for `Recognizer.stream`; None: as the recognizer does.

        Raises:
            ConfigError: `chunk_seconds`, `max_chunk_seconds`, `max_streams` or `decoder` out of range.
            ModelError: the model's states cannot lie side by side (see `slots`), or the language model cannot be used.
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
        self.lost_seconds = 0.0  # that `gap` was called for
        self.model = model
        self._decoder = recognizer.open_decoder(decoder)
        self._open_spotter, self._open_commands = recognizer.open_spotter, recognizer.open_commands
        self._on_ready = on_ready or (lambda: None)
        self._slots: Slots[PooledStream] = Slots(model, max_streams)  # touched under _turn only
        self._turn = Lock()  # held by a tick
        self._streams: set[PooledStream] = set()
        self._ready: dict[PooledStream, None] = {}  # a set that keeps the order
        self._closed: list[PooledStream] = []  # their slots are still to be freed
        self._counts = dict.fromkeys(("opened", "finished", "failed", "ticks", "frames"), 0)
        self._compute_seconds = 0.0

    @property
    def full(self) -> bool:
        """Whether `open` would be refused now."""
        return len(self._streams) >= self.max_streams

    @property
    def ready(self) -> int:
        """Streams that `tick` would advance now: a chunk is there, they finish, or have events to give."""
        return len(self._ready)

    def open(
        self,
        *,
        sample_rate: int | None = None,
        endpoints: EndpointConfig | bool | None = None,
        posteriors: bool = False,
        report_gaps: bool = False,
        snapshot: bytes | None = None,
        keywords: Keywords | None = None,
        commands: Commands | None = None,
    ) -> PooledStream:
        """A new stream, or with `snapshot` one that was saved, here or anywhere with the same model, and goes on.

        Args:
            sample_rate: Hz of all that is pushed; 16000, or the snapshot's, when it is left out.
            endpoints: as for `Recognizer.stream`; none, or the snapshot's, when it is left out.
            posteriors: whether `Posteriors` come among the events. Where not, rows that a snapshot of
                `stream(posteriors=True)` holds are left out.
            report_gaps: whether `Lost` events come without endpoints too, as soon as a tick has got there.
            snapshot: what `Stream.save` or `PooledStream.save` gave.
            keywords: as for `Recognizer.stream`; those of the snapshot, where there is one.
            commands: likewise; they need `endpoints`.

        Raises:
            ConfigError: the pool is full; `endpoints` are not those of the snapshot, or it has no `posteriors`;
                `keywords` or `commands` are something else, or commands lack endpoints.
            AudioError: `sample_rate` is out of range or not that of the snapshot.
            SnapshotError: the snapshot is damaged or of another model.
        """
        begin = self._begin(sample_rate, endpoints, posteriors, snapshot, keywords, commands)
        rate = (
            begin.resampler.rate
            if begin.resampler
            else check_rate(DEFAULT_RATE if sample_rate is None else sample_rate)
        )
        stream = PooledStream(self, rate, begin, report_gaps)
        with self.lock:
            if self.full:
                raise ConfigError(
                    f"the pool holds {self.max_streams} streams: close one, or make it with more max_streams"
                )
            self._streams.add(stream)
            self._counts["opened"] += 1
            self.note(stream)
        return stream

    def tick(self, *, silent: bool = False) -> list[TickResult]:
        """Advance each ready stream by a chunk, all in as few calls of the model as can be.

        A stream with several chunks waiting gets one a tick, so that none delays the others: go on while `ready`. One
        with a frame more than most have keeps it for the next. One that finishes is heard to its end as soon as less
        than a chunk is left. If the model gives NaN for a stream, that stream fails alone.

        Args:
            silent: whether streams that were advanced and have no events are in the result too.
        """
        with self._turn:
            began = time.perf_counter()
            with self.lock:
                ready, self._ready = [*self._ready], {}
            try:
                self._free()
                for stream in ready:
                    stream.fill()
                sound = [stream for stream in ready if stream.error is None]
                self._run(self._even({stream: stream.budget() for stream in sound}))
                return self._results(ready, silent)
            finally:
                with self.lock:
                    for stream in ready:
                        self.note(stream)
                    self._counts["ticks"] += 1
                    self._compute_seconds += time.perf_counter() - began

    def waiting_seconds(self) -> float:
        """The longest backlog of a stream that a tick would advance."""
        with self.lock:
            return max((stream.backlog_seconds for stream in self._ready), default=0.0)

    @property
    def audio_seconds(self) -> float:
        """Of all streams, heard so far."""
        meta = self.model.metadata
        return self._counts["frames"] * meta.frame_samples / meta.sample_rate

    def stats(self) -> PoolStats:
        """How the pool stands."""
        with self.lock:
            counts = self._counts
            return PoolStats(
                streams=len(self._streams),
                ready=len(self._ready),
                backlog_seconds=max((stream.backlog_seconds for stream in self._streams), default=0.0),
                opened=counts["opened"],
                finished=counts["finished"],
                failed=counts["failed"],
                ticks=counts["ticks"],
                calls=self._slots.calls,
                audio_seconds=self.audio_seconds,
                lost_seconds=self.lost_seconds,
                compute_seconds=self._compute_seconds,
            )

    def note(self, stream: PooledStream, *, more: bool = False) -> None:
        """See whether a tick would advance a stream. Call with the lock held.

        Args:
            more: all that has changed is that more waits.
        """
        if stream in self._ready:
            if not more and not stream.due:
                del self._ready[stream]
        elif stream.due:
            self._ready[stream] = None
            self._on_ready()

    def count_frames(self, frames: int) -> None:
        """A stream has gone on without the model. Call with the lock held."""
        self._counts["frames"] += frames

    def save(self, stream: PooledStream) -> bytes:
        """`PooledStream.save`."""
        with self._turn:
            if stream.closed or stream.ending:
                raise AudioError("the stream is closed: save it before its end")
            self._free()
            try:
                while True:
                    stream.fill()
                    self._run({stream: len(stream.state.pending)})
                    if stream.error is not None:
                        raise stream.error
                    if not len(stream.inbox):
                        return snapshots.save(self.model, stream.state)
            finally:
                with self.lock:
                    self.note(stream)

    def close(self, stream: PooledStream) -> None:
        """`PooledStream.close`."""
        with self.lock:
            if not stream.closed:
                stream.closed = True
                stream.inbox.clear()
                self._streams.discard(stream)
                self._ready.pop(stream, None)
                self._closed.append(stream)

    def __repr__(self) -> str:
        return f"<StreamPool of {len(self._streams)} streams, {self.ready} ready>"

    def _begin(
        self,
        sample_rate: int | None,
        endpoints: EndpointConfig | bool | None,
        posteriors: bool,
        saved: bytes | None,
        keywords: Keywords | None,
        commands: Commands | None,
    ) -> StreamState:
        spotter, ready = self._open_spotter(keywords), self._open_commands(commands)
        wanted = endpoint_config(False if endpoints is None else endpoints)
        if saved is None:
            check_commands(commands, wanted)
            return state.initial(self.model, posteriors, wanted, self._decoder, spotter, ready)
        begin = snapshots.load(self.model, saved, self._decoder, spotter, ready)
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

    def _run(self, budgets: dict[PooledStream, int]) -> None:
        """Advance each stream by all its frames that are pending, up to its budget."""
        for stream, budget in budgets.items():
            if budget and stream not in self._slots:
                model = self._slots.keep(stream, stream.state.model)
                stream.state = replace(stream.state, model=model)
        states = {stream: stream.state for stream in budgets}
        for stream, (events, after, error) in run_frames(self.model, states, budgets, self._slots):
            if error is not None:
                stream.error = error
                continue
            self._counts["frames"] += after.frames - stream.state.frames
            stream.advance(events, after)
        for stream in budgets:
            stream.settle()

    def _even(self, budgets: dict[PooledStream, int]) -> dict[PooledStream, int]:
        """`budgets`, but that a stream with a frame more than most keeps it for the next tick, and shares their call.

        A live stream has one more or less as its messages come just before a tick or just after: once a frame is kept,
        it has enough either way.
        """
        counts = Counter(budgets.values())
        usual = max(counts, key=counts.__getitem__, default=0)
        if not usual or 2 * counts[usual] <= len(budgets):
            return budgets
        return {
            stream: usual if frames == usual + 1 and stream.live else frames
            for stream, frames in budgets.items()
        }

    def _results(self, ready: list[PooledStream], silent: bool) -> list[TickResult]:
        """The results of the streams that a tick has advanced; those that are over are closed."""
        results = []
        for stream in ready:
            over = stream.ended or stream.error is not None
            if over:
                self.close(stream)
                self._counts["finished" if stream.error is None else "failed"] += 1
            events, stream.events = stream.events, []
            if over or ((events or silent) and not stream.closed):
                results.append(TickResult(stream, events, stream.error, over))
        return results

    def _free(self) -> None:
        """Give back the slots of streams that have been closed."""
        with self.lock:
            closed, self._closed = self._closed, []
        for stream in closed:
            self._slots.drop(stream)


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
