"""What waits for a stream in the order of its arrival: audio, lost audio, and requests for snapshots."""

import time
from collections import deque
from enum import Enum

import numpy as np

from ..arrays import FloatArray
from ..state import Gap

SHORT = 1024  # samples; a piece shorter than this is joined with the next
MANY_ENTRIES = 256  # that a tick takes in, even when they do not come to a chunk


class Request(Enum):
    """A snapshot is wanted of the stream after all that came before."""

    SNAPSHOT = "snapshot"
    HAND_OVER = "hand over"  # and nothing else will come


class Inbox:
    """A queue of audio and requests, taken in bounded pieces. Not for several threads at once."""

    def __init__(self, received: int) -> None:
        """`received`: samples of the stream before."""
        self.received = received
        self.requests = 0  # that wait
        self.since: float | None = None
        """When the oldest entry came, on the monotonic clock; None while there is none."""
        self._entries: deque[FloatArray | Gap | Request] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def put_audio(self, samples: FloatArray) -> None:
        """Keep the next `samples` [n], which nobody else changes."""
        if not len(samples):
            return
        last = self._entries[-1] if self._entries else None
        if isinstance(last, np.ndarray) and len(last) < SHORT:
            self._entries[-1] = np.concatenate([last, samples])
        else:
            self._put(samples)
        self.received += len(samples)

    def put_gap(self, samples: int) -> Gap:
        """Keep the place of `samples` that are lost."""
        gap = Gap(self.received, samples)
        if samples:
            self._put(gap)
            self.received = gap.end
        return gap

    def put_request(self, request: Request) -> None:
        """Keep a request for the stream as it is after all that was put before."""
        self._put(request)
        self.requests += 1

    def take(self, most: int) -> FloatArray | Gap | None:
        """The next samples, at most so many; or a gap that begins, whose samples come next, as zeros.

        None if nothing waits, or a request does.
        """
        parts: list[FloatArray] = []
        while self._entries and most > 0:
            entry = self._entries[0]
            if isinstance(entry, Request) or (isinstance(entry, Gap) and parts):
                break
            if isinstance(entry, Gap):
                self._entries[0] = np.broadcast_to(np.float32(0), (entry.samples,))  # takes no memory
                return entry
            if len(entry) > most:
                self._entries[0] = entry[most:]
            else:
                self._entries.popleft()
            parts.append(entry[:most])
            most -= len(parts[-1])
        self._mark()
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def take_request(self) -> Request | None:
        """The request that is next; None if something else is, or nothing."""
        request = self._entries[0] if self._entries else None
        if not isinstance(request, Request):
            return None
        self._entries.popleft()
        self.requests -= 1
        self._mark()
        return request

    @property
    def request_next(self) -> bool:
        """Whether all that came before a request has been taken."""
        return bool(self._entries) and isinstance(self._entries[0], Request)

    def clear(self) -> None:
        """Forget all that waits."""
        self._entries.clear()
        self.requests, self.since = 0, None

    def _put(self, entry: FloatArray | Gap | Request) -> None:
        self._entries.append(entry)
        self.since = self.since or time.monotonic()

    def _mark(self) -> None:
        self.since = time.monotonic() if self._entries else None
