"""Commands in a stream: the utterance that goes on, and at its end which command it was; a pure step.

Of an utterance are kept the rows from `LEAD_SECONDS` before its first phone on, `MAX_SECONDS` of them at most, 8 kB a
second at 40 columns: a longer one is told by its beginning. While no phone is heard next to nothing is kept.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..arrays import FloatArray
from .commands import CommandRecognizer, CommandResult

LEAD_SECONDS = 0.5
MAX_SECONDS = 30.0


class Commanding(NamedTuple):
    """Commands and the utterance that goes on: what a stream with commands carries."""

    recognizer: CommandRecognizer
    first: int = 0
    """Where the rows that are kept begin in the stream."""
    parts: tuple[FloatArray, ...] = ()
    """They themselves, [n, columns] each."""
    voiced: bool = False
    """Whether a phone is the most probable in one of them; if not, they are the stream's last."""

    @property
    def rows(self) -> FloatArray:
        """Those that are kept, [n, columns]."""
        return np.concatenate([np.empty((0, self.recognizer.columns), np.float32), *self.parts])

    def decode(
        self, begin: int, rows: FloatArray, endings: Iterable[int]
    ) -> "tuple[list[list[CommandResult]], Commanding]":
        """Hear `rows` [n, columns], of which the first is row `begin` of the stream.

        Args:
            endings: where utterances end in them, ascending: rows of the stream, from `begin` to `begin` + n.

        Returns:
            For each ending the command, or nothing if no phone was heard; the next state.
        """
        state, at, told = self, begin, []
        for ending in endings:
            told.append(state._extended(at, rows[at - begin : ending - begin]).finish())
            state, at = Commanding(self.recognizer, ending), ending
        return told, state._extended(at, rows[at - begin :])

    def skip(
        self, begin: int, count: int, endings: Iterable[int]
    ) -> "tuple[list[list[CommandResult]], Commanding]":
        """`decode` of `count` rows in which nothing is heard."""
        return self.decode(
            begin, np.broadcast_to(self.recognizer.silence, (count, self.recognizer.columns)), endings
        )

    def finish(self) -> list[CommandResult]:
        """The command that the utterance is, if a phone was heard."""
        return [self.recognizer.recognize(self.rows, first_row=self.first)] if self.voiced else []

    def _extended(self, begin: int, rows: FloatArray) -> "Commanding":
        """With `rows`, the first of which is row `begin` of the stream."""
        lead, most = self.recognizer.rows_of(LEAD_SECONDS), self.recognizer.rows_of(MAX_SECONDS)
        if self.voiced:
            room = most - sum(map(len, self.parts))
            return self._replace(parts=(*self.parts, rows[:room].copy())) if room else self
        voiced = self.recognizer.voiced(rows)
        onset = int(voiced[0]) if len(voiced) else len(rows)
        quiet = np.concatenate([*self.parts, rows[max(0, onset - lead) : onset]])[-lead:]
        speech = rows[onset : onset + most - len(quiet)].copy()
        return self._replace(first=begin + onset - len(quiet), parts=(quiet, speech), voiced=len(voiced) > 0)
