"""What was heard in a recording, as the values that pictures and formats are made from."""

from typing import NamedTuple


class Interval(NamedTuple):
    """A stretch of time that is one phone, or silence. Seconds from the start of the recording."""

    symbol: str
    """Empty for silence."""
    start: float
    end: float
    confidence: float
