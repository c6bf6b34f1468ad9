"""A result written a part at a time, so that ten hours of phones are never all spelt out in memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..formats import json_lines, text
from ..formats.document import Document
from ..formats.registry import Format, Options
from ..streaming.decode import Phone

PART = 4096  # phones at a time


def pieces(
    document: Document, form: Format, options: Options, faint: Callable[[str], str] = str
) -> Iterator[bytes]:
    """What `form.write` gives, in parts where it is made from phones, in one where it is made from intervals.

    Args:
        document: its `phones` may be any sequence of phones.
        form: the format.
        options: the names of phones.
        faint: for text, as in `phonestream.formats.text.lines`.
    """
    if form.name == "text":
        for line in _lines(document, options, faint):
            yield f"{line}\n".encode()
    elif form.name == "json" and options.visemes is None and not (document.words or document.alternatives):
        yield from _json(document, options)
    else:
        yield form.write(document, options)


def _lines(document: Document, options: Options, faint: Callable[[str], str]) -> Iterator[str]:
    """Lines of text. What comes before a line has no bearing on it, so an unfinished one is begun anew."""
    if options.visemes is not None or not document.phones:
        yield from text.lines(document, options, faint)
        return
    unfinished: tuple[Phone, ...] = ()
    for first in range(0, len(document.phones), PART):
        part = (*unfinished, *document.phones[first : first + PART])
        *lines, last = text.lines(replace(document, phones=part), options, faint)
        yield from lines
        unfinished = part[-len(last.split()[1:]) :]  # its words are a time and the phones
    yield last


def _json(document: Document, options: Options) -> Iterator[bytes]:
    """The line in parts: its list of phones comes last, so what stands around it is that of an empty list."""
    around = json_lines.line(replace(document, phones=()), options)
    before, after = around[:-2], around[-2:]
    yield before.encode()
    for first in range(0, len(document.phones), PART):
        part = json_lines.line(replace(document, phones=document.phones[first : first + PART]), options)
        yield (", " if first else "").encode() + part[len(before) : -len(after)].encode()
    yield f"{after}\n".encode()
