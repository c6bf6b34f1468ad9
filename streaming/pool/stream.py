"""One stream of a pool: what is pushed waits in it until a tick takes it.

`PooledStream`'s methods down to `close` are for whoever has the audio, in any thread. Those below are steps of a tick.
"""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ...errors import AudioError, PhonestreamError
from .. import lost_audio, snapshot, state
from ..arrays import AnyArray
from ..audio import resample
from ..audio.channels import InputChannels
from ..audio.samples import check_samples, mono
from ..decode import Phone
from ..spotting.change import CommandsSet, KeywordsSet
from ..spotting.commands import Commands, open_commands
from ..spotting.keywords import Keywords
from ..spotting.spotter import open_spotter
from ..stream import check_gap, check_length
from ..stream_state import Event, Gap, StreamState
from .inbox import CommandChange, Demand, Entry, Inbox, KeywordChange, Request
from .results import PoolEvent, Posteriors, Snapshot

if TYPE_CHECKING:
    from .scheduler import StreamPool

TURN_ENTRIES = 64  # of the inbox that a tick takes in at most, however short they are
MANY_ENTRIES = 256  # in the inbox: a tick takes them in even when they do not come to a chunk


class PooledStream:
    """One stream of a pool; `StreamPool.open` makes it.

    Attributes:
        sample_rate: in Hz, of all that is pushed.
        lost: the gaps so far, in order, one for each call of `gap`.
        finished: `finish` has been called.
        paused: ticks pass it over.
        closed: it is over: heard to its end, handed over, failed or closed.
        inbox: what no tick has taken. It and all above change under the pool's lock, all below in ticks only.
        state: its model's tensors are a view of the pool's slots, once it has one.
        events: not given by a tick yet.
        ended: it has been heard to its end, or handed over.
        error: why it failed, if it did.
        waited_seconds: how long the oldest of what the last tick took had waited.
    """

    def __init__(self, pool: "StreamPool", rate: int, begin: StreamState, report_gaps: bool) -> None:
        self.sample_rate = rate
        self.lost = [gap.event(rate) for gap in begin.lost]
        self.finished = begin.finished
        self.paused = self.closed = self.ended = False
        self.inbox = Inbox(begin.received)
        self.state = begin
        self.events: list[PoolEvent] = []
        self.error: PhonestreamError | None = None
        self.waited_seconds = 0.0
        self._channels = InputChannels()
        self._filter = resample.design(rate, pool.model.metadata.sample_rate)  # kept while the stream is
        self._pool = pool
        self._report_gaps = report_gaps and begin.endpoints is None  # endpoints bring `Lost` in time order
        self._demand: Demand | None = None  # all before it is pending
        self._mark: lost_audio.Mark | None = None  # the stream within a gap
        self._repeats_at = -1  # frames after which it is known to repeat itself
        self._last: list[Event] | None = None  # events of the end, once its padding is pending

    @property
    def seconds(self) -> float:
        """The audio clock: seconds pushed so far, lost audio included."""
        return self.inbox.received / self.sample_rate

    @property
    def backlog_seconds(self) -> float:
        """Seconds of that which the model has not heard yet."""
        meta = self._pool.model.metadata
        return max(0.0, self.seconds - self.state.frames * meta.frame_samples / meta.sample_rate)

    @property
    def lost_seconds(self) -> float:
        return sum((lost.seconds for lost in self.lost), start=0.0)

    def push(self, samples: ArrayLike) -> None:
        """Take the next samples, any number of them, to be heard by the ticks to come.

        Args:
            samples: as for `Stream.accept`, at the stream's rate. Checked now, and copied.

        Raises:
            AudioError: as for `Stream.accept`, or the stream is closed. Nothing was taken, and the stream can go on.
        """
        checked = check_samples(samples, self._channels.width)
        if checked.dtype.kind == "f" or checked.ndim == 2:
            audio: AnyArray = mono(checked)
        else:  # they are scaled in a tick, those of several calls together
            audio = checked.astype(np.int16)
        if checked.dtype.kind == "f":  # it may be the caller's buffer
            audio = audio.copy()
        channels = self._channels.accept(checked, self.sample_rate)
        with self._pool.lock:
            self._put(audio)
            self._channels = channels

    def gap(self, samples: int) -> None:
        """Account for `samples` that were lost; see `Stream.gap`.

        Raises:
            AudioError: a number below 0 or above 24 hours, or the stream is finished or closed.
        """
        count = check_gap(samples, self.sample_rate)
        with self._pool.lock:
            gap = Gap(self.inbox.received, count)
            self._put(gap)
            if count:
                self.lost.append(gap.event(self.sample_rate))
                self._pool.lost_seconds += self.lost[-1].seconds

    def finish(self) -> None:
        """Say that no more audio comes. A tick will give the last events, with `finished` true."""
        self._channels = self._channels.end()
        with self._pool.lock:
            self.finished = True
            self._pool.note(self)

    def pause(self, paused: bool = True) -> None:
        """Let ticks pass the stream over, or no longer. What is pushed meanwhile waits."""
        with self._pool.lock:
            self.paused = paused
            self._pool.note(self)

    def tentative(self) -> list[Phone]:
        """The best guess at what follows the phones of the last tick; see `Stream.tentative`."""
        return state.tentative(self._pool.model, self.state)

    def request_snapshot(self, *, hand_over: bool = False) -> None:
        """Ask for a `Snapshot` among the events, once all that was pushed before has been heard.

        Args:
            hand_over: the stream goes on elsewhere: here it ends with the snapshot.

        Raises:
            AudioError: the stream is finished or closed.
        """
        with self._pool.lock:
            self._put(Request.HAND_OVER if hand_over else Request.SNAPSHOT)

    def set_keywords(self, keywords: Keywords | None) -> None:
        """Look for other keywords after all that was pushed before, or for none; see `Stream.set_keywords`.

        `KeywordsSet` comes among the events where they begin to count. Not for an event loop: it takes milliseconds.

        Raises:
            ConfigError: they are something else, or in phones that the model has not.
            AudioError: the stream is finished or closed.
        """
        change = KeywordChange(open_spotter(self._pool.model.metadata, keywords))
        with self._pool.lock:
            self._put(change)

    def set_commands(self, commands: Commands | None) -> None:
        """Compare with other commands after all that was pushed before, or with none; see `Stream.set_commands`.

        `CommandsSet` comes among the events where they begin to count. Not for an event loop: it takes milliseconds.

        Raises:
            ConfigError: they are something else, or in phones that the model has not, or the stream has no endpoints.
            AudioError: the stream is finished or closed.
        """
        change = CommandChange(open_commands(self._pool.model.metadata, commands))
        state.set_commands(self.state, change.recognizer)  # tells what is wrong with it here
        with self._pool.lock:
            self._put(change)

    def hand_over(self) -> None:
        """End the stream here with a `Snapshot` of what has been heard; what waits is dropped, a `finish` too.

        One that is over, or of which only the end is missing, comes to its end as it is.
        """
        with self._pool.lock:
            if self.closed or self.ending:
                return
            self.finished = False
            self.inbox.clear()
            self.inbox.put(Request.HAND_OVER)
            self._pool.note(self)

    def save(self) -> bytes:
        """A snapshot of all that was pushed, as `Stream.save` would write it. Waits for a tick that is going on.

        What no tick has heard yet is heard first; the events come with the next tick, and are not in the snapshot.

        Raises:
            AudioError: the stream is closed, or being heard to its end.
            ModelError: the model gives NaN. The next tick says that the stream has failed.
        """
        return self._pool.save(self)

    def close(self) -> None:
        """Forget the stream; what waits is dropped. Closing twice, or after its end, is no error."""
        self._pool.close(self)

    def __repr__(self) -> str:
        status = ", closed" if self.closed else ", finished" if self.finished else ""
        return f"<PooledStream at {self.seconds:.3f} s{status}>"

    def _put(self, entry: Entry) -> None:
        if self.closed or self.finished:
            raise AudioError(
                f"the stream is {'closed' if self.closed else 'finished'}: open another with pool.open()"
            )
        if isinstance(entry, np.ndarray | Gap):
            check_length(self.state)
        self.inbox.put(entry)
        self._pool.note(self, more=True)

    @property
    def due(self) -> bool:
        """Whether a tick has something to do. Under the pool's lock."""
        if self.closed or self.paused:
            return False
        if self.finished or self.events or self.error or self._demand or self.inbox.demands:
            return True
        meta = self._pool.model.metadata
        audio = resample.produced(self.sample_rate, meta.sample_rate, self.inbox.received)
        whole = audio // meta.frame_samples - self.state.frames
        return whole >= self._pool.chunk_frames or len(self.inbox) >= MANY_ENTRIES

    @property
    def ending(self) -> bool:
        """Whether what is pending is the stream's end, padding included."""
        return self._last is not None

    @property
    def live(self) -> bool:
        """Whether more audio may come, and nothing is demanded before it."""
        return not self.finished and self._demand is None

    def fill(self) -> None:
        """Take in what waits, until the most that a tick advances by is pending, or a demand comes next."""
        model, rate = self._pool.model, self.sample_rate
        size = self._pool.max_chunk_frames * model.metadata.frame_samples
        with self._pool.lock:
            since = self.inbox.since
        self.waited_seconds = 0.0 if since is None else time.monotonic() - since
        for _ in range(TURN_ENTRIES):
            missing = size - len(self.state.pending)
            if self._demand is not None or missing <= 0 or not len(self.inbox):
                return
            self._skip_lost()
            with self._pool.lock:
                entry = self.inbox.take(missing * rate // model.metadata.sample_rate + 1)
            if entry is None:
                return
            if isinstance(entry, np.ndarray):
                entry = mono(entry)
            if self._mark is not None and isinstance(entry, np.ndarray) and entry.any():
                self._mark = None
            if isinstance(entry, Demand):
                self._demand = entry
            elif isinstance(entry, Gap):
                self.state = state.mark_gap(model, self.state, entry.samples, rate)
                if self._report_gaps:
                    self.events.append(entry.event(rate))
            else:
                self.state = state.accept_waveform(model, self.state, entry, rate)

    def _skip_lost(self) -> None:
        """Pass over a gap once the stream repeats itself in it, as `lost_audio.py` says."""
        model, state = self._pool.model, self.state
        with self._pool.lock:
            lost = self.inbox.lost
        period = lost_audio.period(model, self.sample_rate) if lost else None
        if period is None or lost < period.samples:
            return
        if self._mark is not None and state.frames - self._mark.frames == period.frames:
            if lost_audio.repeats(self._mark, state):
                self._repeats_at = state.frames
            self._mark = None
        if state.frames != self._repeats_at or not lost_audio.is_idle(state):
            if self._mark is None or state.frames - self._mark.frames > period.frames:
                self._mark = lost_audio.mark(model, state)
            return
        skipped, events, self.state = lost_audio.skip(model, state, lost)
        self.events += events
        self._repeats_at = self.state.frames
        with self._pool.lock:
            self.inbox.skip(skipped)
            self._pool.count_frames(self.state.frames - state.frames)

    def budget(self) -> int:
        """Frames that a tick may advance the stream by: none below a chunk, but before a demand and at the end.

        The end is all that is left, padding included, once it is less than the most that a tick advances by.
        """
        pool, frame = self._pool, self._pool.model.metadata.frame_samples
        waiting = len(self.state.pending) // frame
        with pool.lock:
            last = self.finished and not len(self.inbox) and self._demand is None
            last = last and (self.ending or waiting < pool.max_chunk_frames)
            if last and self._last is None:
                self.state, self._last = state.pad(pool.model, self.state), []
        if last:
            return len(self.state.pending) // frame
        return min(waiting, pool.max_chunk_frames) if self._demand or waiting >= pool.chunk_frames else 0

    def advance(self, events: list[Event], after: StreamState) -> None:
        """Take over what a call of the graph brought."""
        self.state = after
        (self.events if self._last is None else self._last).extend(events)

    def settle(self) -> None:
        """What follows the frames of a tick: the end, posteriors, and what is demanded here."""
        if self.error is not None:
            return
        waits = self._last is not None or self._demand is not None
        done = waits and not state.ready_frames(self._pool.model, self.state)
        if done and self._last is not None:
            last, self.state = state.end(self._pool.model, self._last, self.state)
            self.events += last
            self.ended = True
        if self.state.posteriors:
            self.events.append(Posteriors(np.concatenate(self.state.posteriors)))
            self.state = replace(self.state, posteriors=())
        if done and self._demand is not None:
            self._meet(self._demand)
            self._demand = None

    def _meet(self, demand: Demand) -> None:
        """Do what is asked for after all that has been heard."""
        meta = self._pool.model.metadata
        if isinstance(demand, KeywordChange):
            self.state = state.set_keywords(self.state, demand.spotter)
            phrases = [] if demand.spotter is None else [word.phrase for word in demand.spotter.keywords]
            self._mark, self._repeats_at = None, -1
            self.events.append(KeywordsSet(phrases, meta.decoder.seconds(self.state.decoder.row)))
            return
        if isinstance(demand, CommandChange):
            self.state = state.set_commands(self.state, demand.recognizer)
            commands, first, phrases = self.state.commands, self.state.decoder.row, []
            if commands is not None:
                first, phrases = commands.first, [word.phrase for word in commands.recognizer.commands]
            self._mark, self._repeats_at = None, -1
            self.events.append(CommandsSet(phrases, meta.decoder.seconds(first)))
            return
        try:
            saved = snapshot.save(self._pool.model, self.state)
        except PhonestreamError as error:
            self.error = error
            return
        self.events.append(Snapshot(self.state.received, saved))
        self.ended = demand is Request.HAND_OVER
