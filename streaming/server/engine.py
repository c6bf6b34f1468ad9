"""The one thread that runs the model: a pool's ticks, and what comes of them to whoever listens.

A tick advances each stream by all the audio that is there, but for `TURN_SECONDS`: the more there is to do, the longer
a tick takes, the more audio is there for the next, and the less each second costs. Someone who sends a whole file at
once therefore delays a microphone by one turn, however long the file is; and a stream whose client does not read is
passed over.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event as Flag
from threading import Thread
from typing import NamedTuple, TypedDict

import numpy as np

from ...errors import AudioError, ConfigError, DataError, SnapshotError
from ..arrays import AnyArray
from ..decode import Phone
from ..events import Failure, Final, Tentative
from ..pool.results import TickResult
from ..pool.scheduler import StreamPool
from ..pool.stream import PooledStream
from ..recognizer import Recognizer
from ..spotting.commands import Commands
from ..spotting.keywords import Keywords
from .limits import Limits
from .metrics import Metrics
from .protocol import MAX_COMMANDS, Close, Finish, Gap, Opening, RefusedError, Save, SetCommands, SetKeywords
from .protocol import Event as ServerEvent

TURN_SECONDS = 0.64  # of audio of one stream in one tick
REST = 3  # times as long as a tick took, before the next one ...
MAX_REST_SECONDS = 0.08  # ... but no longer than this, which is latency, to the nearest frame


class HandedOver(NamedTuple):
    """The end of a stream here: nothing comes after it."""


class HandOver(NamedTuple):
    """The stream goes on elsewhere: a last snapshot is wanted."""


Event = ServerEvent | HandedOver
Listener = Callable[[list[Event]], object]
ENDS = (Final, Failure, HandedOver)
Work = AnyArray | Gap | SetKeywords | SetCommands | Finish | Save | HandOver


class Phrases(TypedDict):
    """Arguments of `StreamPool.open`."""

    keywords: Keywords | None
    commands: Commands | None


class Engine:
    """Hears many streams with one recogniser. Listeners are called in `loop`, after each tick."""

    def __init__(
        self, recognizer: Recognizer, metrics: Metrics, limits: Limits, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Of `limits` it keeps `streams` and `gaps`."""
        metadata = recognizer.metadata
        frame_seconds = metadata.frame_samples / metadata.sample_rate
        self.recognizer = recognizer
        self._work = Flag()
        self._pool = StreamPool(
            recognizer,
            chunk_seconds=frame_seconds,
            max_chunk_seconds=max(TURN_SECONDS, frame_seconds),
            max_streams=limits.streams,
            on_ready=self._wake,
        )
        self._frame_seconds = frame_seconds
        self._known = (0.0, 0.0)  # seconds heard and lost that the metrics know of
        self._metrics = metrics
        self._loop = loop
        self._most_gaps = limits.gaps
        self._listeners: dict[PooledStream, Listener] = {}
        self._guesses: dict[PooledStream, list[Phone]] = {}  # that were given last, where they are wanted
        self._stopping = Flag()
        self._began: float | None = None  # the tick that is going on
        self._tick_seconds = 0.0  # that the last one took
        self._thread = Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop after the tick that is going on; whatever waits is not heard."""
        self._stopping.set()
        self._work.set()
        self._thread.join()

    @property
    def waiting_seconds(self) -> float:
        """Audio that nobody has heard yet, all streams together."""
        return sum(stream.backlog_seconds for stream in list(self._listeners))

    @property
    def lag_seconds(self) -> float:
        """How long a stream with audio waits for its turn at present."""
        began = self._began
        return max(0.0 if began is None else time.monotonic() - began, self._tick_seconds)

    def open(self, opening: Opening, listener: Listener) -> PooledStream:
        """A stream, new or resumed from the opening's snapshot. Not for an event loop.

        It takes milliseconds, but for rates that `resample.is_odd`, of which the filter takes a third of a second.

        Raises:
            RefusedError: keywords or commands that are none.
            SnapshotError: it is damaged, of another model or another rate, finished, or without the endpoints or
                posteriors that are wanted.
        """
        resumed = opening.snapshot is not None
        try:
            stream = self._pool.open(
                sample_rate=opening.rate,
                endpoints=None if resumed else opening.endpoints or bool(opening.commands),
                posteriors=opening.posteriors,
                report_gaps=True,
                snapshot=opening.snapshot,
                **_opened(opening),
            )
        except (AudioError, ConfigError) as error:
            if not resumed:
                raise
            raise SnapshotError(f"the snapshot does not fit the opening: {error}") from None
        unfit = None
        if len(stream.lost) > self._most_gaps:
            unfit = f"the snapshot has {len(stream.lost)} gaps, and {self._most_gaps} are taken here"
        elif stream.finished:
            unfit = "the snapshot is of a finished stream: there is nothing to resume"
        elif opening.endpoints and stream.state.endpoints is None:
            unfit = "the snapshot is of a stream without endpoints, and the opening asks for them"
        if unfit is not None:
            stream.close()
            raise SnapshotError(unfit)
        if opening.tentative:
            self._guesses[stream] = []
        self._listeners[stream] = listener
        return stream

    def close(self, stream: PooledStream) -> None:
        """Forget a stream, whatever it was at."""
        stream.close()
        self._listeners.pop(stream, None)
        self._guesses.pop(stream, None)

    def _wake(self) -> None:
        if not self._work.is_set():
            self._work.set()

    def _run(self) -> None:
        while True:
            self._work.clear()
            if self._stopping.is_set():
                return
            if not self._pool.ready:
                self._tick_seconds = 0.0
                self._work.wait()
                continue
            self._began = began = time.monotonic()
            self._tick()
            self._tick_seconds = spent = time.monotonic() - began
            self._began = None
            # What comes meanwhile goes through the model together. Whoever has a whole turn waiting need not wait.
            if self._pool.waiting_seconds() < TURN_SECONDS:
                self._stopping.wait(rest_seconds(began, spent, self._frame_seconds))

    def _tick(self) -> None:
        began = time.monotonic()
        results = self._pool.tick(silent=True)
        spent = time.monotonic() - began
        phones = 0
        found: list[tuple[Listener, list[Event]]] = []
        for result in results:
            phones += sum(isinstance(event, Phone) for event in result.events)
            listener = self._listeners.get(result.stream)
            if listener is not None:
                found.append((listener, [*_events(result), *self._guess(result)]))
        with suppress(RuntimeError):  # the loop is closed: nobody is there any more
            self._loop.call_soon_threadsafe(self._call, found)
        heard, lost = self._known
        self._known = (self._pool.audio_seconds, self._pool.lost_seconds)
        self._metrics.heard(self._known[0] - heard, phones)
        self._metrics.lost(self._known[1] - lost)
        self._metrics.turn(spent, [result.stream.waited_seconds for result in results])

    def _call(self, found: list[tuple[Listener, list[Event]]]) -> None:
        """In the event loop, where what one listener raises does not keep the others from being called."""
        for listener, events in found:
            self._loop.call_soon(listener, events)

    def _guess(self, result: TickResult) -> list[Event]:
        """What is tentative, where that is wanted and has changed."""
        before = self._guesses.get(result.stream)
        if before is None or result.finished or result.error is not None:
            return []
        guess = result.stream.tentative()
        if guess == before:
            return []
        self._guesses[result.stream] = guess
        return [Tentative(tuple(guess))]


def rest_seconds(began: float, spent: float, frame_seconds: float) -> float:
    """How long to wait after a tick that began at `began`, on the monotonic clock, and took `spent` seconds.

    Ticks that are a frame apart or more begin at multiples of a frame: then all that are live have as many frames more
    since the one before, and go through the model in one call, however each one's messages fall.
    """
    rest = min(REST * spent, MAX_REST_SECONDS)
    if spent + rest < frame_seconds:
        return rest
    end = began + spent
    return max(0.0, round((end + rest) / frame_seconds) * frame_seconds - end)


def check_phrases(keywords: Sequence[str], commands: Sequence[str], threshold: float) -> Phrases:
    """What is to be told from phones.

    Raises:
        ConfigError, DataError: it cannot be, or there are too many commands.
    """
    sought = Keywords(keywords, threshold=threshold) if keywords else None
    listed = Commands(commands, threshold=threshold) if commands else None
    if listed is not None and len(listed) > MAX_COMMANDS:  # phrases with slots are many
        raise ConfigError(f"{len(listed):,} commands: a stream may have {MAX_COMMANDS}")
    return {"keywords": sought, "commands": listed}


def _opened(opening: Opening) -> Phrases:
    try:
        return check_phrases(opening.keywords, opening.commands, opening.threshold)
    except (ConfigError, DataError) as error:
        raise RefusedError(Close.BAD_MESSAGE, f"opening: {error}") from None


def put(stream: PooledStream, work: Work) -> None:
    """Something more for a stream: checked samples [n], or a control message. Nothing, once it has ended.

    Raises:
        RefusedError: a gap that is too long.
        ConfigError, DataError: keywords or commands that are none. The stream is unchanged.
    """
    try:
        match work:
            case np.ndarray():
                stream.push(work)
            case Gap(samples):
                stream.gap(samples)
            case SetKeywords(phrases, threshold):
                stream.set_keywords(check_phrases(phrases, (), threshold)["keywords"])
            case SetCommands(phrases, threshold):
                stream.set_commands(check_phrases((), phrases, threshold)["commands"])
            case Finish():
                stream.finish()
            case Save() | HandOver():
                stream.request_snapshot(hand_over=isinstance(work, HandOver))
    except AudioError as error:
        if not stream.closed:  # else what ended it is on its way to the listener
            raise RefusedError(Close.BAD_MESSAGE, str(error)) from None


def _events(result: TickResult) -> list[Event]:
    """What a tick's result means to the client."""
    stream = result.stream
    if result.error is not None:
        return [*result.events, Failure(str(result.error))]
    if not result.finished:
        return [*result.events]
    return [*result.events, Final(stream.seconds, stream.lost_seconds) if stream.finished else HandedOver()]
