"""The options of `phonestream transcribe`, and what they ask for together."""

import os
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .decoding import DecoderOption, Decoding, chosen
from .one_file import format_of
from .output import styled

if TYPE_CHECKING:
    from ..batch.raw import Raw
    from ..batch.task import ModelSpec, Settings
    from ..formats.registry import Options
    from ..streaming.decoding.config import Decoding as Decoder


class Provider(StrEnum):
    """What runs the model."""

    cpu = "cpu"
    cuda = "cuda"


class Encoding(StrEnum):
    """Of samples without a header."""

    s16le = "s16le"
    f32le = "f32le"


@dataclass(frozen=True)
class TranscribeOptions:
    """As given. Methods raise `typer.BadParameter` for values that there are not, or that do not go together."""

    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Audio files, folders (searched through), patterns in quotes, lhotse or Kaldi manifests, "
            "- for standard input.",
        ),
    ] = None
    listing: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="FILE|-", help="Take names from a file or standard input, one a line."
        ),
    ] = None
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="text, for a person to read; json, a line for each file; ctm, textgrid, eaf, srt, vtt, audacity, "
            "lab, moho, csv. Several, with commas between, need --output.",
            show_default="text",
        ),
    ] = None
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
        typer.Option(
            metavar="mix|each|tiers|N",
            help="All channels mixed, each on its own, each a tier of one TextGrid, or number N alone.",
        ),
    ] = "mix"
    phones: Annotated[
        str | None, typer.Option(help="Names of phones: arpabet, ipa, xsampa, timit48 or timit39.")
    ] = None
    visemes: Annotated[
        str | None,
        typer.Option(help="Mouth shapes in the place of phones: preston-blair, oculus or rhubarb."),
    ] = None
    frame_rate: Annotated[
        float | None,
        typer.Option(
            "--fps", min=1, max=1000, metavar="N", help="Frames a second, for moho.", show_default="24"
        ),
    ] = None
    posteriors: Annotated[
        bool, typer.Option("--posteriors", help="Save log-probabilities too, as STEM.safetensors.")
    ] = False
    rate: Annotated[
        int | None,
        typer.Option(metavar="HZ", help="Standard input is raw samples, without a header, at this rate."),
    ] = None
    encoding: Annotated[Encoding, typer.Option(help="Sample format of raw input.")] = Encoding.s16le
    channels: Annotated[
        int, typer.Option(min=1, max=64, help="Number of interleaved channels in raw input.")
    ] = 1
    decoder: DecoderOption = None
    beam: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Beam size: hypotheses kept.", show_default="32")
    ] = None
    lm: Annotated[
        str | None,
        typer.Option(metavar="PATH|NAME|none", help="The language model.", show_default="default"),
    ] = None
    lm_weight: Annotated[
        float | None, typer.Option(min=0, max=100, help="Weight of the language model.", show_default="0.6")
    ] = None
    n_best: Annotated[
        int, typer.Option(min=1, metavar="N", help="List the N most probable transcripts, in JSON.")
    ] = 1
    model: Annotated[
        str, typer.Option(metavar="PATH|NAME", help="A model file, or the name of a bundled model.")
    ] = "default"
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each process.")] = 1
    provider: Annotated[Provider, typer.Option(help="What runs the model.")] = Provider.cpu

    @property
    def file(self) -> str | None:
        """The file that `output` names by its ending, None where it is a folder."""
        is_file = self.output is not None and not os.path.isdir(self.output) and format_of(self.output)
        return self.output if is_file else None

    def check_files(self) -> None:
        """Refuse options about inputs and files that do not go together."""
        if not self.files and self.listing is None:
            raise typer.BadParameter("give at least one, or --list", param_hint="FILE")
        for option, given, needs in (
            ("--overwrite", self.overwrite, self.output is None),
            ("--resume", self.resume, self.output is None or self.file),
            ("--root", self.root, self.output is None or self.file),
            ("--posteriors", self.posteriors, self.output is None or self.file),
        ):
            if given and needs:
                raise typer.BadParameter("needs --output, a folder", param_hint=option)
        if self.resume and self.overwrite:
            raise typer.BadParameter(
                "keeps what --overwrite replaces; give one of them", param_hint="--resume"
            )

    def settings(self) -> "Settings":
        """What is wanted of each recording."""
        from ..batch.task import Settings
        from ..errors import ConfigError
        from ..formats.registry import find

        values = self.form or [(self.file and format_of(self.file)) or "text"]
        given = [name.strip() for value in values for name in value.split(",")]
        try:
            formats = tuple(dict.fromkeys(find(name).name for name in given))
        except ConfigError as error:
            raise typer.BadParameter(str(error), param_hint="--format") from None
        if self.frame_rate is not None and "moho" not in formats:
            raise typer.BadParameter("is about frames, which moho alone has", param_hint="--fps")
        names = self._names()
        channel: str | int = self.channel
        if channel == "tiers" and (formats != ("textgrid",) or self.posteriors):
            raise typer.BadParameter(
                "tiers are a TextGrid's: give --format textgrid alone", param_hint="--channel"
            )
        if channel not in ("mix", "each", "tiers"):
            if not (self.channel.isascii() and self.channel.isdecimal() and int(channel) > 0):
                raise typer.BadParameter(
                    f"{channel!r} is none of mix, each, tiers, 1, 2, 3 …", param_hint="--channel"
                )
            channel = int(channel)
        if (self.output is None or self.file) and len(formats) > 1:
            raise typer.BadParameter("several at once need --output, a folder", param_hint="--format")
        if self.n_best > 1 and (formats != ("json",) or self.visemes is not None):
            raise typer.BadParameter(
                "several transcripts have a place in JSON alone; give --format json", param_hint="--n-best"
            )
        return Settings(formats, names, channel, self.n_best, self.posteriors)

    def _names(self) -> "Options":
        """The names of phones."""
        from ..errors import ConfigError
        from ..formats.registry import Options

        if self.phones is not None and self.visemes is not None:
            raise typer.BadParameter("are shapes, not phones; leave out --phones", param_hint="--visemes")
        try:
            return Options(
                self.phones or "arpabet",
                self.visemes,
                frame_rate=self.frame_rate or Options.frame_rate,
                styled=self.output is None and styled(),
            )
        except ConfigError as error:
            hint = "--phones" if self.visemes is None else "--visemes"
            raise typer.BadParameter(str(error), param_hint=hint) from None

    def model_spec(self) -> "ModelSpec":
        """What transcribes them."""
        from ..batch.task import ModelSpec

        return ModelSpec(self.model, self.threads, self.provider.value, self._decoding())

    def _decoding(self) -> "Decoder | None":
        """How to decode; None where nothing is asked for."""
        given = {
            "--beam": self.beam,
            "--lm": self.lm,
            "--lm-weight": self.lm_weight,
            "--n-best": None if self.n_best == 1 else self.n_best,
        }
        asked = [option for option, value in given.items() if value is not None]
        if self.decoder is Decoding.greedy and asked:
            raise typer.BadParameter("is about beam search; leave out --decoder greedy", param_hint=asked[0])
        if not asked:
            return chosen(self.decoder)
        from ..streaming.decoding.config import N_BEST, BeamSearch

        usual = N_BEST if self.n_best > 1 else BeamSearch()
        return replace(
            usual,
            size=max(usual.size if self.beam is None else self.beam, self.n_best),
            lm=usual.lm if self.lm is None else None if self.lm == "none" else self.lm,
            lm_weight=usual.lm_weight if self.lm_weight is None else self.lm_weight,
        )

    def raw(self) -> "Raw | None":
        """What samples on standard input are like, None for a file with a header.

        Raises:
            AudioError: a rate out of range.
        """
        from ..batch.raw import Raw
        from ..streaming.audio.samples import check_rate

        if self.rate is None:
            for option, given in (
                ("--encoding", self.encoding is not Encoding.s16le),
                ("--channels", self.channels != 1),
            ):
                if given:
                    raise typer.BadParameter(
                        "is about samples without a header; give --rate", param_hint=option
                    )
            return None
        if "-" not in (self.files or []):
            raise typer.BadParameter("is about standard input; give - as FILE", param_hint="--rate")
        return Raw(check_rate(self.rate), self.encoding.value, self.channels)
