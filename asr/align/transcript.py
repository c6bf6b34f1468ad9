"""From a transcript to the words that are to be found in the audio, each with all the ways to say it."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import DataError
from ..lexicon.lexicon import Lexicon
from ..lexicon.text import normalise

_STRESS = re.compile(r"(?<=[A-Z])[012]$")


class Spoken(NamedTuple):
    """A word that is to be found."""

    text: str
    variants: tuple[tuple[str, ...], ...]
    """Its pronunciations, at least one; phones without stress."""
    known: bool
    """False where its phones are guessed from its spelling."""


def words_of(text: str, lexicon: Lexicon) -> list[Spoken]:
    """The words of running text, as `text.normalise` tells them apart, with all their pronunciations.

    Raises:
        DataError: there are no words, or one has a letter that English does not have (the message names it).
    """
    words = []
    for number, word in enumerate(normalise(text), start=1):
        try:
            ways = lexicon.pronunciations(word)
        except DataError as error:
            raise DataError(f"word {number} of the transcript: {error}; the lexicon is of English") from None
        variants = tuple(dict.fromkeys(way.phones for way in ways))
        words.append(Spoken(word, variants, known=not any(way.guessed for way in ways)))
    if not words:
        raise DataError("the transcript has no words; give what was said")
    return words


def phones_of(text: str, phones: Sequence[str]) -> list[Spoken]:
    """The phones of a phonemic transcript, each a word of its own: "HH AH0 L OW1".

    Stress digits are dropped where the inventory `phones` has none; case makes no difference.

    Raises:
        DataError: there are none, or one is not in `phones` (the message names it).
    """
    words = []
    for position, written in enumerate(text.split(), start=1):
        phone = written if written in phones else _STRESS.sub("", written.upper())
        if phone not in phones:
            raise DataError(
                f"unknown phone {written!r}, number {position} of the transcript: "
                f"expected {' '.join(phones)}, with stress digits or without"
            )
        words.append(Spoken(phone, ((phone,),), known=True))
    if not words:
        raise DataError("the transcript has no phones; give what was said")
    return words
