"""Plain text to the symbols that a phone language model is learnt from, through the lexicon.

A symbol is a phone and whether a word begins with it: with P phones, phone i (from 0) has the symbol i + 1 within a
word and i + 1 + P at the beginning of one. 0 stands between sentences.
"""

import gzip
import lzma
from array import array
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from ...errors import DataError, reason_of
from ...text_file import check_ends
from ..lexicon.lexicon import Lexicon, normalise
from ..lexicon.phones import PHONES, encode

MAX_LINE_BYTES = 1 << 20
"""Of a text's line, which is a sentence: what has no line ends is no text, and need not end either."""

MAX_WORDS = 60_000_000
"""Of a text, each line's end counted as one; 4 bytes each. A pipe need not end."""
MAX_DIFFERENT = 4_000_000
"""Different words of a text, some 150 bytes each."""

_BLOCK = 1 << 16  # lines


class Sentences(NamedTuple):
    """Sentences as one stream of symbols."""

    stream: np.ndarray
    """uint8 [n]: the symbols of each sentence, then `BOUNDARY`."""
    words: int
    skipped: int
    """Lines with a word that cannot be pronounced, of another alphabet say, or is rare."""


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text, compressed if its name ends in .gz or .xz.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or has a line of more than `MAX_LINE_BYTES`.
    """
    number = 0
    try:
        with open(path, "rb") as packed, _unpacked(path, packed) as file:
            check_ends(packed)
            while line := file.readline(MAX_LINE_BYTES + 1):
                if len(line) > MAX_LINE_BYTES:
                    raise ValueError(
                        f"a line is longer than {MAX_LINE_BYTES >> 20} MiB; put each sentence on its own"
                    )
                number += 1
                yield line.decode()
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        reason = " ".join(reason_of(error).split())
        where = (
            f"after line {number - 1}" if isinstance(error, UnicodeDecodeError) else f"after line {number}"
        )
        raise DataError(
            f"{path}: {where}: {reason or 'damaged'}; give UTF-8 text, plain or compressed as .gz or .xz"
        ) from None


def pronounce(
    lines: Iterable[str],
    lexicon: Lexicon,
    rare: int = 0,
    *,
    source: str = "the text",
    most: int = MAX_WORDS,
    most_different: int = MAX_DIFFERENT,
) -> Sentences:
    """Each line as a sentence: the first pronunciation of each of its words. Lines without words are passed over.

    Args:
        source: what messages call the text.
        most: words and lines that it may have.
        most_different: different words.
        rare: lines are skipped that have a word which no dictionary has and which occurs at most so often: in a large
            text, misprints and other languages.

    Raises:
        DataError: there are more words than may be; the rest of the text is not read.
    """
    ids: dict[str, int] = {}
    text = array("I")  # numbers of words from 1, each line's followed by 0
    for line in lines:
        words = normalise(line)
        if words:
            text.extend(ids.setdefault(word, len(ids)) + 1 for word in words)
            text.append(0)
            if len(text) > most or len(ids) > most_different:
                raise DataError(
                    f"{source}: more than {most:,} words and lines, or {most_different:,} different words, which is as "
                    "much as memory is meant for; give a part of it"
                )
    numbers = np.frombuffer(text, np.uint32)
    often = np.bincount(numbers, minlength=len(ids) + 1)[1:].tolist()
    said = [_word(lexicon, word, often[number] > rare) for word, number in ids.items()]
    out, known, skipped = BytesIO(), 0, 0
    for begin, end in _spans(np.flatnonzero(numbers == 0)):
        sentence = [said[number - 1] for number in text[begin:end]]
        if None in sentence:
            skipped += 1
            continue
        out.write(b"".join(sentence) + b"\0")  # type: ignore[arg-type]
        known += len(sentence)
    return Sentences(np.frombuffer(out.getvalue(), np.uint8), known, skipped)


def _spans(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Begin and end of each line, a block at a time: as Python's numbers all of them take gigabytes."""
    begin = 0
    for first in range(0, len(ends), _BLOCK):
        for end in ends[first : first + _BLOCK].tolist():
            yield begin, end
            begin = end + 1


def segment(spoken: Iterable[tuple[Sequence[str], str]], lexicon: Lexicon) -> Sentences:
    """Sentences of a corpus: reference phones, with word beginnings where the transcript's pronunciations put them.

    A sentence that occurs often, as when many speakers read one text, counts once: how often it was recorded says
    nothing about the language. One whose phones no pronunciations of its words make up is skipped.

    Args:
        spoken: (phones, transcript) of each recording.

    Raises:
        DataError: a phone is not one of the 39.
    """
    known: dict[str, list[bytes]] = {}
    found: dict[bytes, None] = {}
    words, skipped = 0, 0
    for phones, transcript in spoken:
        text = normalise(transcript)
        for word in text:
            if word not in known:
                known[word] = _pronunciations(lexicon, word)
        marked = _mark_starts(bytes(encode(phones)), [known[word] for word in text])
        if marked is None:
            skipped += 1
        elif marked not in found:
            found[marked] = None
            words += len(text)
    stream = b"".join(sentence + b"\0" for sentence in sorted(found))
    return Sentences(np.frombuffer(stream, np.uint8), words, skipped)


def join(parts: Iterable[Sentences]) -> Sentences:
    """All sentences of `parts`."""
    streams, words, skipped = zip(*parts, strict=True)
    return Sentences(np.concatenate(streams), sum(words), sum(skipped))


def _pronunciations(lexicon: Lexicon, word: str) -> list[bytes]:
    try:
        return [bytes(encode(said.phones)) for said in lexicon.pronunciations(word)]
    except DataError:
        return []


def _mark_starts(columns: bytes, words: list[list[bytes]]) -> bytes | None:
    """`columns` with word marks, if one pronunciation of each of `words` in turn makes them up; else None."""
    # Where a word may end, and the beginnings of words until there
    ways: dict[int, tuple[int, ...]] = {0: ()}
    for pronunciations in words:
        ways = {
            end + len(said): (*starts, end)
            for end, starts in ways.items()
            for said in pronunciations
            if columns.startswith(said, end)
        }
    if not columns or len(columns) not in ways:
        return None
    marked = bytearray(columns)
    for start in ways[len(columns)]:
        marked[start] += len(PHONES)
    return bytes(marked)


def _word(lexicon: Lexicon, word: str, guess: bool) -> bytes | None:
    """Symbols of a word; None if it cannot be said, or only with a guess that is not wanted."""
    if not guess and word not in lexicon and word.isalpha():
        return None
    try:
        first, *others = encode(lexicon.pronunciations(word)[0].phones)
    except DataError:
        return None
    return bytes([first + len(PHONES), *others])


def _unpacked(path: Path, file: BinaryIO) -> BinaryIO:
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix)
    return file if opener is None else cast(BinaryIO, opener(file, "rb"))  # type: ignore[operator]
