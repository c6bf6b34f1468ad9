"""`phonestream listen`: a microphone in, phones out while they are being spoken."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Format, native_remarks_off
from .shared_options import DecoderOption, ModelOption, format_option, phones_option, visemes_option

if TYPE_CHECKING:
    from ..streaming.audio.microphone import Chunk

PREROLL_SECONDS = 0.3  # of audio that are there before the person is told to speak


def listen(
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|NUMBER",
            help="What to listen to, as `phonestream devices` lists it.",
            show_default="default",
        ),
    ] = None,
    form: Annotated[Format, format_option("one line of JSON for each event")] = Format.text,
    phones: Annotated[str, phones_option("Names of the phones in text")] = "arpabet",
    visemes: Annotated[str | None, visemes_option("Events of mouth shapes too")] = None,
    model: ModelOption = "default",
    decoder: DecoderOption = None,
    spot: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Tell when this is said; again for more keywords."),
    ] = None,
    commands: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Tell at the end of each utterance which command of this list it was: as of `phonestream spot`.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Least score of a keyword that is told and of a command that is accepted, from 0 to 1.",
            show_default="0.5",
        ),
    ] = None,
    chunk: Annotated[
        float, typer.Option(min=5, max=1000, metavar="MS", help="Milliseconds of audio heard at a time.")
    ] = 40,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, metavar="S", help="Stop by itself after so much audio.")
    ] = None,
    save: Annotated[
        str | None, typer.Option(metavar="FILE.wav", help="Keep the audio; what was lost is silence in it.")
    ] = None,
    reconnect: Annotated[
        bool, typer.Option("--reconnect", help="When the device goes away, wait until it is back.")
    ] = False,
    buffer: Annotated[
        float,
        typer.Option(
            min=0.1, max=600, metavar="S", help="Audio that may wait when the computer cannot keep up."
        ),
    ] = 30,
) -> None:
    """Print phonemes from a microphone as they are spoken. Ctrl-C ends it."""
    from ..formats.phone_sets import names
    from ..streaming.audio.devices import devices, find
    from ..streaming.audio.microphone import Microphone, MicrophoneGoneError
    from ..streaming.events import Listening
    from ..streaming.recognizer import Recognizer
    from ..streaming.spotting.commands import Commands
    from ..streaming.spotting.keywords import THRESHOLD, Keywords
    from ..streaming.visemes import check_visemes
    from .listen_display import display_for
    from .listen_session import Session, chunks, first
    from .recording import Recording

    if threshold is not None and not spot and commands is None:
        raise typer.BadParameter(
            "is of keywords and commands: give --spot or --commands, too", param_hint="--threshold"
        )
    if visemes is not None and form is not Format.json:
        raise typer.BadParameter("are events: give --format json", param_hint="--visemes")
    limit = THRESHOLD if threshold is None else threshold
    keywords = Keywords(spot, threshold=limit) if spot else None
    known = Commands.read(commands, threshold=limit) if commands is not None else None
    with ExitStack() as stack:
        stack.enter_context(others_remarks_off())
        interrupted = stack.enter_context(interruptible())
        # It listens while the model is still being read, so that nothing is cut when the person may speak.
        microphone = stack.enter_context(
            Microphone(find(device, devices()), chunk_ms=chunk, buffer_seconds=buffer)
        )
        rate = microphone.sample_rate
        recognizer = Recognizer(model, decoder=decoder)
        called = names(recognizer.phones, phones)
        if visemes is not None:
            check_visemes(visemes, recognizer.phones)
        recording = stack.enter_context(Recording(save, rate)) if save is not None else None
        display = stack.enter_context(display_for(form is Format.json, called))
        session = Session(recognizer, microphone, recording, display, keywords, known, visemes)
        source = chunks(microphone, reconnect, interrupted, display.remark)
        if seconds is not None:
            source = first(source, round(seconds * rate))
        failure = None
        try:
            early = list(preroll(source, PREROLL_SECONDS * rate))
            display.show(Listening(str(microphone.device), rate, model, session.look_ahead))
            for piece in chain(early, source):
                session.take(piece)
        except MicrophoneGoneError as error:
            failure = error
        session.finish(failure)
    if failure is not None:
        raise failure
    if not session.complete:
        raise typer.Exit(1)


def preroll(source: "Iterator[Chunk]", samples: float) -> "Iterator[Chunk]":
    """Chunks of `source` that hold `samples`."""
    while samples > 0 and (chunk := next(source, None)) is not None:
        samples -= chunk.lost + len(chunk.samples)
        yield chunk


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C and SIGTERM only make the function that it gives say so; a second one interrupts at once."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def others_remarks_off() -> Iterator[None]:
    """Inside, only Python writes on standard error.

    ALSA and PortAudio print there what went wrong, from threads of their own and at any time, though PortAudio
    reports it as well.
    """
    try:
        ours = os.fdopen(os.dup(2), "w", errors="backslashreplace")
    except OSError:  # closed by whoever started us
        yield
        return
    with ours, native_remarks_off():
        before, sys.stderr = sys.stderr, ours
        try:
            yield
        finally:
            sys.stderr = before
