"""`phonestream align`: recordings and their transcripts in, the times of words and phones out."""

import io
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import ConfigError
from .align_output import remarks, render, render_channels
from .align_recording import Channel, Said, Speaker, align_file, read_speakers, read_transcript
from .existing import check_new
from .one_file import format_of, is_special, save
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
            metavar="AUDIO",
            help="An audio file, or - for standard input; or a folder of recordings with transcripts beside them.",
        ),
    ],
    transcript: Annotated[
        str | None,
        typer.Argument(
            metavar="TRANSCRIPT",
            help="A file with what was said, or - for standard input. In a TextGrid, a tier of utterances.",
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
        int | None, typer.Option(min=1, metavar="N", help="Processes that share a folder.", show_default="1")
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
    phones: Annotated[
        str, typer.Option(help="Names of phones: arpabet, ipa, xsampa, timit48 or timit39.")
    ] = "arpabet",
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
            "--time-shifts",
            min=1,
            max=8,
            metavar="N",
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
    if os.path.isdir(audio):
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
        from .align_corpus import AlignSpec, align_corpus

        name = _format(form or "textgrid", None)
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
        run = RunOptions(output=output, resume=resume, overwrite=overwrite, failures=failures, jobs=jobs or 1)
        if not align_corpus(audio, spec, run):
            raise typer.Exit(1)
        return
    if transcript is None and text is None and audio != "-" and not os.path.exists(audio):
        raise typer.BadParameter(f"{audio}: there is no such file or folder", param_hint="AUDIO")
    refuse_given({"--overwrite": overwrite and output is None}, "needs --output")
    refuse_given(
        {"--resume": resume, "--jobs": jobs is not None, "--failures": failures is not None},
        "needs a folder of recordings",
    )
    if tier is not None and text is not None:
        raise typer.BadParameter("is of a TextGrid, and --text is none", param_hint="--tier")
    if (transcript is None) == (text is None):
        raise typer.BadParameter("give one of TRANSCRIPT and --text", param_hint="TRANSCRIPT")
    if audio == transcript == "-":
        raise typer.BadParameter("standard input can be only one of AUDIO and TRANSCRIPT", param_hint="-")
    name = _format(form, output)
    number = _channel(channel, name)
    options = _options(phones, visemes, scores, frame_rate, name)
    if output is not None:
        check_new(output, overwrite, [audio, transcript, lexicon])
    from ..asr.lexicon.lexicon import Lexicon
    from ..streaming.recognizer import Recognizer

    recognizer = Recognizer(model, threads=threads)

    name_of_said = transcript or "--text"
    if number == "tiers":
        speakers = read_speakers(name_of_said)
    elif text is not None:
        speakers = [Speaker("", [Said(text)])]
    else:
        speakers = [read_transcript(name_of_said, tier)]
    with Bar("aligning") as bar:

        def tell(remark: str) -> None:  # also where the alignment is refused
            bar.hide()
            complain(remark)

        aligned = align_file(
            recognizer,
            audio,
            speakers,
            transcript=name_of_said,
            channel=number,
            time_shifts=time_shifts,
            progress=bar,
            tell=tell,
            phonemes=phonemes,
            lexicon=None if lexicon is None else Lexicon(lexicon),
            refuse=refuse,
        )
    if output is not None:
        options = replace(options, folder=os.path.dirname(output))
    if number == "tiers":
        data = render_channels(aligned, audio, options)
    else:
        data = render(aligned[0].alignment, audio, name, options)
    if output is None:
        copy(io.BytesIO(data))
    else:
        save(output, io.BytesIO(data))
    remarked = [remark for found in aligned for remark in remarks(found.alignment)]
    for remark in remarked:
        complain(f"{audio}: {remark}")
    if remarked:
        raise typer.Exit(1)


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
