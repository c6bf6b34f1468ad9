"""`Recognizer.accept_many`: the next samples of many streams, whose states stay with each of them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from ...errors import PhonestreamError
from .. import state
from ..arrays import AnyArray
from ..audio.channels import InputChannels
from ..audio.samples import check_rate, check_samples, mono, slices
from ..model import MAX_BLOCK_SECONDS, Model
from ..stream import Stream, check_open
from ..stream_state import Event, StreamState
from .run import Gathered, run_frames


class Outcome(NamedTuple):
    """What a stream of a batch gave: its events, or the error that has left it as it was."""

    events: list[Event]
    error: PhonestreamError | None = None


def accept(
    model: Model, inputs: Sequence[tuple[Stream[Any], ArrayLike]], rates: Sequence[int]
) -> list[Outcome]:
    """`Recognizer.accept_many`, for different streams of `model` and as many rates."""
    streams = [stream for stream, _ in inputs]
    with ExitStack() as stack:
        # Always in the same order: two calls with the same streams must not wait for each other.
        for stream in sorted(streams, key=id):
            stack.enter_context(stream._lock)
        outcomes = [Outcome([]) for _ in inputs]
        pieces: dict[int, Iterator[AnyArray]] = {}
        hertz: dict[int, int] = {}
        channels: dict[int, InputChannels] = {}
        for index, ((stream, samples), rate) in enumerate(zip(inputs, rates, strict=True)):
            try:
                array, hertz[index] = check_samples(samples, stream._channels.width), check_rate(rate)
                check_open(stream._state, hertz[index])
            except PhonestreamError as error:
                outcomes[index] = Outcome([], error)
                continue
            pieces[index] = _blocks(array, hertz[index])
            channels[index] = stream._channels.accept(array, hertz[index])
        states = {index: streams[index]._state for index in pieces}
        while pieces:  # a few seconds of each stream at a time
            for index in list(pieces):
                piece = next(pieces[index], None)
                if piece is None:
                    del pieces[index]
                else:
                    states[index] = state.accept_waveform(model, states[index], mono(piece), hertz[index])
            for index, failure in _advance(model, states, outcomes).items():
                outcomes[index] = Outcome([], failure)
                del states[index]
                pieces.pop(index, None)
        for index, after in states.items():
            streams[index]._state, streams[index]._channels = after, channels[index]
    return outcomes


def _blocks(samples: AnyArray, rate: int) -> Iterator[AnyArray]:
    return (samples[piece] for piece in slices(len(samples), int(MAX_BLOCK_SECONDS * rate)))


def _advance(
    model: Model, states: dict[int, StreamState], outcomes: Sequence[Outcome]
) -> dict[int, PhonestreamError]:
    """Run all that is pending in `states`, and add the events to `outcomes`; the errors of those that failed."""
    failed: dict[int, PhonestreamError] = {}
    budgets = {index: len(now.pending) for index, now in states.items()}  # more than there is
    for index, (events, after, error) in run_frames(model, states, budgets, Gathered(model)):
        states[index] = after
        outcomes[index].events.extend(events)
        if error is not None:
            failed[index] = error
    return failed
