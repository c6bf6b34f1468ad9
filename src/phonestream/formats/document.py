"""What was heard in a recording, or in one channel of it: the value that every format is written from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..streaming.audio.recording import Lost
from ..streaming.decode import Phone
from ..streaming.decoding.decoder import Hypothesis


class Interval(NamedTuple):
    """A stretch of time that is one phone, or silence. Seconds from the start of the recording."""

    symbol: str
    """Empty for silence."""
    start: float
    end: float
    confidence: float


class Word(NamedTuple):
    """A word of a transcript, aligned. Seconds from the start of the recording."""

    text: str
    start: float
    end: float
    score: float
    """How well its phones were pronounced; see `phonestream.asr.align.aligner`."""
    known: bool
    """False where the lexicon lacks the word and its phones are a guess, or it cannot be read."""
    attached: bool = False
    """Whether no white space is between it and the word before."""


@dataclass(frozen=True)
class Document:
    """One result."""

    file: str
    """As it was given."""
    seconds: float
    phones: Sequence[Phone]
    """As the decoder gave them."""
    intervals: tuple[Interval, ...] = ()
    """The same phones, and silence between them, without gaps from 0 to `seconds`."""
    words: tuple[Word, ...] = ()
    lines: tuple[Interval, ...] = ()
    """Lines of the transcript, where it has several; their symbols are their texts."""
    channel: int | None = None
    """Counted from 1; None where channels were mixed."""
    speaker: str | None = None
    """Where several are told apart by name; no two of a recording share one."""
    alternatives: tuple[Hypothesis, ...] = ()
    """Whole transcripts, `phones` the first of them, where an n-best list was asked for."""
    lost: tuple[Lost, ...] = ()
    """What is missing within it, in order."""
