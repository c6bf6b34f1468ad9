"""What is to be spotted: phrases, each with all the ways to say it as phones."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import ClassVar, NamedTuple
from unicodedata import category

from ...asr.lexicon.lexicon import Lexicon, bundled, normalise
from ...asr.lexicon.phones import PHONES
from ...errors import ConfigError, DataError
from ...text_file import read_text
from ..decode import Decoder

MAX_KEYWORDS = 2000
MIN_PHONES, MAX_PHONES = 2, 100
MAX_VARIANTS = 32  # pronunciations of a keyword: those made of the first pronunciations of its words
MAX_PHRASE = 200  # characters
THRESHOLD = 0.5

_GIVEN = re.compile(r"/([^/]*)/")
_SPACES = "\t\n\r"
_UNSEEN = ("Cc", "Cf", "Cs")  # control, format (other directions, no width), lone surrogates
_STRESS = re.compile(r"(?<=[A-Z])[012]$")


class Variant(NamedTuple):
    """One way to say a keyword."""

    phones: tuple[str, ...]
    starts: tuple[bool, ...]
    """Of each phone, whether a word of the keyword begins with it."""


@dataclass(frozen=True)
class Keyword:
    """A phrase and how it may sound."""

    phrase: str
    variants: tuple[Variant, ...]
    threshold: float | None = None
    """Its own, or None for that of all."""


class PhraseList:
    """Phrases and how they may sound, each once: what keywords and commands have in common."""

    _noun: ClassVar[str]
    """What messages call one of them."""
    _most: ClassVar[int]
    _remedy: ClassVar[str]
    """What to do about more than `_most`."""

    def _set(self, phrases: Sequence[str], threshold: float, lexicon: Lexicon | None) -> None:
        if len(phrases) > self._most:
            raise ConfigError(
                f"{len(phrases):,} {self._noun}s, at most {self._most:,} can be had: {self._remedy}"
            )
        self.threshold = check_threshold(threshold, "threshold")
        lexicon = lexicon or bundled()
        self._words = tuple(parse_keyword(phrase, lexicon, self._noun) for phrase in phrases)
        seen = set[str]()
        for word in self._words:
            if word.phrase in seen:
                raise ConfigError(f"{self._noun} {word.phrase!r} is given twice: name each once")
            seen.add(word.phrase)

    def __len__(self) -> int:
        return len(self._words)

    def __iter__(self) -> Iterator[Keyword]:
        return iter(self._words)

    def __repr__(self) -> str:
        shown = ", ".join(repr(word.phrase) for word in self._words[:3])
        return f"<{len(self)} {self._noun}s: {shown}{', …' if len(self) > 3 else ''}>"


class Keywords(PhraseList):
    """Keywords for `Recognizer.stream(keywords=…)`. They never change, and streams may share them.

    A phrase becomes phones through the lexicon, with all pronunciations of its words. It may say itself how it sounds:
    `"/K W IH N AH/"`, or `"quinoa /K IY N W AA/ /K W IH N OW AH/"`, words apart by `|` where there are several.
    At most the 32 most usual combinations of pronunciations are searched for; `keywords[i].variants` shows them.
    """

    _noun, _most, _remedy = "keyword", MAX_KEYWORDS, "spot them in several runs"

    def __init__(
        self,
        phrases: Iterable[str],
        *,
        threshold: float = THRESHOLD,
        thresholds: Mapping[str, float] | None = None,
        lexicon: Lexicon | None = None,
    ) -> None:
        """
        Args:
            phrases: the keywords, at most 2000.
            threshold: the least score that is reported, from 0 to 1; 0 reports every peak. See `calibration`.
            thresholds: others for some of the phrases.
            lexicon: knows the pronunciations; the bundled one by default.

        Raises:
            ConfigError: no keywords, too many, one twice, or a threshold out of range or for no keyword.
            DataError: a keyword without words, of another script, or of fewer than 2 or more than 100 phones.
        """
        phrases = [phrases] if isinstance(phrases, str) else list(phrases)
        if not phrases:
            raise ConfigError("no keywords: give at least one phrase to look for")
        self._set(phrases, threshold, lexicon)
        own = {_label(phrase): value for phrase, value in (thresholds or {}).items()}
        for phrase, value in own.items():
            check_threshold(value, f"threshold of {phrase!r}")
            if phrase not in {word.phrase for word in self._words}:
                raise ConfigError(f"a threshold for {phrase!r}, which is no keyword: add it, or leave it out")
        self._words = tuple(replace(word, threshold=own.get(word.phrase)) for word in self._words)

    @classmethod
    def read(
        cls, path: str | PathLike[str], *, threshold: float = THRESHOLD, lexicon: Lexicon | None = None
    ) -> "Keywords":
        """Keywords from a UTF-8 file, one a line; a tab and a number after one are its own threshold.

        Empty lines and what follows a `#` are ignored.

        Raises:
            DataError: the file cannot be read, or a keyword of it is unusable (the message gives the line).
            ConfigError: as for `Keywords`.
        """
        lexicon = lexicon or bundled()
        phrases, thresholds = read_lines(path, lexicon)
        return cls(phrases, threshold=threshold, thresholds=thresholds, lexicon=lexicon)

    def __getitem__(self, index: int) -> Keyword:
        return self._words[index]

    def threshold_of(self, index: int) -> float:
        """The least score of keyword `index` that is reported."""
        own = self._words[index].threshold
        return self.threshold if own is None else own


def check_threshold(value: object, name: str) -> float:
    """`value`, if it is a number from 0 to 1.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{name} {value!r}: expected a number from 0, which reports everything, to 1")
    return float(value)


def shorten(phrase: str) -> str:
    """A phrase of any length as messages show it."""
    return repr(phrase) if len(phrase) <= MAX_PHRASE else f"{phrase[:40]!r}…"


def _label(phrase: str) -> str:
    """What a keyword is called: its words, or its phones if it has no words."""
    words = " ".join(_GIVEN.sub(" ", phrase).split())
    return words or " ".join(phrase.split())


def parse_keyword(phrase: str, lexicon: Lexicon, noun: str = "keyword") -> Keyword:
    """A phrase and all the ways to say it; `noun` is what messages call it.

    Raises:
        ConfigError: it is no text.
        DataError: it has no words, or of another script, or fewer than 2 or more than 100 phones.
    """
    if not isinstance(phrase, str):
        raise ConfigError(f"{noun} {repr(phrase)[:60]}: expected text")
    if len(phrase) > MAX_PHRASE:
        raise DataError(
            f"{noun} {shorten(phrase)}: {len(phrase)} characters, at most {MAX_PHRASE} can be had"
        )
    hidden = next((sign for sign in phrase if sign not in _SPACES and category(sign) in _UNSEEN), None)
    if hidden is not None:
        raise DataError(
            f"{noun} {phrase!r} has the character U+{ord(hidden):04X} in it, which is not seen: type it anew"
        )
    given = _GIVEN.findall(phrase)
    if "/" in _GIVEN.sub(" ", phrase):
        raise DataError(f"{noun} {phrase!r}: a / without its fellow: phones stand between two, /K AE T/")
    variants = [_given(phrase, text, noun) for text in given] if given else pronounce(phrase, lexicon, noun)
    variants = list(dict.fromkeys(variants))
    shortest, longest = min(variants, key=_length), max(variants, key=_length)
    if _length(shortest) < MIN_PHONES:
        raise DataError(
            f"{noun} {phrase!r}: sounds as {' '.join(shortest.phones) or 'nothing'}, which is in a large part of all "
            f"words: give a phrase of at least {MIN_PHONES} phones, better 5"
        )
    if _length(longest) > MAX_PHONES:
        raise DataError(f"{noun} {phrase[:40]!r}…: more than {MAX_PHONES} phones: give a part of it")
    return Keyword(_label(phrase), tuple(variants))


def _length(variant: Variant) -> int:
    return len(variant.phones)


def pronounce(phrase: str, lexicon: Lexicon, noun: str = "keyword") -> list[Variant]:
    """All ways to say `phrase`, the most usual first, at most `MAX_VARIANTS`.

    Raises:
        DataError: it has no words, or one that cannot be pronounced.
    """
    words = normalise(phrase)
    if not words:
        raise DataError(f"{noun} {phrase!r} has no letters: give words, or phones between slashes, /K AE T/")
    try:
        ways = [[said.phones for said in lexicon.pronunciations(word)] for word in words]
    except DataError as error:
        raise DataError(
            f"{noun} {phrase!r}: {error}; the lexicon is of English: give phones between slashes, /K AE T/"
        ) from None
    # Without making all of a product that may be huge: combinations in order of how unusual they are.
    chosen = itertools.islice(_combinations([len(way) for way in ways]), MAX_VARIANTS)
    return [_variant([ways[word][which] for word, which in enumerate(places)]) for places in chosen]


def _combinations(sizes: Sequence[int]) -> Iterable[tuple[int, ...]]:
    """Indices below `sizes`, those of the smallest sums first."""
    for total in range(sum(sizes) - len(sizes) + 1):
        yield from _with_sum(sizes, total)


def _with_sum(sizes: Sequence[int], total: int) -> Iterable[tuple[int, ...]]:
    if not sizes:
        if total == 0:
            yield ()
        return
    rest = sum(sizes[1:]) - len(sizes[1:])
    for first in range(max(0, total - rest), min(sizes[0] - 1, total) + 1):
        for others in _with_sum(sizes[1:], total - first):
            yield (first, *others)


def _variant(words: Sequence[Sequence[str]]) -> Variant:
    phones = tuple(itertools.chain.from_iterable(words))
    return Variant(phones, tuple(place == 0 for word in words for place in range(len(word))))


def _given(phrase: str, text: str, noun: str) -> Variant:
    """The phones between slashes."""
    words = []
    for part in text.split("|"):
        phones = [_STRESS.sub("", phone.upper()) for phone in part.split()]
        unknown = next((phone for phone in phones if phone not in PHONES), None)
        if unknown is not None:
            raise DataError(f"{noun} {phrase!r}: unknown phone {unknown!r}: expected {' '.join(PHONES)}")
        words.append(phones)
    return _variant(words)


def read_lines(
    path: str | PathLike[str], lexicon: Lexicon | None = None
) -> tuple[list[str], dict[str, float]]:
    """The phrases in a list of keywords, and the thresholds that some have.

    Args:
        path: of a UTF-8 file.
        lexicon: knows the pronunciations; the bundled one by default.

    Raises:
        DataError: it cannot be read, is not UTF-8, or a line has an unusable keyword or a threshold that is no number
            from 0 to 1; the message gives the line.
    """
    lexicon = lexicon or bundled()
    text = read_text(path, "list of keywords")
    phrases, thresholds = [], {}
    for number, line in uncommented(text):
        phrase, tab, value = line.partition("\t")
        if not phrase.strip():
            raise DataError(
                f"{path}: line {number}: no keyword before the tab: write the phrase, a tab and its threshold"
            )
        try:
            parse_keyword(phrase.strip(), lexicon)
        except DataError as error:
            raise DataError(f"{path}: line {number}: {error}") from None
        phrases.append(phrase.strip())
        if tab and value.strip():
            try:
                thresholds[phrase.strip()] = check_threshold(float(value), "threshold")
            except (ValueError, ConfigError):
                raise DataError(
                    f"{path}: line {number}: {value.strip()!r} is no threshold: expected a number from 0 to 1"
                ) from None
    if not phrases:
        raise DataError(f"{path}: the list of keywords is empty: write one phrase a line")
    return phrases, thresholds


def columns(decoder: Decoder, keywords: Iterable[Keyword], kind: str = "keyword") -> dict[str, int]:
    """The columns of a model's rows by their symbols.

    Raises:
        ConfigError: a keyword has a phone that the model has not; `kind` is what the message calls it.
    """
    column = {symbol: place for place, symbol in enumerate(decoder.symbols) if place != decoder.blank}
    for word in keywords:
        missing = next(
            (phone for said in word.variants for phone in said.phones if phone not in column), None
        )
        if missing is not None:
            raise ConfigError(
                f"{kind} {word.phrase!r} has the phone {missing}, which is none of the model's "
                f"({' '.join(sorted(column))}): give its phones in those, between slashes"
            )
    return column


def uncommented(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a list that are not empty, without what follows a `#`, and the number of each from 1."""
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].rstrip()
        if content.strip():
            yield number, content
