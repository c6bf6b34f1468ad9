"""Praat's TextGrids read: the intervals with text, of long and short text files in UTF-8 or UTF-16."""

import re
from typing import NamedTuple

from ..errors import DataError

# Strings in quotes, doubled within; numbers and flags that stand alone: whatever else a long file says is for people.
_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(?<![^\s])(-?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|<exists>)(?![^\s])|!.*'
)
_INTERVALS, _POINTS = "IntervalTier", "TextTier"


class Labelled(NamedTuple):
    """A stretch of time with a text, in seconds."""

    start: float
    end: float
    text: str


class Tier(NamedTuple):
    """A tier of intervals."""

    name: str
    intervals: tuple[Labelled, ...]
    """Those with text, in order."""


def read_tiers(path: str, data: bytes) -> list[Tier]:
    """The interval tiers of a TextGrid; tiers of points are left out.

    Args:
        path: for errors.
        data: the file.

    Raises:
        DataError: it is none, or ends early; the message names the file.
    """
    tokens = _tokens(path, data)
    try:
        return _tiers(tokens)
    # PEP 479 makes a RuntimeError of the first in a generator
    except (StopIteration, ValueError, RuntimeError):
        raise DataError(
            f"{path}: is no whole TextGrid in Praat's text format; save it from Praat as text file"
        ) from None


def _tokens(path: str, data: bytes) -> "_Tokens":
    try:
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text in UTF-8 or UTF-16; save it from Praat as text file") from None
    return _Tokens(text)


class _Tokens:
    """The strings and numbers of a file, one at a time."""

    def __init__(self, text: str) -> None:
        self._found = (found for found in _TOKEN.finditer(text) if not found[0].startswith("!"))

    def string(self) -> str:
        text = next(self._found)[1]
        if text is None:
            raise ValueError
        return str(text).replace('""', '"')

    def number(self) -> float:
        return float(next(self._found)[2] or "nothing")

    def skip(self, count: int) -> None:
        for _ in range(count):
            next(self._found)


def _tiers(tokens: _Tokens) -> list[Tier]:
    if tokens.string() != "ooTextFile" or tokens.string() != "TextGrid":
        raise ValueError
    tokens.skip(3)  # its beginning and end; <exists>
    tiers = []
    for _ in range(int(tokens.number())):
        kind, name = tokens.string(), tokens.string()
        tokens.skip(2)  # its beginning and end
        size = int(tokens.number())
        if kind == _POINTS:
            tokens.skip(2 * size)
        elif kind == _INTERVALS:
            intervals = [Labelled(tokens.number(), tokens.number(), tokens.string()) for _ in range(size)]
            tiers.append(Tier(name, tuple(entry for entry in intervals if entry.text.strip())))
        else:
            raise ValueError
    return tiers
