"""What waits for a stream in the order of its arrival: audio, lost audio, and demands: snapshots, other phrases."""

import time
from collections import deque
from enum import Enum
from typing import NamedTuple, TypeAlias

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..spotting.commands import CommandRecognizer
from ..spotting.spotter import Spotter
from ..stream_state import Gap

SHORT = 512  # samples; a piece shorter than this is joined with the next


class Request(Enum):
    """A snapshot is wanted of the stream after all that came before."""

    SNAPSHOT = "snapshot"
    HAND_OVER = "hand over"  # and nothing else will come


class KeywordChange(NamedTuple):
    """Other keywords count after all that came before."""

    spotter: Spotter | None
    """None: no keywords are looked for."""


class CommandChange(NamedTuple):
    """Other commands count after all that came before."""

    recognizer: CommandRecognizer | None
    """None: utterances are compared with none."""


Demand: TypeAlias = Request | KeywordChange | CommandChange
"""For a stream between two pieces of audio."""

Entry: TypeAlias = AnyArray | Gap | Demand


class Inbox:
    """A queue that is taken in bounded pieces. Not for several threads at once."""

    def __init__(self, received: int) -> None:
        """`received`: samples of the stream before."""
        self.received = received
        self.demands = 0  # that wait
        self.since: float | None = None
        """When the oldest entry came, on the monotonic clock; None while there is none."""
        self._entries: deque[Entry] = deque()

    @property
    def lost(self) -> int:
        """Samples of a gap that come next, with nothing before them."""
        first = self._entries[0] if self._entries else None
        return len(first) if isinstance(first, np.ndarray) and first.strides == (0,) else 0

    def skip(self, samples: int) -> None:
        """Drop so many of the samples that are `lost`."""
        rest = self.lost - samples
        self._entries.popleft()
        if rest:
            self._entries.appendleft(_zeros(rest))

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """Keep samples [n], checked, that nobody else changes, a gap from `received` on, or a demand."""
        if isinstance(entry, Demand):
            self.demands += 1
        else:
            samples = entry.samples if isinstance(entry, Gap) else len(entry)
            if not samples:
                return
            self.received += samples
        last = self._entries[-1] if self._entries else None
        if (
            isinstance(last, np.ndarray)
            and len(last) < SHORT
            and isinstance(entry, np.ndarray)
            and entry.dtype == last.dtype
        ):
            self._entries[-1] = np.concatenate([last, entry])
        else:
            self._entries.append(entry)
        self.since = self.since or time.monotonic()

    def take(self, most: int) -> Entry | None:
        """The next samples, at most so many and of one type; a gap that begins, whose samples come next, as zeros; or a
        demand.
        """
        parts: list[AnyArray] = []
        while self._entries and most > 0:
            entry = self._entries[0]
            if not isinstance(entry, np.ndarray):
                if parts:
                    break
                self._entries.popleft()
                if isinstance(entry, Demand):
                    self.demands -= 1
                else:
                    self._entries.appendleft(_zeros(entry.samples))
                return entry
            if parts and entry.dtype != parts[0].dtype:
                break
            if len(entry) > most:
                self._entries[0] = entry[most:]
            else:
                self._entries.popleft()
            parts.append(entry[:most])
            most -= len(parts[-1])
        self.since = time.monotonic() if self._entries else None
        return np.concatenate(parts) if parts else None

    def clear(self) -> None:
        """Forget all that waits."""
        self._entries.clear()
        self.demands, self.since = 0, None


def _zeros(samples: int) -> FloatArray:
    """Zeros that take no memory."""
    return np.broadcast_to(np.float32(0), (samples,))
