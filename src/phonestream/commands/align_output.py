"""An alignment as `phonestream align` writes it: a table, JSON, every other format, and remarks on what did not fit."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .output import printable

if TYPE_CHECKING:
    from ..asr.align.alignment import AlignedWord, Alignment
    from ..asr.align.pronunciation import Instead
    from ..formats.document import Document
    from ..formats.options import Options
    from .align_spec import Aligned

SHOWN = 12  # words or phones in a remark
DOUBTED = 0.5  # probability that a phone was said right, below which a table says what was said instead


def render(alignment: "Alignment", file: str, form: str, options: "Options") -> bytes:
    """An alignment in a format: `text` and `json` with all that is known of it, others as `formats` write them.

    Raises:
        ConfigError: the phone set lacks a phone.
    """
    from ..formats.registry import find

    if form == "text":
        return as_table(alignment, options).encode("utf-8", "surrogateescape")
    if form == "json":
        return as_json(alignment, file, options)
    return find(form).write(document(alignment, file), options)


def render_channels(channels: "Sequence[Aligned]", file: str, options: "Options") -> bytes:
    """The alignments of a recording's channels or speakers in one TextGrid.

    Raises:
        ConfigError: the phone set lacks a phone.
    """
    from ..formats.textgrid import write_channels

    documents = [
        replace(document(alignment, file), channel=number, speaker=speaker)
        for alignment, number, speaker in channels
    ]
    return write_channels(documents, options)


def document(alignment: "Alignment", file: str) -> "Document":
    """What the formats write: words that were found, their phones, and silence between them, in whole milliseconds."""
    from ..formats.document import Document, Interval, Word
    from ..streaming.decode import Phone

    def whole(time: float) -> float:
        return min(math.floor(time * 1000 + 0.5) / 1000, alignment.seconds)

    intervals: list[Interval] = []
    for phone in alignment.phones:
        before, start = intervals[-1].end if intervals else 0.0, whole(phone.start)
        if start > before:
            intervals.append(Interval("", before, start, 1.0))
        intervals.append(Interval(phone.symbol, start, whole(phone.end), phone.score))
    end = intervals[-1].end if intervals else 0.0
    if end < alignment.seconds:
        intervals.append(Interval("", end, alignment.seconds, 1.0))
    return Document(
        file=file,
        seconds=alignment.seconds,
        phones=tuple(Phone(phone.symbol, phone.start, phone.end, phone.score) for phone in alignment.phones),
        intervals=tuple(intervals),
        words=tuple(
            Word(word.text, whole(word.start), whole(word.end), word.score, word.known, word.attached)
            for word in alignment.words
            if word.found
        ),
        lines=tuple(Interval(line.text, whole(line.start), whole(line.end), 1.0) for line in alignment.lines),
    )


def as_table(alignment: "Alignment", options: "Options") -> str:
    """A line for each word: start, end, score, the word, its phones, and what is to be said of it and of them."""
    from ..formats.units import tier

    width = max(len(word.text) for word in alignment.words)
    lines = [f"{'start':>8} {'end':>8}  score  {'word':<{width}}  {tier(options)}"]
    for word in alignment.words:
        said = " ".join(_symbols(word, options))
        remarked = [*([] if word.known else ["not in the lexicon: a guess"]), *_mispronounced(word, options)]
        remark = f"  ({'; '.join(remarked)})" if remarked else ""
        if word.problem:
            said, remark = "(cannot be read)", ""
        elif not word.found:
            said, remark = "(not found)", ""
        line = f"{word.start:8.2f} {word.end:8.2f}  {word.score:5.2f}  {word.text:<{width}}  {said}{remark}"
        lines.append(printable(line.rstrip()))
    lines.append(f"{0:8.2f} {alignment.seconds:8.2f}  {alignment.score:5.2f}  (all)")
    return "".join(f"{line}\n" for line in lines)


def _mispronounced(word: "AlignedWord", options: "Options") -> Iterator[str]:
    """What was probably said otherwise than the word's phones have it; nothing where mouth shapes are shown."""
    from ..formats.phone_sets import rename

    if options.visemes is not None:
        return
    for phone in word.phones:
        name, instead, inserted = rename(phone.symbol, options.phone_set), phone.instead, phone.inserted
        if phone.pronunciation < DOUBTED:
            heard = rename(instead.symbol, options.phone_set) if instead.symbol else ""
            yield f"{name} said as {heard}" if heard else f"{name} left out"
        if inserted is not None:
            yield f"{rename(inserted.symbol, options.phone_set)} put in after {name}"


def _symbols(word: "AlignedWord", options: "Options") -> list[str]:
    """The phones of a word under their names, or its mouth shapes."""
    from ..formats.document import Interval
    from ..formats.phone_sets import rename
    from ..formats.visemes import to_visemes

    if options.visemes is None:
        return [rename(phone.symbol, options.phone_set) for phone in word.phones]
    intervals = [Interval(phone.symbol, phone.start, phone.end, phone.score) for phone in word.phones]
    return [shape.symbol for shape in to_visemes(intervals, options.visemes)]


def as_json(alignment: "Alignment", file: str, options: "Options") -> bytes:
    """`as_fields` in one line of JSON, ASCII whatever the file is called."""
    return f"{json.dumps(as_fields(alignment, file, options))}\n".encode()


def as_fields(alignment: "Alignment", file: str, options: "Options") -> dict[str, Any]:
    """All that is known of an alignment, for JSON; times in seconds to the millisecond.

    With visemes there is a list of them besides, which cover the whole recording. A word's `place` is where it is in
    the transcript: its first character's index and that behind its last.
    """
    from ..formats.phone_sets import rename
    from ..formats.units import intervals
    from ..streaming.events import fields as fields_of

    def timed(start: float, end: float, score: float) -> dict[str, float]:
        return {"start": round(start, 3), "end": round(end, 3), "score": round(score, 3)}

    def likely(phone: "Instead") -> dict[str, Any]:
        symbol = phone.symbol and rename(phone.symbol, options.phone_set)
        return {"symbol": symbol, "probability": round(phone.probability, 3)}

    def entry(word: "AlignedWord") -> dict[str, Any]:
        return {
            "text": word.text,
            **timed(word.start, word.end, word.score),
            "known": word.known,
            "found": word.found,
            "phones": [
                {
                    "symbol": rename(phone.symbol, options.phone_set),
                    **timed(phone.start, phone.end, phone.score),
                    "pronunciation": round(phone.pronunciation, 3),
                    "instead": likely(phone.instead),
                    "inserted": phone.inserted and likely(phone.inserted),
                }
                for phone in word.phones
            ],
            "place": word.place,
            "readable": not word.problem,
            "pronunciation": round(word.pronunciation, 3),
        }

    fields: dict[str, Any] = {
        "file": file,
        "seconds": round(alignment.seconds, 3),
        "score": round(alignment.score, 3),
        "words": [entry(word) for word in alignment.words],
        "extra": [
            {
                "start": round(extra.start, 3),
                "end": round(extra.end, 3),
                "phones": [rename(phone.symbol, options.phone_set) for phone in extra.phones],
            }
            for extra in alignment.extra
        ],
    }
    if alignment.lost:
        fields["lost"] = [fields_of(lost) for lost in alignment.lost]
    if alignment.lines:
        fields["lines"] = [fields_of(line) for line in alignment.lines]
    if options.visemes is not None:
        shapes = intervals(document(alignment, file), options)
        fields["visemes"] = [fields_of(shape) for shape in shapes]
    return fields


def remarks(alignment: "Alignment") -> list[str]:
    """What of the transcript was not found and what was said beside it, in the order of the recording."""
    found_out = []
    for found, run in groupby(alignment.words, key=lambda word: word.found or word.problem != ""):
        members = list(run)
        if not found:
            words = _some([word.text for word in members])
            start, end = members[0].start, members[0].end
            where = f"between {start:.2f} and {end:.2f} s" if end > start else f"at {start:.2f} s"
            found_out.append((start, f"not found {where}: {words}; correct the transcript"))
    found_out += [
        (word.start, f"{word.text!r} cannot be read: {word.problem}; write it as it is said")
        for word in alignment.words
        if word.problem
    ]
    for extra in alignment.extra:
        heard = _some([phone.symbol for phone in extra.phones])
        where = f"from {extra.start:.2f} to {extra.end:.2f} s"
        found_out.append((extra.start, f"speech {where} is not in the transcript: heard {heard}"))
    return [remark for _, remark in sorted(found_out)]


def _some(names: list[str]) -> str:
    more = f" … ({len(names)} in all)" if len(names) > SHOWN else ""
    return " ".join(names[:SHOWN]) + more
