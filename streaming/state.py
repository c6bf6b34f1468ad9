"""What a stream is between two calls, as one value, and the pure steps from one such value to the next.

Audio goes through three steps, each of which takes a state and hands back another:

    accept_waveform  samples at any rate are resampled and wait in `pending`
    Model.run        `ready_frames` of them go through the graph, which needs only the audio and the model's own state
    decode_output    the rows become phones, and endpoints where they were asked for; what silence has added to the
                     model's state is taken back (`silence.py`)

`advance` is the last two for one stream alone. Many streams share a call of the graph (`pool/`). Every row of every
stream goes through `decode_output`, and nowhere else is it decided what a stream says.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import NamedTuple, TypeAlias

import numpy as np

from . import decode, silence
from .arrays import FloatArray
from .audio import resample
from .audio.resample import ResamplerState
from .decode import DecoderState, Phone
from .decoding.decoder import BeamDecoder, Search
from .endpoint import Ending, Endpoint, EndpointConfig, EndpointState, detect
from .metadata import ModelMetadata
from .model import Model
from .silence import NOTHING_HEARD, Silence
from .spotting.command_state import Commanding
from .spotting.commands import CommandRecognizer, CommandResult
from .spotting.spotter import Spotted, Spotter, Spotting
from .tiling import TilingState


class Lost(NamedTuple):
    """Audio that never arrived, in seconds from the start of the stream."""

    start: float
    seconds: float


Event: TypeAlias = Phone | Endpoint | Lost | Spotted | CommandResult


class Gap(NamedTuple):
    """Audio that never arrived, in samples at the stream's rate; `Lost` is what is said of it."""

    first: int
    samples: int

    @property
    def end(self) -> int:
        return self.first + self.samples

    def event(self, rate: int) -> Lost:
        return Lost(self.first / rate, self.samples / rate)


class Endpointing(NamedTuple):
    """What a stream with endpoints has beside the others."""

    config: EndpointConfig
    state: EndpointState = EndpointState()
    pending_gaps: tuple[Gap, ...] = ()
    """Gaps not yet emitted as `Lost` events, one for each call: no row has reached them."""


@dataclass(frozen=True, eq=False)
class StreamState:
    """The whole of a stream. Arrays in it are never written to, so that copies may share them."""

    model: Mapping[str, FloatArray]
    """The graph's state tensors, of batch 1."""
    pending: FloatArray
    """[n] samples at the model's rate that are not a whole frame yet."""
    resampler: ResamplerState | None = None
    """None until the first samples fix the stream's rate. Its `received` is the audio clock."""
    frames: int = 0
    """Frames that the graph has heard."""
    silence: Silence = NOTHING_HEARD
    decoder: DecoderState = field(default_factory=DecoderState)
    posteriors: tuple[FloatArray, ...] | None = None
    """Rows of log-probabilities that nobody has taken yet; None where they are not kept."""
    lost: tuple[Gap, ...] = ()
    """In order, never touching."""
    finished: bool = False
    endpoints: Endpointing | None = None
    search: Search | None = None
    """Not None: phones are this search's, and `decoder` only counts rows."""
    spotting: Spotting | None = None
    """Where keywords are looked for."""
    commands: Commanding | None = None
    """Where each utterance is compared with commands: never without `endpoints`."""

    @property
    def received(self) -> int:
        """Samples so far at the stream's own rate, lost ones included."""
        return self.resampler.received if self.resampler else 0

    @property
    def until(self) -> float:
        """Where the last phone that was emitted ended, in seconds."""
        return (self.decoder if self.search is None else self.search.state).tiling.until

    @property
    def seconds(self) -> float:
        return self.received / self.resampler.rate if self.resampler else 0.0


def initial(
    model: Model,
    posteriors: bool = False,
    endpoints: EndpointConfig | None = None,
    decoder: BeamDecoder | None = None,
    spotter: Spotter | None = None,
    commands: CommandRecognizer | None = None,
) -> StreamState:
    """The state of a stream that has heard nothing; with no `decoder`, one that decodes greedily."""
    begin = model.initial_state()
    return StreamState(
        model=begin,
        silence=silence.remember(model.metadata.silence, NOTHING_HEARD, 0, begin),
        pending=np.empty(0, np.float32),
        posteriors=() if posteriors else None,
        endpoints=Endpointing(endpoints) if endpoints else None,
        search=Search(decoder, decoder.initial()) if decoder else None,
        spotting=Spotting(spotter, spotter.initial()) if spotter else None,
        commands=Commanding(commands) if commands else None,
    )


def accept_waveform(model: Model, state: StreamState, samples: FloatArray, rate: int) -> StreamState:
    """Take in `samples` [n] at `rate` Hz, the stream's own; what is ready then waits in `pending`."""
    resampler = state.resampler or resample.start(rate, model.metadata.sample_rate)
    audio, resampler = resample.resample(resampler, samples)
    # Concatenation also copies: the caller may reuse the buffer that `samples` came in.
    return replace(state, resampler=resampler, pending=np.concatenate([state.pending, audio]))


def mark_gap(model: Model, state: StreamState, samples: int, rate: int) -> StreamState:
    """Note that the next `samples`, which are to be accepted as zeros, are lost."""
    gap, lost, endpoints = Gap(state.received, samples), state.lost, state.endpoints
    if endpoints is not None:
        endpoints = endpoints._replace(pending_gaps=(*endpoints.pending_gaps, gap))
    if lost and lost[-1].end == gap.first:  # adjoining gaps are one
        lost = (*lost[:-1], Gap(lost[-1].first, lost[-1].samples + samples))
    else:
        lost = (*lost, gap)
    resampler = state.resampler or resample.start(rate, model.metadata.sample_rate)
    return replace(state, resampler=resampler, lost=lost, endpoints=endpoints)


def ready_frames(model: Model, state: StreamState) -> int:
    """Whole frames at the front of `pending` that the next call of the graph may take.

    At most a block, and no more than are left of an interval of the rule on silence.
    """
    ready = _whole_frames(model, state)
    return silence.frames_to_border(model.metadata.silence, state.frames, ready)


def _whole_frames(model: Model, state: StreamState) -> int:
    return min(len(state.pending), model.block_samples) // model.metadata.frame_samples


def decode_output(
    model: Model,
    state: StreamState,
    log_probs: FloatArray,
    next_state: Mapping[str, FloatArray],
    best: tuple[Sequence[int], Sequence[float]] | None = None,
) -> tuple[list[Event], StreamState]:
    """Decode the rows that the graph gave for the first frames of `pending`, which are then done with.

    Args:
        log_probs: [rows, phones + 1], finite; of `ready_frames` frames at most, or of frames that are valid by
            `silence.valid_frames`.
        next_state: the graph's, which becomes `model` of the state. In a pool it is a view that the next call changes:
            whoever keeps a tensor for longer, or under another name, copies it.
        best: `Decoder.best` of `log_probs`, where a whole batch has been through it.
    """
    meta = model.metadata
    frames = len(log_probs) // meta.rows_per_frame
    blanks = silence.blank_frames(meta.silence, state.frames, log_probs, meta)
    quiet, sums = silence.after_call(meta.silence, state.silence, state.frames, blanks)
    if sums is not None:
        next_state = {**next_state, **sums}
    quiet = silence.remember(meta.silence, quiet, state.frames + frames, next_state)
    pending = state.pending[frames * meta.frame_samples :].copy()
    # Rows come late by the look-ahead: the first ones speak of the time before the stream began.
    early = min(frames, max(0, meta.look_ahead_frames - state.frames)) * meta.rows_per_frame
    labels, confidences = best or meta.decoder.best(log_probs)
    if early:
        log_probs, labels, confidences = log_probs[early:], labels[early:], confidences[early:]
    rows = _Rows(state.decoder.row, labels, confidences, log_probs)
    events, decoded = (_decode_events if state.spotting is None else _spot)(meta, state, rows)
    if state.commands is not None:
        told, commands = state.commands.decode(rows.begin, log_probs, _endings(meta, events))
        events, decoded = _with_commands(events, told), replace(decoded, commands=commands)
    posteriors = state.posteriors
    if posteriors is not None and len(log_probs):
        posteriors = (*posteriors, log_probs.copy())  # not the whole batch's
    return events, replace(
        decoded,
        model=next_state,
        pending=pending,
        frames=state.frames + frames,
        silence=quiet,
        posteriors=posteriors,
    )


class _Decoding(NamedTuple):
    """How far decoding has got: `StreamState.decoder` and `StreamState.search`."""

    greedy: DecoderState
    search: Search | None


class _Rows(NamedTuple):
    """What the graph gave for some rows."""

    begin: int  # index of the first
    labels: Sequence[int]
    confidences: Sequence[float]
    log_probs: FloatArray

    @property
    def end(self) -> int:
        return self.begin + len(self.labels)

    def part(self, begin: int, end: int) -> "_Rows":
        """The rows `begin` … `end` - 1."""
        piece = slice(begin - self.begin, end - self.begin)
        return _Rows(begin, self.labels[piece], self.confidences[piece], self.log_probs[piece])


class _Blanks(NamedTuple):
    """Rows `begin` … `end` - 1 in which nothing is heard, and which nobody needs one by one."""

    begin: int
    end: int
    blank: int

    @property
    def labels(self) -> Iterable[int]:
        return repeat(self.blank, self.end - self.begin)


def decode_blanks(meta: ModelMetadata, state: StreamState, count: int) -> tuple[list[Event], StreamState]:
    """Decode `count` rows that bring nothing new to a stream in silence, as `lost_audio.py` says.

    Returns:
        Endpoints, and gaps that come with them; the next state, of which only what decodes has gone on.
    """
    begin = state.decoder.row
    events, state = _decode_events(meta, state, _Blanks(begin, begin + count, meta.blank))
    spotting, commands = state.spotting and state.spotting.skip(count), state.commands
    if commands is not None:
        told, commands = commands.skip(begin, count, _endings(meta, events))
        events = _with_commands(events, told)
    return events, replace(state, spotting=spotting, commands=commands)


def _endings(meta: ModelMetadata, events: Iterable[Event]) -> list[int]:
    """The rows at which endpoints among `events` end an utterance."""
    offset, row = meta.time_offset_seconds, meta.row_seconds
    return [round((event.time + offset) / row) for event in events if isinstance(event, Endpoint)]


def _with_commands(events: Iterable[Event], told: Iterable[Sequence[CommandResult]]) -> list[Event]:
    """`events`, and behind each endpoint what it ended."""
    commands = iter(told)
    return [
        each for event in events for each in (event, *(next(commands) if isinstance(event, Endpoint) else ()))
    ]


def _spot(meta: ModelMetadata, state: StreamState, rows: _Rows) -> tuple[list[Event], StreamState]:
    """`_decode_events`, and between them keywords where they are certain: in the order of a row at a time."""
    assert state.spotting is not None
    found, spotting = state.spotting.decode(rows.log_probs)
    events: list[Event] = []
    begin = rows.begin
    for seen, event in found:
        others, state = _decode_events(meta, state, rows.part(begin, seen))
        events += [*others, event]
        begin = seen
    others, state = _decode_events(meta, state, rows.part(begin, rows.end))
    return [*events, *others], replace(state, spotting=spotting)


def _decode_events(
    meta: ModelMetadata, state: StreamState, rows: _Rows | _Blanks
) -> tuple[list[Event], StreamState]:
    """Phones, and endpoints and gaps where they were asked for."""
    events: Sequence[Event]
    endpoints = None
    if state.endpoints is None:
        events, decoding = _decode_rows(meta, _Decoding(state.decoder, state.search), rows, rows.end)
    else:
        events, decoding, endpoints = _decode_utterances(meta, state, state.endpoints, rows)
    return [*events], replace(state, decoder=decoding.greedy, search=decoding.search, endpoints=endpoints)


def _decode_rows(
    meta: ModelMetadata, decoding: _Decoding, rows: _Rows | _Blanks, end: int
) -> tuple[list[Phone], _Decoding]:
    """Phones from where `decoding` has got to, within `rows`, up to the row `end`."""
    greedy, search = decoding
    if isinstance(rows, _Blanks):
        after = None if search is None else search.skip(end - greedy.row)
        return [], _Decoding(greedy._replace(row=end), after)
    piece = slice(greedy.row - rows.begin, end - rows.begin)
    if search is None:
        phones, greedy = meta.decoder.decode_labels(greedy, rows.labels[piece], rows.confidences[piece])
        return phones, _Decoding(greedy, None)
    phones, search = search.decode(rows.log_probs[piece])
    return phones, _Decoding(DecoderState(end), search)


def _decode_utterances(
    meta: ModelMetadata, state: StreamState, endpoints: Endpointing, rows: _Rows | _Blanks
) -> tuple[list[Event], _Decoding, Endpointing]:
    """Phones, and between them the endpoints and gaps of that time, in order: a phone counts at its end.

    Rows are decoded up to each endpoint, where all phones before it are emitted; a search begins anew behind it. A gap
    is emitted before the first phone that ends behind its start, or once no other can come.
    """
    config, rules, gaps = endpoints
    decoder, search = meta.decoder, state.search
    endings, rules = detect(config, rules, rows.begin, rows.labels, meta.blank, meta.row_seconds)
    rate = state.resampler.rate if state.resampler else meta.sample_rate
    lost = [gap.event(rate) for gap in gaps]
    wait = 1 + (decoder.hold if search is None else search.decoder.delay)
    # Rows that are decoded before, and an endpoint, or the start of a gap.
    marks: list[tuple[int, Ending | float]] = []
    for gap in lost:
        due = max(rows.begin, _row_at(meta, gap.start) + wait)
        if due <= rows.end:
            marks.append((due, gap.start))
    marks += ((ending.seen if search is None else ending.time, ending) for ending in endings)
    marks.sort(key=lambda mark: mark[0])  # stable: a gap before what it led to

    events: list[Event] = []

    def emit(phones: Iterable[Phone]) -> None:
        for phone in phones:
            while lost and lost[0].start < phone.end:
                events.append(lost.pop(0))
            events.append(phone)

    decoding = _Decoding(state.decoder, search)
    for row, mark in marks:
        phones, decoding = _decode_rows(meta, decoding, rows, row)
        emit(phones)
        if isinstance(mark, Ending):
            phones, decoding = _end_utterance(meta, decoding, mark.time)
            emit(phones)
        until = decoder.seconds(mark.time) if isinstance(mark, Ending) else mark
        while lost and lost[0].start <= until:
            events.append(lost.pop(0))
        if isinstance(mark, Ending):
            events.append(_endpoint(meta, config, mark))
    phones, decoding = _decode_rows(meta, decoding, rows, rows.end)
    emit(phones)
    return events, decoding, Endpointing(config, rules, gaps[len(gaps) - len(lost) :])


def _end_utterance(meta: ModelMetadata, decoding: _Decoding, row: int) -> tuple[list[Phone], _Decoding]:
    """The phones of an utterance that ends before `row` which are not emitted yet."""
    greedy, search = decoding
    if search is None:
        phones, greedy = meta.decoder.end_utterance(greedy, row)
    else:
        phones, search = search.end_utterance()
    return phones, _Decoding(greedy, search)


def _endpoint(meta: ModelMetadata, config: EndpointConfig, ending: Ending) -> Endpoint:
    seconds = meta.decoder.seconds
    # The first begins with the stream, whatever the time offset.
    start = seconds(ending.start) if ending.start else 0.0
    return Endpoint(
        seconds(ending.time), start, ending.silence * meta.row_seconds, config.rules[ending.rule].name
    )


def _row_at(meta: ModelMetadata, seconds: float) -> int:
    """The first row that does not begin before `seconds`."""
    row = max(0, math.floor((seconds + meta.time_offset_seconds) / meta.row_seconds) - 1)
    while meta.decoder.seconds(row) < seconds:
        row += 1
    return row


def advance(model: Model, state: StreamState) -> tuple[list[Event], StreamState]:
    """Run all whole frames that are pending, a block at a time where no silence is going on."""
    events: list[Event] = []
    while frames := ready_frames(model, state):
        if not silence.may_be_silent(model.metadata.silence, state.silence.quiet, state.frames):
            frames = _whole_frames(model, state)
        log_probs, next_state = _run(model, state, frames)
        found, state = decode_output(model, state, log_probs, next_state)
        events += found
    return events, state


def _run(model: Model, state: StreamState, frames: int) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    """The first `frames` of `pending` through the graph, or as many of them as are valid in one call.

    Returns:
        log_probs [rows, phones + 1], and the graph's next state.
    """
    meta = model.metadata
    while True:
        audio = state.pending[: frames * meta.frame_samples]
        log_probs, next_state = model.run(audio[None], state.model)
        blanks = silence.blank_frames(meta.silence, state.frames, log_probs[0], meta)
        valid = silence.valid_frames(meta.silence, state.silence.quiet, state.frames, blanks)
        if valid == frames:
            return log_probs[0], next_state
        frames = valid


def finish(model: Model, state: StreamState) -> tuple[list[Event], StreamState]:
    """End the stream: N samples at the model's rate come to exactly ceil(N / frame_samples) frames of rows."""
    return end(model, *advance(model, pad(model, state)))


def pad(model: Model, state: StreamState) -> StreamState:
    """All that the graph has still to hear at a stream's end, in `pending`.

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
    last: list[Event] = [*model.metadata.decoder.finish(state.decoder, state.seconds)]
    endpoints, search = state.endpoints, state.search
    if search is not None:
        found, search = search.finish(state.seconds)
        last = [*found]
    if endpoints is not None and state.resampler is not None:
        rate = state.resampler.rate
        last += [gap.event(rate) for gap in endpoints.pending_gaps]
        last.sort(key=lambda event: event.end if isinstance(event, Phone) else event.start)
        endpoints = endpoints._replace(pending_gaps=())
    if state.spotting is not None:
        last += state.spotting.finish()
    commands = state.commands
    if commands is not None:
        last += commands.finish()
        commands = Commanding(commands.recognizer, state.decoder.row)
    decoder = state.decoder._replace(run=None, tiling=TilingState())
    return clip([*events, *last], state.seconds), replace(
        state, finished=True, decoder=decoder, endpoints=endpoints, search=search, commands=commands
    )


def tentative(model: Model, state: StreamState) -> list[Phone]:
    """The best guess at the phones after those that are final."""
    if state.finished:
        return []
    if state.search is None:
        return model.metadata.decoder.finish(state.decoder)
    return state.search.tentative()


def clip(events: Iterable[Event], duration: float) -> list[Event]:
    """`events` with no time beyond `duration` in seconds, where the stream ended."""
    clipped: list[Event] = []
    for event in events:
        match event:
            case Phone():
                clipped += decode.clip([event], duration)
            case Endpoint(time, start):
                clipped.append(event._replace(time=min(time, duration), start=min(start, duration)))
            case Spotted() | CommandResult():
                clipped.append(event._replace(start=min(event.start, duration), end=min(event.end, duration)))
            case Lost():
                clipped.append(event)
    return clipped
