"""What all commands have in common on help pages: short options, options in groups, words for what is expected."""

from enum import Enum
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from .output import printing

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
    **dict.fromkeys(["jobs", "channels", "beam", "n-best", "threads", "time-shifts", "dpi", "order"], "N"),
    **dict.fromkeys(("max-streams", "max-streams-per-address"), "N"),
}
"""What takes the place of a value on help pages, where an option does not say it itself: the same in every command."""

OLDER = {"--time-shifts": "--hearings"}
"""Options by their other names, which go on to work; help pages have no room for them."""

PRINT = ("transcribe", "spot", "align")
"""Commands whose result is printed unless --output names a file, so that `--output -` is what they do without it."""

WRITTEN = ("output", "failures", "save", "web", "report", "run", "json", "confusions", "listing", "head")
"""Options, by their long names, whose value is a file or a folder that is written."""

_PANEL_OF = {option: panel for panel, names in PANELS.items() for option in names.split()}


MAY_BE_EMPTY = ("files", "text", "keyword", "spot", "token", "licence", "training_data")
"""Parameters that are no names, or of which the commands themselves say what is wrong with an empty one."""

LARGEST_INTEGER, LARGEST_NUMBER = 2**31 - 1, 1e9  # that libraries and clocks take


class Command(TyperCommand):
    """A command whose options have all that, and whose values can be used as names and numbers at all."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for option in self.params:
            if isinstance(option, TyperOption):
                _describe(option)
            elif option.metavar is None:
                option.metavar = str(option.name).upper()

    def get_params(self, ctx: Any) -> list[Any]:
        return _flags_without_value(super().get_params(ctx))

    def make_parser(self, ctx: Any) -> Any:
        parser = super().make_parser(ctx)
        for option in self.params:
            for name in option.opts:
                if name in OLDER and isinstance(option, TyperOption):
                    parser.add_option(
                        obj=option, opts=[OLDER[name]], dest=option.name, action="store", nargs=1
                    )
        return parser

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # which is completion
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
            for option in self.params:
                _check_not_empty(ctx, option, given.get(option.name))
        rest: list[str] = super().parse_args(ctx, args)
        for option in self.params:
            _check_size(ctx, option, ctx.params.get(option.name))
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        with printing():
            super().format_help(ctx, formatter)


class Group(TyperGroup):
    """The program as a whole."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _flags_without_value(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        with printing():
            super().format_help(ctx, formatter)


def _check_not_empty(context: Any, option: Any, given: Any) -> None:
    """Refuse an empty name, such as that of a variable which a script has not set: pathlib takes it for this folder.

    Args:
        given: as on the command line; a list where the option may be repeated.

    Raises:
        typer.BadParameter: it is empty.
    """
    values = given if isinstance(given, list | tuple) else [given]
    if option.name in MAY_BE_EMPTY or not any(value == "" for value in values):
        return
    wanted = option.metavar or "a value"
    left_out = "" if option.required else ", or leave it out"
    raise typer.BadParameter(f"is empty; give {wanted}{left_out}", context, option)


def _check_size(context: Any, option: Any, value: Any) -> None:
    """Refuse numbers that are none, and those beyond what libraries take.

    Raises:
        typer.BadParameter: it is one.
    """
    if isinstance(value, float) and not abs(value) <= LARGEST_NUMBER:
        raise typer.BadParameter(f"{value:g} is no number that can be used", context, option)
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise typer.BadParameter(f"{value} is more than {LARGEST_INTEGER}", context, option)


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
