"""A text's words as they are written, with what is said for each: "$2.50," is two dollars fifty.

A written word is what stands between white space, punctuation included, so that the words of a text, put together
again, are the text. Only a dash or an ellipsis between two words parts them too. Some words have white space in them:
an amount ($2.5 million), a number with its sign or fraction (5 %, 3 1/2), and a word with a lone mark behind it
(round —).
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from .text import normalise

_SPACE = re.compile(r"(?:\s|&(?:nbsp|ensp|emsp|thinsp|#160|#[xX][aA]0);)+")
_DASH = re.compile(r"(?:[—–…]|--+|\.{2,})+(?=['\"“”‘’]?\w)")

# What is read together although there is white space in between: the end of one chunk, the beginning of the next.
_TOGETHER = tuple(
    (re.compile(before), re.compile(behind, re.IGNORECASE))
    for before, behind in (
        (r"[$£€¥]$", r"[0-9]"),
        (r"[$£€¥][0-9][0-9,.]*$", r"(?:hundred|thousand|(?:m|b|tr)illion)\b"),
        (r"[0-9]$", r"[%°]"),
        (r"(?:^|[^\w./,])[0-9]+$", r"[0-9]{1,2}[/⁄][0-9]{1,2}(?![0-9/])|[¼-¾⅐-⅞]"),
        (r"[0-9]$", r"[a-z]{1,2}[²³]"),
    )
)


class Written(NamedTuple):
    """A word of a text."""

    text: str
    """As it is written, with its punctuation; white space within it is one space."""
    begin: int
    """Its first character's place in the text, counted from 0 ..."""
    end: int
    """... and that behind its last."""
    attached: bool
    """Whether it follows the word before it without white space, as behind a dash."""
    words: tuple[str, ...]
    """What is said, as `normalise` has it; at least one."""


def written_words(text: str) -> list[Written]:
    """The words of `text` in order: each place of it that is not white space is in one of them.

    None for a text in which there is nothing to say.
    """
    places: list[tuple[int, int, tuple[str, ...]]] = []
    opening: int | None = None  # where marks begin that belong to the next word
    for begin, end in _parted(text, _joined(text)):
        words = tuple(normalise(" ".join(text[begin:end].split())))
        if words:
            places.append((begin if opening is None else opening, end, words))
            opening = None
        elif places and opening is None and not _opens(text[begin:end]):
            places[-1] = (places[-1][0], end, places[-1][2])
        elif opening is None:
            opening = begin
    if opening is not None and places:  # nothing follows
        places[-1] = (places[-1][0], len(text.rstrip()), places[-1][2])
    ends = [-1, *(end for _, end, _ in places)]
    return [
        Written(" ".join(text[begin:end].split()), begin, end, before == begin, words)
        for (begin, end, words), before in zip(places, ends, strict=False)
    ]


def _joined(text: str) -> Iterator[tuple[int, int]]:
    """Places of what stands between white space, those that are read together as one."""
    edges = [0, *(edge for space in _SPACE.finditer(text) for edge in space.span()), len(text)]
    chunks = [(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True) if begin < end]
    joined, start = False, 0  # whether the next chunk belongs to those from `start` on
    for index, (begin, end) in enumerate(chunks):
        start = start if joined else begin
        joined = index + 1 < len(chunks) and _together(text[start:end], text[slice(*chunks[index + 1])])
        if not joined:
            yield start, end


def _together(before: str, behind: str) -> bool:
    return any(one.search(before) and other.match(behind) for one, other in _TOGETHER)


def _parted(text: str, places: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """`places`, each parted behind the dashes that stand between two words in it."""
    for begin, end in places:
        for dash in _DASH.finditer(text, begin, end):
            if normalise(text[begin : dash.start()]):
                yield begin, dash.end()
                begin = dash.end()
        yield begin, end


def _opens(marks: str) -> bool:
    """Whether marks belong to what follows: brackets and quotation marks that open."""
    return all(unicodedata.category(mark) in ("Ps", "Pi") or mark in "¿¡" for mark in marks)
