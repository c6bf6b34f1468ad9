"""A stream's rows to its events: phones, endpoints, gaps, keywords and commands, in the order of a row at a time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple

from .arrays import FloatArray
from .decode import DecoderState, Phone
from .decoding.stream_search import Search
from .endpoint import Ending, Endpoint, EndpointConfig, detect
from .metadata import ModelMetadata
from .spotting.commands import CommandResult
from .stream_state import Endpointing, Event, StreamState


class _Decoding(NamedTuple):
    """How far decoding has got: `StreamState.decoder` and `StreamState.search`."""

    greedy: DecoderState
    search: Search | None


class Searched(NamedTuple):
    """What beam search makes of rows."""

    before: Search
    phones: list[Phone]
    after: Search


class Rows(NamedTuple):
    """What the graph gave for some rows."""

    begin: int  # index of the first
    labels: Sequence[int]
    confidences: Sequence[float]
    log_probs: FloatArray
    searched: Searched | None = None
    """Not None: a whole batch has been through beam search, each stream with all of its rows."""

    @property
    def end(self) -> int:
        return self.begin + len(self.labels)

    def part(self, begin: int, end: int) -> "Rows":
        """The rows `begin` … `end` - 1."""
        if (begin, end) == (self.begin, self.end):
            return self
        piece = slice(begin - self.begin, end - self.begin)
        return Rows(begin, self.labels[piece], self.confidences[piece], self.log_probs[piece])


class _Blanks(NamedTuple):
    """Rows `begin` … `end` - 1 in which nothing is heard, and which nobody needs one by one."""

    begin: int
    end: int
    blank: int

    @property
    def labels(self) -> Iterable[int]:
        return repeat(self.blank, self.end - self.begin)


def decode_rows(meta: ModelMetadata, state: StreamState, rows: Rows) -> tuple[list[Event], StreamState]:
    """Decode the next rows.

    Returns:
        Events in the order of a row at a time; the next state, of which only what decodes has gone on.
    """
    events, decoded = (_decode_events if state.spotting is None else _spot)(meta, state, rows)
    if state.commands is not None:
        told, commands = state.commands.decode(rows.begin, rows.log_probs, _endings(meta, events))
        events, decoded = _with_commands(events, told), replace(decoded, commands=commands)
    return events, decoded


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


def _spot(meta: ModelMetadata, state: StreamState, rows: Rows) -> tuple[list[Event], StreamState]:
    """`_decode_events`, and between them keywords where they are certain: in the order of a row at a time."""
    assert state.spotting is not None
    found, spotting = state.spotting.decode(rows.log_probs)
    state = replace(state, spotting=spotting)
    events: list[Event] = []
    for seen, event in found:
        others, state = _decode_events(meta, state, rows.part(rows.begin, seen))
        events += [*others, event]
        rows = rows.part(seen, rows.end)
    others, state = _decode_events(meta, state, rows)
    return [*events, *others], state


def _decode_events(
    meta: ModelMetadata, state: StreamState, rows: Rows | _Blanks
) -> tuple[list[Event], StreamState]:
    """Phones, and endpoints and gaps where they were asked for."""
    events: Sequence[Event]
    endpoints = None
    if state.endpoints is None:
        events, decoding = _decode_phones(meta, _Decoding(state.decoder, state.search), rows, rows.end)
    else:
        events, decoding, endpoints = _decode_utterances(meta, state, state.endpoints, rows)
    return [*events], state.replace(decoder=decoding.greedy, search=decoding.search, endpoints=endpoints)


def _decode_phones(
    meta: ModelMetadata, decoding: _Decoding, rows: Rows | _Blanks, end: int
) -> tuple[list[Phone], _Decoding]:
    """Phones from where `decoding` has got to, within `rows`, up to the row `end`."""
    greedy, search = decoding
    if isinstance(rows, _Blanks):
        after = None if search is None else search.skip(end - greedy.row)
        return [], _Decoding(greedy._replace(row=end), after)
    piece = slice(greedy.row - rows.begin, end - rows.begin)
    known = rows.searched
    if known is not None and known.before is search and end == rows.end:
        return known.phones, _Decoding(DecoderState(end), known.after)
    if search is None:
        phones, greedy = meta.decoder.decode_labels(greedy, rows.labels[piece], rows.confidences[piece])
        return phones, _Decoding(greedy, None)
    phones, search = search.decode(rows.log_probs[piece])
    return phones, _Decoding(DecoderState(end), search)


def _decode_utterances(
    meta: ModelMetadata, state: StreamState, endpoints: Endpointing, rows: Rows | _Blanks
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
        phones, decoding = _decode_phones(meta, decoding, rows, row)
        emit(phones)
        if isinstance(mark, Ending):
            phones, decoding = _end_utterance(meta, decoding, mark.time)
            emit(phones)
        until = decoder.seconds(mark.time) if isinstance(mark, Ending) else mark
        while lost and lost[0].start <= until:
            events.append(lost.pop(0))
        if isinstance(mark, Ending):
            events.append(_endpoint(meta, config, mark))
    phones, decoding = _decode_phones(meta, decoding, rows, rows.end)
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
