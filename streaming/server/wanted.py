"""What a request with a recording asks for: how it is answered, and what is looked for in it."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ...errors import ConfigError
from ..events import fields as fields_of
from ..spotting.commands import CommandResult
from ..spotting.keywords import THRESHOLD, check_threshold
from ..spotting.spotter import Spotted
from .engine import check_phrases
from .protocol import MAX_KEYWORDS, Opening
from .service import Answers, AnswerWriter

JSON = "application/json"


class Wanted(NamedTuple):
    """The answer to be written, and the phrases whose occurrences go into it."""

    writer: AnswerWriter
    keywords: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    threshold: float = THRESHOLD

    def opening(self, rate: int) -> Opening:
        """Of the stream by which the recording is heard."""
        return Opening(rate, keywords=self.keywords, commands=self.commands, threshold=self.threshold)

    def told(self, events: Sequence[Any]) -> dict[str, Any]:
        """What was found of the phrases, as fields of an answer in JSON: those that were asked for."""
        fields: dict[str, Any] = {}
        for name, phrases, kind in (
            ("spotted", self.keywords, Spotted),
            ("commands", self.commands, CommandResult),
        ):
            if phrases:
                fields[name] = [fields_of(event) for event in events if isinstance(event, kind)]
        return fields


def read_wanted(answers: Answers, parameters: Iterable[tuple[str, str]]) -> Wanted:
    """What `parameters` ask for; `keyword` and `command` may be there several times, of others the last counts.

    Raises:
        ConfigError, DataError: an unknown parameter, phrases that cannot be looked for, a threshold that is none.
    """
    pairs = [*parameters]
    keywords, commands = (
        tuple(value for key, value in pairs if key == name) for name in ("keyword", "command")
    )
    others = {key: value for key, value in pairs if key not in ("keyword", "command")}
    given = others.pop("threshold", None)
    writer = answers(others)
    if not keywords and not commands:
        if given is not None:
            raise ConfigError("threshold: it is that of keyword and command, and there is neither")
        return Wanted(writer)
    if writer.media_type != JSON:
        raise ConfigError("keyword and command are answered in JSON: leave `format` out")
    if len(keywords) > MAX_KEYWORDS:
        raise ConfigError(f"{len(keywords):,} keywords: a request may have {MAX_KEYWORDS}")
    threshold = THRESHOLD if given is None else _threshold(given)
    check_phrases(keywords, commands, threshold)
    return Wanted(writer, keywords, commands, threshold)


def _threshold(text: str) -> float:
    try:
        return check_threshold(float(text), "threshold")
    except ValueError:
        return check_threshold(text, "threshold")  # which tells what it should be
