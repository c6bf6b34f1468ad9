"""Phones' intervals turned into intervals of mouth shapes, for `--visemes`."""

from collections.abc import Iterable

from ..streaming.visemes import shapes
from .document import Interval


def to_visemes(intervals: Iterable[Interval], name: str) -> list[Interval]:
    """Intervals of mouth shapes that cover the same time as `intervals` of phones.

    The two shapes of a diphthong take half of its time each. Neighbours of one shape are merged: a mouth that
    stays as it is does not move. The confidence is the highest of the phones'.

    Raises:
        ConfigError: a phone that the set does not know.
    """
    found: list[Interval] = []
    for interval in intervals:
        for symbol, start, end, confidence in shapes(name, *interval):
            if found and found[-1].symbol == symbol:
                before = found.pop()
                start, confidence = before.start, max(before.confidence, confidence)
            found.append(Interval(symbol, start, end, confidence))
    return found
