"""Passages of a transcript that were not said, though something else was: aligned all the same, with low scores.

A word put in where nothing was said is skipped by the search. Where other words were said in its place the search finds
what fits best, and only the scores tell. A passage is foreign whose phones' scores lie below `LEVEL` by `SHORTFALL` in
all: what a cumulative sum (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954) finds,

    s_i = max(0, s_{i-1} + LEVEL - score_i),    from where s was last 0 to where it is greatest.

Of 149 recordings of dev, aligned with their own text, none gets beyond 1.5.
"""

from collections.abc import Iterator, Sequence

LEVEL = 0.3  # the score below which a whole transcript is refused, too
SHORTFALL = 2.5  # 25 phones of another text, by and large


def foreign_words(scores: Sequence[float], words: Sequence[int]) -> set[int]:
    """The words that lie in foreign passages whole.

    Args:
        scores: [phones] of an alignment.
        words: [phones] index of each one's word, ascending.
    """
    found = set[int]()
    for first, last in _passages(scores):
        partly = {words[place] for place in (first - 1, last) if 0 <= place < len(words)}
        found |= set(words[first:last]) - partly
    return found


def _passages(scores: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Phones [first, behind last) of each passage; one ends where the sum has fallen by `SHORTFALL` from its peak."""
    total, first, peak, last = 0.0, 0, 0.0, 0
    for index, score in enumerate(scores):
        total += LEVEL - score
        if total > peak:
            peak, last = total, index + 1
        if total <= 0 or total < peak - SHORTFALL:
            if peak >= SHORTFALL:
                yield first, last
            total, first, peak, last = 0.0, index + 1, 0.0, index + 1
    if peak >= SHORTFALL:
        yield first, last
