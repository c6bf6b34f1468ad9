"""What all commands have in common on help pages: short options, options in groups, words for what is expected."""

from enum import Enum
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

SHORT = {"--output": "-o", "--format": "-f"}

PANELS = {
    "Input": "list root rate encoding channels channel tier text phonemes dictionary device start end data split "
    "keyword spot commands layout decode",
    "Output": "format output phones visemes scores fps posteriors n-best resume overwrite failures save width dpi "
    "score report json confusions threshold",
    "Model and decoding": "model decoder beam lm lm-weight provider threads time-shifts refuse",
    "Many recordings": "jobs ray",
    "Address and access": "host port certificate key token without-token allow-host allow-origin root-path "
    "log-requests",
    "Limits": "max-streams max-streams-per-address max-message max-file max-backlog max-idle max-duration",
}
"""Groups of options by their long names. Options of no group stand in typer's own."""

WORDS = {
    "format": "FORMAT",
    "phones": "SET",
    "visemes": "SET",
    "layout": "LAYOUT",
    "split": "NAME",
    "name": "NAME",
    "host": "NAME|ADDRESS",
    "port": "NUMBER",
    "token": "TOKEN",
    "licence": "TEXT",
    "training-data": "TEXT",
    "threshold": "SCORE",
    "lm-weight": "WEIGHT",
    "prune": "NATS",
    "hours": "HOURS",
    "passes": "NUMBER",
    **dict.fromkeys(
        (
            "jobs",
            "channels",
            "beam",
            "n-best",
            "threads",
            "time-shifts",
            "max-streams",
            "max-streams-per-address",
            "dpi",
            "order",
        ),
        "N",
    ),
}
"""What takes the place of a value on help pages, where an option does not say it itself: the same in every command."""

PRINT = ("transcribe", "spot", "align")
"""Commands whose result is printed unless --output names a file, so that `--output -` is what they do without it."""

WRITTEN = ("output", "failures", "save", "web", "report", "run", "json", "confusions", "listing", "head")
"""Options, by their long names, whose value is a file or a folder that is written."""

_PANEL_OF = {option: panel for panel, names in PANELS.items() for option in names.split()}


class Command(TyperCommand):
    """A command whose options have all that."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for option in self.params:
            if isinstance(option, TyperOption):
                _describe(option)

    def get_params(self, ctx: Any) -> list[Any]:
        return _flags_without_value(super().get_params(ctx))


class Group(TyperGroup):
    """The program as a whole."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _flags_without_value(super().get_params(ctx))


def _flags_without_value(params: list[Any]) -> list[Any]:
    """Parameters, of which flags, that of help too, expect nothing."""
    for option in params:
        if getattr(option, "is_flag", False):
            option.metavar = ""
    return params


def _describe(option: TyperOption) -> None:
    long = next(name for name in option.opts if name.startswith("--"))
    if long in SHORT:
        option.opts.append(SHORT[long])
    name = long.removeprefix("--")
    if option.rich_help_panel is None:
        option.rich_help_panel = _PANEL_OF.get(name)
    if option.metavar is None and not isinstance(option.default, Enum):  # whose values take its place
        option.metavar = WORDS.get(name)
    if name in WRITTEN and not option.is_flag and option.callback is None:
        option.callback = _written


def _written(context: Any, option: Any, value: Any) -> Any:
    """The value of an option that names what is written: `-`, of a command that prints, is no name but standard output.

    Raises:
        typer.BadParameter: it is `-` where nothing is printed.
    """
    if str(value) != "-":
        return value
    if "--output" in option.opts and context.command.name in PRINT:
        return None
    raise typer.BadParameter(
        "- is standard output, and this is a file or a folder; give its name", context, option
    )
