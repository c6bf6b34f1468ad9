"""Options of commands that go through many recordings: what to read, where results go, who does the work."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import typer

from .one_file import format_of
from .shared_options import ModelOption, ThreadsOption, channel_number, existing_results, refuse_given

if TYPE_CHECKING:
    from ..batch.plan import Existing
    from ..batch.raw import Raw


class Form(Protocol):
    """A format, as far as the printing of results goes."""

    @property
    def name(self) -> str: ...

    @property
    def header(self) -> bytes: ...

    @property
    def joins(self) -> bool: ...


@dataclass(frozen=True)
class RunOptions:
    """As given. Methods raise `typer.BadParameter` for values that there are not, or that do not go together."""

    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Audio files, folders (searched through), patterns in quotes, lhotse or Kaldi manifests, "
            "- for standard input.",
        ),
    ] = None
    form: Annotated[list[str] | None, typer.Option("--format", show_default="text")] = None
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|FILE",
            help="Write each result to a file of its own in this folder, made if need be; or, where the name ends "
            "as a format's does (x.TextGrid), all of them to this file.",
        ),
    ] = None
    root: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Mirror the tree below this folder. Without it: below each FILE."),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped: what is done stays.")
    ] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False
    failures: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.jsonl", help="Write what failed and why to this file, a line of JSON each."
        ),
    ] = None
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share the work.", show_default="1; with --ray all CPUs"),
    ] = None
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Share it among the machines of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT; "
            "local starts one here.",
        ),
    ] = None
    channel: Annotated[
        str,
        typer.Option(metavar="mix|each|N", help="All channels mixed, each on its own, or number N alone."),
    ] = "mix"
    rate: Annotated[
        int | None,
        typer.Option(metavar="HZ", help="Standard input is raw samples, without a header, at this rate."),
    ] = None
    encoding: Annotated[Literal["s16le", "f32le"], typer.Option(help="Sample format of raw input.")] = "s16le"
    channels: Annotated[
        int, typer.Option(min=1, max=64, help="Number of interleaved channels in raw input.")
    ] = 1
    model: ModelOption = "default"
    threads: ThreadsOption = 1
    provider: Annotated[Literal["cpu", "cuda"], typer.Option(help="What runs the model.")] = "cpu"

    @property
    def file(self) -> str | None:
        """The file that `output` names by its ending, None where it is a folder; behind a URL it is one."""
        if self.output is None or "://" in self.output or os.path.isdir(self.output):
            return None
        return self.output if format_of(self.output) else None

    @property
    def file_folder(self) -> str | None:
        """That in which `file` lies."""
        return None if self.file is None else os.path.dirname(self.file)

    def check_files(self) -> None:
        """Refuse options about files that do not go together."""
        no_folder = self.output is None or self.file
        refuse_given(
            {
                "--overwrite": self.overwrite and self.output is None,
                "--resume": self.resume and no_folder,
                "--root": self.root and no_folder,
            },
            "needs --output, a folder",
        )

    @property
    def existing(self) -> "Existing":
        """What to do about results that are there already."""
        return existing_results(self.resume, self.overwrite)

    def format_names(self, find: "Callable[[str], Form]") -> tuple[str, ...]:
        """The formats that are asked for, each once; `find` raises ConfigError for a name that is none."""
        from ..errors import ConfigError

        values = self.form or [(self.file and format_of(self.file)) or "text"]
        given = [name.strip() for value in values for name in value.split(",")]
        try:
            formats = tuple(dict.fromkeys(find(name).name for name in given))
        except ConfigError as error:
            raise typer.BadParameter(str(error), param_hint="--format") from None
        if (self.output is None or self.file) and len(formats) > 1:
            raise typer.BadParameter("several at once need --output, a folder", param_hint="--format")
        return formats

    def channel_number(self, *words: str) -> str | int:
        """One of `words`, by default `mix` and `each`, or a number from 1 on."""
        return channel_number(self.channel, *(words or ("mix", "each")))

    def raw(self) -> "Raw | None":
        """What samples on standard input are like, None for a file with a header.

        Raises:
            AudioError: a rate out of range.
        """
        from ..batch.raw import Raw
        from ..streaming.audio.samples import check_rate

        if self.rate is None:
            refuse_given(
                {"--encoding": self.encoding != "s16le", "--channels": self.channels != 1},
                "is about samples without a header; give --rate",
            )
            return None
        if "-" not in (self.files or []):
            raise typer.BadParameter("is about standard input; give - as FILE", param_hint="--rate")
        return Raw(check_rate(self.rate), self.encoding, self.channels)
