"""JSON lines: one object on one line for each recording, for programs to read."""

import json
from collections.abc import Iterator
from typing import Any

from ..streaming.decode import Phone
from .document import Document
from .options import Options
from .phone_sets import rename
from .units import Heard, intervals, phones, tier


def write(document: Document, options: Options) -> Iterator[bytes]:
    """One line: the file's name as given, and times in seconds to the millisecond.

    ASCII whatever the name: bytes that are not UTF-8 are the lone surrogates of PEP 383. `channel`, `words`,
    `alternatives` and a phone's `word_start` and `peak` are there only where the document has them. With visemes, the
    list of `phones` gives way to one of `visemes`, which cover the whole recording.
    """
    before: dict[str, Any] = {"file": document.file}
    if document.channel is not None:
        before["channel"] = document.channel
    before["seconds"] = round(document.seconds, 3)
    yield f'{json.dumps(before)[:-1]}, "{tier(options)}": ['.encode()
    separator = ""
    for entry in intervals(document, options) if options.visemes else phones(document, options):
        yield (separator + json.dumps(_entry(entry))).encode()
        separator = ", "
    yield b"]"
    after: dict[str, Any] = {}
    if document.words:
        after["words"] = [
            {
                "text": word.text,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "score": round(word.score, 3),
                "known": word.known,
            }
            for word in document.words
        ]
    if document.alternatives:
        after["alternatives"] = [
            {
                "score": round(way.score, 3),
                "phones": [
                    _entry(phone._replace(symbol=rename(phone.symbol, options.phone_set)))
                    for phone in way.phones
                ],
            }
            for way in document.alternatives
        ]
    yield f"{', ' if after else ''}{json.dumps(after)[1:]}\n".encode()


def _entry(heard: Heard) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "symbol": heard.symbol,
        "start": round(heard.start, 3),
        "end": round(heard.end, 3),
        "confidence": round(heard.confidence, 3),
    }
    if isinstance(heard, Phone) and heard.word_start is not None:
        fields["word_start"] = heard.word_start
    if isinstance(heard, Phone) and heard.peak is not None:
        fields["peak"] = round(heard.peak, 3)
    return fields
