"""The phones of a recording of any length, in a twentieth of the memory of a list of them."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from ..streaming.decode import Phone


class Track(Sequence[Phone]):
    """Phones in columns: 26 bytes each, so that ten hours of speech take about ten megabytes."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._symbols: list[str] = []
        self._symbol = array("H")
        self._times = array("d")  # start, end and confidence in turn

    def extend(self, phones: Iterable[Phone]) -> None:
        """Put `phones` behind those that are there."""
        for phone in phones:
            if phone.symbol not in self._names:
                self._names[phone.symbol] = len(self._symbols)
                self._symbols.append(phone.symbol)
            self._symbol.append(self._names[phone.symbol])
            self._times.extend((phone.start, phone.end, phone.confidence))

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
        return Phone(self._symbols[self._symbol[row]], *self._times[3 * row : 3 * row + 3])

    def __iter__(self) -> Iterator[Phone]:
        times = iter(self._times)
        for symbol, start, end, confidence in zip(self._symbol, times, times, times, strict=True):
            yield Phone(self._symbols[symbol], start, end, confidence)
