"""`phonestream spot`: where keywords are said in recordings."""

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .output import complain

if TYPE_CHECKING:
    from ..streaming.audio.recording import Audio


class SpotFormat(StrEnum):
    """How what was spotted is written."""

    text = "text"
    json = "json"
    csv = "csv"


def spot(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="Audio files, folders (searched through), patterns in quotes."),
    ],
    keyword: Annotated[
        list[str] | None,
        typer.Option("--keyword", metavar="TEXT", help='What to look for; or its phones: "/K IY N W AA/".'),
    ] = None,
    listing: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="FILE", help="Keywords, one a line; a tab and a threshold may follow."
        ),
    ] = None,
    commands: Annotated[
        str | None,
        typer.Option(
            "--commands",
            metavar="FILE",
            help="Which of these each file is, or none: a phrase a line, (a | b) and [optional] parts; or JSGF.",
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Least score that is told, from 0 (all) to 1.", show_default="0.5")
    ] = None,
    form: Annotated[
        SpotFormat,
        typer.Option(
            "--format",
            case_sensitive=False,
            help="text; json, a line for each file; csv, a row for each keyword or command.",
        ),
    ] = SpotFormat.text,
    model: Annotated[
        str, typer.Option(metavar="PATH|NAME", help="A model file, or the name of a bundled model.")
    ] = "default",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Find keywords in recordings, with times and scores; or tell which command each one is."""
    if not keyword and listing is None and commands is None:
        raise typer.BadParameter("give at least one, or --list or --commands", param_hint="--keyword")
    if commands is not None and (keyword or listing is not None):
        raise typer.BadParameter("goes without --keyword and --list: run twice", param_hint="--commands")
    from ..streaming.recognizer import Recognizer
    from . import spot_output

    if commands is not None:
        from ..streaming.spotting import commands as closed
        from ..streaming.spotting.command_clip import recognize_audio

        known = closed.Commands.read(commands, threshold=closed.THRESHOLD if threshold is None else threshold)
        recognizer = Recognizer(model, threads=threads, decoder="greedy")
        ready = closed.CommandRecognizer(recognizer.metadata.decoder, known)
        told = spot_output.commands(form.value)
        _each(files, lambda name, audio: told(name, *recognize_audio(audio, ready, recognizer)))
        return
    from ..streaming.spotting.keywords import THRESHOLD, Keywords, read_lines
    from ..streaming.spotting.recording import spot_audio

    phrases, thresholds = list(keyword or []), dict[str, float]()
    if listing is not None:
        listed, thresholds = read_lines(listing)
        phrases += listed
    words = Keywords(phrases, threshold=THRESHOLD if threshold is None else threshold, thresholds=thresholds)
    if threshold == 0:
        complain(
            "--threshold 0 tells every peak, false ones above all: give 0.5 for about one false alarm an hour"
        )
    recognizer = Recognizer(model, threads=threads, decoder="greedy")
    show = spot_output.keywords(form.value)
    _each(files, lambda name, audio: show(name, *spot_audio(audio, words, recognizer)))


def _each(files: list[str], hear: "Callable[[str, Audio], None]") -> None:
    """`hear` each recording; what one cannot give is complained of, and fails the command at its end."""
    from ..batch.entries import Failure
    from ..batch.sources import expand
    from ..errors import AudioError
    from ..streaming.audio.channels import Mixed
    from ..streaming.audio.files import open_audio
    from .output import native_remarks_off

    failed = False
    for source in expand(files):
        try:
            if isinstance(source, Failure):
                raise AudioError(source.reason)
            if source.start or source.seconds is not None or source.columns is not None or source.local:
                raise AudioError(
                    f"{source.where}{source.name}: spot hears whole files: give the audio file itself"
                )
            with native_remarks_off():
                audio = Mixed(open_audio(source.path))
            hear(source.name, audio)
            for remark in audio.remarks:
                complain(f"{source.name}: {remark}")
        except AudioError as error:
            failed = True
            complain(str(error))
    if failed:
        raise typer.Exit(1)
