"""The options of `phonestream spot`, and what they ask for together."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated

import typer

from .run_options import RunOptions
from .shared_options import refuse_given

if TYPE_CHECKING:
    from ..batch.spot_task import SpotSpec
    from ..batch.task import Settings
    from ..formats.spotted import SpotFormat
    from ..streaming.spotting.commands import Commands
    from ..streaming.spotting.keywords import Keywords


@dataclass(frozen=True)
class SpotOptions(RunOptions):
    """As given. Methods raise `typer.BadParameter` for values that there are not, or that do not go together."""

    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="text; json, a line for each file; csv; textgrid, eaf, srt, vtt, audacity. For commands text, json or "
            "csv. Several, with commas between, need an --output folder.",
            show_default="what the ending of --output says, or text",
        ),
    ] = None
    keyword: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help='What to look for; or its phones: "/K IY N W AA/".'),
    ] = None
    listing: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="FILE", help="Keywords, one a line; a tab and a threshold may follow."
        ),
    ] = None
    commands: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Which of these each file is, or none: a phrase a line, (a | b) and \\[optional] parts; or JSGF.",
        ),
    ] = None
    threshold: Annotated[
        float | None, typer.Option(help="Least score that is told, from 0 (all) to 1.", show_default="0.5")
    ] = None

    tune: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Choose a threshold for each keyword by these recordings and the transcripts beside them (as for "
            "align), and write the keywords with them as a list, to --output or standard output.",
        ),
    ] = None
    false_alarms: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="N",
            help="With --tune: how many false alarms of a keyword in an hour are put up with.",
            show_default="1",
        ),
    ] = None

    @property
    def formats(self) -> "Mapping[str, SpotFormat]":
        """Those that there are."""
        from ..formats.spotted import COMMAND_FORMATS, SPOT_FORMATS

        return SPOT_FORMATS if self.commands is None else COMMAND_FORMATS

    def check(self) -> None:
        """Refuse options that do not go together."""
        if self.tune is not None:
            self._check_tune()
        elif not self.files:
            raise typer.BadParameter("give at least one", param_hint="FILE")
        elif self.false_alarms is not None:
            raise typer.BadParameter("needs --tune", param_hint="--false-alarms")
        else:
            self.check_files()
        if not self.keyword and self.listing is None and self.commands is None:
            raise typer.BadParameter("give at least one, or --list or --commands", param_hint="--keyword")
        if self.commands is not None and (self.keyword or self.listing is not None):
            raise typer.BadParameter("goes without --keyword and --list: run twice", param_hint="--commands")

    def _check_tune(self) -> None:
        """Refuse what has no meaning while thresholds are chosen."""
        refuse_given(
            {
                "FILE": self.files,
                "--commands": self.commands,
                "--threshold": self.threshold is not None,
                "--format": self.form,
                "--root": self.root,
                "--resume": self.resume,
                "--ray": self.ray,
                "--channel": self.channel != "mix",
                "--rate": self.rate,
            },
            "does not go with --tune; leave it out",
        )

    def settings(self) -> "Settings":
        """What is wanted of each recording."""
        from ..batch.task import Settings
        from ..formats.options import Options
        from ..formats.registry import find_among

        formats = self.format_names(partial(find_among, self.formats))
        return Settings(formats, Options(folder=self.file_folder), channel=self.channel_number())

    def spec(self) -> "SpotSpec":
        """The model, and what is looked for.

        Raises:
            ConfigError, DataError: as `Keywords` and `Commands`.
        """
        from ..batch.spot_task import SpotSpec
        from ..streaming.spotting import commands as closed
        from ..streaming.spotting import keywords as words

        sought: Keywords | Commands
        if self.commands is not None:
            threshold = closed.THRESHOLD if self.threshold is None else self.threshold
            sought = closed.Commands.read(self.commands, threshold=threshold)
        else:
            phrases, thresholds = self.phrases
            if self.tune is not None:
                threshold, thresholds = 0.0, {}
            else:
                threshold = words.THRESHOLD if self.threshold is None else self.threshold
            sought = words.Keywords(phrases, threshold=threshold, thresholds=thresholds)
        return SpotSpec(self.model, self.threads, self.provider, sought)

    @cached_property
    def phrases(self) -> tuple[list[str], dict[str, float]]:
        """The keywords as they were given, and the thresholds that some have; a list is read once, as of a pipe.

        Raises:
            DataError: the list cannot be used.
        """
        from ..streaming.spotting.keywords import read_lines

        listed, thresholds = ([], {}) if self.listing is None else read_lines(self.listing)
        return [*(self.keyword or []), *listed], thresholds
