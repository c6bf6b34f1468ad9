"""ARPA files of n-grams, as KenLM, SRILM and others write them, as a `Trie`.

The format is described in SRILM's manual page ngram-format(5): sections of n-grams of one length, each line log10
of the probability, the n-gram, and log10 of its back-off weight if longer ones begin with it.
"""

import gzip
import math
import zlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeAlias

import numpy as np

from ..arrays import AnyArray
from .trie import MAX_ORDER, MAX_PHONES, START, Trie, validate

MAX_NGRAMS = 10_000_000
MAX_BYTES = 2**30  # unpacked
MAX_LINE = 4096  # bytes
MAX_EMPTY = 1000  # lines in a row

_START, _END, _UNKNOWN = "<s>", "</s>", "<unk>"
_NEVER = -99.0  # log10 of the probability of what is never predicted
_HEAVIEST = 99.0  # log10 of a back-off weight, or of what divides by it: beyond, sums run over
_CHARGED = 1e-3  # log10: a back-off weight above this matters


_Ngram: TypeAlias = tuple[float, list[str], float]
"""Log10 of the probability, words, log10 of the back-off weight."""


class _Section(NamedTuple):
    """N-grams of one length."""

    symbols: AnyArray  # uint8 [n-grams, length]
    score: AnyArray  # float64 [n-grams], nats
    back_off: AnyArray


def read(path: Path) -> Trie:
    """The model in the ARPA file at `path`, compressed if its name ends in .gz.

    Its words are the phones; <unk> and n-grams with it are left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no ARPA file, truncated, too large, or a number in it is wrong; the message gives the line.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            reader = _Reader(file.readline)
            counts = reader.header()
            phones, sections = reader.sections(counts)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"the compressed file is truncated or damaged ({error})") from None
    trie = _assemble(phones, sections)
    validate(trie)
    return trie


class _Reader:
    """Lines of an ARPA file, and where they are."""

    def __init__(self, readline: Callable[[int], bytes]) -> None:
        self._readline = readline
        self._number = 0
        self._bytes = 0

    def header(self) -> list[int]:
        """How many n-grams of each length there are said to be."""
        title = "\\data\\"
        if next((line for line in self._lines() if line == title or self._number > 100), "") != title:
            raise ValueError("no ARPA file: it has no line \\data\\")
        counts: list[int] = []
        for line in self._lines():
            name, _, count = line.partition("=")
            if not line.startswith("ngram "):
                if line != "\\1-grams:" or not counts:
                    self._refuse(f"expected \\1-grams: after the counts, not {line[:40]!r}")
                break
            if name.split() != ["ngram", str(len(counts) + 1)] or not count.strip().isdecimal():
                self._refuse(f"expected the count of {len(counts) + 1}-grams, not {line[:40]!r}")
            counts.append(int(count))
            if len(counts) > MAX_ORDER or sum(counts) > MAX_NGRAMS:
                self._refuse(
                    f"{f'{sum(counts):,}'[:40]} n-grams of lengths to {len(counts)}: at most {MAX_NGRAMS:,} of lengths "
                    f"to {MAX_ORDER} can be had; prune the model"
                )
        if counts and counts[0] > MAX_PHONES + 3:
            self._refuse(f"{counts[0]:,} words, at most {MAX_PHONES} phones can be had: a model of words?")
        return counts

    def sections(self, counts: list[int]) -> tuple[tuple[str, ...], list[_Section]]:
        """The phones, and all n-grams; the header of the first section has been read."""
        words: dict[str, int] = {}
        sections = []
        for length, count in enumerate(counts, start=1):
            if length > 1:
                self._expect(f"\\{length}-grams:")
            lines: Iterator[_Ngram] = (self._ngram(length) for _ in range(count))
            if length == 1:
                unigrams = list(lines)
                names = [name for _, (name,), _ in unigrams]
                phones = [name for name in names if name not in (_START, _END, _UNKNOWN)]
                words = {_START: START} | {phone: place for place, phone in enumerate(phones, start=1)}
                words[_END] = len(words)
                lines = iter(unigrams)
            sections.append(self._section(length, lines, words))
        self._expect("\\end\\")
        return tuple(words)[1:-1], sections

    def _section(self, length: int, lines: Iterator[_Ngram], words: dict[str, int]) -> _Section:
        """`lines` but those with <unk>, as numbers at once: as text, millions of them would take gigabytes."""
        symbols, score, back_off = bytearray(), array("d"), array("d")
        for prob, ngram, weight in lines:
            if _UNKNOWN in ngram:
                continue
            try:
                symbols += bytes([words[word] for word in ngram])
            except KeyError as error:
                self._refuse(f"{repr(error.args[0])[:40]} is no n-gram of length 1")
            score.append(prob)
            back_off.append(weight)
        return _Section(
            np.frombuffer(symbols, np.uint8).reshape(len(score), length),
            math.log(10) * np.frombuffer(score),
            math.log(10) * np.frombuffer(back_off),
        )

    def _lines(self) -> Iterator[str]:
        """Lines that are not empty, without spaces at their ends."""
        empty = 0
        while line := self._readline(MAX_LINE):
            self._number += 1
            self._bytes += len(line)
            if self._bytes > MAX_BYTES:
                self._refuse(f"the file is longer than {MAX_BYTES >> 20} MiB; prune the model")
            if len(line) == MAX_LINE:
                self._refuse(f"longer than {MAX_LINE} bytes")
            try:
                text = line.decode().strip()
            except UnicodeDecodeError:
                self._refuse("not UTF-8")
            empty = 0 if text else empty + 1
            if empty > MAX_EMPTY:
                self._refuse(f"more than {MAX_EMPTY} empty lines in a row")
            if text:
                yield text

    def _next(self) -> str:
        line = next(self._lines(), None)
        if line is None:
            raise ValueError(f"truncated: it ends after line {self._number}, without \\end\\")
        return line

    def _expect(self, title: str) -> None:
        line = self._next()
        if line != title:
            self._refuse(f"expected {title}, as the counts say, not {line[:40]!r}")

    def _ngram(self, length: int) -> _Ngram:
        """Log10 of the probability, words, log10 of the back-off weight."""
        line = self._next()
        fields = line.split()
        if len(fields) not in (length + 1, length + 2):
            self._refuse(f"expected a {length}-gram, as the counts say, not {line[:40]!r}")
        try:
            prob = float(fields[0])
            weight = float(fields[-1]) if len(fields) == length + 2 else 0.0
        except ValueError:
            prob = weight = math.nan
        # Probabilities that are rounded may be a little above 1.
        if not (abs(weight) <= _HEAVIEST and (_NEVER - 1 <= prob <= 1e-3 or prob == -math.inf)):
            self._refuse(f"not log10 of a probability and of a back-off weight: {line[:40]!r}")
        return max(prob, _NEVER), fields[1 : length + 1], weight

    def _refuse(self, problem: str) -> NoReturn:
        raise ValueError(f"line {self._number}: {problem}")


def _assemble(phones: tuple[str, ...], sections: list[_Section]) -> Trie:
    """The n-grams in breadth-first order."""
    width = len(phones) + 2
    keys: list[AnyArray] = []  # of each length, of its n-grams in order: parent's place * width + symbol
    symbol, score, weight = [np.zeros(1, np.uint8)], [np.zeros(1)], [np.zeros(1)]
    children: list[AnyArray] = []
    longer = 1  # n-grams of the length before
    for section in sections:
        place = np.zeros(len(section.symbols), np.int64)
        for k in range(section.symbols.shape[1] - 1):
            place = _find(keys[k], place * width + section.symbols[:, k])
        key = place * width + section.symbols[:, -1]
        order = np.argsort(key, kind="stable")
        key = key[order]
        if (np.diff(key) == 0).any():
            raise ValueError(f"a {section.symbols.shape[1]}-gram is there twice")
        keys.append(key)
        children.append(np.bincount(key // width, minlength=longer))
        symbol.append(section.symbols[order, -1])
        score.append(section.score[order])
        weight.append(section.back_off[order])
        longer = len(key)
    children.append(np.zeros(longer, int))
    number, charged = np.concatenate(children), np.concatenate(weight)
    if (np.abs(charged[number == 0]) > _CHARGED).any():
        raise ValueError("an n-gram has a back-off weight, and no longer one begins with it")
    return Trie(
        phones,
        False,
        np.concatenate(symbol),
        number.astype(np.uint8),
        np.concatenate(score),
        charged[number > 0],
    )


def _find(keys: AnyArray, wanted: AnyArray) -> AnyArray:
    """Places of `wanted` in `keys`, ascending."""
    places = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    if len(wanted) and (len(keys) == 0 or (keys[places] != wanted).any()):
        raise ValueError("an n-gram is there whose beginning, without its last word, is not")
    found: AnyArray = places
    return found


def lines(trie: Trie) -> Iterator[str]:
    """The ARPA file of `trie`, which must be without word marks."""
    if trie.word_marks:
        raise ValueError("an ARPA file has no word marks: learn a model without them")
    words = [_START, *trie.phones, _END]
    bounds = _level_sizes(trie)
    yield "\\data\\"
    yield from (f"ngram {length}={size}" for length, size in enumerate(bounds, start=1))
    number = np.cumsum(trie.children > 0) - 1
    children = trie.children.astype(np.int64)
    names, begin = [""], 0
    for length, size in enumerate(bounds, start=1):
        level = slice(begin, begin + len(names))
        names = [
            name for name, count in zip(names, children[level].tolist(), strict=True) for _ in range(count)
        ]
        begin = level.stop
        yield ""
        yield f"\\{length}-grams:"
        for place in range(size):
            node = begin + place
            word = words[trie.symbol[node]]
            names[place] = f"{names[place]} {word}".lstrip()
            prob = _NEVER if length == 1 and word == _START else trie.score[node] / math.log(10)
            weight = f"\t{trie.back_off[number[node]] / math.log(10):.6f}" if children[node] else ""
            yield f"{prob:.6f}\t{names[place]}{weight}"
    yield from ("", "\\end\\")


def _level_sizes(trie: Trie) -> list[int]:
    """How many n-grams of lengths 1, 2, … there are."""
    sizes: list[int] = []
    begin, end = 0, 1
    total = np.concatenate([[0], np.cumsum(trie.children, dtype=np.int64)])
    while size := int(total[end] - total[begin]):
        sizes.append(size)
        begin, end = end, end + size
    return sizes
