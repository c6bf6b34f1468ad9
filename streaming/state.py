"""What a stream is between two calls, as one value, and the pure steps from one such value to the next.

Audio goes through four steps, each of which takes a state and hands back another:

    hear      samples at any rate are resampled and wait in `pending`
    frames    whole frames are cut off `pending` ...
    Model.run ... and run through the graph, which needs only the audio and the model's own state
    absorb    rows become phones, and endpoints where they were asked for

`advance` is the middle two for one stream alone. Many streams share a call of the graph (`batch.py`, `slots.py`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from . import decode
from .arrays import Floats
from .audio import resample
from .audio.resample import ResamplerState
from .beam import Beam
from .decode import DecoderState, Phone
from .endpoint import Endpoint, EndpointConfig, EndpointState, detect
from .metadata import ModelMetadata
from .model import Model


class Lost(NamedTuple):
    """Audio that never arrived, in seconds from the start of the stream."""

    start: float
    seconds: float


Event: TypeAlias = Phone | Endpoint | Lost


class Endpointing(NamedTuple):
    """What a stream with endpoints has beside the others."""

    config: EndpointConfig
    state: EndpointState = EndpointState()
    untold: tuple[tuple[int, int], ...] = ()
    """Gaps as in `StreamState.lost`, one for each call, whose place in time no row has reached yet."""


@dataclass(frozen=True, eq=False)
class StreamState:
    """The whole of a stream. Arrays in it are never written to, so that copies may share them."""

    model: Mapping[str, Floats]
    """The graph's state tensors, of batch 1."""
    pending: Floats
    """[n] samples at the model's rate that are not a whole frame yet."""
    resampler: ResamplerState | None = None
    """None until the first samples fix the stream's rate. Its `received` is the audio clock."""
    frames: int = 0
    """Frames that the graph has heard."""
    decoder: DecoderState = field(default_factory=DecoderState)
    posteriors: tuple[Floats, ...] | None = None
    """Rows of log-probabilities that nobody has taken yet; None where they are not kept."""
    lost: tuple[tuple[int, int], ...] = ()
    """(first sample, samples) of each gap at the stream's rate, in order, never touching."""
    finished: bool = False
    endpoints: Endpointing | None = None
    beam: Beam | None = None
    """Not None: phones are this search's, and `decoder` only counts rows."""

    @property
    def received(self) -> int:
        """Samples so far at the stream's own rate, lost ones included."""
        return self.resampler.received if self.resampler else 0

    @property
    def seconds(self) -> float:
        return self.received / self.resampler.rate if self.resampler else 0.0


def initial(
    model: Model,
    posteriors: bool = False,
    endpoints: EndpointConfig | None = None,
    beam: Beam | None = None,
) -> StreamState:
    """The state of a stream that has heard nothing."""
    return StreamState(
        model=model.initial_state(),
        pending=np.empty(0, np.float32),
        posteriors=() if posteriors else None,
        endpoints=Endpointing(endpoints) if endpoints else None,
        beam=beam,
    )


def hear(model: Model, state: StreamState, samples: Floats, rate: int) -> StreamState:
    """Take in `samples` [n] at `rate` Hz, the stream's own; what is ready then waits in `pending`."""
    resampler = state.resampler or resample.start(rate, model.metadata.sample_rate)
    audio, resampler = resample.resample(resampler, samples)
    # Concatenation also copies: the caller may reuse the buffer that `samples` came in.
    return replace(state, resampler=resampler, pending=np.concatenate([state.pending, audio]))


def frames(model: Model, state: StreamState) -> tuple[Floats, StreamState]:
    """Cut whole frames, at most a block, off the front of `pending`: [frames * frame_samples]."""
    frame = model.metadata.frame_samples
    ready = min(len(state.pending) // frame * frame, model.block_samples)
    return state.pending[:ready], replace(state, pending=state.pending[ready:].copy())


def lose(state: StreamState, rate: int, target: int, count: int) -> StreamState:
    """Note that the next `count` samples, which are to be heard as zeros, are lost."""
    first, lost, endpoints = state.received, state.lost, state.endpoints
    if endpoints is not None:
        endpoints = endpoints._replace(untold=(*endpoints.untold, (first, count)))
    if lost and sum(lost[-1]) == first:  # adjoining gaps are one
        lost = (*lost[:-1], (lost[-1][0], lost[-1][1] + count))
    else:
        lost = (*lost, (first, count))
    resampler = state.resampler or resample.start(rate, target)
    return replace(state, resampler=resampler, lost=lost, endpoints=endpoints)


def absorb(
    model: Model,
    state: StreamState,
    log_probs: Floats,
    following: Mapping[str, Floats],
    best: tuple[Sequence[int], Sequence[float]] | None = None,
) -> tuple[list[Event], StreamState]:
    """Decode `log_probs` [rows, phones + 1] that the graph gave for the next frames; take over its state.

    `best` is `Decoder.best` of `log_probs`, where a whole batch has been through it.
    """
    meta = model.metadata
    heard = len(log_probs) // meta.rows_per_frame
    # Rows come late by the look-ahead: the first ones speak of the time before the stream began.
    early = min(heard, max(0, meta.look_ahead_frames - state.frames)) * meta.rows_per_frame
    columns, confidences = best or meta.decoder.best(log_probs)
    if early:
        log_probs, columns, confidences = log_probs[early:], columns[early:], confidences[early:]
    events: Sequence[Event]
    endpoints = None
    if state.endpoints is None:
        events, decoder = meta.decoder.follow(state.decoder, columns, confidences)
    else:
        events, decoder, endpoints = _follow(meta, state, state.endpoints, columns, confidences)
    beam = state.beam
    if beam is not None:
        events, beam = beam.decode(log_probs)
    posteriors = state.posteriors
    if posteriors is not None and len(log_probs):
        posteriors = (*posteriors, log_probs)
    return [*events], replace(
        state,
        model=following,
        frames=state.frames + heard,
        decoder=decoder,
        posteriors=posteriors,
        endpoints=endpoints,
        beam=beam,
    )


def _follow(
    meta: ModelMetadata,
    state: StreamState,
    endpoints: Endpointing,
    columns: Sequence[int],
    confidences: Sequence[float],
) -> tuple[list[Event], DecoderState, Endpointing]:
    """Phones, and between them the endpoints and gaps of that time.

    Rows are decoded up to where the next endpoint or gap is known, so that the order is that of a row at a time.
    """
    config, rules, untold = endpoints
    decoder, row = meta.decoder, state.decoder.row
    endings, rules = detect(config, rules, row, columns, meta.blank, meta.row_seconds)
    marks: list[tuple[int, float, Endpoint | Lost]] = []  # rows seen, order among those of one row, event
    rate = state.resampler.rate if state.resampler else meta.sample_rate
    while untold and (due := max(row, _due(meta, untold[0][0] / rate))) <= row + len(columns):
        lost = Lost(untold[0][0] / rate, untold[0][1] / rate)
        marks.append((due, lost.start, lost))
        untold = untold[1:]
    for seen, time, start, silence, rule in endings:
        endpoint = Endpoint(
            decoder.seconds(time),
            decoder.seconds(start)
            if start
            else 0.0,  # the first begins with the stream, whatever the time offset
            silence * meta.row_seconds,
            config.rules[rule].name,
        )
        marks.append((seen, endpoint.time, endpoint))

    events: list[Event] = []
    following, done = state.decoder, 0
    for seen, _, event in sorted(marks, key=lambda mark: mark[:2]):  # stable: a gap before what it led to
        phones, following = decoder.follow(
            following, columns[done : seen - row], confidences[done : seen - row]
        )
        events += [*phones, event]
        done = seen - row
    phones, following = decoder.follow(following, columns[done:], confidences[done:])
    return [*events, *phones], following, Endpointing(config, rules, untold)


def _due(meta: ModelMetadata, seconds: float) -> int:
    """The first row that does not begin before `seconds`."""
    row = max(0, math.floor((seconds + meta.time_offset_seconds) / meta.row_seconds) - 1)
    while meta.decoder.seconds(row) < seconds:
        row += 1
    return row


def advance(model: Model, state: StreamState) -> tuple[list[Event], StreamState]:
    """Run all whole frames that are pending, a block at a time."""
    events: list[Event] = []
    while len(state.pending) >= model.metadata.frame_samples:
        audio, state = frames(model, state)
        log_probs, following = model.run(audio[None], state.model)
        found, state = absorb(model, state, log_probs[0], following)
        events += found
    return events, state


def finish(model: Model, state: StreamState) -> tuple[list[Event], StreamState]:
    """End the stream: N samples at the model's rate come to exactly ceil(N / frame_samples) frames of rows."""
    return end(model, *advance(model, pad(model, state)))


def pad(model: Model, state: StreamState) -> StreamState:
    """All that a stream's end has still to hear, in `pending`.

    The last frame is filled up with zeros, and the look-ahead fed as zeros to fetch the rows still to come.
    """
    if state.resampler is None or state.received == 0 or state.finished:
        return state
    frame = model.metadata.frame_samples
    audio = np.concatenate([state.pending, resample.flush(state.resampler)])
    padding = -len(audio) % frame + model.metadata.look_ahead_frames * frame
    return replace(state, pending=np.concatenate([audio, np.zeros(padding, np.float32)]))


def end(model: Model, events: Sequence[Event], state: StreamState) -> tuple[list[Event], StreamState]:
    """The `events` of a stream's `pad` and those that come after, within the stream's duration; its last state."""
    if state.finished:
        return [*events], state
    last: list[Event] = [*model.metadata.decoder.finish(state.decoder)]
    endpoints, beam = state.endpoints, state.beam
    if beam is not None:
        found, beam = beam.finish()
        last = [*found]
    if endpoints is not None and state.resampler is not None:
        rate = state.resampler.rate
        last += [Lost(first / rate, count / rate) for first, count in endpoints.untold]
        last.sort(key=lambda event: event.end if isinstance(event, Phone) else event.start)
        endpoints = endpoints._replace(untold=())
    decoder = state.decoder._replace(run=None)
    return clip([*events, *last], state.seconds), replace(
        state, finished=True, decoder=decoder, endpoints=endpoints, beam=beam
    )


def clip(events: Iterable[Event], duration: float) -> list[Event]:
    """`events` with no time beyond `duration` in seconds, where the stream ended."""
    clipped: list[Event] = []
    for event in events:
        match event:
            case Phone():
                clipped += decode.clip([event], duration)
            case Endpoint(time, start):
                clipped.append(event._replace(time=min(time, duration), start=min(start, duration)))
            case Lost():
                clipped.append(event)
    return clipped
