"""Spikes to intervals: phones are widened until they and the silences between them fill a recording without gaps.

A CTC phone is a spike, about one frame long, in the middle of the phone that was spoken. Where one phone ends and
the next begins is estimated from the times of the spikes alone. With c1 and c2 the middles of two neighbours:

    boundary  c2 - min((c2 - c1) / 2, ONSET)                                 half-way, or not long before the later
    silence   from max(c1 + TAIL, end1) to min(c2 - LEAD, start2)            instead, if it is at least PAUSE long

The beginning and the end of a recording are treated likewise, with EDGE in place of PAUSE. `benchmarks/tiling.py`
measures this beside a forced alignment. Rules that read the posteriors between the spikes (where the earlier phone's
falls below the later's, the area under each, the middle weighted by them) were further off: a spiky model has
hardly any opinion there.
"""

from collections.abc import Iterable

from ..asr.align.times import EDGE, LEAD, ONSET, PAUSE, TAIL
from ..streaming.decode import Phone
from .document import Interval

HOLD_MS = 20  # what is closer to the latest spike is not given out yet: the recording may end there


class Tiler:
    """Makes the intervals of one recording as it is decoded, in memory that does not grow with its length.

    All intervals that `add` and `finish` return, one after the other, cover [0, seconds] without gap or overlap.
    Each phone is one of them, and how the phones are cut into calls does not matter. Boundaries are whole
    milliseconds, the end is exact.
    """

    def __init__(self) -> None:
        self._last: Phone | None = None
        self._edge = 0  # ms, up to where the time is divided
        self._given = 0  # ms, up to where intervals have been given out
        self._pending: list[tuple[str, int, float]] = []  # symbol, end in ms, confidence, from `_given` on

    def add(self, phones: Iterable[Phone]) -> list[Interval]:
        """Take in `phones`, next after those before, and return the intervals that are now certain.

        Args:
            phones: in the order of time, as a stream's `accept` and `finish` give them.
        """
        for phone in phones:
            self._divide(phone)
            self._last = phone
        if self._last is None:
            return []
        certain = _ms(_middle(self._last)) - HOLD_MS
        count = sum(end <= certain for _, end, _ in self._pending)
        return self._give(count)

    def finish(self, seconds: float) -> list[Interval]:
        """The last intervals of a recording that is `seconds` long.

        Raises:
            ValueError: phones lie beyond `seconds`, so that there is no room for them.
        """
        if self._last is not None:
            end = max(_middle(self._last) + TAIL, self._last.end)
            silent = seconds - end >= EDGE
            self._put(self._last.symbol, end if silent else seconds, self._last.confidence)
            if silent:
                self._put("", seconds)
        elif seconds > 0:
            self._put("", seconds)
        return self._fit(seconds)

    def _divide(self, phone: Phone) -> None:
        """Settle where the time before `phone` is divided from it."""
        middle, last = _middle(phone), self._last
        begin = min(middle - LEAD, phone.start)
        if last is None:
            if begin >= EDGE:
                self._put("", begin)
            return
        end = max(_middle(last) + TAIL, last.end)
        if begin - end >= PAUSE:
            self._put(last.symbol, end, last.confidence)
            self._put("", begin)
        else:
            half = (middle - _middle(last)) / 2
            self._put(last.symbol, middle - min(half, ONSET), last.confidence)

    def _put(self, symbol: str, end: float, confidence: float = 1.0) -> None:
        """An interval up to `end`, of a millisecond at least."""
        self._edge = max(_ms(end), self._edge + 1)
        self._pending.append((symbol, self._edge, confidence))

    def _give(self, count: int) -> list[Interval]:
        """The first `count` pending intervals, no longer pending."""
        given = []
        for symbol, end, confidence in self._pending[:count]:
            given.append(Interval(symbol, self._given / 1000, end / 1000, confidence))
            self._given = end
        del self._pending[:count]
        return given

    def _fit(self, seconds: float) -> list[Interval]:
        """All pending intervals, those at the end moved forward as far as is needed for each to have a length.

        Phones are clipped to the recording, so that several may lie at its very end.
        """
        count, room = len(self._pending), seconds - self._given / 1000
        if count and room <= 0:
            raise ValueError(f"{count} phones or silences lie beyond the recording's {seconds} s")
        latest = [_ms(seconds) - (count - 1 - number) for number in range(count)]
        if latest and latest[0] <= self._given:  # less than a millisecond for each
            ends = [self._given / 1000 + room * number / count for number in range(1, count)]
        else:
            ends = [min(end, most) / 1000 for (_, end, _), most in zip(self._pending, latest, strict=True)][
                :-1
            ]
        starts = [self._given / 1000, *ends]
        intervals = [
            Interval(symbol, start, end, confidence)
            for (symbol, _, confidence), start, end in zip(
                self._pending, starts, [*ends, seconds], strict=False
            )
        ]
        self._pending.clear()
        return intervals


def tile(phones: Iterable[Phone], seconds: float) -> tuple[Interval, ...]:
    """The intervals of a whole recording at once."""
    tiler = Tiler()
    return (*tiler.add(phones), *tiler.finish(seconds))


def _middle(phone: Phone) -> float:
    return (phone.start + phone.end) / 2


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
