"""The command line: its commands, and how each way of ending becomes an exit status and at most one line.

0: all went well. 1: an input, a model or a configuration cannot be used (a batch goes on with the others).
2: a wrong call. 130: interrupted. 141: whoever was to read the output went away. A `PhonestreamError` is
one line on standard error; any other exception is a bug and shows its traceback.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, cast

import typer

from .commands.align import align
from .commands.command import Command, Group
from .commands.devices import devices
from .commands.export import export
from .commands.info import info
from .commands.listen import listen
from .commands.models import models
from .commands.output import complain, printing, write
from .commands.phone_lm import phone_lm
from .commands.plot import plot
from .commands.serve import serve
from .commands.spot import spot
from .commands.teacher import teacher
from .commands.training import evaluate, prepare, train
from .commands.transcribe import transcribe
from .errors import PhonestreamError
from .extras import missing_extra

# typer does not export it, and where it lives differs by version
UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])

app = typer.Typer(
    name="phonestream",
    cls=Group,
    help="Phonemes with times from speech, while it is being spoken.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = {
    "Recordings": (transcribe, spot, align, plot),
    "Live": (listen, devices, serve),
    "Models": (models, info, export),
    "Training": (prepare, train, evaluate, teacher, phone_lm),
}
for group, commands in COMMANDS.items():
    for command in commands:
        app.command(cls=Command, rich_help_panel=group)(command)


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        from . import __version__

        write(f"phonestream {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        with printing():
            print(context.get_help(), end="")
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, by default on the process's arguments, and leave with its exit status."""
    try:
        status = app(args=arguments, prog_name="phonestream", standalone_mode=False)
    except PhonestreamError as error:
        status = _failed(str(error))
    except ModuleNotFoundError as error:
        extra = missing_extra(error)
        if extra is None:
            raise
        status = _failed(
            f"this needs {error.name}, which is not installed; pip install 'phonestream[{extra}]'"
        )
    except UsageError as error:
        complain(_usage(error))
        status = 2
    except (KeyboardInterrupt, typer.Abort):  # older versions of typer turn the one into the other
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


def _failed(message: str) -> int:
    complain(message)
    return 1


def _usage(error: Exception) -> str:
    """A wrong call in one line."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "phonestream"
    if isinstance(error, typer.BadParameter) and error.message:
        message = f"{getattr(error.param, 'opts', [error.param_hint])[0]}{_expected(error)}"
    else:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
    return f"{message.rstrip('.')}; see: {path} --help"


def _expected(error: typer.BadParameter) -> str:
    """What is wrong with an option's value: in our words where typer's own check refused it."""
    # Of pydantic, which newer versions of typer check with.
    problems: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    if not problems:
        return f": {error.message}"
    kind, limits = problems[0]["type"], problems[0].get("ctx", {})
    wanted = {
        "int_parsing": "a whole number",
        "float_parsing": "a number",
        "greater_than_equal": f"{limits.get('ge', 0):g} or more",
        "less_than_equal": f"{limits.get('le', 0):g} or less",
    }.get(kind)
    if wanted is None:
        return f": {problems[0]['msg'].removeprefix('Value error, ')}"
    return f" {problems[0]['input']!r}: expected {wanted}"
