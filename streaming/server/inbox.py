"""What waits for a stream: audio, gaps and requests in the order of their arrival, taken a turn at a time."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray
from .protocol import Finish, Gap, Save


class Part(NamedTuple):
    """The stream goes on elsewhere: a last snapshot."""


class Silence(NamedTuple):
    """A piece of a gap."""

    samples: int
    announced: int  # samples of the whole gap, with its first piece; 0 with the others


Work = AnyArray | Gap | Finish | Save | Part
Piece = AnyArray | Silence | Finish | Save | Part


class Item(NamedTuple):
    """Something to do for a stream."""

    what: Piece
    since: float  # when it came, on the monotonic clock

    @property
    def samples(self) -> int:
        if isinstance(self.what, Silence):
            return self.what.samples
        return len(self.what) if isinstance(self.what, np.ndarray) else 0


def take(inbox: deque[Item], samples: int) -> list[Item]:
    """What comes to at most `samples`, off the front of `inbox`; an item that does not fit is cut."""
    items = []
    while inbox and samples > 0:
        item = inbox.popleft()
        if item.samples > samples:
            item, rest = _cut(item, samples)
            inbox.appendleft(rest)
        items.append(item)
        samples -= item.samples
        if isinstance(item.what, Save):  # its size counts for more than its time
            break
    return items


def _cut(item: Item, samples: int) -> tuple[Item, Item]:
    """The first `samples` of an item, and the others."""
    if isinstance(item.what, Silence):
        whole = item.what
        return (
            item._replace(what=whole._replace(samples=samples)),
            item._replace(what=Silence(whole.samples - samples, 0)),
        )
    assert isinstance(item.what, np.ndarray)
    return item._replace(what=item.what[:samples]), item._replace(what=item.what[samples:])


def joined(items: Iterable[Item]) -> list[Piece]:
    """What the items hold, neighbouring pieces of audio as one: many short ones cost no more than a long one."""
    works: list[Piece] = []
    audio: list[AnyArray] = []
    for item in items:
        if isinstance(item.what, np.ndarray):
            audio.append(item.what)
            continue
        if audio:
            works.append(np.concatenate(audio))
            audio = []
        works.append(item.what)
    return [*works, np.concatenate(audio)] if audio else works
