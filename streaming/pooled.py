"""One stream of a pool: what was pushed waits in it until a tick takes it."""

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AudioError
from . import state
from .arrays import Floats
from .audio import resample
from .audio.samples import check_samples, mono
from .state import Event, Lost, StreamState
from .stream import check_gap

if TYPE_CHECKING:
    from .scheduler import StreamPool


class PooledStream:
    """One stream of a pool; `StreamPool.open` makes it.

    Attributes:
        sample_rate: in Hz, of all that is pushed.
        finished: `finish` has been called.
        closed: it is over: heard to its end, failed or closed.
    """

    def __init__(self, pool: "StreamPool", rate: int, begin: StreamState) -> None:
        self.sample_rate = rate
        self.finished = begin.finished
        self.closed = False
        self._pool = pool
        self._state = (
            begin  # changed by ticks only; its model's tensors are in the pool's slots once it has one
        )
        self._inbox: deque[Floats | int] = deque()  # samples, or how many are lost
        self._received = begin.received
        self._lost = [Lost(first / rate, count / rate) for first, count in begin.lost]
        self._events: list[Event] = []  # that no tick has told yet

    @property
    def seconds(self) -> float:
        """The audio clock: seconds pushed so far, lost audio included."""
        return self._received / self.sample_rate

    @property
    def backlog_seconds(self) -> float:
        """Seconds of that which the model has not heard yet."""
        return self._backlog()

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
        self._put(audio, len(audio))

    def gap(self, samples: int) -> None:
        """Account for `samples` that were lost; see `Stream.gap`.

        Raises:
            AudioError: a number below 0 or above 24 hours, or the stream is finished or closed.
        """
        count = check_gap(samples, self.sample_rate)
        self._put(count, count)

    def finish(self) -> None:
        """Say that no more audio comes. A tick will give the last events, with `finished` true."""
        with self._pool._lock:
            self.finished = True
            self._pool._note(self)

    def save(self) -> bytes:
        """A snapshot of all that was pushed, as `Stream.save` would write it. Waits for a tick that is going on.

        What no tick has heard yet is heard first; the events come with the next tick, and are not in the snapshot.

        Raises:
            AudioError: the stream is closed.
            ModelError: the model gives NaN. The stream fails when a tick finds the same.
        """
        return self._pool._save(self)

    def close(self) -> None:
        """Forget the stream; what waits is dropped. Closing twice, or after its end, is no error."""
        with self._pool._lock:
            if self.closed:
                return
            self.closed = True
            self._inbox.clear()
            self._pool._streams.discard(self)
            self._pool._ready.pop(self, None)
            self._pool._closed.append(self)

    def __repr__(self) -> str:
        status = ", closed" if self.closed else ", finished" if self.finished else ""
        return f"<PooledStream at {self.seconds:.3f} s{status}>"

    def _put(self, entry: Floats | int, samples: int) -> None:
        with self._pool._lock:
            if self.closed or self.finished:
                raise AudioError(
                    f"the stream is {'closed' if self.closed else 'finished'}: open another with pool.open()"
                )
            if not samples:
                return
            if isinstance(entry, int):
                self._lost.append(Lost(self.seconds, samples / self.sample_rate))
                self._pool._lost_seconds += samples / self.sample_rate
            self._inbox.append(entry)
            self._received += samples
            self._pool._note(self)

    def _backlog(self) -> float:
        meta = self._pool._model.metadata
        return max(0.0, self.seconds - self._state.frames * meta.frame_samples / meta.sample_rate)

    def _due(self) -> bool:
        """Whether a tick has something to do."""
        meta = self._pool._model.metadata
        audio = resample.produced(self.sample_rate, meta.sample_rate, self._received)
        whole = audio // meta.frame_samples - self._state.frames
        return self.finished or whole >= self._pool.chunk_frames or bool(self._events)

    def _hear(self, size: int) -> None:
        """Take in from the inbox until `size` samples at the model's rate are pending, or nothing is left."""
        model, rate = self._pool._model, self.sample_rate
        most = max(1, size * rate // model.metadata.sample_rate)
        while len(self._state.pending) < size and (audio := self._take(most)) is not None:
            if isinstance(audio, int):
                self._state = state.lose(self._state, rate, model.metadata.sample_rate, audio)
            else:
                self._state = state.hear(model, self._state, audio, rate)

    def _take(self, most: int) -> Floats | int | None:
        """The inbox's next samples, at most so many; or how long a gap is that begins, its zeros to come next."""
        parts: list[Floats] = []
        with self._pool._lock:
            while self._inbox and most > 0:
                entry = self._inbox[0]
                if isinstance(entry, int):
                    if parts:
                        break
                    self._inbox[0] = np.broadcast_to(np.float32(0), (entry,))  # takes no memory
                    return entry
                if len(entry) > most:
                    self._inbox[0] = entry[most:]
                else:
                    self._inbox.popleft()
                parts.append(entry[:most])
                most -= len(parts[-1])
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
