"""Praat's TextGrid: a tier of phones, and above it one of words where there are words, each without gaps."""

from collections.abc import Iterator, Sequence

import numpy as np

from .document import Document, Word
from .options import Options
from .units import intervals, tier


def write(document: Document, options: Options) -> Iterator[bytes]:
    """The long text format (Praat's manual, "TextGrid file formats"), in UTF-8.

    Silence is an interval with an empty label, as Praat has it. The end is the recording's to the last digit.
    """
    tiers = {"words": _fill(document.words, document.seconds)} if document.words else {}
    tiers[tier(options)] = [(entry.symbol, entry.start, entry.end) for entry in intervals(document, options)]
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


def _fill(words: Sequence[Word], seconds: float) -> list[tuple[str, float, float]]:
    """Words and the empty intervals around them, from 0 to `seconds`. A word without any length has no interval."""
    filled: list[tuple[str, float, float]] = []
    done = 0.0
    for word in words:
        start, end = max(word.start, done), min(word.end, seconds)
        if start >= end:
            continue
        if start > done:
            filled.append(("", done, start))
        filled.append((word.text, start, end))
        done = end
    if done < seconds:
        filled.append(("", done, seconds))
    return filled


def _number(seconds: float) -> str:
    """The shortest decimal that reads back as the same number, without an exponent."""
    return np.format_float_positional(seconds, trim="-")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
