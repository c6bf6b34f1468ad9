"""A pronouncing dictionary's file: read whole, checked whole, and told apart word by word only when looked up."""

import functools
import os
import re
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files

from ...errors import DataError
from ...text_file import read_text
from . import ipa
from .phones import PHONES
from .text import clean

Entries = dict[str, str | list[str]]
"""Word to its phones as they stand in the file, with stress; to a list where it has several pronunciations."""

_WITHOUT_STRESS = {phone + stress: phone for phone in PHONES for stress in ("", "0", "1", "2")}
_LEGAL = frozenset(_WITHOUT_STRESS)
_VARIANT = re.compile(r"\(\d+\)$")
_PROBABILITIES = re.compile(r"^(?:[0-9]*\.?[0-9]+\s+)+")  # of the word, and of silence about it
_NOISE = frozenset({"spn", "sil"})


def phones(said: str) -> tuple[str, ...]:
    """The phones of one pronunciation in `Entries`, without stress."""
    return tuple(map(_WITHOUT_STRESS.__getitem__, said.split()))


def _fields(line: str) -> list[str]:
    """The word of a dictionary's line and the rest of it, its comment left out."""
    if "#" in line or line.startswith(";;;"):
        line = re.sub(r"(^|\s)#.*|^;;;.*", "", line)
    return line.split(None, 1)


def _said(said: str = "") -> str:
    """The phones of what stands behind a word, probabilities left out."""
    return _PROBABILITIES.sub("", said, count=1)


def _parse(path: str, text: str) -> Entries:
    """Entries of the dictionary `text`; `path` is for errors.

    All phones are checked, but at once: line by line would take most of the time of loading.
    """
    entries: Entries = {}
    all_said = []
    for number, line in enumerate(text.split("\n"), start=1):
        fields = _fields(line)
        if not fields:
            continue
        if len(fields) == 1:
            raise DataError(f"{path}:{number}: no phones after {fields[0]!r}: expected a word and its phones")
        word, said = fields
        if not said[0].isalpha():
            said = _said(said)
        if said in _NOISE:
            continue
        all_said.append(said)
        if word[-1] == ")":
            word = _VARIANT.sub("", word)
        if not (word.isascii() and word.islower()):
            word = clean(word)
        known = entries.setdefault(word, said)
        if isinstance(known, list):
            known.append(said)
        elif known is not said:
            entries[word] = [known, said]
    if not entries:
        raise DataError(f"{path}: no entries: expected lines of a word and its phones")
    symbols = set(" ".join(all_said).split())
    if symbols <= _LEGAL:
        return entries
    ways = {symbol: ipa.alternatives(symbol) for symbol in symbols}
    unknown = symbols - _LEGAL if symbols & _LEGAL else {symbol for symbol in symbols if not ways[symbol]}
    if unknown:
        raise _unknown_phone(path, text, unknown)
    return _from_ipa(entries, ways)


def _from_ipa(entries: Entries, ways: Mapping[str, Sequence[tuple[str, ...]]]) -> Entries:
    """`entries` with ARPAbet phones in the place of IPA ones, which may each be taken in some `ways`."""
    return {
        word: [
            way
            for one in ([said] if isinstance(said, str) else said)
            for way in ipa.pronunciations(ways[symbol] for symbol in one.split())
        ]
        for word, said in entries.items()
    }


def _unknown_phone(path: str, text: str, unknown: Collection[str]) -> DataError:
    """What to say about the first line with a phone that is none."""
    lines = enumerate((_said(*_fields(line)[1:]) for line in text.split("\n")), start=1)
    number, wrong = next(
        (number, phone)
        for number, said in lines
        if said not in _NOISE
        for phone in said.split()
        if phone in unknown
    )
    return DataError(
        f"{path}:{number}: unknown phone {wrong!r}: expected the ARPAbet phones {' '.join(PHONES)}, "
        "with or without stress, or IPA phones of English alone"
    )


def read(path: str | os.PathLike[str]) -> Entries:
    """Entries of the dictionary at `path`.

    Raises:
        DataError: it cannot be read, or a line of it is malformed (the message names the line).
    """
    return _parse(os.fspath(path), read_text(path, "dictionary"))


@functools.cache
def bundled() -> Entries:
    """Entries of CMUdict, which comes with the package."""
    data = files(__package__).joinpath("data", "cmudict.dict")
    return _parse("cmudict.dict", data.read_text(encoding="utf-8"))
