"""What a pool tells of its streams and of itself."""

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ...errors import PhonestreamError
from ..arrays import FloatArray
from ..spotting.change import CommandsSet, KeywordsSet
from ..stream_state import Event

if TYPE_CHECKING:
    from .stream import PooledStream


class Posteriors(NamedTuple):
    """Log-probabilities [rows, phones + 1] that follow those given before."""

    rows: FloatArray


class Snapshot(NamedTuple):
    """A stream as bytes, after `samples` samples at its own rate."""

    samples: int
    data: bytes


PoolEvent: TypeAlias = Event | Posteriors | Snapshot | KeywordsSet | CommandsSet


class TickResult(NamedTuple):
    """What one tick brought for one stream."""

    stream: "PooledStream"
    events: list[PoolEvent]
    """In time order; only `Phone`s unless the stream was opened for more."""
    error: PhonestreamError | None
    """Not None: the stream has failed, and is closed."""
    finished: bool
    """The stream has come to its end, was handed over or has failed. It is closed, and nothing more comes from it."""


Heard = TickResult  # what it was called before


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
    lost_seconds: float  # that `gap` was called for
    compute_seconds: float  # spent in ticks
