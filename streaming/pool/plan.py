"""Which streams share a call of the graph: all of a call advance by the same number of frames."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

MAX_FRAMES = 512
"""Frames in one call, those of all its streams together. More are no faster: what is computed on outgrows the cache."""

# What a call costs in the time that one frame of one stream takes, once in a batch: measured with the bundled model.
CALL_COST = 12.0
STREAM_COST = 1.2


def plan(counts: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Calls that advance stream i by counts[i] frames: (frames, streams) of each, in order.

    Either a call for each different count, or, where there are many, one for each power of two, of which every count is
    a sum; whichever costs less.
    """
    sizes = Counter(count for count in counts if count)
    exact = sum(_cost(streams, frames) for frames, streams in sizes.items())
    powers = [1 << bit for bit in reversed(range(max(sizes, default=0).bit_length()))]
    members = {power: [index for index, count in enumerate(counts) if count & power] for power in powers}
    binary = sum(_cost(len(group), power) for power, group in members.items() if group)
    if exact <= binary:
        return [
            (frames, [i for i, count in enumerate(counts) if count == frames]) for frames in sorted(sizes)
        ]
    return [(power, group) for power, group in members.items() if group]


def split(streams: int, frames: int) -> list[slice]:
    """`streams` that advance by `frames` in calls of equal sizes, at most MAX_FRAMES each, but for a stream alone."""
    calls = _calls(streams, frames)
    bounds = [streams * call // calls for call in range(calls + 1)] if calls else [0]
    return [slice(begin, end) for begin, end in pairwise(bounds)]


def _calls(streams: int, frames: int) -> int:
    return -(-streams // max(1, MAX_FRAMES // frames))


def _cost(streams: int, frames: int) -> float:
    return _calls(streams, frames) * CALL_COST + streams * (STREAM_COST + frames)
