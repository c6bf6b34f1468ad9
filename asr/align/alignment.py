"""What an alignment is: words and phones of a transcript with their times in a recording, and how well they fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...streaming.audio.recording import Lost
from ...streaming.decode import Phone
from .pronunciation import Instead


class AlignedPhone(NamedTuple):
    """A phone of the transcript, in seconds from the start of the recording."""

    symbol: str
    start: float
    end: float
    score: float
    """Goodness of pronunciation, in [0, 1]; see `score`."""
    word: int
    """Index of its word in `Alignment.words`."""
    pronunciation: float = 0.0
    """Probability that it was said right, in [0, 1]; see `pronunciation`."""
    instead: Instead = Instead("", 0.0)
    """What was most likely said in its place, if not this."""
    inserted: Instead | None = None
    """What was said behind it, before the next phone, though it is not in the transcript; see `pronunciation`."""


class AlignedWord(NamedTuple):
    """A word of the transcript, in seconds from the start of the recording."""

    text: str
    """As it is written in the transcript, with its punctuation."""
    start: float
    end: float
    score: float
    """Mean of its phones' scores; 0 where it was not found."""
    known: bool
    """False where the lexicon lacks the word and its phones are a guess, or it cannot be read."""
    found: bool
    """False where nothing like it was said in its place: it has no phones, and `start` to `end` is where it would
    have to be, from the end of the word found before it to the start of the one found behind it."""
    phones: tuple[AlignedPhone, ...]
    """Of the pronunciation on the best path; none where it was not found or cannot be read."""
    place: tuple[int, int] = (0, 0)
    """Of its first character in the transcript, counted from 0, and behind its last."""
    attached: bool = False
    """Whether no white space is between it and the word before in the transcript."""
    pronunciation: float = 0.0
    """Probability that it was said right: the least of its phones', so that one wrong phone is not averaged away; 0
    where it was not found."""
    problem: str = ""
    """Why it cannot be read, if it cannot. Such a word is where speech is that no word beside it accounts for."""


class Line(NamedTuple):
    """A line of the transcript, from its first word that was found to its last."""

    text: str
    start: float
    end: float


class Extra(NamedTuple):
    """Speech that is not in the transcript."""

    start: float
    end: float
    phones: tuple[Phone, ...]


@dataclass(frozen=True)
class Alignment:
    """Where a transcript is in a recording."""

    words: tuple[AlignedWord, ...]
    """All words of the transcript, in order. For a phonemic transcript each phone is one."""
    phones: tuple[AlignedPhone, ...]
    """All phones that were found, in order."""
    score: float
    """Mean of all phones' scores, those of words that were not found counted as 0; in [0, 1]. Words that cannot be
    read do not count."""
    seconds: float
    """Length of the recording."""
    extra: tuple[Extra, ...] = ()
    lines: tuple[Line, ...] = ()
    """Of a transcript that has several, those of which a word was found."""
    lost: tuple[Lost, ...] = ()
    """What is missing within a recording that comes from a file, in order."""

    @property
    def missing(self) -> tuple[AlignedWord, ...]:
        """The words that were not found."""
        return tuple(word for word in self.words if not word.found)


def lines_of(transcript: str, words: Sequence[AlignedWord]) -> tuple[Line, ...]:
    """The lines of a transcript, if it has several with text, by the places of its words."""
    found, begin = list[Line](), 0
    lines = transcript.splitlines(keepends=True)
    if sum(line.strip() != "" for line in lines) < 2:
        return ()
    placed = iter(words)
    word = next(placed, None)
    for line in lines:
        begin += len(line)
        inside = []
        while word is not None and word.place[0] < begin:
            inside += [word] if word.found else []
            word = next(placed, None)
        if inside:
            found.append(Line(" ".join(line.split()), inside[0].start, inside[-1].end))
    return tuple(found)
