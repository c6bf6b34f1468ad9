"""Commands: which sentence of a closed list an utterance is, or none of them.

The utterance is compared, as a whole, with every command, with common words that are no commands, and with any phones
at all (`phone_tree`). How much better the best command does than these is its level, of which the score is made
(`command_level`).
"""

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from os import PathLike
from typing import NamedTuple

import numpy as np

from ...asr.lexicon.lexicon import Lexicon, bundled
from ...errors import ConfigError, DataError
from ...text_file import read_text
from ..arrays import AnyArray, FloatArray
from ..decode import Decoder
from ..metadata import ModelMetadata
from . import command_level, jsgf
from .grammar import MAX_SENTENCES
from .keywords import PhraseList, columns, shorten, uncommented
from .phone_tree import STEEPEST, PhoneTree, free_score, relative

MAX_NODES = 200_000  # of the tree of phones
THRESHOLD = 0.5


class CommandResult(NamedTuple):
    """What an utterance was taken for."""

    command: str | None
    """The command; None: it is none of them."""
    score: float
    """Of `best`, in [0, 1]; `command` is None below the threshold."""
    best: str
    """The command that fits best."""
    second: str | None
    """The next best; None where there is but one."""
    start: float
    """Seconds from the start of the stream: of the first phone that was heard."""
    end: float
    """Of the last one."""

    @property
    def rejected(self) -> bool:
        """Whether it is none of the commands."""
        return self.command is None


class Commands(PhraseList):
    """A closed list of commands. It never changes, and streams may share it.

    Examples:
        >>> commands = Commands(["turn [the] light (on | off)", "stop"])
        >>> [command.phrase for command in commands]
        ['turn the light on', 'turn the light off', 'turn light on', 'turn light off', 'stop']
    """

    _noun, _most, _remedy = "command", MAX_SENTENCES, "split the list"

    def __init__(
        self, phrases: Iterable[str], *, threshold: float = THRESHOLD, lexicon: Lexicon | None = None
    ) -> None:
        """
        Args:
            phrases: commands; `(a | b)` is one of several, `[a]` may be left out. Words take all pronunciations of the
                lexicon, at most 32 a sentence; one without slots may give its own, `"lumos /L UW M OW S/"`.
            threshold: the least score that is accepted, from 0, which accepts everything, to 1.
            lexicon: knows the pronunciations; the bundled one by default.

        Raises:
            ConfigError: no commands, more than 2000 sentences, one twice, or a threshold out of range.
            DataError: a syntax error, a sentence without words, of another script or of fewer than 2 phones.
        """
        phrases = [phrases] if isinstance(phrases, str) else list(phrases)
        if not phrases:
            raise ConfigError("no commands: give at least one phrase")
        for phrase in phrases:
            if not isinstance(phrase, str):
                raise ConfigError(f"command {repr(phrase)[:60]}: expected text")
        self._set(
            [
                sentence
                for phrase in phrases
                for sentence in jsgf.read_phrase(phrase, f"command {shorten(phrase)}")
            ],
            threshold,
            lexicon,
        )

    @classmethod
    def read(
        cls, path: str | PathLike[str], *, threshold: float = THRESHOLD, lexicon: Lexicon | None = None
    ) -> "Commands":
        """Commands from a UTF-8 file: a JSGF grammar, or one phrase a line, what follows a `#` being ignored.

        Raises:
            DataError: the file cannot be read, or something in it is unusable (the message says where).
            ConfigError: as for `Commands`.
        """
        text = read_text(path, "list of commands")
        if text.startswith(jsgf.HEADER):
            sentences = jsgf.read_jsgf(text, str(path))
        else:
            sentences = []
            for line, phrase in uncommented(text):
                if "\t" in phrase.strip():
                    raise DataError(
                        f"{path}: line {line}: a tab within a command: thresholds of their own are for keywords; "
                        "give one for all commands"
                    )
                sentences += jsgf.read_phrase(phrase, str(path), line)
        if not sentences:
            raise DataError(f"{path}: the list of commands is empty: write one phrase a line")
        made = cls.__new__(cls)
        made._set(sentences, threshold, lexicon)
        return made


class CommandRecognizer:
    """Commands made ready for a model's rows. It never changes, and streams may share it."""

    def __init__(self, decoder: Decoder, commands: Commands) -> None:
        """
        Args:
            decoder: the model's, which knows its symbols and times.
            commands: in phones that the model has.

        Raises:
            ConfigError: a command has a phone that the model has not, or there are too many pronunciations.
        """
        self.commands = commands
        self._decoder = decoder
        column = columns(decoder, commands, "command")
        sequences: list[tuple[int, ...]] = []
        self._first: list[int] = []  # sequence of each command
        for command in commands:
            self._first.append(len(sequences))
            sequences += [tuple(column[phone] for phone in said.phones) for said in command.variants]
        self._lengths = [len(sequences[first]) for first in self._first]  # phones of each command
        self.digest = hashlib.sha256(
            json.dumps([[word.phrase, [said.phones for said in word.variants]] for word in commands]).encode()
        ).hexdigest()
        """Of the commands: states are exchangeable between recognizers of the same digest."""
        own = set(sequences)
        self._own = len(sequences)
        fillers = [
            tuple(column[phone] for phone in phones)
            for phones in common_words()
            if len(phones) > 1 and all(phone in column for phone in phones)
        ]
        sequences += [phones for phones in fillers if phones not in own]
        self._tree = PhoneTree(sequences, blank=decoder.blank)
        if len(self._tree) > MAX_NODES:
            raise ConfigError(
                f"the commands have {len(self._tree):,} phones, at most {MAX_NODES:,} can be had: split the list"
            )

    @property
    def columns(self) -> int:
        """Of the rows."""
        return len(self._decoder.symbols)

    @property
    def silence(self) -> FloatArray:
        """A row [columns] in which nothing is heard."""
        row = np.full(self.columns, 2 * STEEPEST, np.float32)
        row[self._decoder.blank] = 0
        return row

    def rows_of(self, seconds: float) -> int:
        """Rows in so many seconds, one at least."""
        return max(1, round(seconds / self._decoder.row_seconds))

    def voiced(self, rows: FloatArray) -> AnyArray:
        """Those of `rows` [n, columns] in which a phone is the most probable, by their place."""
        return np.flatnonzero(rows.argmax(axis=-1) != self._decoder.blank)

    def recognize(self, *passes: FloatArray, first_row: int = 0) -> CommandResult:
        """What an utterance is.

        Args:
            passes: its rows [n, columns] of log-probabilities, one array for each pass over the same audio; scores
                are means over these.
            first_row: where the first begins in the stream.
        """
        each, words, phones = (
            sum(part) / len(passes) for part in zip(*map(self._scores, passes), strict=True)
        )
        order = np.argsort(-each, kind="stable")
        length = self._lengths[order[0]]
        score = command_level.score(float(command_level.level(each[order[0]], length, words, phones)))
        names = [command.phrase for command in self.commands]
        name, second = names[order[0]], names[order[1]] if len(names) > 1 else None
        rows = passes[0]
        voiced = self.voiced(rows)
        begin, end = (voiced[0], voiced[-1] + 1) if len(voiced) else (0, len(rows))
        return CommandResult(
            name if score >= self.commands.threshold else None,
            score,
            name,
            second,
            self._decoder.seconds(first_row + int(begin)),
            self._decoder.seconds(first_row + int(end)),
        )

    def _scores(self, rows: FloatArray) -> tuple[AnyArray, float, float]:
        """Nats: the best path of each command through `rows`, log sum of other words' and that of any phones."""
        values = relative(rows)
        scores = self._tree.scores(self._tree.decode(self._tree.initial(), values))
        each = np.maximum.reduceat(scores[: self._own], self._first)
        phones = free_score(values, self._decoder.blank)
        # A model of other phones may know none of the words.
        words = float(command_level.log_sum(scores[self._own :])) if len(scores) > self._own else phones
        return each, words, phones


def check_commands(commands: object | None, endpoints: object | None) -> None:
    """Refuse commands in a stream without endpoints; each is None where there are none.

    Raises:
        ConfigError: so it is.
    """
    if commands is not None and endpoints is None:
        raise ConfigError(
            "commands are told at endpoints, and the stream has none: open it with endpoints=True or an EndpointConfig"
        )


def open_commands(meta: ModelMetadata, commands: Commands | None) -> CommandRecognizer | None:
    """Commands ready for streams of a model; None for none.

    Raises:
        ConfigError: they are something else, or in phones that the model has not.
    """
    if commands is None:
        return None
    if not isinstance(commands, Commands):
        raise ConfigError(f"commands={repr(commands)[:60]}: expected None or Commands([...])")
    return CommandRecognizer(meta.decoder, commands)


@lru_cache(maxsize=1)
def common_words() -> tuple[tuple[str, ...], ...]:
    """Pronunciations of the 1,000 most usual words of English books: what is said that is no command."""
    text = files("phonestream.asr.lexicon.data").joinpath("common_words.txt").read_text("utf-8")
    lexicon = bundled()
    words = (line for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(dict.fromkeys(said.phones for word in words for said in lexicon.pronunciations(word)))
