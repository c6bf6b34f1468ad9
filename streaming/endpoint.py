"""Endpoints: where one utterance ends and the next begins, by rules on silence, speech and length.

The rules are Kaldi's (`OnlineEndpointConfig` of its online2 decoders), less the one that asks a language model. They
look at the most probable label of each row and nothing else, so that an endpoint does not depend on how the audio was
cut into calls, nor on what turns rows into phones.

With rows counted from the stream's start, an utterance that began at row `u`, and `n` rows seen:

    length(n)    n - u
    silence(n)   rows since the last phone's end, or n - u where no phone was heard: the blanks at the end
    speech(n)    rows from the first phone's start to the last one's end, 0 where no phone was heard

A rule holds when

    silence(n) >= trailing_silence  and  speech(n) >= speech  and  length(n) >= utterance

its seconds rounded up to whole rows. Rules are tried after each row that is a blank, and where one phone follows
another with no blank between: an utterance never ends within a phone. The first rule that holds ends the utterance
there, and the next one begins.

An endpoint is told as soon as the row that decides it comes out of the model, so a pause of `trailing_silence` costs
that wait and the model's look-ahead. It changes nothing that is heard afterwards.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from ..errors import ConfigError

MAX_RULES = 16
MAX_NAME = 40  # characters
MAX_SECONDS = 86_400.0  # a day


class Endpoint(NamedTuple):
    """The end of an utterance, in seconds from the start of the stream."""

    time: float
    """Where it ends, and the next begins."""
    start: float
    """Where it began: the stream's start, or the endpoint before."""
    silence: float
    """How long no phone had been heard before `time`."""
    rule: str
    """Name of the rule that held."""


@dataclass(frozen=True)
class EndpointRule:
    """What must all be the case for an utterance to end, in seconds; 0 asks for nothing.

    `EndpointRule("pause", trailing_silence=0.8, speech=0.1)` ends an utterance 0.8 s after its last phone, if phones
    were heard over at least 0.1 s.

    Raises:
        ConfigError: a value that is no number from 0 to a day, no value above 0, or a name that is no short text.
    """

    name: str
    trailing_silence: float = 0.0
    """Since the last phone, or since the utterance began where there was none."""
    speech: float = 0.0
    """From the first phone's start to the last one's end. Any value above 0 asks for a phone at least."""
    utterance: float = 0.0
    """Since the utterance began."""

    def __post_init__(self) -> None:
        if type(self.name) is not str or not 0 < len(self.name) <= MAX_NAME:
            raise ConfigError(
                f"endpoint rule {repr(self.name)[:60]}: its name must be 1 to {MAX_NAME} characters"
            )
        for key in ("trailing_silence", "speech", "utterance"):
            value = getattr(self, key)
            if type(value) not in (int, float) or not 0 <= value <= MAX_SECONDS:
                raise ConfigError(
                    f"endpoint rule {self.name!r}: {key}={repr(value)[:60]}, expected seconds from 0 to {MAX_SECONDS:g}"
                )
        if not (self.trailing_silence or self.speech or self.utterance):
            raise ConfigError(
                f"endpoint rule {self.name!r} asks for nothing and would end an utterance at every row: "
                "give it trailing_silence, speech or utterance"
            )


@dataclass(frozen=True)
class EndpointConfig:
    """The rules that end an utterance: the first that holds, in this order where several do.

    Raises:
        ConfigError: no rule, more than 16, or two of the same name.
    """

    rules: tuple[EndpointRule, ...] = (
        EndpointRule("pause", trailing_silence=0.8, speech=0.04),
        EndpointRule("silence", trailing_silence=5.0),
        EndpointRule("length", utterance=20.0),
    )
    """By default: a pause after speech; a longer silence without any; and 20 s, however they were filled."""

    def __post_init__(self) -> None:
        if type(self.rules) is not tuple or any(type(rule) is not EndpointRule for rule in self.rules):
            raise ConfigError(f"endpoint rules {repr(self.rules)[:60]}: expected a tuple of EndpointRule")
        if not 1 <= len(self.rules) <= MAX_RULES:
            raise ConfigError(f"{len(self.rules)} endpoint rules: expected 1 to {MAX_RULES}")
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ConfigError(f"endpoint rules {', '.join(names)}: two have the same name")


class EndpointState(NamedTuple):
    """All that the rules need to know of the rows before, in rows from the stream's start."""

    start: int = 0  # of the utterance
    speech: tuple[int, int] | None = None  # start of its first phone, end of its last so far
    label: int | None = None  # of the phone still going on


class Ending(NamedTuple):
    """An endpoint in rows."""

    seen: int  # rows that had to be seen for it
    time: int  # where it is: `seen`, or a row less where another phone had begun
    start: int
    silence: int
    rule: int  # index


def detect(
    config: EndpointConfig,
    state: EndpointState,
    row: int,
    labels: Iterable[int],
    blank: int,
    row_seconds: float,
) -> tuple[list[Ending], EndpointState]:
    """The endpoints that `labels`, the most probable ones of rows `row`, `row` + 1, … decide, in order."""
    rules = [
        tuple(_rows(seconds, row_seconds) for seconds in (rule.trailing_silence, rule.speech, rule.utterance))
        for rule in config.rules
    ]
    found: list[Ending] = []
    start, speech, before = state
    end = row
    for label, run in groupby(labels):
        begin, end = end, end + sum(1 for _ in run)
        if label == blank:
            position = begin
            while ending := _first(rules, start, speech, position + 1, end):
                found.append(ending)
                start, speech, position = ending.time, None, ending.time
            before = None
            continue
        if before not in (None, label) and (ending := _first(rules, start, speech, begin, begin)):
            found.append(ending._replace(seen=begin + 1))
            start, speech = begin, None
        speech = (speech[0] if speech else begin, end)
        before = label
    return found, EndpointState(start, speech, before)


def _first(
    rules: Sequence[tuple[int, ...]], start: int, speech: tuple[int, int] | None, low: int, high: int
) -> Ending | None:
    """The earliest n from `low` to `high` at which a rule holds, no phone being heard from `low` on."""
    spoken = speech[1] - speech[0] if speech else 0
    quiet = speech[1] if speech else start
    best: Ending | None = None
    for index, (trailing, least, length) in enumerate(rules):
        n = max(low, quiet + trailing, start + length)
        if spoken >= least and n <= high and (best is None or n < best.time):
            best = Ending(n, n, start, n - quiet, index)
    return best


def _rows(seconds: float, row_seconds: float) -> int:
    """Seconds as whole rows, rounded up, but for what the division rounds."""
    return math.ceil(seconds / row_seconds - 1e-9)
