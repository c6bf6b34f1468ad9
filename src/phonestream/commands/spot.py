"""`phonestream spot`: where keywords are said in recordings."""

import csv
import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from io import StringIO
from typing import TYPE_CHECKING, Annotated

import typer

from .output import complain, printable, write

if TYPE_CHECKING:
    from ..streaming.spotting.spotter import Spotted


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
    threshold: Annotated[
        float | None, typer.Option(help="Least score that is told, from 0 (all) to 1.  [default: 0.5]")
    ] = None,
    form: Annotated[
        SpotFormat, typer.Option("--format", help="text; json, a line for each file; csv, for each keyword.")
    ] = SpotFormat.text,
    model: Annotated[
        str, typer.Option(metavar="PATH|NAME", help="A model file, or the name of a bundled model.")
    ] = "default",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Find keywords in recordings, with times and scores."""
    if not keyword and listing is None:
        raise typer.BadParameter("give at least one, or --list", param_hint="--keyword")
    from ..batch.entries import Failure
    from ..batch.sources import expand
    from ..errors import AudioError
    from ..streaming.audio.files import open_audio
    from ..streaming.recognizer import Recognizer
    from ..streaming.spotting.keywords import THRESHOLD, Keywords, read_lines
    from ..streaming.spotting.recording import spot_audio
    from .output import native_remarks_off

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
    show, failed = _printer(form), False
    for source in expand(files):
        try:
            if isinstance(source, Failure):
                raise AudioError(source.reason)
            if source.start or source.seconds is not None or source.columns is not None or source.local:
                raise AudioError(
                    f"{source.where}{source.name}: spot hears whole files: give the audio file itself"
                )
            with native_remarks_off():
                audio = open_audio(source.path)
            seconds, found = spot_audio(audio, words, recognizer)
        except AudioError as error:
            failed = True
            complain(str(error))
            continue
        show(source.name, seconds, found)
    if failed:
        raise typer.Exit(1)


def _printer(form: SpotFormat) -> "Callable[[str, float, Sequence[Spotted]], None]":
    def text(name: str, seconds: float, found: "Sequence[Spotted]") -> None:
        for one in found:
            part = "" if one.word_boundary is not False else "  (perhaps within a longer word)"
            write(
                f"{printable(name)}  {one.start:8.2f} - {one.end:.2f} s  {one.score:.3f}  {one.phrase}{part}"
            )

    def lines(name: str, seconds: float, found: "Sequence[Spotted]") -> None:
        spotted = [
            {
                "phrase": one.phrase,
                "start": round(one.start, 3),
                "end": round(one.end, 3),
                "score": round(one.score, 4),
                "word_boundary": one.word_boundary,
            }
            for one in found
        ]
        write(
            json.dumps({"file": name, "seconds": round(seconds, 3), "spotted": spotted}, ensure_ascii=False)
        )

    def rows(name: str, seconds: float, found: "Sequence[Spotted]") -> None:
        for one in found:
            table([name, one.phrase, f"{one.start:.3f}", f"{one.end:.3f}", f"{one.score:.4f}"])

    def table(values: Sequence[str]) -> None:
        line = StringIO()
        csv.writer(line, lineterminator="").writerow(values)
        write(line.getvalue())

    if form is SpotFormat.csv:
        table(["file", "phrase", "start", "end", "score"])
    return {SpotFormat.text: text, SpotFormat.json: lines, SpotFormat.csv: rows}[form]
