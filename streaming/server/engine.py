"""The one thread that hears: every stream with audio gets a turn, and no stream gets more than a turn at a time.

A turn is at most `TURN_SECONDS` of one stream's audio, and the turns of a round go through the model together: the
more there is to do, the longer a round takes, the more audio is there for the next, and the less each second costs.
Someone who sends a whole file at once therefore delays a microphone by one turn, however long the file is; and a
stream whose client does not read is passed over.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any, NamedTuple

import numpy as np

from ...errors import ConfigError, PhonestreamError, SnapshotError
from ..arrays import AnyArray
from ..audio import resample
from ..decode import Phone
from ..endpoint import Endpoint
from ..events import Failure, Final
from ..recognizer import Recognizer
from ..stream import Lost, Stream
from .inbox import Item, Part, Piece, Silence, Work, joined, take
from .metrics import Metrics
from .protocol import Event as Told
from .protocol import Finish, Gap, Opening, Posteriors, Save, Snapshot

TURN_SECONDS = 0.64  # of audio in one turn of a stream
REST = 3  # times as long as a round took, before the next one ...
MAX_REST_SECONDS = 0.08  # ... but no longer than this, which is latency


class Parted(NamedTuple):
    """The end of a stream here: nothing comes after it."""


Event = Told | Parted
Listener = Callable[[list[Event]], object]
ENDS = (Final, Failure, Parted)


@dataclass(eq=False)
class Line:
    """A stream in the engine. `stream` is its thread's; the others change under its lock."""

    stream: Stream[Any]
    rate: int
    posteriors: bool
    endpoints: bool
    listener: Listener
    inbox: deque[Item] = field(default_factory=deque)
    waiting: int = 0  # samples in the inbox
    held: bool = False  # its client does not read
    closed: bool = False

    @property
    def waiting_seconds(self) -> float:
        return self.waiting / self.rate


class Engine:
    """Hears many streams with one recogniser. Listeners are called in its thread, after each turn."""

    def __init__(self, recognizer: Recognizer, metrics: Metrics) -> None:
        self.recognizer = recognizer
        self._metrics = metrics
        self._lines: list[Line] = []
        self._changed = Condition()
        self._stopping = False
        self._began: float | None = None  # the round that is going on
        self._round_seconds = 0.0  # that the last one took
        self._thread = Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop after the round that is going on; whatever waits is not heard."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def streams(self) -> int:
        return len(self._lines)

    @property
    def waiting_seconds(self) -> float:
        """Audio that nobody has heard yet, all streams together."""
        with self._changed:
            return sum(line.waiting_seconds for line in self._lines)

    @property
    def lag_seconds(self) -> float:
        """How long a stream with audio waits for its turn at present."""
        with self._changed:
            going_on = 0.0 if self._began is None else time.monotonic() - self._began
            return max(going_on, self._round_seconds)

    def open(self, opening: Opening, listener: Listener) -> Line:
        """A stream, new or resumed from the opening's snapshot. Takes milliseconds: not for an event loop.

        Raises:
            SnapshotError: it is damaged, of another model or another rate, finished, or without posteriors that
                are wanted.
        """
        # An odd rate takes a third of a second the first time, which must not be the other streams'.
        resample.design(opening.rate, self.recognizer.metadata.sample_rate)
        stream = _stream(self.recognizer, opening)
        line = Line(stream, opening.rate, opening.posteriors, opening.endpoints, listener)
        with self._changed:
            self._lines.append(line)
        return line

    def put(self, line: Line, work: Work) -> None:
        """Something more for a stream: checked samples [n], or a control message."""
        what = Silence(work.samples, work.samples) if isinstance(work, Gap) else work
        item = Item(what, time.monotonic())
        with self._changed:
            line.inbox.append(item)
            line.waiting += item.samples
            self._changed.notify()

    def hold(self, line: Line, held: bool) -> None:
        """Pass the stream over, or no longer."""
        with self._changed:
            line.held = held
            self._changed.notify()

    def close(self, line: Line) -> None:
        """Forget the stream, whatever it was at."""
        with self._changed:
            line.closed = True
            if line in self._lines:
                self._lines.remove(line)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (ready := self._ready()) and not self._stopping:
                    self._round_seconds = 0.0
                    self._changed.wait()
                if self._stopping:
                    return
                self._began = began = time.monotonic()
                taken = {line: self._take(line) for line in ready}
            self._round({line: deque(joined(items)) for line, items in taken.items()})
            spent = time.monotonic() - began
            self._metrics.turn(spent, [began - item.since for items in taken.values() for item in items])
            with self._changed:
                self._began, self._round_seconds = None, spent
                # What comes meanwhile goes through the model together. Whoever has a whole turn waiting need not wait.
                if not any(line.waiting_seconds >= TURN_SECONDS for line in self._ready()):
                    rest = min(REST * spent, MAX_REST_SECONDS)
                    self._changed.wait_for(lambda: self._stopping, rest)

    def _take(self, line: Line) -> list[Item]:
        items = take(line.inbox, int(TURN_SECONDS * line.rate))
        line.waiting -= sum(item.samples for item in items)
        return items

    def _ready(self) -> list[Line]:
        return [line for line in self._lines if line.inbox and not line.held]

    def _round(self, works: dict[Line, deque[Piece]]) -> None:
        """A turn of each of these streams: their audio goes through the model together."""
        told: dict[Line, list[Event]] = {line: [] for line in works}
        going = dict(works)
        while going := {line: queue for line, queue in going.items() if queue}:
            audio: dict[Line, AnyArray] = {}
            for line, queue in going.items():
                if isinstance(queue[0], np.ndarray):
                    audio[line] = queue[0]
                    queue.popleft()
            for line in self._hear(audio, told):
                going[line].clear()
            for line in going.keys() - audio.keys():
                try:
                    told[line] += self._do(line, going[line].popleft())
                except PhonestreamError as error:  # this stream's alone: the others go on
                    told[line].append(Failure(str(error)))
                    going[line].clear()
        for line, events in told.items():
            if not line.closed:
                line.listener(events)

    def _hear(self, audio: dict[Line, AnyArray], told: dict[Line, list[Event]]) -> list[Line]:
        """Add to `told` what the streams say of their audio; returns those that failed."""
        lines = list(audio)
        before = [line.stream.seconds for line in lines]
        given = [(line.stream, audio[line]) for line in lines]
        outcomes = self.recognizer.accept_many(given, [line.rate for line in lines])
        for line, seconds, (events, error) in zip(lines, before, outcomes, strict=True):
            told[line] += self._heard(line, events, seconds) if error is None else [Failure(str(error))]
        return [line for line, outcome in zip(lines, outcomes, strict=True) if outcome.error is not None]

    def _do(self, line: Line, what: Piece) -> list[Event]:
        """Anything else than audio."""
        stream, before = line.stream, line.stream.seconds
        if isinstance(what, Save | Part):
            saved = Snapshot(round(before * line.rate), stream.save())
            return [saved] if isinstance(what, Save) else [saved, Parted()]
        if isinstance(what, Finish):
            return [
                *self._heard(line, stream.finish(), before),
                Final(stream.seconds, stream.lost_seconds),
            ]
        assert isinstance(what, Silence)
        events: list[Event] = []
        if what.announced:
            self._metrics.lost(what.announced / line.rate)
            events.append(Lost(before, what.announced / line.rate))
        return events + self._heard(line, stream.gap(what.samples, line.rate), before)

    def _heard(self, line: Line, events: Iterable[Event], before: float) -> list[Event]:
        """What is to be told of a stream that was at `before` seconds."""
        # A stream with endpoints tells each piece of a gap; the whole was told with the first.
        told = [event for event in events if not isinstance(event, Lost)]
        if not line.endpoints:
            told = [event for event in told if not isinstance(event, Endpoint)]
        self._metrics.heard(line.stream.seconds - before, sum(isinstance(event, Phone) for event in told))
        return told + _posteriors(line)


def _stream(recognizer: Recognizer, opening: Opening) -> Stream[Any]:
    if opening.snapshot is None:
        return recognizer.stream(posteriors=opening.posteriors, endpoints=opening.endpoints)
    stream = recognizer.restore(opening.snapshot)
    if stream.finished:
        raise SnapshotError("the snapshot is of a finished stream: there is nothing to resume")
    if stream.seconds:
        try:
            stream.copy().accept(np.empty(0, np.float32), opening.rate)
        except PhonestreamError as error:
            raise SnapshotError(f"the snapshot does not fit the opening: {error}") from None
    if opening.endpoints and stream._state.endpoints is None:
        raise SnapshotError("the snapshot is of a stream without endpoints, and the opening asks for them")
    if opening.posteriors:
        try:
            stream.copy().take_posteriors()
        except ConfigError:
            raise SnapshotError(
                "the snapshot is of a stream without posteriors, and the opening asks for them"
            ) from None
    return stream


def _posteriors(line: Line) -> list[Event]:
    """Rows that the stream keeps. A snapshot may bring them unasked; they must not pile up."""
    with suppress(ConfigError):
        rows = line.stream.take_posteriors()
        if line.posteriors and len(rows):
            return [Posteriors(rows)]
    return []
