"""A stream as the ticks of a pool see it: what waits for it, its state, and what is still to be told of it."""

import time
from dataclasses import replace
from threading import Lock

import numpy as np

from ...errors import PhonestreamError
from .. import snapshot, state
from ..audio import resample
from ..model import Model
from ..state import Event, Gap, StreamState
from .inbox import MANY_ENTRIES, Inbox, Request
from .results import PoolEvent, Posteriors, Snapshot


class Channel:
    """One stream. `lock` is held to read or change what other threads change; all else belongs to the tick.

    Attributes:
        state: changed by ticks only; its model's tensors may be a view of the pool's slots.
        inbox: under the lock.
        finished: no more audio comes. Under the lock.
        paused: ticks pass it over. Under the lock.
        closed: nobody waits for its events any more. Under the lock.
        ended: it has been heard to its end, or handed over.
        events: not told yet.
        error: not None: it has failed.
        waited_seconds: how long the oldest of what the last tick took had waited.
    """

    def __init__(self, model: Model, rate: int, begin: StreamState, lock: Lock, report_gaps: bool) -> None:
        self.state = begin
        self.inbox = Inbox(begin.received)
        self.finished = begin.finished
        self.paused = self.closed = self.ended = False
        self.events: list[PoolEvent] = []
        self.error: PhonestreamError | None = None
        self.waited_seconds = 0.0
        self._last: list[Event] | None = None  # of the stream's end, once that is being heard
        self._model = model
        self._rate = rate
        self._lock = lock
        self._report_gaps = report_gaps and begin.endpoints is None  # endpoints bring `Lost` in time order

    @property
    def seconds(self) -> float:
        """The audio clock: seconds pushed so far, lost audio included."""
        return self.inbox.received / self._rate

    @property
    def backlog_seconds(self) -> float:
        """Seconds that were pushed and that the model has not heard."""
        meta = self._model.metadata
        return max(0.0, self.seconds - self.state.frames * meta.frame_samples / meta.sample_rate)

    @property
    def ending(self) -> bool:
        """Whether the padding of the stream's end has begun to be heard."""
        return self._last is not None

    def due(self, chunk_frames: int) -> bool:
        """Whether a tick has something to do. Call with the lock held."""
        if self.closed or self.paused:
            return False
        if self.finished or self.inbox.requests or self.events or self.error:
            return True
        meta = self._model.metadata
        audio = resample.produced(self._rate, meta.sample_rate, self.inbox.received)
        whole = audio // meta.frame_samples - self.state.frames
        return whole >= chunk_frames or len(self.inbox) >= MANY_ENTRIES

    def fill(self, size: int) -> None:
        """Take in from the inbox until `size` samples at the model's rate are pending, or nothing else is left."""
        model, rate = self._model, self._rate
        with self._lock:
            since = self.inbox.since
        self.waited_seconds = 0.0 if since is None else time.monotonic() - since
        while (missing := size - len(self.state.pending)) > 0:
            with self._lock:
                entry = self.inbox.take(missing * rate // model.metadata.sample_rate + 1)
            if entry is None:
                return
            if isinstance(entry, Gap):
                self.state = state.mark_gap(model, self.state, entry.samples, rate)
                if self._report_gaps:
                    self.events.append(entry.event(rate))
            else:
                self.state = state.accept_waveform(model, self.state, entry, rate)

    def budget(self, chunk_frames: int, most: int) -> int:
        """Frames that this tick may advance the stream by: none below a chunk, unless a request or the end comes next.

        At the end, which comes with less than `most` frames, they are all that is left, padding included.
        """
        with self._lock:
            last = self.finished and not len(self.inbox)
            request = self.inbox.request_next
        frame = self._model.metadata.frame_samples
        waiting = len(self.state.pending) // frame
        if last and (self.ending or waiting < most):
            if self._last is None:
                self.state, self._last = state.pad(self._model, self.state), []
            return len(self.state.pending) // frame
        return min(waiting, most) if request or waiting >= chunk_frames else 0

    def advance(self, events: list[Event], after: StreamState) -> None:
        """Take over what a call of the graph brought."""
        self.state = after
        (self.events if self._last is None else self._last).extend(events)

    def settle(self) -> None:
        """What comes after the frames of a tick: the end, posteriors, and snapshots that are asked for here."""
        if self.error is not None:
            return
        waiting = state.ready_frames(self._model, self.state)
        if self._last is not None and not waiting:
            found, self.state = state.end(self._model, self._last, self.state)
            self.events += found
            self.ended = True
        rows = self.state.posteriors
        if rows:
            self.events.append(Posteriors(np.concatenate(rows)))
            self.state = replace(self.state, posteriors=())
        while not waiting and not self.ended:
            with self._lock:
                request = self.inbox.take_request()
            if request is None:
                return
            try:
                self.events.append(Snapshot(self.state.received, snapshot.save(self._model, self.state)))
            except PhonestreamError as error:
                self.error = error
                return
            self.ended = request is Request.HAND_OVER
