"""Praat's TextGrid: a tier of phones, above it those of words and utterances where there are any; all without gaps."""

from collections.abc import Iterator, Sequence

import numpy as np

from .document import Document
from .options import Options
from .units import intervals, tier


def write(document: Document, options: Options) -> Iterator[bytes]:
    """The long text format (Praat's manual, "TextGrid file formats"), in UTF-8.

    Silence is an interval with an empty label, as Praat has it. The end is the recording's to the last digit.
    """
    tiers: dict[str, list[tuple[str, float, float]]] = {}
    if document.lines:
        tiers["utterances"] = _fill(
            [(line.symbol, line.start, line.end) for line in document.lines], document.seconds
        )
    if document.words:
        tiers["words"] = _fill(
            [(word.text, word.start, word.end) for word in document.words], document.seconds
        )
    heard = intervals(document, options)
    tiers[tier(options)] = [(entry.symbol, entry.start, entry.end) for entry in heard]
    if options.scores:
        tiers["scores"] = [
            (f"{entry.confidence:.2f}" if entry.symbol else "", entry.start, entry.end) for entry in heard
        ]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0 ",
        f"xmax = {_number(document.seconds)} ",
        "tiers? <exists> ",
        f"size = {len(tiers)} ",
        "item []: ",
    ]
    for position, (name, entries) in enumerate(tiers.items(), start=1):
        lines += [
            f"    item [{position}]:",
            '        class = "IntervalTier" ',
            f"        name = {_quoted(name)} ",
            "        xmin = 0 ",
            f"        xmax = {_number(document.seconds)} ",
            f"        intervals: size = {len(entries)} ",
        ]
        for number, (label, start, end) in enumerate(entries, start=1):
            lines += [
                f"        intervals [{number}]:",
                f"            xmin = {_number(start)} ",
                f"            xmax = {_number(end)} ",
                f"            text = {_quoted(label)} ",
            ]
    yield "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")


def _fill(entries: Sequence[tuple[str, float, float]], seconds: float) -> list[tuple[str, float, float]]:
    """Entries and the empty intervals around them, from 0 to `seconds`; one without any length has no interval."""
    filled: list[tuple[str, float, float]] = []
    done = 0.0
    for text, begin, behind in entries:
        start, end = max(begin, done), min(behind, seconds)
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
