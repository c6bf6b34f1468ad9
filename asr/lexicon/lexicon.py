"""The pronouncing dictionary: all pronunciations of a word, where they come from, the phones of a text."""

import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, get_args

from ...errors import DataError
from . import dictionary
from . import g2p as _g2p
from .numbers import readings, roman
from .phones import PHONES
from .text import clean, fold, normalise

__all__ = ["Lexicon", "Pronunciation", "Source", "bundled", "normalise", "pronounce"]

Source = Literal["dictionary", "possessive", "contraction", "number", "letters", "g2p"]
"""Where a pronunciation comes from, the surest first: an entry; a word and the ending 's; a word and another
ending ('ll, 'd, n't, -in'); digits that are read; letters said by name (u.s., xkcd); a guess from the spelling."""

_RANK = {source: rank for rank, source in enumerate(get_args(Source))}


class Pronunciation(NamedTuple):
    """One way to say a word."""

    phones: tuple[str, ...]  # of the 39, without stress
    source: Source

    @property
    def guessed(self) -> bool:
        """Whether the word, or a part of it, is in no dictionary: phones guessed from its spelling."""
        return self.source == "g2p"


_SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
_VOICELESS = frozenset({"P", "T", "K", "F", "TH"})
_VOWELS = frozenset(phone for phone in PHONES if phone[0] in "AEIOU")

_PIECE = re.compile(r"[0-9.,]*[0-9](?:(?:s|st|nd|rd|th)\b)?|[^\W\d_]+")
_DIGIT = re.compile("[0-9]")
_MOST_VARIANTS = 8  # of a word put together from parts that have several each

_MOST_APOSTROPHES = 3  # shouldn't've's; one with more is noise, not endings on endings

_LETTER_NAMES = (
    "a EY/b B IY/c S IY/d D IY/e IY/f EH F/g JH IY/h EY CH/i AY/j JH EY/k K EY/l EH L/m EH M/n EH N/o OW/"
    "p P IY/q K Y UW/r AA R/s EH S/t T IY/u Y UW/v V IY/w D AH B AH L Y UW/x EH K S/y W AY/z Z IY"
)
_LETTERS = {letter: tuple(name) for letter, *name in map(str.split, _LETTER_NAMES.split("/"))}
_SOUNDING = frozenset("aeiouy")
_LONGEST_INITIALISM = 5  # letters; a longer word without vowels is rather a name or a misprint


def _plural(phones: tuple[str, ...]) -> list[tuple[str, ...]]:
    """`phones` with the ending -s or 's: S after voiceless, IH Z (or AH Z) after sibilant, otherwise Z.

    IH Z comes first because CMUdict has it so in nine of ten such entries.
    """
    if phones[-1] in _SIBILANTS:
        return [(*phones, "IH", "Z"), (*phones, "AH", "Z")]
    return [(*phones, "S" if phones[-1] in _VOICELESS else "Z")]


def _same(phones: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [phones]


def _past(phones: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(*phones, "IH", "D") if phones[-1] in ("T", "D") else (*phones, "D")]


# A contracted verb or negation that follows any word: company'll, that'd, mustn't.
_CONTRACTIONS: dict[str, Callable[[tuple[str, ...]], list[tuple[str, ...]]]] = {
    "'d": _past,
    "'ll": lambda phones: [(*phones, "AH", "L")],
    "'re": lambda phones: [(*phones, "ER")],
    "'ve": lambda phones: [(*phones, "V") if phones[-1] in _VOWELS else (*phones, "AH", "V")],
    "n't": lambda phones: [(*phones, "N", "T") if phones[-1] in _VOWELS else (*phones, "AH", "N", "T")],
}


class Lexicon:
    """A pronouncing dictionary, with rules and a guess for the words that it lacks.

    A word is looked up as it is, then without accents. One that has no entry is put together from a shorter
    word and an ending ('s, 'll, 'd, -in'), read as a number, or said letter by letter where it has no vowel; at
    last it is guessed from its spelling. Each `Pronunciation` says which. A lexicon never changes: threads may
    share it.

    A dictionary file has a word and its phones on each line, with stress digits or without, comments after ` #`
    or `;;;`, and further pronunciations as `word(2)` or as another line of the same word: CMUdict's format, old
    and new. Probabilities between the word and its phones, as in dictionaries of the Montreal Forced Aligner, are
    left out, and so are its entries for noise (`<unk>  spn`). Its phones may all be IPA's of English (`ipa.py`).

    Args:
        path: a dictionary in UTF-8 to use instead of the bundled CMUdict.
        g2p: takes a word to its phones when nothing else does; the bundled English model by default
            (`GraphoneModel.load(path)` for one of your own).

    Raises:
        DataError: the file cannot be read, or a line of it is malformed (the message names the line).
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, g2p: Callable[[str], list[str]] | None = None
    ) -> None:
        self._entries = dictionary.bundled() if path is None else dictionary.read(path)
        self._guess = g2p or _g2p.g2p

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, word: str) -> bool:
        """Whether the dictionary itself has `word`, in any case."""
        return clean(word) in self._entries

    def pronunciations(self, word: str) -> list[Pronunciation]:
        """All ways to say `word`, at least one; the first is the reference.

        Raises:
            DataError: `word` has nothing that can be said (%%%), or a letter that English does not have (й).
        """
        entry = _mark(self._entry(clean(word.strip())), "dictionary")
        if (number := roman(word.strip())) is not None:
            return self._roman(number) + entry
        if entry:  # before normalising: entries may have hyphens and dots
            return entry
        words = normalise(word)
        if not words:
            raise DataError(f"no letters or digits to pronounce in {word!r}")
        return _join([self._pronounce(part) for part in words])

    def phones(self, text: str) -> list[str]:
        """Reference phones of `text`: the first pronunciation of each word; none for a text without words.

        Raises:
            DataError: a word has a letter that English does not have.
        """
        return [phone for word in normalise(text) for phone in self.pronunciations(word)[0].phones]

    def _entry(self, word: str) -> list[tuple[str, ...]]:
        said = self._entries.get(word, [])
        return list(dict.fromkeys(map(dictionary.phones, [said] if isinstance(said, str) else said)))

    def _pronounce(self, word: str) -> list[Pronunciation]:
        """All ways to say one normalised word."""
        bare = fold(word)
        quoted = bare if bare.endswith("s'") else bare.strip("'")  # s' is an ending
        # The last of these for twas, which is 'twas there
        for form in dict.fromkeys((word, bare, quoted, f"'{bare}")):
            if entry := self._entry(form):
                return _mark(entry, "dictionary")
        return self._with_ending(bare) or self._spelt(bare.strip("'"))

    def _with_ending(self, word: str) -> list[Pronunciation]:
        """Pronunciations of `word` as a shorter word and an ending; none if it has no ending of ours."""
        if word.count("'") > _MOST_APOSTROPHES:
            return []
        if word.endswith(("s'", "'s")):
            base = self._pronounce(word[:-1] if word.endswith("s'") else word[:-2])
            return _extend(base, _plural if word.endswith("'s") else _same, "possessive")
        if word.endswith("'d") and (entry := self._entry(word[:-2] + "ed")):  # remov'd
            return _mark(entry, "contraction")
        if word.endswith("in'") and (entry := self._entry(word[:-1] + "g")):  # seein'
            return _mark([(*said[:-1], "N") for said in entry], "contraction")
        for ending in _CONTRACTIONS:
            if word.endswith(ending) and word != ending:
                return _extend(
                    self._pronounce(word.removesuffix(ending)), _CONTRACTIONS[ending], "contraction"
                )
        return []

    def _spelt(self, word: str) -> list[Pronunciation]:
        """Pronunciations of a word that no entry helps with: digits read, letters named, or a guess."""
        if _DIGIT.search(word):
            return _join([self._piece(piece) for piece in _PIECE.findall(word)])
        letters = word.replace(".", "")
        initials = "." in word or len(word) == 1
        if not initials:
            initials = len(word) <= _LONGEST_INITIALISM and _SOUNDING.isdisjoint(word)
        if initials and set(letters) <= _LETTERS.keys():
            return _mark([tuple(phone for letter in letters for phone in _LETTERS[letter])], "letters")
        return [Pronunciation(tuple(self._guess(word)), "g2p")]

    def _piece(self, piece: str) -> list[Pronunciation]:
        """Pronunciations of a piece of a word that has digits in it: of mp3, mp or 3; of 1990s, the whole."""
        if not _DIGIT.search(piece):
            return self._pronounce(piece)
        if piece.endswith("s"):
            return _extend(self._piece(piece[:-1]), _plural, "number")
        read = [_join([self._pronounce(word)[:1] for word in reading]) for reading in readings(piece)]
        return _extend(itertools.chain.from_iterable(read), _same, "number")

    def _roman(self, number: int) -> list[Pronunciation]:
        """Chapter XIV is chapter fourteen, Louis XIV is Louis the fourteenth."""
        ending = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
        ordinals = readings(f"{number}{ending}")
        read = [*readings(str(number)), *(["the", *words] for words in ordinals), *ordinals]
        said = [_join([self._pronounce(word)[:1] for word in words]) for words in read]
        return _extend(itertools.chain.from_iterable(said), _same, "number")


@functools.cache
def bundled() -> Lexicon:
    """The lexicon of CMUdict, read once."""
    return Lexicon()


def pronounce(word: str) -> list[Pronunciation]:
    """All ways to say an English word or text, at least one, the usual one first.

    Examples:
        >>> [way.phones for way in pronounce("tomato")]
        [('T', 'AH', 'M', 'EY', 'T', 'OW'), ('T', 'AH', 'M', 'AA', 'T', 'OW')]

    `Lexicon(path).pronunciations(word)` takes a dictionary of your own.

    Args:
        word: as it is written, in any case; what no dictionary has is read as a number, by its letters, or guessed.

    Raises:
        DataError: there is nothing that can be said (%%%), or a letter that English does not have (й).
    """
    return bundled().pronunciations(word)


def _mark(phones: Iterable[tuple[str, ...]], source: Source) -> list[Pronunciation]:
    """The distinct ones of `phones`, in order, from `source`."""
    return [Pronunciation(said, source) for said in dict.fromkeys(phones)]


def _less_sure(*sources: Source) -> Source:
    return max(sources, key=_RANK.__getitem__)


def _extend(
    base: Iterable[Pronunciation], longer: Callable[[tuple[str, ...]], list[tuple[str, ...]]], source: Source
) -> list[Pronunciation]:
    """What `longer` makes of each of `base`, no surer than `source`."""
    made = [
        Pronunciation(phones, _less_sure(said.source, source))
        for said in base
        for phones in longer(said.phones)
    ]
    return list(dict.fromkeys(made))


def _join(parts: Sequence[list[Pronunciation]]) -> list[Pronunciation]:
    """Pronunciations of `parts` said one after the other, each as sure as its least sure part."""
    combined = itertools.islice(itertools.product(*parts), _MOST_VARIANTS)
    return [
        Pronunciation(
            tuple(itertools.chain.from_iterable(said.phones for said in choice)),
            _less_sure(*(said.source for said in choice)),
        )
        for choice in combined
    ]
