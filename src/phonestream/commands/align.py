"""`phonestream align`: a recording and its transcript in, the times of its words and phones out."""

import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import AudioError, ConfigError, DataError, PhonestreamError
from .align_output import remarks, render
from .output import complain, copy, native_remarks_off
from .progress import Bar

if TYPE_CHECKING:
    from ..asr.align.posteriors import Posteriors
    from ..formats.options import Options
    from ..streaming.arrays import FloatArray
    from ..streaming.recognizer import Recognizer

HEARINGS = (
    4  # asr.align.posteriors.TIME_SHIFTS, which is not imported before a command runs; a test compares them
)


def align(
    audio: Annotated[str, typer.Argument(metavar="AUDIO", help="An audio file, or - for standard input.")],
    transcript: Annotated[
        str | None,
        typer.Argument(metavar="TRANSCRIPT", help="A file with what was said, or - for standard input."),
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
            help="text, a table for a person to read; json, ctm, textgrid, eaf, srt, vtt, audacity, lab, csv. "
            "Without it: what the ending of --output says, or text.",
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the result to a file, whole or not at all.")
    ] = None,
    phones: Annotated[
        str, typer.Option(help="Names of phones: arpabet, ipa, xsampa, timit48 or timit39.")
    ] = "arpabet",
    lexicon: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A pronouncing dictionary to use instead of CMUdict, in its format."
        ),
    ] = None,
    hearings: Annotated[
        int,
        typer.Option(
            min=1,
            max=8,
            metavar="N",
            help="How often the audio is heard: 1 is quickest, 4 gives finer times.",
        ),
    ] = HEARINGS,
    model: Annotated[
        str, typer.Option(metavar="PATH|NAME", help="A model file, or the name of a bundled model.")
    ] = "default",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Find the words and phones of a transcript in a recording: their times, and how well they were said."""
    if (transcript is None) == (text is None):
        raise typer.BadParameter("give one of TRANSCRIPT and --text", param_hint="TRANSCRIPT")
    if audio == transcript == "-":
        raise typer.BadParameter("standard input can be only one of AUDIO and TRANSCRIPT", param_hint="-")
    name = _format(form, output)
    options = _options(phones)
    from ..asr.align.aligner import fit, spoken
    from ..asr.lexicon.lexicon import Lexicon
    from ..streaming.recognizer import Recognizer

    recognizer = Recognizer(model, threads=threads)
    said = text if text is not None else _read(transcript or "")
    try:
        words = spoken(
            said, recognizer.phones, phonemes=phonemes, lexicon=Lexicon(lexicon) if lexicon else None
        )
    except DataError as error:
        raise DataError(f"{transcript or '--text'}: {error}") from None
    posteriors = _posteriors(recognizer, audio, hearings)
    try:
        alignment = fit(recognizer, posteriors, words)
    except DataError as error:
        raise DataError(f"{audio}: {error}") from None
    data = render(alignment, audio, name, options)
    if output is None:
        copy(io.BytesIO(data))
    else:
        _save(output, data)
    remarked = remarks(alignment)
    for remark in remarked:
        complain(f"{audio}: {remark}")
    if remarked:
        raise typer.Exit(1)


def _format(form: str | None, output: str | None) -> str:
    """The format that is asked for, by name or by the ending of the output's name.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    from ..formats.registry import FORMATS, find

    if form is not None:
        try:
            return find(form).name
        except ConfigError as error:
            raise typer.BadParameter(str(error), param_hint="--format") from None
    by_length = sorted(FORMATS.values(), key=lambda known: -len(known.extension))
    endings = (
        known.name
        for known in by_length
        if output is not None and output.lower().endswith(f".{known.extension.lower()}")
    )
    return next(endings, "text")


def _options(phones: str) -> "Options":
    from ..formats.options import Options

    try:
        return Options(phones)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--phones") from None


def _read(path: str) -> str:
    """The transcript in a file or, for -, on standard input.

    Raises:
        DataError: it cannot be read, or is not text in UTF-8.
    """
    try:
        if path == "-":
            if sys.stdin is None:
                raise DataError("-: there is no standard input; give a file, or --text")
            data = sys.stdin.buffer.read()
        else:
            data = Path(path).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line} is not text in UTF-8; save the transcript as UTF-8, or give words with --text"
        ) from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such transcript; give a file, or words with --text") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: the transcript cannot be read: {reason}; give a text file") from None


def _posteriors(recognizer: "Recognizer", file: str, time_shifts: int) -> "Posteriors":
    """Posteriors of the recording; a bar shows the progress.

    Raises:
        AudioError: it cannot be used; the message begins with its name.
    """
    from ..asr.align.posteriors import compute_posteriors
    from ..streaming.audio.files import open_audio

    with native_remarks_off():
        audio = open_audio(file)
    with closing(audio), Bar("aligning") as bar:
        done = 0

        def blocks() -> "Iterator[FloatArray]":
            nonlocal done
            for block in audio.blocks():
                yield block
                done += len(block)
                if audio.seconds:
                    bar(done / audio.sample_rate, audio.seconds)

        try:
            return compute_posteriors(recognizer, blocks(), audio.sample_rate, time_shifts)
        except AudioError as error:
            if str(error).startswith(f"{file}: "):
                raise
            raise AudioError(f"{file}: from {done / audio.sample_rate:.2f} s on: {error}") from None


def _save(path: str, data: bytes) -> None:
    """Write a file that takes its name when it is whole; what is no file (a device, a pipe) is written to.

    Raises:
        PhonestreamError: it cannot be written.
    """
    temporary = None
    try:
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "wb", buffering=0) as device:
                device.write(data)
            return
        target = os.path.realpath(path)  # through a link, to the file that it leads to
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(target) or ".")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # temporary files are private, results like any other file
        os.replace(temporary, target)
    except (OSError, ValueError) as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        reason = getattr(error, "strerror", None) or error
        raise PhonestreamError(
            f"{path}: cannot be written: {reason}; make room, or give another --output"
        ) from None
