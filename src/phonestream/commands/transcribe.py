"""`phonestream transcribe`: recordings in, each one's phones out as soon as it is done."""

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .decoding import DecoderOption, Decoding, chosen
from .output import complain, copy, printable, styled, write
from .progress import Bar

if TYPE_CHECKING:
    from ..batch.entries import Entry
    from ..batch.raw import Raw
    from ..batch.run import Outcome
    from ..batch.work import Settings
    from ..batch.worker import Opening
    from ..streaming.decoding.config import Decoding as Decoder


class Provider(StrEnum):
    """What runs the model."""

    cpu = "cpu"
    cuda = "cuda"


class Encoding(StrEnum):
    """Of samples without a header."""

    s16le = "s16le"
    f32le = "f32le"


def transcribe(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Audio files, folders (searched through), patterns in quotes, lhotse or Kaldi manifests, "
            "- for standard input.",
        ),
    ] = None,
    listing: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="FILE|-", help="Take names from a file or standard input, one a line."
        ),
    ] = None,
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="text, for a person to read; json, a line for each file; ctm, textgrid, eaf, srt, vtt, audacity, "
            "lab, csv. Several, with commas between, need --output.  [default: text]",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Write each result to a file of its own in this folder, made if need be."
        ),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Mirror the tree below this folder. Without it: below each FILE."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped: what is done stays.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share the work.  [default: 1; with --ray all CPUs]"),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Share it among the machines of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT; "
            "local starts one here.",
        ),
    ] = None,
    channel: Annotated[
        str,
        typer.Option(metavar="mix|each|N", help="All channels mixed, each on its own, or number N alone."),
    ] = "mix",
    phones: Annotated[
        str | None, typer.Option(help="Names of phones: arpabet, ipa, xsampa, timit48 or timit39.")
    ] = None,
    visemes: Annotated[
        str | None, typer.Option(help="Mouth shapes in the place of phones: preston-blair or oculus.")
    ] = None,
    posteriors: Annotated[
        bool, typer.Option("--posteriors", help="Save log-probabilities too, as STEM.safetensors.")
    ] = False,
    rate: Annotated[
        int | None,
        typer.Option(metavar="HZ", help="Standard input is samples without a header at this rate."),
    ] = None,
    encoding: Annotated[Encoding, typer.Option(help="Of such samples.")] = Encoding.s16le,
    channels: Annotated[int, typer.Option(min=1, max=64, help="Of such samples, taking turns.")] = 1,
    decoder: DecoderOption = None,
    beam: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Sequences that are kept.  [default: 32]")
    ] = None,
    lm: Annotated[
        str | None,
        typer.Option(metavar="PATH|NAME|none", help="The language model.  [default: default]"),
    ] = None,
    lm_weight: Annotated[
        float | None, typer.Option(min=0, max=100, help="How much it is trusted.  [default: 0.6]")
    ] = None,
    n_best: Annotated[
        int, typer.Option(min=1, metavar="N", help="Tell the N most probable transcripts, in JSON.")
    ] = 1,
    model: Annotated[
        str, typer.Option(metavar="PATH|NAME", help="A model file, or the name of a bundled model.")
    ] = "default",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each process.")] = 1,
    provider: Annotated[Provider, typer.Option(help="What runs the model.")] = Provider.cpu,
) -> None:
    """Print the phonemes of recordings with their times, or write them to files."""
    if not files and listing is None:
        raise typer.BadParameter("give at least one, or --list", param_hint="FILE")
    from ..batch.sources import expand, only_once, read_list
    from ..batch.targets import Existing, settle
    from ..batch.worker import Opening

    search = _search(decoder, beam, lm, lm_weight, n_best)
    settings = _settings(form, output, channel, phones, visemes, posteriors, n_best)
    raw = _raw(files or [], rate, encoding, channels)
    if output is None and (resume or overwrite or root):
        option = "--resume" if resume else "--overwrite" if overwrite else "--root"
        raise typer.BadParameter("is about files, so it needs --output", param_hint=option)
    if resume and overwrite:
        raise typer.BadParameter("keeps what --overwrite replaces; give one of them", param_hint="--resume")
    only_once([*(files or []), *([listing] if listing == "-" else [])])
    names = [*(files or []), *(read_list(listing) if listing is not None else [])]
    entries: list[Entry] = list(expand(names, root=root, raw=raw))
    _check_printable(settings, output, len(entries))

    done_before = 0
    if output is not None:
        existing = Existing.resume if resume else Existing.overwrite if overwrite else Existing.refuse
        entries, done_before = settle(entries, settings, output, existing)
    opening = Opening(model, threads, provider.value, search)
    if not _run(entries, settings, opening, jobs, ray, output, done_before):
        raise typer.Exit(1)


def _run(
    entries: "Sequence[Entry]",
    settings: "Settings",
    opening: "Opening",
    jobs: int | None,
    cluster: str | None,
    output: str | None,
    done_before: int,
) -> bool:
    """Do the work, print what it gives, and say whether all of it went well."""
    from ..batch.run import run
    from ..batch.tally import Tally

    tally = Tally(entries, done_before)
    printer = Printer(settings, headings=len(entries) > 1)
    with Bar("transcribing") as bar:

        def progress(index: int, seconds: float, length: float | None) -> None:
            tally.hearing(index, seconds, length)
            bar(*tally.progress)

        outcomes = run(
            entries, settings, opening, jobs=jobs, folder=output, cluster=cluster, progress=progress
        )
        with closing(outcomes):
            for outcome in outcomes:
                tally.ended(outcome)
                for remark in outcome.result.remarks:
                    bar.hide()
                    complain(remark)
                if outcome.result.failure is not None:
                    bar.hide()
                    complain(outcome.result.failure)
                elif output is None:
                    bar.hide()
                    printer.show(outcome)
                else:
                    bar(*tally.progress)
    if output is not None or (len(entries) > 1 and sys.stderr is not None and sys.stderr.isatty()):
        for line in tally.summary():
            complain(line)
    return not tally.failures


class Printer:
    """Puts results on standard output, one behind the other, as their format has it."""

    def __init__(self, settings: "Settings", headings: bool) -> None:
        from ..formats.registry import FORMATS

        self._form = FORMATS[settings.formats[0]]
        self._headings = headings or settings.channel == "each"
        self._printed = False

    def show(self, outcome: "Outcome") -> None:
        """Print the results of one recording, a channel at a time, and close them."""
        from ..batch.entries import Source

        name = outcome.entry.name if isinstance(outcome.entry, Source) else ""
        for payload in outcome.payloads:
            with payload.file as file:
                if self._form.name == "text" and self._headings:
                    number = "" if payload.channel is None else f", channel {payload.channel}"
                    write(("\n" if self._printed else "") + printable(name) + number)
                if self._printed:
                    file.seek(len(self._form.header))
                copy(file)
                self._printed = True


def _settings(
    form: list[str] | None,
    output: str | None,
    channel: str,
    phones: str | None,
    visemes: str | None,
    posteriors: bool,
    n_best: int,
) -> "Settings":
    """What the options ask for.

    Raises:
        typer.BadParameter: a value that there is not, or one that does not go with another.
    """
    from ..batch.work import Settings
    from ..errors import ConfigError
    from ..formats.registry import Options, find

    formats = tuple(dict.fromkeys(name.strip() for value in form or ["text"] for name in value.split(",")))
    try:
        for name in formats:
            find(name)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--format") from None
    if phones is not None and visemes is not None:
        raise typer.BadParameter("are shapes, not phones; leave out --phones", param_hint="--visemes")
    try:
        options = Options(phones or "arpabet", visemes, styled=output is None and styled())
    except ConfigError as error:
        hint = "--phones" if visemes is None else "--visemes"
        raise typer.BadParameter(str(error), param_hint=hint) from None
    chosen: str | int = channel
    if channel not in ("mix", "each"):
        if not (channel.isascii() and channel.isdecimal() and int(channel) > 0):
            raise typer.BadParameter(f"{channel!r} is none of mix, each, 1, 2, 3 …", param_hint="--channel")
        chosen = int(channel)
    if output is None and len(formats) > 1:
        raise typer.BadParameter("several at once need --output", param_hint="--format")
    if output is None and posteriors:
        raise typer.BadParameter("need --output", param_hint="--posteriors")
    if n_best > 1 and (formats != ("json",) or visemes is not None):
        raise typer.BadParameter(
            "several transcripts have a place in JSON alone; give --format json", param_hint="--n-best"
        )
    return Settings(formats, options, chosen, n_best, posteriors)


def _search(
    decoder: Decoding | None, beam: int | None, lm: str | None, lm_weight: float | None, n_best: int
) -> "Decoder | None":
    """How to decode; None where nothing is asked for.

    Raises:
        typer.BadParameter: settings of a beam search with --decoder greedy.
    """
    given = {
        "--beam": beam,
        "--lm": lm,
        "--lm-weight": lm_weight,
        "--n-best": None if n_best == 1 else n_best,
    }
    asked = [option for option, value in given.items() if value is not None]
    if decoder is Decoding.greedy and asked:
        raise typer.BadParameter("is about beam search; leave out --decoder greedy", param_hint=asked[0])
    if not asked:
        return chosen(decoder)
    from ..streaming.decoding.config import N_BEST, BeamSearch

    usual = N_BEST if n_best > 1 else BeamSearch()
    return replace(
        usual,
        size=max(usual.size if beam is None else beam, n_best),
        lm=usual.lm if lm is None else None if lm == "none" else lm,
        lm_weight=usual.lm_weight if lm_weight is None else lm_weight,
    )


def _check_printable(settings: "Settings", output: str | None, count: int) -> None:
    """Refuse to print several results of a format whose files cannot be joined.

    Raises:
        typer.BadParameter: that is asked for.
    """
    from ..formats.registry import FORMATS

    form = FORMATS[settings.formats[0]]
    if output is None and not form.joins and (count > 1 or settings.channel == "each"):
        raise typer.BadParameter(
            f"{form.name} is a file for each recording; give --output", param_hint="--format"
        )


def _raw(files: Sequence[str], rate: int | None, encoding: Encoding, channels: int) -> "Raw | None":
    """What samples on standard input are like, None for a file with a header.

    Raises:
        typer.BadParameter: there are no such samples.
        AudioError: a rate out of range.
    """
    from ..batch.raw import Raw
    from ..streaming.audio.samples import check_rate

    if rate is None:
        for option, given in (("--encoding", encoding is not Encoding.s16le), ("--channels", channels != 1)):
            if given:
                raise typer.BadParameter("is about samples without a header; give --rate", param_hint=option)
        return None
    if "-" not in files:
        raise typer.BadParameter("is about standard input; give - as FILE", param_hint="--rate")
    return Raw(check_rate(rate), encoding.value, channels)
