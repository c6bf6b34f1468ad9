"""What every format writes: a document's phones, intervals and words under the names that were chosen."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from ..streaming.decode import Phone
from ..streaming.visemes import VISEMES
from .document import Document, Interval, Word
from .options import Options
from .phone_sets import rename
from .visemes import to_visemes

Heard: TypeAlias = Phone | Interval
Label: TypeAlias = tuple[str, float, float]
"""Text, and seconds from the start of the recording: its start and its end."""


def intervals(document: Document, options: Options) -> list[Interval]:
    """Phones and silences, or mouth shapes, that cover the recording from 0 to its end without gaps.

    Silence is "" among phones. Among visemes it is a shape like others.

    Raises:
        ConfigError: the chosen names lack a phone.
        ValueError: the document was made without intervals.
    """
    if document.seconds > 0 and not document.intervals:
        raise ValueError(
            f"{document.file}: the document has no intervals; phonestream.formats.tiling makes them"
        )
    if options.visemes is not None:
        return to_visemes(document.intervals, options.visemes)
    return [
        interval._replace(symbol=rename(interval.symbol, options.phone_set)) if interval.symbol else interval
        for interval in document.intervals
    ]


def named(document: Document, options: Options) -> list[Interval]:
    """`intervals` but silence without a name: phones alone, or all mouth shapes, the one at rest among them."""
    return [interval for interval in intervals(document, options) if interval.symbol]


def sounds(document: Document, options: Options) -> list[Interval]:
    """`intervals` but silence, whether it has a name or not."""
    silence = "" if options.visemes is None else VISEMES[options.visemes][""][0]
    return [interval for interval in intervals(document, options) if interval.symbol != silence]


def phones(document: Document, options: Options) -> Iterator[Heard]:
    """Phones as the decoder gave them, under their new names; of visemes, which are held, the `sounds`.

    Raises:
        ConfigError, ValueError: as for `intervals`.
    """
    if options.visemes is not None:
        yield from sounds(document, options)
    else:
        for phone in document.phones:
            yield phone._replace(symbol=rename(phone.symbol, options.phone_set))


def with_words(intervals: Sequence[Interval], words: Sequence[Word]) -> Iterator[tuple[Interval, int | None]]:
    """Each interval with the index of the word in which its middle lies. Both are in the order of time."""
    index = 0
    for interval in intervals:
        middle = (interval.start + interval.end) / 2
        while index < len(words) and words[index].end <= middle:
            index += 1
        inside = interval.symbol != "" and index < len(words) and words[index].start <= middle
        yield interval, index if inside else None


def tier(options: Options) -> str:
    """What the symbols are, in a word, for formats that name their tiers."""
    return "phones" if options.visemes is None else "visemes"


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
