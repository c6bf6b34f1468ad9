"""JSON lines: one object on one line for each recording, for programs to read."""

import json
from collections.abc import Iterator
from typing import Any

from ..streaming.events import fields
from .document import Document
from .options import Options
from .phone_sets import rename
from .units import intervals, phones, tier


def write(document: Document, options: Options) -> Iterator[bytes]:
    """One line: the file's name as given, and times in seconds to the millisecond.

    ASCII whatever the name: bytes that are not UTF-8 are the lone surrogates of PEP 383. `channel`, `lost`, `words`,
    `alternatives` and a phone's `word_start` and `peak` are there only where the document has them. With visemes,
    the list of `phones` gives way to one of `visemes`, which cover the whole recording.
    """
    before: dict[str, Any] = {"file": document.file}
    if document.channel is not None:
        before["channel"] = document.channel
    before["seconds"] = round(document.seconds, 3)
    yield f'{json.dumps(before)[:-1]}, "{tier(options)}": ['.encode()
    separator = ""
    for entry in intervals(document, options) if options.visemes else phones(document, options):
        yield (separator + json.dumps(fields(entry))).encode()
        separator = ", "
    yield b"]"
    after: dict[str, Any] = {}
    if document.lost:
        after["lost"] = [fields(lost) for lost in document.lost]
    if document.words:
        after["words"] = [
            {name: value for name, value in fields(word).items() if name != "attached"}
            for word in document.words
        ]
    if document.alternatives:
        after["alternatives"] = [
            {
                "score": round(way.score, 3),
                "phones": [
                    fields(phone._replace(symbol=rename(phone.symbol, options.phone_set)))
                    for phone in way.phones
                ],
            }
            for way in document.alternatives
        ]
    yield f"{', ' if after else ''}{json.dumps(after)[1:]}\n".encode()
