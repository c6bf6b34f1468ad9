"""Which phones of a transcript belong to which of its words."""

from collections.abc import Sequence

from ...errors import DataError
from .lexicon import Lexicon
from .text import normalise


def split_into_words(text: str, phones: Sequence[str], lexicon: Lexicon) -> list[tuple[str, ...]]:
    """`phones` in as many parts as `text` has words, each a pronunciation of its word.

    No parts where the phones are not those of the words, or a word cannot be pronounced.
    """
    said = tuple(phones)
    ways = [(0, list[tuple[str, ...]]())]  # phones taken, and the parts; one for each number of phones
    try:
        for word in normalise(text):
            longer: dict[int, list[tuple[str, ...]]] = {}
            for taken, parts in ways:
                for variant in lexicon.pronunciations(word):
                    end = taken + len(variant.phones)
                    if said[taken:end] == variant.phones:
                        longer.setdefault(end, [*parts, variant.phones])
            ways = list(longer.items())
    except DataError:
        return []
    return next((parts for taken, parts in ways if taken == len(said)), [])
