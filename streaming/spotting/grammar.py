"""Finite grammars: the sentences that an expression with alternatives and optional parts stands for.

    turn [the] (kitchen | bathroom) light (on | off)

Alternatives stand between bars, `(…)` groups, `[…]` may be left out. JSGF files (`jsgf`) are made of the same.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ...errors import DataError

MAX_SENTENCES = 2000
MAX_WORDS = 50  # in a sentence
MOST = 10**9  # counted of either: they grow with the power of the power of rules


class Place(NamedTuple):
    """Where something stands in a text, for messages."""

    source: str
    line: int
    column: int

    def error(self, message: str) -> DataError:
        """An error that says so."""
        return DataError(f"{self.source}: line {self.line}, column {self.column}: {message}")


@dataclass(frozen=True)
class Words:
    """A word, or several that stay together."""

    text: str


@dataclass(frozen=True)
class Series:
    """One part after the other; no parts: nothing is said."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Choice:
    """One of several; of none, nothing can be said."""

    ways: "tuple[Node, ...]"


@dataclass(frozen=True)
class Reference:
    """What the rule of this name says."""

    rule: str
    place: Place


Node: TypeAlias = Words | Series | Choice | Reference


class Size(NamedTuple):
    """How much an expression stands for; numbers end at `MOST`."""

    sentences: int
    words: int
    """Of the longest sentence."""
    largest: int
    """The most sentences of any part of it, since a part may have many and the whole none."""


def sentences(root: Node, rules: Mapping[str, Node], source: str) -> list[str]:
    """All sentences of `root`, each once, in the order of the text; the empty one is left out.

    Args:
        root: the expression.
        rules: what its references stand for.
        source: what the text is called in messages.

    Raises:
        DataError: a rule is missing or contains itself, or there are no sentences, too many or too long ones.
    """
    try:
        return _sentences(root, rules, source)
    except RecursionError:
        raise DataError(f"{source}: rules within rules are too deep: write some of them out") from None


def _sentences(root: Node, rules: Mapping[str, Node], source: str) -> list[str]:
    size = _size(root, rules, {}, ())
    if size.largest > MAX_SENTENCES:
        raise DataError(
            f"{source}: {_counted(size.largest)} sentences, at most {MAX_SENTENCES:,} can be had: split it, or say "
            "what varies in a second command"
        )
    if size.words > MAX_WORDS:
        raise DataError(
            f"{source}: a sentence of {_counted(size.words)} words: at most {MAX_WORDS} can be had"
        )
    found = dict.fromkeys(" ".join(words) for words in _expand(root, rules, {}))
    found.pop("", None)
    if not found:
        raise DataError(f"{source}: no sentence can be said: give at least one with a word")
    return list(found)


def _size(node: Node, rules: Mapping[str, Node], known: dict[str, Size], within: tuple[str, ...]) -> Size:
    """Without expanding anything: a few rules may stand for more sentences than there are atoms."""
    match node:
        case Words(text):
            return Size(1, len(text.split()), 1)
        case Series(parts):
            sizes = [_size(part, rules, known, within) for part in parts]
            total = 1
            for size in sizes:
                total = min(total * size.sentences, MOST)
            words = sum(size.words for size in sizes)
        case Choice(ways):
            sizes = [_size(way, rules, known, within) for way in ways]
            total = sum(size.sentences for size in sizes)
            words = max((size.words for size in sizes), default=0)
        case Reference(rule, place):
            if rule in within:
                raise place.error(
                    f"<{rule[:40]}> contains itself: sentences must be finite, write out how many"
                )
            if rule not in rules:
                raise place.error(f"there is no rule <{rule[:40]}>: check its spelling")
            if rule not in known:
                known[rule] = _size(rules[rule], rules, known, (*within, rule))
            return known[rule]
    largest = max((size.largest for size in sizes), default=0)
    return Size(min(total, MOST), min(words, MOST), max(min(total, MOST), largest))


def _expand(
    node: Node, rules: Mapping[str, Node], known: dict[str, list[tuple[str, ...]]]
) -> list[tuple[str, ...]]:
    """All sentences of an expression whose size is within bounds; `known` has those of rules, each expanded once."""
    match node:
        case Words(text):
            return [(text,)]
        case Series(parts):
            expanded = [_expand(part, rules, known) for part in parts]
            return [tuple(itertools.chain.from_iterable(chosen)) for chosen in itertools.product(*expanded)]
        case Choice(ways):
            return [sentence for way in ways for sentence in _expand(way, rules, known)]
        case Reference(rule, _):
            if rule not in known:
                known[rule] = _expand(rules[rule], rules, known)
            return known[rule]


def _counted(number: int) -> str:
    return f"{number:,}{' or more' if number == MOST else ''}"
