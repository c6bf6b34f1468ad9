"""The work on one recording as a pure function, `Task` in and results out, for whatever runs it where."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from ..errors import PhonestreamError
from ..formats.document import Document, Interval
from ..formats.registry import FORMATS, Options, needs_intervals
from ..formats.tiling import Tiler
from ..streaming.arrays import FloatArray
from ..streaming.recognizer import Recognizer
from . import posteriors
from .entries import Source
from .hearing import EACH, MIX, Heard, hear
from .places import place
from .posteriors import PosteriorsWriter
from .sinks import Sink, Spool


@dataclass(frozen=True)
class Settings:
    """What is asked of every recording of a run."""

    formats: tuple[str, ...] = ("json",)
    """Names in `phonestream.formats.registry.FORMATS`."""
    options: Options = field(default_factory=Options)
    channel: str | int = MIX
    """`mix`, `each`, or the number of one, counted from 1."""
    n_best: int = 1
    """Transcripts that JSON tells of, from a recogniser that decodes by beam search."""
    posteriors: bool = False
    """Whether log-probabilities are kept too, as safetensors."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """Of the files that a recording comes to."""
        kept = (posteriors.EXTENSION,) if self.posteriors else ()
        return (*(FORMATS[name].extension for name in self.formats), *kept)

    @property
    def first_channel(self) -> int | None:
        """Of the file that takes its name last."""
        return 1 if self.channel == EACH else None


class Task(NamedTuple):
    """One recording to be decoded."""

    source: Source
    settings: Settings


class Payload(NamedTuple):
    """One result of a recording."""

    channel: int | None  # counted from 1, where each channel has its own
    extension: str
    data: bytes


class Result(NamedTuple):
    """What became of a task. It can be sent to another process."""

    seconds: float = 0.0  # of audio
    failure: str | None = None  # why there is nothing, in one line that names the recording
    payloads: tuple[Payload, ...] = ()
    remarks: tuple[
        str, ...
    ] = ()  # what a person should know of a recording that was heard, in lines that name it


Progress: TypeAlias = Callable[[float, float | None], object]
"""Called with the seconds that have been heard, and how many there are if that is known."""


def ignore(heard: float, length: float | None) -> None:
    """No progress is shown."""


def decode(task: Task, recognizer: Recognizer, progress: Progress = ignore) -> Result:
    """The results of a recording as bytes. Equal tasks and models give equal bytes, wherever it runs."""
    spool = Spool()
    result = decode_into(spool, task, recognizer, progress)
    kept = []
    for payload in spool.payloads:
        with payload.file as file:
            kept.append(Payload(payload.channel, payload.extension, file.read()))
    return result._replace(payloads=tuple(kept))


def store(task: Task, recognizer: Recognizer, folder: str, progress: Progress = ignore) -> Result:
    """Write the results of a recording below `folder`, each whole or not at all."""
    return decode_into(place(folder).sink(task.source.stem), task, recognizer, progress)


def decode_into(sink: Sink, task: Task, recognizer: Recognizer, progress: Progress = ignore) -> Result:
    """The results of a recording into `sink`, in memory that does not grow with what is merely heard."""
    source, settings = task
    try:
        heard = _hear(sink, task, recognizer, progress)
        for one in heard:
            document = _document(source, settings, one)
            for name in settings.formats:
                with_channel = one.channel if settings.channel == EACH else None
                file = sink.open(with_channel, FORMATS[name].extension)
                file.writelines(FORMATS[name].chunks(document, settings.options))
        sink.commit()
    except PhonestreamError as error:
        sink.discard()
        return Result(failure=str(error))
    except OSError as error:  # of writing: a recording that cannot be read is an AudioError
        sink.discard()
        reason = error.strerror or str(error)
        return Result(
            failure=f"{source.where}{source.path}: its results cannot be written: {reason}; make room"
        )
    except BaseException:
        sink.discard()
        raise
    return Result(
        heard[0].seconds, remarks=tuple(f"{source.where}{source.path}: {one}" for one in heard[0].remarks)
    )


def _hear(sink: Sink, task: Task, recognizer: Recognizer, progress: Progress) -> list[Heard]:
    """What was heard in each channel; the log-probabilities, if they are wanted, go into `sink` meanwhile."""
    source, settings = task
    writers: dict[int | None, PosteriorsWriter] = {}

    def keep(channel: int | None, rows: FloatArray) -> None:
        if channel not in writers:
            file = sink.open(channel if settings.channel == EACH else None, posteriors.EXTENSION)
            writers[channel] = PosteriorsWriter(file, recognizer.metadata)
        writers[channel].add(rows)

    rows = keep if settings.posteriors else None
    heard = hear(
        source,
        recognizer,
        channel=settings.channel,
        n_best=settings.n_best,
        rows=rows,
        progress=progress,
    )
    for writer in writers.values():
        writer.finish()
    return heard


def _document(source: Source, settings: Settings, heard: Heard) -> Document:
    intervals: tuple[Interval, ...] = ()
    if needs_intervals(map(FORMATS.__getitem__, settings.formats), settings.options):
        tiler = Tiler()
        intervals = (*tiler.add(heard.phones), *tiler.finish(heard.seconds))
    return Document(
        source.name,
        heard.seconds,
        heard.phones,
        intervals,
        channel=heard.channel,
        alternatives=heard.alternatives,
    )
