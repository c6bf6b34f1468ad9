"""Many streams in one call of the graph, gathered for it and given back: each is what it would be alone."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import PhonestreamError
from . import state
from .arrays import AnyArray, Floats
from .audio.samples import check_rate, check_samples, mono, slices
from .model import MAX_BLOCK_SECONDS, Model
from .state import Event, StreamState
from .stream import Stream, check_open

MAX_BATCH = 64
"""Streams in one call. Larger ones are no faster: what is computed on outgrows the cache."""

# What a call costs in the time that one frame of one stream takes, once in a batch: measured with the bundled model.
CALL_COST = 4.0
STREAM_COST = 1.5


class Outcome(NamedTuple):
    """What a stream of a batch gave: its events, or the error that has left it as it was."""

    events: list[Event]
    error: PhonestreamError | None = None


class Advanced(NamedTuple):
    """A stream of a batch after it."""

    events: list[Event]
    state: StreamState
    error: PhonestreamError | None = None
    """Not None: the graph gave NaN or infinity for this stream, and `state` is that before."""


def accept(
    model: Model, inputs: Sequence[tuple[Stream[Any], ArrayLike]], rates: Sequence[int]
) -> list[Outcome]:
    """`Recognizer.accept_many`, for different streams of `model` and as many rates."""
    with ExitStack() as stack:
        # Always in the same order: two calls with the same streams must not wait for each other.
        for stream in sorted((stream for stream, _ in inputs), key=id):
            stack.enter_context(stream._lock)
        checked = [
            _check(stream, samples, rate) for (stream, samples), rate in zip(inputs, rates, strict=True)
        ]
        heard = _hear_all(model, [stream._state for stream, _ in inputs], checked)
        for (stream, _), advanced in zip(inputs, heard, strict=True):
            if advanced.error is None:
                stream._state = advanced.state
    return [Outcome([] if error else events, error) for events, _, error in heard]


def _check(stream: Stream[Any], samples: ArrayLike, rate: int) -> tuple[AnyArray, int] | PhonestreamError:
    try:
        array, hertz = check_samples(samples), check_rate(rate)
        check_open(stream._state, hertz)
    except PhonestreamError as error:
        return error
    return array, hertz


def _hear_all(
    model: Model,
    states: Sequence[StreamState],
    inputs: Sequence[tuple[AnyArray, int] | PhonestreamError],
) -> list[Advanced]:
    """All streams through all of their input, a few seconds of each at a time."""
    heard = [
        Advanced([], before, given if isinstance(given, PhonestreamError) else None)
        for before, given in zip(states, inputs, strict=True)
    ]
    pieces = {
        index: iter([*slices(len(given[0]), int(MAX_BLOCK_SECONDS * given[1]))])
        for index, given in enumerate(inputs)
        if not isinstance(given, PhonestreamError)
    }
    while pieces:
        going = []
        for index in [*pieces]:
            given, piece = inputs[index], next(pieces[index], None)
            if piece is None or isinstance(given, PhonestreamError):
                del pieces[index]
                continue
            array, rate = given
            now = state.hear(model, heard[index].state, mono(array[piece]), rate)
            heard[index] = heard[index]._replace(state=now)
            going.append(index)
        for index, result in zip(going, advance(model, [heard[i].state for i in going]), strict=True):
            heard[index] = Advanced(heard[index].events + result.events, result.state, result.error)
            if result.error is not None:
                del pieces[index]
    return heard


def advance(model: Model, states: Sequence[StreamState]) -> list[Advanced]:
    """Run all whole frames that are pending in each of `states`, in as few calls as can be."""
    results = [Advanced([], before) for before in states]
    frame = model.metadata.frame_samples
    while True:
        counts = [
            0 if error else min(len(now.pending), model.block_samples) // frame for _, now, error in results
        ]
        if not any(counts):
            return results
        for frames, group in plan(counts):
            sound = [index for index in group if results[index].error is None]
            for part in split(len(sound)):
                _run(model, results, sound[part], frames)


def finish(model: Model, states: Sequence[StreamState]) -> list[Advanced]:
    """End all streams: `state.finish` for each."""
    results = advance(model, [state.pad(model, before) for before in states])
    return [
        result if result.error else Advanced(*state.end(model, result.events, result.state))
        for result in results
    ]


def plan(counts: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Calls that advance stream i by counts[i] frames: (frames, streams) of each, in order.

    Either a call for each different count, or, where there are many, one for each power of two, of which every count is
    a sum; whichever costs less.
    """
    sizes = Counter(count for count in counts if count)
    exact = sum(_cost(streams, frames) for frames, streams in sizes.items())
    powers = [1 << bit for bit in reversed(range(max(sizes, default=0).bit_length()))]
    members = {power: [index for index, count in enumerate(counts) if count & power] for power in powers}
    binary = sum(_cost(len(group), power) for power, group in members.items() if group)
    if exact <= binary:
        return [
            (frames, [i for i, count in enumerate(counts) if count == frames]) for frames in sorted(sizes)
        ]
    return [(power, group) for power, group in members.items() if group]


def split(streams: int) -> list[slice]:
    """`streams` in calls of equal sizes, at most MAX_BATCH each."""
    calls = -(-streams // MAX_BATCH)
    bounds = [streams * call // calls for call in range(calls + 1)] if calls else [0]
    return [slice(begin, end) for begin, end in pairwise(bounds)]


def _cost(streams: int, frames: int) -> float:
    return -(-streams // MAX_BATCH) * CALL_COST + streams * (STREAM_COST + frames)


def _run(model: Model, results: list[Advanced], group: Sequence[int], frames: int) -> None:
    """Advance the streams `group` of `results` by `frames` each, in one call."""
    samples = frames * model.metadata.frame_samples
    before = [results[index].state for index in group]
    audio = np.stack([now.pending[:samples] for now in before])
    gathered = {
        spec.name: np.concatenate([now.model[spec.name] for now in before], axis=spec.batch_axis)
        for spec in model.metadata.states
    }
    log_probs, following = model.run_unchecked(audio, gathered)
    finite = usable(log_probs)
    columns, confidences = model.metadata.decoder.best(log_probs)
    axes = {spec.name: spec.batch_axis for spec in model.metadata.states}
    for row, index in enumerate(group):
        events, now, _ = results[index]
        if not finite[row]:
            results[index] = Advanced(events, now, model.unusable())
            continue
        own = {name: _take(tensor, row, axes[name]) for name, tensor in following.items()}
        now = replace(now, pending=now.pending[samples:].copy())
        best = columns[row], confidences[row]
        found, now = state.absorb(model, now, log_probs[row].copy(), own, best)
        results[index] = Advanced(events + found, now)


def usable(log_probs: Floats) -> list[bool]:
    """Of `log_probs` [batch, rows, columns], which streams' are finite."""
    finite: AnyArray = np.logical_and.reduce(np.isfinite(log_probs), axis=(1, 2))
    return [bool(value) for value in finite]


def _take(tensor: Floats, row: int, axis: int) -> Floats:
    """One stream of a batched tensor, copied: a view would keep the whole batch in memory."""
    return tensor[(slice(None),) * axis + (slice(row, row + 1),)].copy()
