"""`phonestream plot`: a picture of a stretch of speech and of what the model hears in it."""

import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import AudioError, ConfigError
from .existing import check_new
from .output import complain, native_remarks_off, printable, write
from .progress import Bar
from .shared_options import ModelOption, phones_option

if TYPE_CHECKING:
    from ..formats.picture import Excerpt
    from ..streaming.recognizer import Recognizer

WHOLE = 15.0  # seconds of a recording that are drawn unasked ...
FIRST = 10.0  # ... and of a longer one
LONGEST = 60.0  # seconds of a picture
BEYOND = 2.0  # seconds heard after the stretch, so that every phone in it is decided as if all had been heard


def plot(
    audio: Annotated[str, typer.Argument(help="An audio file; - is standard input.")],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A .png, .svg or .pdf. Without it: AUDIO's name with .png, in this folder."
        ),
    ] = None,
    start: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Where the picture begins.")] = 0.0,
    end: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help=f"Where it ends. Without it: the recording's end, or {FIRST:g} s on if that is far.",
        ),
    ] = None,
    phones: Annotated[str, phones_option("Names of the phones")] = "arpabet",
    model: ModelOption = "default",
    width: Annotated[
        float | None,
        typer.Option(min=3, max=40, metavar="INCHES", help="Without it: an inch a second, from 6.5 to 15."),
    ] = None,
    dpi: Annotated[int, typer.Option(min=30, max=1200, help="Pixels an inch, in .png.")] = 200,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture that exists.")] = False,
) -> None:
    """Draw waveform, spectrogram, phones and posteriors of a recording."""
    import matplotlib  # noqa: F401  # if it is missing, that is said before a long recording is heard

    from ..formats.phone_sets import names
    from ..formats.picture import check_suffix, draw, save
    from ..streaming.recognizer import Recognizer

    target = Path(f"{'stdin' if audio == '-' else Path(audio).stem}.png") if output is None else output
    check_suffix(target)
    check_new(target, overwrite, [audio])
    if end is not None and end <= start:
        raise typer.BadParameter(f"{end:g} is not after --start {start:g}", param_hint="--end")
    recognizer = Recognizer(model)
    names(recognizer.phones, phones)  # a set that is not there is said before a long recording is heard
    with Bar("listening") as bar:
        excerpt, seconds, remarks = hear_excerpt(recognizer, audio, start, end, bar)
    for remark in remarks:
        complain(f"{audio}: {remark}")
    if end is None and excerpt.end < seconds:
        stretch = f"the first {FIRST:g} s" if start == 0 else f"{start:g} to {excerpt.end:g} s"
        complain(f"{audio}: longer than {WHOLE:g} s, so {stretch} are drawn; --start and --end choose others")
    save(draw(excerpt, phone_set=phones, width=width), target, dpi)
    count = len(excerpt.phones)
    heard = f"{count} phone{'' if count == 1 else 's'}"
    write(f"{printable(str(target))}: {excerpt.start:.2f} to {excerpt.end:.2f} s, {heard}")


def hear_excerpt(
    recognizer: "Recognizer",
    file: str,
    start: float,
    end: float | None,
    progress: Callable[[float, float], object] = lambda done, total: None,
) -> "tuple[Excerpt, float, tuple[str, ...]]":
    """A stretch of a file with the phones that `transcribe` gives for it, the seconds of audio that are known, remarks.

    The recording is heard from its beginning, as what is heard of it depends on all that came before; of what lies
    outside the stretch nothing is kept.

    Args:
        start: seconds.
        end: seconds; None: the recording's end if that is at most 15 s after `start`, otherwise 10 s after it.
        progress: called with the seconds that have been heard and those that will be.

    Raises:
        AudioError: the file cannot be used, or ends before `start`.
        ConfigError: the stretch is longer than 60 s.
    """
    import numpy as np

    from ..formats.picture import Excerpt
    from ..formats.tiling import tile
    from ..streaming.audio.channels import Mixed
    from ..streaming.audio.files import open_audio
    from ..streaming.audio.samples import mono
    from ..streaming.recording import accept_block

    with native_remarks_off():
        opened = Mixed(open_audio(file))
    meta = recognizer.metadata
    stream = recognizer.stream(posteriors=True)
    with closing(opened):
        rate = opened.sample_rate
        until = start + WHOLE if end is None else end
        if min(until, opened.seconds or until) - start > LONGEST:
            raise ConfigError(
                f"{until - start:g} s do not fit into a picture: "
                f"give a --start and an --end at most {LONGEST:g} s apart"
            )
        total = min(until + BEYOND, opened.seconds or until + BEYOND)
        heard, samples, rows = [], [], []
        received, first_row = 0, 0
        for block in opened.blocks():
            heard += accept_block(stream, opened, block)
            received += len(block)
            if received > start * rate:
                samples.append(mono(block)[max(0, round(start * rate) - received + len(block)) :])
                rows.append(stream.take_posteriors())
            else:
                first_row += len(stream.take_posteriors())
            progress(min(stream.seconds, total), total)
            if stream.seconds >= total:
                break
    heard += stream.finish()
    rows.append(stream.take_posteriors())
    seconds = received / rate
    if not sum(map(len, samples)):
        raise AudioError(f"{file}: ends at {seconds:.2f} s; give a --start before that")
    if end is None and seconds > until:
        until = start + FIRST
    audio = np.concatenate(samples)[: max(1, round((until - start) * rate))]
    until = start + len(audio) / rate
    clock = first_row * meta.row_seconds - meta.time_offset_seconds  # when the first row at hand begins
    ahead = max(0, int((start - clock) / meta.row_seconds))
    beyond = max(ahead, math.ceil((until - clock) / meta.row_seconds))
    log_probs = np.concatenate(rows)[ahead:beyond]
    tiled = tile(heard, stream.seconds)
    return (
        Excerpt(
            title=file,
            samples=audio,
            rate=rate,
            start=start,
            phones=tuple(phone for phone in heard if phone.end > start and phone.start < until),
            intervals=tuple(
                part for part in tiled if part.symbol and part.end > start and part.start < until
            ),
            posteriors=np.exp(np.delete(log_probs, meta.blank, axis=1)),
            symbols=meta.phones,
            first_row=clock + ahead * meta.row_seconds,
            row_seconds=meta.row_seconds,
        ),
        seconds,
        opened.remarks,
    )
