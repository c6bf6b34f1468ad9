"""Phones and losses, one after the other, as the lines of text that `phonestream transcribe` would print."""

from collections.abc import Mapping

from ..formats import text
from ..formats.text import Lines as Lines
from ..streaming.decode import Phone
from ..streaming.spotting.commands import CommandResult
from ..streaming.spotting.spotter import Spotted
from ..streaming.stream import Lost
from .output import dim

PATIENCE = 1.0  # seconds of audio without a phone after which a line is done, though another might still belong to it


def add_phone(state: Lines, phone: Phone, called: Mapping[str, str]) -> tuple[list[str], Lines]:
    """The lines that are done now, and the one that `phone` is in; `called` has the name of each symbol."""
    return text.add_phone(state, phone._replace(symbol=called[phone.symbol]), dim)


def settle(state: Lines, heard: float) -> tuple[list[str], Lines]:
    """End the line if no phone came for long, the model having heard everything up to `heard` seconds."""
    return end(state) if heard - state.ended >= PATIENCE else ([], state)


def end(state: Lines) -> tuple[list[str], Lines]:
    """End the line."""
    return ([state.line] if state.line else []), Lines()


def spotted_line(spotted: Spotted) -> str:
    """What is shown of a keyword."""
    return f"{spotted.start:8.2f}  [{spotted.phrase}: {spotted.score:.3f}]"


def command_line(result: CommandResult) -> str:
    """What is shown of an utterance that was compared with commands."""
    shown = f"no command, nearest {result.best!r}" if result.rejected else f"command {result.command!r}"
    return f"{result.start:8.2f}  [{shown}: {result.score:.3f}]"


def lost_line(lost: Lost) -> str:
    """What is shown in the place of lost audio."""
    return f"{lost.start:8.2f}  ({lost.seconds:.2f} s lost)"
