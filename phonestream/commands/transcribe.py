"""`phonestream transcribe`: files in, each file's phones out as soon as the file is done."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ..errors import AudioError
from .output import complain, dim, native_remarks_off, printable, write
from .progress import Bar

if TYPE_CHECKING:
    from ..streaming.decode import Phone
    from ..streaming.recognizer import Recognizer

PAUSE = 0.3  # seconds without a phone that begin a new line of text
WIDTH = 80  # columns of a line of text
DOUBTFUL = 0.5  # confidence below which a phone is drawn faintly


class Format(StrEnum):
    """How results are written."""

    text = "text"
    json = "json"


class Provider(StrEnum):
    """What runs the model."""

    cpu = "cpu"
    cuda = "cuda"


class Transcript(NamedTuple):
    """What was heard in one file."""

    file: str  # as it was given
    seconds: float
    phones: "list[Phone]"


def transcribe(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="Audio files: WAV, FLAC, Opus, MP3 and more.")
    ],
    form: Annotated[
        Format,
        typer.Option("--format", help="For a person to read, or one line of JSON for each file."),
    ] = Format.text,
    model: Annotated[
        str, typer.Option(metavar="PATH|NAME", help="A model file, or the name of a bundled model.")
    ] = "default",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    provider: Annotated[Provider, typer.Option(help="What runs the model.")] = Provider.cpu,
) -> None:
    """Print the phonemes of audio files, with their times."""
    from ..streaming.recognizer import Recognizer

    recognizer = Recognizer(model, threads=threads, provider=provider.value)
    show = as_json if form is Format.json else as_text
    sizes = [_size(file) for file in files]
    done, printed, failed = 0, False, False
    with Bar("transcribing") as bar:
        for file, size in zip(files, sizes, strict=True):

            def progress(share: float, done: int = done, size: int = size) -> None:
                bar(done + share * size, sum(sizes))

            try:
                transcript = hear(recognizer, file, progress)
            except AudioError as error:
                bar.hide()
                complain(str(error))
                failed = True
            else:
                bar.hide()
                if form is Format.text and len(files) > 1:
                    write(("\n" if printed else "") + printable(file))
                for line in show(transcript):
                    write(line)
                printed = True
            done += size
    if failed:
        raise typer.Exit(1)


def hear(recognizer: "Recognizer", file: str, progress: Callable[[float], object]) -> Transcript:
    """Decode one file alone, a block at a time, so that its result depends on nothing else.

    Args:
        recognizer: hears it in a stream of its own.
        file: path of an audio file.
        progress: called with the share of the file that has been heard.

    Raises:
        AudioError: the file cannot be used; the message begins with its name.
    """
    from ..streaming.files import AudioFile

    with native_remarks_off():
        audio = AudioFile(file)
    with audio:
        stream = recognizer.stream()
        phones = []
        for block in audio.blocks():
            try:
                phones += stream.accept(block, audio.sample_rate)
            except AudioError as error:
                raise AudioError(f"{file}: from {stream.seconds:.2f} s on: {error}") from None
            progress(stream.seconds / audio.seconds if audio.seconds else 0)
        phones += stream.finish()
        return Transcript(file, stream.seconds, phones)


def as_json(transcript: Transcript) -> Iterator[str]:
    """One line: the file's name as given, and times in seconds to the millisecond.

    ASCII whatever the name: bytes that are not UTF-8 are the lone surrogates of PEP 383.
    """
    phones = [
        {
            "symbol": phone.symbol,
            "start": round(phone.start, 3),
            "end": round(phone.end, 3),
            "confidence": round(phone.confidence, 3),
        }
        for phone in transcript.phones
    ]
    yield json.dumps({"file": transcript.file, "seconds": round(transcript.seconds, 3), "phones": phones})


def as_text(transcript: Transcript) -> Iterator[str]:
    """Lines that begin with the time of their first phone, broken at pauses and where they are full."""
    line, used, heard = "", 0, 0.0  # the line so far, its columns, when its last phone ended
    for phone in transcript.phones:
        if line and (phone.start - heard >= PAUSE or used + 1 + len(phone.symbol) > WIDTH):
            yield line
            line = ""
        if not line:
            line = f"{phone.start:8.2f} "
            used = len(line)
        line += " " + (dim(phone.symbol) if phone.confidence < DOUBTFUL else phone.symbol)
        used += 1 + len(phone.symbol)
        heard = phone.end
    yield line or f"{0:8.2f}  (no phones in {transcript.seconds:.2f} s)"


def _size(file: str) -> int:
    """Bytes of a file, by which its share of the work is guessed; 0 for what has no size."""
    with suppress(OSError, ValueError):
        return os.stat(file).st_size
    return 0
