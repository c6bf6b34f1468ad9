"""Options that several commands have, and the checks of their values."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..batch.plan import Existing
    from ..formats.options import Options

ModelOption = Annotated[
    str, typer.Option(metavar="PATH|NAME", help="A model file, or the name of a bundled model.")
]
# That of streaming.model, which is not imported before a command runs; a test compares them
MAX_THREADS = 1024
ThreadsOption = Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="CPU threads of each process.")]
TorchThreadsOption = Annotated[
    int | None, typer.Option(min=1, max=MAX_THREADS, help="CPU threads. Without it: torch's choice.")
]


def format_option(programs_read: str) -> Any:
    """`--format` of a command that prints facts."""
    return typer.Option("--format", case_sensitive=False, help=f"For a person to read, or {programs_read}.")


def phones_option(names: str = "Names of phones") -> Any:
    """`--phones`, a phone set."""
    return typer.Option(help=f"{names}: arpabet, ipa, xsampa, timit48 or timit39.")


def visemes_option(shapes: str) -> Any:
    """`--visemes`, a set of mouth shapes."""
    return typer.Option(help=f"{shapes}: preston-blair, oculus or rhubarb.")


VisemesOption = Annotated[str | None, visemes_option("Mouth shapes in the place of phones")]
FrameRateOption = Annotated[
    float | None,
    typer.Option("--fps", min=1, max=1000, metavar="N", help="Frames a second, for moho.", show_default="24"),
]


DecoderOption = Annotated[
    Literal["beam", "greedy"] | None,
    typer.Option(
        help="beam weighs whole sequences with a language model of phones; greedy takes each row's best: sooner, and "
        "what was said rather than what should have been.",
        show_default="beam, where the language model has the model's phones",
    ),
]


def refuse_given(options: Mapping[str, object], reason: str) -> None:
    """Refuse the first of `options`, by their names, that is given.

    Raises:
        typer.BadParameter: one is.
    """
    for option, given in options.items():
        if given:
            raise typer.BadParameter(reason, param_hint=option)


def channel_number(channel: str, *words: str) -> str | int:
    """What `--channel` asks for: one of `words`, or a number from 1 on.

    Raises:
        typer.BadParameter: it is neither.
    """
    if channel in words:
        return channel
    if not (channel.isascii() and channel.isdecimal() and int(channel) > 0):
        raise typer.BadParameter(
            f"{channel!r} is none of {', '.join(words)}, 1, 2, 3 …", param_hint="--channel"
        )
    return int(channel)


def existing_results(resume: bool, overwrite: bool) -> "Existing":
    """What `--resume` and `--overwrite` say of results that are there.

    Raises:
        typer.BadParameter: both are given.
    """
    from ..batch.plan import Existing

    if resume and overwrite:
        raise typer.BadParameter("keeps what --overwrite replaces; give one of them", param_hint="--resume")
    return Existing.resume if resume else Existing.overwrite if overwrite else Existing.refuse


def phone_names(
    phones: str | None,
    visemes: str | None,
    frame_rate: float | None,
    formats: Collection[str],
    *,
    scores: bool = False,
    styled: bool = False,
    folder: str | None = None,
) -> "Options":
    """How results name phones: what `--phones`, `--visemes` and `--fps` say, with what else formats need.

    Raises:
        typer.BadParameter: there is no such set, or they do not go together.
    """
    from ..formats.options import Options

    if frame_rate is not None and "moho" not in formats:
        raise typer.BadParameter("is about frames, which moho alone has", param_hint="--fps")
    if visemes not in (None, "rhubarb") and "rhubarb" in formats:
        raise typer.BadParameter("are Rhubarb's in this format; leave them out", param_hint="--visemes")
    if visemes is not None and phones is not None:
        raise typer.BadParameter(
            "gives phones names, and with --visemes there are none", param_hint="--phones"
        )
    try:
        return Options(
            phones or "arpabet",
            visemes,
            scores,
            frame_rate or Options.frame_rate,
            styled=styled,
            folder=folder,
        )
    except ConfigError as error:
        raise typer.BadParameter(
            str(error), param_hint="--phones" if visemes is None else "--visemes"
        ) from None
