"""A stream: audio goes in as it comes, phones come out as soon as they are certain."""

import operator
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Generic, NoReturn, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AudioError, ConfigError
from . import lost_audio, snapshot, state
from .arrays import AnyArray, FloatArray
from .audio.channels import InputChannels
from .audio.samples import check_rate, check_samples, mono, slices
from .decode import clip
from .decoding.decoder import Hypothesis
from .model import MAX_BLOCK_SECONDS, Model
from .spotting.commands import Commands, open_commands
from .spotting.keywords import Keywords
from .spotting.spotter import open_spotter
from .stream_state import MAX_ROWS, StreamState
from .stream_state import Event as Event
from .stream_state import Lost as Lost

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from .decode import Phone

    E = TypeVar("E", bound=Event, default=Phone)
else:
    from typing import TypeVar

    E = TypeVar("E")  # Python has defaults of type variables from 3.13 on only

DEFAULT_RATE = 16_000  # Hz
MAX_GAP_HOURS = 24


class Stream(Generic[E]):
    """One source of audio, heard by a `Recognizer`; `Recognizer.stream()` makes it.

    Events come out of it: phones, and where endpoints were asked for also endpoints and lost audio.

    What it has heard is one immutable value, so that a stream can be copied, saved and resumed at any point.
    A call that raises leaves the stream as it was. Each call holds the stream while it runs; calls from
    several threads take turns.
    """

    def __init__(self, model: Model, state: StreamState) -> None:
        self._model = model
        self._state = state
        self._channels = InputChannels()
        self._lock = Lock()

    @property
    def seconds(self) -> float:
        """The audio clock: seconds of audio so far, lost audio included."""
        return self._state.seconds

    @property
    def finished(self) -> bool:
        return self._state.finished

    @property
    def lost(self) -> list[Lost]:
        """The gaps so far, in order; adjoining ones are one."""
        current = self._state
        rate = current.resampler.rate if current.resampler else DEFAULT_RATE
        return [gap.event(rate) for gap in current.lost]

    @property
    def lost_seconds(self) -> float:
        """Seconds of audio lost so far."""
        return sum((lost.seconds for lost in self.lost), start=0.0)

    def accept(self, samples: ArrayLike, sample_rate: int = DEFAULT_RATE) -> list[E]:
        """Hear the next samples, and return the phones that are now certain, oldest first.

        Of a stream with endpoints the list holds `Phone`, `Endpoint` and `Lost`, in time order: a phone counts at its
        end, lost audio at its start. Each call of `gap` gives a `Lost` of its own.

        The result does not depend on how the audio is cut into calls: any number of samples will do, none
        included, and memory stays constant however many they are. Phones lag behind the audio by the model's
        look-ahead, by at most a frame that is not full yet, and until it is known where the phone ends.

        Warns (`AudioWarning`) once, in `finish` if the stream is shorter than 10 s, where channels cancel each other
        when they are mixed, so that little is heard.

        Args:
            samples: [n] or [n, channels] (mixed down), floats in [-1, 1] or int16; an array, a list or a tensor of
                torch. Not kept. [channels, n] is refused: an array with more columns than rows, and more than two,
                unless the chunk before had as many.
            sample_rate: Hz, from 1000 to 768000; fixed for the stream by its first sample.

        Raises:
            AudioError: samples of another type or shape, NaN, infinite or far beyond [-1, 1]; a rate out of
                range or not the stream's; a stream that is finished, or has 2**30 rows (497 days at 40 ms). The stream
                is unchanged.
        """
        rate = check_rate(sample_rate)
        array = check_samples(samples, self._channels.width)
        with self._lock:
            check_open(self._state, rate)
            channels = self._channels.accept(array, rate)
            events, self._state = self._accept(self._state, array, rate)
            self._channels = channels
            return events

    def gap(self, samples: int, sample_rate: int | None = None) -> list[E]:
        """Account for `samples` that were lost, by a microphone's overflow or in a network.

        They are heard as silence, so that the clock and the times of all later phones stay right, and are
        listed in `lost`. A day of them takes as long as some seconds (`lost_audio.py`). Returns what is now
        certain, as `accept` does.

        Args:
            samples: how many, at the stream's rate.
            sample_rate: needed only before any audio, when the rate is not 16000.

        Raises:
            AudioError: a number below 0 or above 24 hours; a rate as for `accept`; a stream that is finished.
        """
        with self._lock:
            current = self._state
            fixed = current.resampler.rate if current.resampler else DEFAULT_RATE
            rate = check_rate(fixed if sample_rate is None else sample_rate)
            check_open(self._state, rate)
            count = check_gap(samples, rate)
            if count == 0:
                return []
            events, self._state = self._accept_zeros(
                state.mark_gap(self._model, current, count, rate), count, rate
            )
            return events

    def set_keywords(self, keywords: Keywords | None) -> None:
        """Look for other keywords from now on, or for none; the stream goes on.

        They count from the first row that is not decoded yet. After N samples at the model's rate, as the resampler
        gives them, that is row `rows_per_frame * max(0, N // frame_samples - look_ahead_frames)`, however the samples
        came: the audio of the model's look-ahead is still to be searched.

        Of keywords that were there before, with the same phrase and pronunciations, nothing gets lost: they are told as
        if nothing had changed, from now on above the new threshold. New ones are found where they begin at that row or
        later. Those that are left out are told no more, not even where they are over and not yet certain.

        Whoever restores the stream gives these keywords. `Spotted` comes among the events, whatever the stream was
        made for.

        Args:
            keywords: all that are to be looked for; None for none.

        Raises:
            ConfigError: they are something else, or in phones that the model has not.
            AudioError: the stream is finished.
        """
        spotter = open_spotter(self._model.metadata, keywords)
        with self._lock:
            check_open(self._state)
            self._state = state.set_keywords(self._state, spotter)

    def set_commands(self, commands: Commands | None) -> None:
        """Compare utterances with other commands from now on, or with none; the stream goes on.

        The utterance that goes on is compared with the new ones in whole if there were commands before, else from the
        first row on that is not decoded yet (as for `set_keywords`). `CommandResult` comes among the events, whatever
        the stream was made for. Whoever restores the stream gives these commands.

        Args:
            commands: the whole list; None for none.

        Raises:
            ConfigError: they are something else, or in phones that the model has not, or the stream has no endpoints.
            AudioError: the stream is finished.
        """
        recognizer = open_commands(self._model.metadata, commands)
        with self._lock:
            check_open(self._state)
            self._state = state.set_commands(self._state, recognizer)

    def finish(self) -> list[E]:
        """End the stream, and return its last phones. It can be read, saved and copied, but hears no more.

        All audio is accounted for: N samples at the model's rate have given exactly ceil(N / frame) frames of
        rows, and no phone ends after the audio. On a finished stream this returns nothing.
        """
        with self._lock:
            if self._state.finished:
                return []
            self._channels = self._channels.end()
            events, self._state = state.finish(self._model, self._state)
            return cast(list[E], events)

    def tentative(self) -> "list[Phone]":
        """The best guess so far at what has been said since the phones that are final.

        Those are phones that no call has returned yet; the next call may change all of them. They never contradict what
        is final, and begin after it. With greedy decoding that is at most one, which goes on.
        """
        return state.tentative(self._model, self._state)

    def n_best(self, limit: int = 1) -> list[Hypothesis]:
        """The most probable ways to go on from the final phones through the audio so far, the best first.

        They differ in what may still change, which has been returned by no call yet; `n_best()[0].phones` would be
        next if the stream ended here. On a finished stream they are the ways that there were before its end, of
        which `finish` returned the first.

        Args:
            limit: how many at most.

        Raises:
            ConfigError: `limit` is below 1, or the stream decodes greedily.
        """
        if limit < 1:
            raise ConfigError(f"n_best({limit!r}): expected a number of hypotheses from 1 on")
        with self._lock:
            current = self._state
            if current.search is None:
                raise ConfigError('this stream decodes greedily: make it with stream(decoder="beam")')
            found = current.search.n_best()[:limit]
        if current.finished:
            found = tuple(way._replace(phones=tuple(clip(way.phones, current.seconds))) for way in found)
        return list(found)

    def take_posteriors(self) -> FloatArray:
        """Log-probabilities [rows, phones + 1] since the last call: `Recognizer.log_probs`, in parts.

        Rows stay in memory, and in snapshots, until they are taken.

        Raises:
            ConfigError: the stream was not made with `stream(posteriors=True)`.
        """
        with self._lock:
            rows = self._state.posteriors
            if rows is None:
                raise ConfigError("this stream keeps no posteriors: make it with stream(posteriors=True)")
            self._state = replace(self._state, posteriors=())
        labels = len(self._model.metadata.phones) + 1
        return np.concatenate([np.empty((0, labels), np.float32), *rows])

    def save(self) -> bytes:
        """The stream as bytes, for `Recognizer.restore` in any process with the same model."""
        return snapshot.save(self._model, self._state)

    def copy(self) -> "Stream[E]":
        """Another stream with the same past and its own future. Costs next to nothing."""
        other: Stream[E] = Stream(self._model, self._state)
        other._channels = self._channels
        return other

    __copy__ = copy

    def __deepcopy__(self, memo: object) -> "Stream[E]":
        return self.copy()  # what it has heard is immutable

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a stream is not pickled, as it would take its model along: "
            "send stream.save(), and go on with recognizer.restore(saved)"
        )

    def __repr__(self) -> str:
        status = ", finished" if self.finished else ""
        return f"<Stream of {self._model.metadata.name!r} at {self.seconds:.3f} s{status}>"

    def _accept(self, current: StreamState, samples: AnyArray, rate: int) -> tuple[list[E], StreamState]:
        """Everything that can be heard in checked `samples`, a few seconds at a time."""
        events = []
        for piece in slices(len(samples), int(MAX_BLOCK_SECONDS * rate)):
            current = state.accept_waveform(self._model, current, mono(samples[piece]), rate)
            found, current = state.advance(self._model, current)
            events += found
        return cast(list[E], events), current

    def _accept_zeros(self, current: StreamState, count: int, rate: int) -> tuple[list[E], StreamState]:
        """`_accept` of zeros, a period at a time, until the rest can be skipped."""
        period = lost_audio.period(self._model, rate)
        events: list[E] = []
        while count:
            piece = count if period is None else min(count, period.samples)
            before = lost_audio.mark(self._model, current) if piece < count else None
            # A broadcast zero takes no memory; it is sliced like any other input.
            found, current = self._accept(current, np.broadcast_to(np.float32(0), (piece,)), rate)
            events += found
            count -= piece
            if before is not None and lost_audio.repeats(before, current):
                skipped, told, current = lost_audio.skip(self._model, current, count)
                events += cast(list[E], told)
                count -= skipped
        return events, current


def check_open(current: StreamState, rate: int | None = None) -> None:
    """Refuse what a stream that is finished cannot take, and audio at `rate` Hz that is not its own.

    Raises:
        AudioError: the stream is finished, began with another rate, or is so long that its rows are no longer counted.
    """
    if current.finished:
        raise AudioError("the stream is finished: start another with recognizer.stream()")
    if rate is not None:
        check_length(current)
    if rate is not None and current.resampler is not None and current.resampler.rate != rate:
        raise AudioError(
            f"sample rate {rate} in a stream that began with {current.resampler.rate}: "
            "the rate is fixed for a stream; start another with recognizer.stream()"
        )


def check_length(current: StreamState) -> None:
    """Refuse more audio in a stream of `MAX_ROWS` rows.

    Raises:
        AudioError: it is so long.
    """
    if current.decoder.row >= MAX_ROWS:
        raise AudioError(
            f"the stream is {current.seconds / 86400:.0f} days long, and no row after row {MAX_ROWS:,} is counted: "
            "finish it and start another"
        )


def check_gap(samples: SupportsIndex, rate: int) -> int:
    """A number of lost samples at `rate` Hz.

    Raises:
        AudioError: it is no whole number, below 0 or above 24 hours.
    """
    try:
        count = operator.index(samples)
    except TypeError:
        count = -1
    if not 0 <= count <= MAX_GAP_HOURS * 3600 * rate:
        raise AudioError(
            f"gap of {samples!r} samples: expected a whole number from 0 to {MAX_GAP_HOURS} hours of them; "
            "after a longer one, start another stream"
        )
    return count
