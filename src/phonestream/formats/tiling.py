"""Phones and the silences between them: intervals that fill a recording without gaps, in whole milliseconds."""

from collections.abc import Iterable

from ..streaming.decode import Phone
from .document import Interval
from .units import milliseconds


def tile(phones: Iterable[Phone], seconds: float) -> tuple[Interval, ...]:
    """The intervals of a recording that is `seconds` long: each phone is one, and what is between them is silence.

    They cover [0, seconds] without gap or overlap. Boundaries are those of the phones (`streaming/tiling.py`) in whole
    milliseconds, and at least one apart; the end is exact.

    Args:
        phones: in the order of time, as a stream gives them.
        seconds: from 0.

    Raises:
        ValueError: a phone lies beyond `seconds`.
    """
    parts: list[tuple[str, int, float]] = []  # symbol, end in ms, confidence
    edge = 0  # ms, up to where the time is divided

    def put(symbol: str, end: float, confidence: float = 1.0) -> None:
        nonlocal edge
        edge = max(milliseconds(end), edge + 1)
        parts.append((symbol, edge, confidence))

    for phone in phones:
        if phone.start > seconds or seconds <= 0:
            raise ValueError(f"{phone.symbol} at {phone.start} s lies beyond the recording's {seconds} s")
        if milliseconds(phone.start) > edge:
            put("", phone.start)
        put(phone.symbol, phone.end, phone.confidence)
    if milliseconds(seconds) > edge or (seconds > 0 and not parts):
        put("", seconds)
    ends = _ends([end for _, end, _ in parts], seconds)
    return tuple(
        Interval(symbol, start, end, confidence)
        for (symbol, _, confidence), start, end in zip(parts, [0.0, *ends], ends, strict=False)
    )


def _ends(planned: list[int], seconds: float) -> list[float]:
    """Where the intervals end, in seconds, those at the end moved forward as far as each needs to have a length.

    Phones are clipped to the recording, so that several may lie at its very end.
    """
    count = len(planned)
    if count > milliseconds(seconds):  # less than a millisecond for each
        return [seconds * number / count for number in range(1, count)] + [seconds] * bool(count)
    latest = [milliseconds(seconds) - (count - 1 - number) for number in range(count)]
    return [min(end, most) / 1000 for end, most in zip(planned, latest, strict=True)][:-1] + [seconds] * bool(
        count
    )
