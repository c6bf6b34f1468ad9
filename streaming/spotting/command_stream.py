"""Commands in a stream: at each endpoint, what was said since the one before."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ConfigError
from ..arrays import FloatArray
from ..endpoint import Endpoint, EndpointConfig
from ..recognizer import Recognizer
from ..stream import DEFAULT_RATE, Event, Stream
from .commands import CommandRecognizer, CommandResult, Commands

CommandEvent: TypeAlias = Event | CommandResult


class CommandStream:
    """A stream that tells which command each utterance was.

    >>> stream = CommandStream(Recognizer(), Commands(["lamp (on | off)"]))
    >>> for block in blocks:
    ...     for event in stream.accept(block):
    ...         if isinstance(event, CommandResult):
    ...             print(event.command)

    Events are those of a stream with endpoints, and behind each endpoint (and at the end) a `CommandResult` if any
    phone was heard since the one before. Rows of the utterance that goes on are kept, 8 kB a second at 40 columns,
    until its endpoint, which comes after 20 s at the latest by the usual rules.
    """

    def __init__(
        self, recognizer: Recognizer, commands: Commands, *, endpoints: EndpointConfig | bool = True
    ) -> None:
        """
        Args:
            recognizer: hears it; phones are decoded greedily.
            commands: the closed list.
            endpoints: rules that end an utterance, True for the usual ones.

        Raises:
            ConfigError: no rules, or commands in phones that the model has not.
        """
        if endpoints is False:
            raise ConfigError("commands are told at endpoints: give endpoints=True or an EndpointConfig")
        self._recognizer = CommandRecognizer(recognizer.metadata.decoder, commands)
        self._decoder = recognizer.metadata.decoder
        self._blank = recognizer.metadata.blank
        self._stream: Stream[Any] = recognizer.stream(endpoints=endpoints, posteriors=True, decoder="greedy")
        self._parts: list[FloatArray] = []  # rows [n, columns] of the utterance that goes on, as they came
        self._first = 0  # place of the first of these rows in the stream

    @property
    def seconds(self) -> float:
        """The audio clock, as of `Stream`."""
        return self._stream.seconds

    def accept(self, samples: ArrayLike, sample_rate: int = DEFAULT_RATE) -> list[CommandEvent]:
        """Hear the next samples: arguments and errors as of `Stream.accept`."""
        return self._with_commands(self._stream.accept(samples, sample_rate))

    def gap(self, samples: int, sample_rate: int | None = None) -> list[CommandEvent]:
        """Account for lost samples: as `Stream.gap`."""
        return self._with_commands(self._stream.gap(samples, sample_rate))

    def finish(self) -> list[CommandEvent]:
        """End the stream, and the utterance that goes on."""
        if self._stream.finished:
            return []
        events = self._with_commands(self._stream.finish())
        return events + self._utterance(None)

    def _with_commands(self, events: list[Event]) -> list[CommandEvent]:
        self._parts.append(self._stream.take_posteriors())
        told: list[CommandEvent] = []
        for event in events:
            told.append(event)
            if isinstance(event, Endpoint):
                told += self._utterance(self._row(event.time) - self._first)
        return told

    def _row(self, seconds: float) -> int:
        return round((seconds + self._decoder.time_offset_seconds) / self._decoder.row_seconds)

    def _utterance(self, count: int | None) -> list[CommandEvent]:
        """What the next `count` rows are, None for all; they are done with."""
        rows = np.concatenate(self._parts)
        utterance = rows[:count]
        self._parts = [rows[len(utterance) :]]
        first, self._first = self._first, self._first + len(utterance)
        if not len(utterance) or not (utterance.argmax(axis=-1) != self._blank).any():
            return []
        return [self._recognizer.recognize(utterance, first_row=first)]
