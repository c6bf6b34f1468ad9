"""From a transcript to the words that are to be found in the audio, each with all the ways to say it."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import DataError
from ..lexicon.lexicon import Lexicon
from ..lexicon.numbers import roman
from ..lexicon.written import Written, written_words

_EDGES = re.compile(r"^\W+|\W+$")  # of "ice-cream," what a dictionary has no part of
_STRESS = re.compile(r"(?<=[A-Z])[012]$")


class Spoken(NamedTuple):
    """A word that is to be found."""

    text: str
    """As it is written, with its punctuation."""
    variants: tuple[tuple[str, ...], ...]
    """Its pronunciations, phones without stress; none where it cannot be read."""
    known: bool
    """False where its phones are guessed from its spelling, or it cannot be read."""
    place: tuple[int, int]
    """Of its first character in the transcript, counted from 0, and behind its last."""
    attached: bool = False
    """Whether no white space is between it and the word before."""
    problem: str = ""
    """Why it cannot be read."""


def words_of(text: str, lexicon: Lexicon) -> list[Spoken]:
    """The words of running text, as `written_words` tells them apart, with all their pronunciations.

    Raises:
        DataError: there are no words, or none that can be read: with letters that English does not have, say.
    """
    words = [_spoken(word, lexicon) for word in written_words(text)]
    if not words:
        raise DataError("the transcript has no words; give what was said")
    if not any(word.variants for word in words):
        raise DataError(
            f"no word of the transcript can be read: {words[0].problem}; the lexicon is of English"
        )
    return words


def _spoken(word: Written, lexicon: Lexicon) -> Spoken:
    place = (word.begin, word.end)
    bare = _EDGES.sub("", word.text)
    as_it_is = bare in lexicon or roman(bare) is not None
    try:
        ways = lexicon.pronunciations(bare if as_it_is else " ".join(word.words))
    except DataError as error:
        return Spoken(word.text, (), False, place, word.attached, str(error))
    variants = tuple(dict.fromkeys(way.phones for way in ways))
    return Spoken(word.text, variants, not any(way.guessed for way in ways), place, word.attached)


def phones_of(text: str, phones: Sequence[str]) -> list[Spoken]:
    """The phones of a phonemic transcript, each a word of its own: "HH AH0 L OW1".

    Stress digits are dropped where the inventory `phones` has none; case makes no difference.

    Raises:
        DataError: there are none, or one is not in `phones` (the message names it).
    """
    words = []
    for position, found in enumerate(re.finditer(r"\S+", text), start=1):
        written = found[0]
        phone = written if written in phones else _STRESS.sub("", written.upper())
        if phone not in phones:
            raise DataError(
                f"unknown phone {written!r}, number {position} of the transcript: "
                f"expected {' '.join(phones)}, with stress digits or without"
            )
        words.append(Spoken(phone, ((phone,),), known=True, place=found.span()))
    if not words:
        raise DataError("the transcript has no phones; give what was said")
    return words
