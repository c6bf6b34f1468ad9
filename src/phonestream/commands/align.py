"""`phonestream align`: recordings and their transcripts in, the times of words and phones out."""

import io
import os
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..atomic import is_special
from ..errors import ConfigError
from .align_corpus import align_corpus
from .align_recording import Said, Speaker
from .align_spec import AlignSpec, Channel, misfits_of
from .existing import check_new
from .one_file import format_of, save
from .output import complain, copy
from .progress import Bar
from .run_options import RunOptions
from .shared_options import (
    FrameRateOption,
    ModelOption,
    ThreadsOption,
    VisemesOption,
    channel_number,
    phone_names,
    phones_option,
    refuse_given,
)

if TYPE_CHECKING:
    from ..formats.options import Options

# That of asr.align.posteriors, which is not imported before a command runs; a test compares them
TIME_SHIFTS = 4


def align(
    audio: Annotated[
        str,
        typer.Argument(
            help="An audio file, or - for standard input; or a folder of recordings with transcripts beside them."
        ),
    ],
    transcript: Annotated[
        str | None,
        typer.Argument(
            help="A file with what was said, or - for standard input. In a TextGrid, a tier of utterances."
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="WORDS", help="What was said, in the place of TRANSCRIPT.")
    ] = None,
    phonemes: Annotated[
        bool, typer.Option("--phonemes", help="The transcript is ARPAbet phones with spaces between them.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="text, a table for a person to read; json, ctm, textgrid, eaf, srt, vtt, audacity, lab, moho, "
            "rhubarb, csv. Without it: what the ending of --output says, or text; for a folder textgrid.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Write the result to a file, whole or not at all; of a folder's recordings, to a folder.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a folder: results that are there stay.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
    failures: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Write down which of a folder's recordings failed and why, for programs.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes that share a folder.", show_default="1")
    ] = None,
    channel: Annotated[
        str,
        typer.Option(
            metavar="mix|tiers|N",
            help="All channels mixed, or number N alone; tiers: each with a tier of a TextGrid transcript, in one "
            "TextGrid, or of a recording with one channel each tier as a speaker.",
        ),
    ] = "mix",
    tier: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The tier of a TextGrid transcript, where several have text."),
    ] = None,
    phones: Annotated[str, phones_option()] = "arpabet",
    visemes: VisemesOption = None,
    frame_rate: FrameRateOption = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="A tier of scores too, in TextGrid and ELAN.")
    ] = False,
    lexicon: Annotated[
        str | None,
        typer.Option(
            "--dictionary",
            "--lexicon",
            metavar="FILE",
            help="A pronouncing dictionary to use instead of CMUdict, in its format or the Montreal Forced Aligner's.",
        ),
    ] = None,
    time_shifts: Annotated[
        int,
        typer.Option(
            min=1,
            max=8,
            help="How many copies of the audio, each shifted a little, are heard: 1 is quickest, 4 gives finer times.",
        ),
    ] = TIME_SHIFTS,
    refuse: Annotated[
        bool,
        typer.Option(
            "--refuse/--no-refuse",
            help="Whether a transcript that does not fit is an error; if not, it has a low score.",
        ),
    ] = True,
    model: ModelOption = "default",
    threads: ThreadsOption = 1,
) -> None:
    """Find the words and phones of transcripts in recordings: their times, and how well they were said."""
    if tier is not None and channel == "tiers":
        raise typer.BadParameter("is one, and --channel tiers takes all; leave one out", param_hint="--tier")
    whole_folder = os.path.isdir(audio)
    if whole_folder:
        _check_folder(transcript, text, output)
    else:
        if transcript is None and text is None and audio != "-" and not os.path.exists(audio):
            raise typer.BadParameter(f"{audio}: there is no such file or folder", param_hint="AUDIO")
        refuse_given({"--overwrite": overwrite and output is None}, "needs --output")
        refuse_given(
            {"--resume": resume, "--jobs": jobs is not None, "--failures": failures is not None},
            "needs a folder of recordings",
        )
        _check_transcript(audio, transcript, text, tier)
    name = _format(form or "textgrid", None) if whole_folder else _format(form, output)
    spec = AlignSpec(
        model=model,
        threads=threads,
        form=name,
        options=_options(phones, visemes, scores, frame_rate, name),
        phonemes=phonemes,
        dictionary=lexicon,
        time_shifts=time_shifts,
        channel=_channel(channel, name),
        tier=tier,
        refuse=refuse,
    )
    if whole_folder:
        run = RunOptions(output=output, resume=resume, overwrite=overwrite, failures=failures, jobs=jobs or 1)
        fine = align_corpus(audio, spec, run)
    else:
        if output is not None:
            check_new(output, overwrite, [audio, transcript, lexicon])
        fine = _align_one(audio, transcript, text, output, spec)
    if not fine:
        raise typer.Exit(1)


def _check_folder(transcript: str | None, text: str | None, output: str | None) -> None:
    """Refuse what does not go with a folder of recordings."""
    if transcript is not None or text is not None:
        raise typer.BadParameter("of a folder lie beside the recordings", param_hint="transcripts")
    if output is None:
        raise typer.BadParameter("a folder needs one, for its results", param_hint="--output")
    if "://" not in output and not os.path.isdir(output) and format_of(output) is not None:
        raise typer.BadParameter(
            f"{output}: is a file's name, and each recording of a folder has a file of its own: give a folder, "
            f"and --format {format_of(output)}",
            param_hint="--output",
        )


def _check_transcript(audio: str, transcript: str | None, text: str | None, tier: str | None) -> None:
    """Refuse a recording without a transcript, or with two."""
    if tier is not None and text is not None:
        raise typer.BadParameter("is of a TextGrid, and --text is none", param_hint="--tier")
    if (transcript is None) == (text is None):
        raise typer.BadParameter("give one of TRANSCRIPT and --text", param_hint="TRANSCRIPT")
    if audio == transcript == "-":
        raise typer.BadParameter("standard input can be only one of AUDIO and TRANSCRIPT", param_hint="-")


def _align_one(
    audio: str, transcript: str | None, text: str | None, output: str | None, spec: AlignSpec
) -> bool:
    """Align one recording, print or write the result, and tell whether the transcript fits."""
    opened = spec.open()
    said = transcript or "--text"
    speakers = (
        [Speaker("", [Said(text)])] if text is not None and spec.channel != "tiers" else spec.read(said)
    )
    with Bar("aligning") as bar:

        def tell(remark: str) -> None:  # also where the alignment is refused
            bar.hide()
            complain(remark)

        aligned = opened.align(audio, speakers, transcript=said, tell=tell, progress=bar)
    data = io.BytesIO(spec.render(aligned, audio, None if output is None else os.path.dirname(output)))
    if output is None:
        copy(data)
    else:
        save(output, data)
    misfits = misfits_of(aligned, audio)
    for misfit in misfits:
        complain(misfit)
    return not misfits


def _format(form: str | None, output: str | None) -> str:
    """The format that is asked for, by name or by the ending of the output's name.

    Raises:
        typer.BadParameter: there is none of that name or with that ending.
    """
    from ..formats.registry import find

    if form is not None:
        try:
            return find(form).name
        except ConfigError as error:
            raise typer.BadParameter(str(error), param_hint="--format") from None
    if output is None or is_special(output) or not os.path.splitext(output)[1]:
        return "text"
    known = format_of(output)
    if known is None:
        raise typer.BadParameter(f"{output}: no format has this ending; give one", param_hint="--format")
    return known


def _channel(channel: str, form: str) -> Channel:
    """What `--channel` asks for.

    Raises:
        typer.BadParameter: it is nothing of the kind, or tiers in a format that has no room for them.
    """
    number = channel_number(channel, "mix", "tiers")
    if number == "tiers" and form != "textgrid":
        raise typer.BadParameter("tiers are a TextGrid's: give --format textgrid", param_hint="--channel")
    return cast(Channel, number)


def _options(
    phones: str, visemes: str | None, scores: bool, frame_rate: float | None, form: str
) -> "Options":
    if scores and form not in ("textgrid", "eaf"):
        raise typer.BadParameter(
            f"is a tier of textgrid and eaf; {form} has scores, or no place for them", param_hint="--scores"
        )
    return phone_names(None if phones == "arpabet" else phones, visemes, frame_rate, (form,), scores=scores)
