"""The phones of a recording of any length, in a twentieth of the memory of a list of them."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from ..streaming.decode import Phone

_WORD_STARTS = (None, False, True)


class PhoneArray(Sequence[Phone]):
    """Phones in columns: 35 bytes each, so that ten hours of speech take about twelve megabytes."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._symbols: list[str] = []
        self._symbol = array("H")
        self._times = array("d")  # start, end, confidence and peak (NaN: not known) in turn
        self._starts = bytearray()  # of each phone, the place of `word_start` in _WORD_STARTS

    def extend(self, phones: Iterable[Phone]) -> None:
        """Put `phones` behind those that are there."""
        for phone in phones:
            if phone.symbol not in self._names:
                self._names[phone.symbol] = len(self._symbols)
                self._symbols.append(phone.symbol)
            self._symbol.append(self._names[phone.symbol])
            peak = math.nan if phone.peak is None else phone.peak
            self._times.extend((phone.start, phone.end, phone.confidence, peak))
            self._starts.append(_WORD_STARTS.index(phone.word_start))

    def __len__(self) -> int:
        return len(self._symbol)

    @overload
    def __getitem__(self, index: int) -> Phone: ...
    @overload
    def __getitem__(self, index: slice) -> list[Phone]: ...
    def __getitem__(self, index: int | slice) -> Phone | list[Phone]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        row = range(len(self))[index]  # raises IndexError as a list does
        start, end, confidence, peak = self._times[4 * row : 4 * row + 4]
        return self._phone(self._symbol[row], start, end, confidence, peak, self._starts[row])

    def __iter__(self) -> Iterator[Phone]:
        times = iter(self._times)
        columns = zip(self._symbol, times, times, times, times, self._starts, strict=True)
        return (self._phone(*row) for row in columns)

    def _phone(
        self, symbol: int, start: float, end: float, confidence: float, peak: float, word_start: int
    ) -> Phone:
        known = None if math.isnan(peak) else peak
        return Phone(self._symbols[symbol], start, end, confidence, _WORD_STARTS[word_start], known)
