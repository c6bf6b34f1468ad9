"""The pure steps from what a stream is between two calls (`stream_state.py`) to what it is next.

Audio goes through three steps, each of which takes a state and hands back another:

    accept_waveform  samples at any rate are resampled and wait in `pending`
    Model.run        `ready_frames` of them go through the graph, which needs only the audio and the model's own state
    decode_output    the rows become phones, and endpoints where they were asked for; what silence has added to the
                     model's state is taken back (`silence.py`)

`row_events.py` puts the events in order. `advance` is the last two for one stream alone. Many streams share a call of
the graph (`pool/`). Every row of every stream goes through `decode_output`, and nowhere else is it decided what a
stream says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from . import decode, silence
from .arrays import FloatArray
from .audio import resample
from .decode import Phone
from .decoding.decoder import BeamDecoder
from .decoding.stream_search import Search, decode_together
from .endpoint import Endpoint, EndpointConfig
from .model import Model
from .row_events import Rows, Searched, decode_rows
from .silence import NOTHING_HEARD
from .spotting.change import change, change_commands
from .spotting.command_state import Commanding
from .spotting.commands import CommandRecognizer, CommandResult, check_commands
from .spotting.spotter import Spotted, Spotter, Spotting
from .stream_state import Endpointing, Event, Gap, Lost, StreamState
from .tiling import TilingState

LIKELY_FRAMES = 4  # so many blank frames, and more will follow


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
    return state.replace(resampler=resampler, pending=np.concatenate([state.pending, audio]))


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


def set_keywords(state: StreamState, spotter: Spotter | None) -> StreamState:
    """Look for other keywords from the next row on, or for none; see `spotting.change`."""
    return replace(state, spotting=change(state.spotting, spotter, state.decoder.row))


def set_commands(state: StreamState, commands: CommandRecognizer | None) -> StreamState:
    """Compare with other commands from the utterance on that goes on, or with none; see `spotting.change_commands`.

    Raises:
        ConfigError: the stream has no endpoints.
    """
    check_commands(commands, state.endpoints)
    return replace(state, commands=change_commands(state.commands, commands, state.decoder.row))


def ready_frames(model: Model, state: StreamState) -> int:
    """Whole frames at the front of `pending` that the next call of the graph may take.

    At most a block, and no more than are left of an interval that may be silent by the rule on silence, or where a
    silence is likely. Elsewhere it may turn out after the call that it went too far: `valid_frames`.
    """
    rule, quiet = model.metadata.silence, state.silence.quiet
    ready = min(len(state.pending), model.block_samples) // model.metadata.frame_samples
    if rule is None:
        return ready
    border = silence.frames_to_border(rule, state.frames, ready)
    likely = quiet >= LIKELY_FRAMES and quiet + border >= rule.after_frames
    return border if likely or silence.may_be_silent(rule, quiet, state.frames) else ready


class Output(NamedTuple):
    """What a call of the graph gave for the first frames of `pending`."""

    log_probs: FloatArray  # [rows, phones + 1], finite
    blanks: Sequence[bool]  # of each frame
    labels: Sequence[int]  # of each row, and
    confidences: Sequence[float]  # as `Decoder.best` has them
    searched: Searched | None = None
    """What beam search makes of the rows, where many streams have been through it together."""


def read_outputs(model: Model, states: Sequence[StreamState], log_probs: FloatArray) -> list[Output]:
    """What streams in `states` have got by a call: `log_probs` [streams, rows, phones + 1]."""
    meta = model.metadata
    blanks = silence.blank_frames(meta.silence, [state.frames for state in states], log_probs, meta)
    return [Output(*each) for each in zip(log_probs, blanks, *meta.decoder.best(log_probs), strict=True)]


def valid_frames(model: Model, state: StreamState, output: Output) -> int:
    """How many of the frames of a call stand; where fewer than were run, they alone must be run again."""
    return silence.valid_frames(model.metadata.silence, state.silence.quiet, state.frames, output.blanks)


def decode_output(
    model: Model, state: StreamState, output: Output, next_state: Mapping[str, FloatArray]
) -> tuple[list[Event], StreamState]:
    """Decode what the graph gave for the first frames of `pending`, which are then done with.

    Args:
        output: of frames that are all valid.
        next_state: the graph's, which becomes `model` of the state. In a pool it is a view that the next call changes:
            whoever keeps a tensor for longer, or under another name, copies it.
    """
    meta = model.metadata
    log_probs, blanks, labels, confidences, searched = output
    frames = len(blanks)
    quiet, sums = silence.after_call(meta.silence, state.silence, state.frames, blanks)
    if sums is not None:
        next_state = silence.put_back(meta.silence, next_state, sums)
    quiet = silence.remember(meta.silence, quiet, state.frames + frames, next_state)
    pending = state.pending[frames * meta.frame_samples :].copy()
    early = min(frames, _early_frames(model, state)) * meta.rows_per_frame
    if early:
        log_probs, labels, confidences = log_probs[early:], labels[early:], confidences[early:]
    rows = Rows(state.decoder.row, labels, confidences, log_probs, searched)
    events, decoded = decode_rows(meta, state, rows)
    posteriors = state.posteriors
    if posteriors is not None and len(log_probs):
        posteriors = (*posteriors, log_probs.copy())  # not the whole batch's
    return events, decoded.replace(
        model=next_state,
        pending=pending,
        frames=state.frames + frames,
        silence=quiet,
        posteriors=posteriors,
    )


def _early_frames(model: Model, state: StreamState) -> int:
    """Frames to come whose rows speak of the time before the stream began: they come late by the look-ahead."""
    return max(0, model.metadata.look_ahead_frames - state.frames)


def search_together(model: Model, states: Sequence[StreamState], outputs: Sequence[Output]) -> list[Output]:
    """`outputs` of streams, with `searched` where a stream decodes by beam search and all of its rows count."""
    found = [*outputs]
    ready = {
        place: state.search
        for place, state in enumerate(states)
        if state.search is not None and not _early_frames(model, state)
    }
    if ready:
        rows = np.stack([outputs[place].log_probs for place in ready])
        decoded = decode_together([*ready.values()], rows)
        for (place, search), (phones, after) in zip(ready.items(), decoded, strict=True):
            found[place] = outputs[place]._replace(searched=Searched(search, phones, after))
    return found


def advance(model: Model, state: StreamState) -> tuple[list[Event], StreamState]:
    """Run all whole frames that are pending, a block at a time where no silence is going on."""
    events: list[Event] = []
    while frames := ready_frames(model, state):
        output, next_state = _run(model, state, frames)
        found, state = decode_output(model, state, output, next_state)
        events += found
    return events, state


def _run(model: Model, state: StreamState, frames: int) -> tuple[Output, Mapping[str, FloatArray]]:
    """The first `frames` of `pending` through the graph, or as many of them as are valid in one call."""
    while True:
        audio = state.pending[: frames * model.metadata.frame_samples]
        log_probs, next_state = model.run(audio[None], state.model)
        (output,) = read_outputs(model, [state], log_probs)
        valid = valid_frames(model, state, output)
        if valid == frames:
            return output, next_state
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
