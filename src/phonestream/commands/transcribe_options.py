"""The options of `phonestream transcribe`, and what they ask for together."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from .output import styled
from .run_options import RunOptions
from .shared_options import DecoderOption, FrameRateOption, VisemesOption, phone_names, phones_option

if TYPE_CHECKING:
    from ..batch.task import ModelSpec, Settings
    from ..streaming.decoding.config import Decoding as Decoder


@dataclass(frozen=True)
class TranscribeOptions(RunOptions):
    """As given. Methods raise `typer.BadParameter` for values that there are not, or that do not go together."""

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
            "lab, moho, rhubarb, csv. Several, with commas between, need --output.",
            show_default="text",
        ),
    ] = None
    channel: Annotated[
        str,
        typer.Option(
            metavar="mix|each|tiers|N",
            help="All channels mixed, each on its own, each a tier of one TextGrid, or number N alone.",
        ),
    ] = "mix"
    phones: Annotated[str | None, phones_option()] = None
    visemes: VisemesOption = None
    frame_rate: FrameRateOption = None
    posteriors: Annotated[
        bool, typer.Option("--posteriors", help="Save log-probabilities too, as STEM.safetensors.")
    ] = False
    decoder: DecoderOption = None
    beam: Annotated[
        int | None, typer.Option(min=1, help="Beam size: hypotheses kept.", show_default="32")
    ] = None
    lm: Annotated[
        str | None,
        typer.Option(metavar="PATH|NAME|none", help="The language model.", show_default="default"),
    ] = None
    lm_weight: Annotated[
        float | None, typer.Option(min=0, max=100, help="Weight of the language model.", show_default="0.6")
    ] = None
    n_best: Annotated[int, typer.Option(min=1, help="List the N most probable transcripts, in JSON.")] = 1

    def check_files(self) -> None:
        """Refuse options about inputs and files that do not go together."""
        if not self.files and self.listing is None:
            raise typer.BadParameter("give at least one, or --list", param_hint="FILE")
        super().check_files()
        if self.posteriors and (self.output is None or self.file):
            raise typer.BadParameter("needs --output, a folder", param_hint="--posteriors")

    def settings(self) -> "Settings":
        """What is wanted of each recording."""
        from ..batch.task import Settings
        from ..formats.registry import find

        formats = self.format_names(find)
        names = phone_names(
            self.phones,
            self.visemes,
            self.frame_rate,
            formats,
            styled=self.output is None and styled(),
            folder=self.file_folder,
        )
        channel = self.channel_number("mix", "each", "tiers")
        if channel == "tiers" and (formats != ("textgrid",) or self.posteriors):
            raise typer.BadParameter(
                "tiers are a TextGrid's: give --format textgrid alone", param_hint="--channel"
            )
        if self.n_best > 1 and (formats != ("json",) or self.visemes is not None):
            raise typer.BadParameter(
                "several transcripts have a place in JSON alone; give --format json", param_hint="--n-best"
            )
        return Settings(formats, names, channel, self.n_best, self.posteriors)

    def model_spec(self) -> "ModelSpec":
        """What transcribes them."""
        from ..batch.task import ModelSpec

        return ModelSpec(self.model, self.threads, self.provider, self._decoding())

    def _decoding(self) -> "Decoder | None":
        """How to decode; None where nothing is asked for."""
        given = {
            "--beam": self.beam,
            "--lm": self.lm,
            "--lm-weight": self.lm_weight,
            "--n-best": None if self.n_best == 1 else self.n_best,
        }
        asked = [option for option, value in given.items() if value is not None]
        if self.decoder == "greedy" and asked:
            raise typer.BadParameter("is about beam search; leave out --decoder greedy", param_hint=asked[0])
        if not asked:
            return self.decoder
        from ..streaming.decoding.config import N_BEST, BeamSearch

        usual = N_BEST if self.n_best > 1 else BeamSearch()
        return replace(
            usual,
            size=max(usual.size if self.beam is None else self.beam, self.n_best),
            lm=usual.lm if self.lm is None else None if self.lm == "none" else self.lm,
            lm_weight=usual.lm_weight if self.lm_weight is None else self.lm_weight,
        )
