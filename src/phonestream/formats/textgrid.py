"""Praat's TextGrid: a tier of phones, above it those of words and utterances where there are any; all without gaps."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .document import Document
from .options import Options
from .units import Label, intervals, tier


def write(document: Document, options: Options) -> Iterator[bytes]:
    """`write_tiers` of what the document has. Silence is an interval with an empty label, as Praat has it."""
    yield write_tiers(tiers_of(document, options), document.seconds)


def write_channels(documents: Sequence[Document], options: Options) -> bytes:
    """One TextGrid of several channels or speakers, with tiers for each under its number or name: who speaks when."""
    tiers = {
        f"{document.speaker} - {name}" if document.speaker else f"{name} {document.channel}": labels
        for document in documents
        for name, labels in tiers_of(document, options).items()
    }
    return write_tiers(tiers, max(document.seconds for document in documents))


def tiers_of(document: Document, options: Options) -> dict[str, Sequence[Label]]:
    """The tiers of a document by their names."""
    tiers: dict[str, Sequence[Label]] = {}
    if document.lines:
        tiers["utterances"] = [(line.symbol, line.start, line.end) for line in document.lines]
    if document.words:
        tiers["words"] = [(word.text, word.start, word.end) for word in document.words]
    heard = intervals(document, options)
    tiers[tier(options)] = [(entry.symbol, entry.start, entry.end) for entry in heard]
    if options.scores:
        tiers["scores"] = [
            (f"{entry.confidence:.2f}" if entry.symbol else "", entry.start, entry.end) for entry in heard
        ]
    return tiers


def write_tiers(tiers: Mapping[str, Sequence[Label]], seconds: float) -> bytes:
    """The long text format (Praat's manual, "TextGrid file formats"), in UTF-8.

    Args:
        tiers: by name, labels in the order of time; what lies between two becomes an interval without text.
        seconds: the recording's, which the end is to the last digit.
    """
    filled = {name: _fill(labels, seconds) for name, labels in tiers.items()}
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0 ",
        f"xmax = {_number(seconds)} ",
        "tiers? <exists> ",
        f"size = {len(filled)} ",
        "item []: ",
    ]
    for position, (name, entries) in enumerate(filled.items(), start=1):
        lines += [
            f"    item [{position}]:",
            '        class = "IntervalTier" ',
            f"        name = {_quoted(name)} ",
            "        xmin = 0 ",
            f"        xmax = {_number(seconds)} ",
            f"        intervals: size = {len(entries)} ",
        ]
        for number, (label, start, end) in enumerate(entries, start=1):
            lines += [
                f"        intervals [{number}]:",
                f"            xmin = {_number(start)} ",
                f"            xmax = {_number(end)} ",
                f"            text = {_quoted(label)} ",
            ]
    return "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")


def _fill(labels: Sequence[Label], seconds: float) -> list[Label]:
    """Labels and the empty intervals around them, from 0 to `seconds`. One without any length has no interval."""
    filled: list[Label] = []
    done = 0.0
    for text, begin, finish in labels:
        start, end = max(begin, done), min(finish, seconds)
        if start >= end:
            continue
        if start > done:
            filled.append(("", done, start))
        filled.append((text, start, end))
        done = end
    if done < seconds:
        filled.append(("", done, seconds))
    return filled


def _number(seconds: float) -> str:
    """The shortest decimal that reads back as the same number, without an exponent."""
    return np.format_float_positional(seconds, trim="-")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
