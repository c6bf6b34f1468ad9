"""What all commands have in common on help pages: short options, options in groups, words for what is expected."""

from enum import Enum
from typing import Any

from typer.core import TyperCommand, TyperOption

SHORT = {"--output": "-o", "--format": "-f"}

PANELS = {
    "Input": "list root rate encoding channels channel text phonemes dictionary device start end data split keyword "
    "commands layout decode",
    "Output": "format output phones visemes scores fps posteriors n-best resume overwrite failures save width dpi "
    "score report json confusions threshold",
    "Model and decoding": "model decoder beam lm lm-weight provider threads time-shifts refuse spot",
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

_PANEL_OF = {option: panel for panel, names in PANELS.items() for option in names.split()}


class Command(TyperCommand):
    """A command whose options have all that."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for option in self.params:
            if isinstance(option, TyperOption):
                _describe(option)


def _describe(option: TyperOption) -> None:
    long = next(name for name in option.opts if name.startswith("--"))
    if long in SHORT:
        option.opts.append(SHORT[long])
    name = long.removeprefix("--")
    if option.rich_help_panel is None:
        option.rich_help_panel = _PANEL_OF.get(name)
    if option.metavar is None:
        if option.is_flag:
            option.metavar = ""
        elif not isinstance(option.default, Enum):  # else the values that there are take its place
            option.metavar = WORDS.get(name)
