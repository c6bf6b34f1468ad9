"""Subtitles, SubRip's (SRT) and the web's (WebVTT): what was heard between two pauses on screen at a time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .document import Document
from .options import Options
from .units import milliseconds, sounds

PAUSE = 0.2  # seconds of silence that end a cue
WIDTH = 42  # columns of a line, as broadcasters have it
LINES = 2  # of a cue


class Cue(NamedTuple):
    """Lines of text, on screen from `start` to `end` in seconds."""

    start: float
    end: float
    lines: tuple[str, ...]


class _Token(NamedTuple):
    text: str
    start: float
    end: float
    attached: bool = False  # to the one before, without a space


def write_srt(document: Document, options: Options) -> Iterator[bytes]:
    """SubRip of `cues`."""
    yield as_srt(cues(document, options))


def as_srt(cues: Iterable[Cue]) -> bytes:
    """SubRip: numbered cues, times with a comma."""
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        + "".join(f"{line}\n" for line in cue.lines)
        for number, cue in enumerate(cues, start=1)
    ).encode(errors="backslashreplace")


def write_vtt(document: Document, options: Options) -> Iterator[bytes]:
    """WebVTT of `cues`."""
    yield as_vtt(cues(document, options))


def as_vtt(cues: Iterable[Cue]) -> bytes:
    """WebVTT (W3C, "WebVTT: The Web Video Text Tracks Format"): cues with the three reserved characters escaped."""
    return (
        "WEBVTT\n"
        + "".join(
            f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
            + "".join(f"{_escaped(line)}\n" for line in cue.lines)
            for cue in cues
        )
    ).encode(errors="backslashreplace")


def cues(document: Document, options: Options) -> Iterator[Cue]:
    """What was heard, a cue for each stretch between pauses, or several where one would be too much to read.

    Words where the document has them, and phones or visemes otherwise or where visemes were asked for.
    """
    tokens = (
        [_Token(word.text, word.start, word.end, word.attached) for word in document.words]
        if document.words and options.visemes is None
        else [_Token(entry.symbol, entry.start, entry.end) for entry in sounds(document, options)]
    )
    for group in _groups(tokens):
        lines = list(_lines(group))
        for first in range(0, len(lines), LINES):
            shown = lines[first : first + LINES]
            yield Cue(
                shown[0][0].start,
                shown[-1][-1].end,
                tuple(
                    "".join(token.text if token.attached else f" {token.text}" for token in line).strip()
                    for line in shown
                ),
            )


def _groups(tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
    """Tokens between pauses."""
    group: list[_Token] = []
    for token in tokens:
        if group and milliseconds(token.start - group[-1].end) >= milliseconds(PAUSE):
            yield group
            group = []
        group.append(token)
    if group:
        yield group


def _lines(group: Sequence[_Token]) -> Iterator[list[_Token]]:
    """Tokens that fill a line each; one that is too long has a line of its own."""
    line: list[_Token] = []
    used = 0
    for token in group:
        if line and used + 1 + len(token.text) > WIDTH:
            yield line
            line, used = [], 0
        used += len(token.text) + (1 if line else 0)
        line.append(token)
    yield line


def _clock(seconds: float, point: str) -> str:
    rest, thousandths = divmod(milliseconds(seconds), 1000)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{point}{thousandths:03}"


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
