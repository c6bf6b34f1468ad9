"""The work on one recording as a pure function, `Task` in and `Result` out, for whatever runs it where."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import NamedTuple, TypeAlias

from ..errors import PhonestreamError, reason_of
from ..formats.document import Document, Interval
from ..formats.registry import FORMATS, Options, needs_intervals
from ..formats.tiling import tile
from ..streaming.arrays import FloatArray
from ..streaming.decoding.config import Decoding
from ..streaming.recognizer import Recognizer
from . import posteriors
from .entries import Source
from .output import Output, result_folder
from .output_folder import output_folder
from .posteriors import PosteriorsWriter
from .sinks import MemorySink, Payload, ResultSink
from .transcription import EACH, MIX, TIERS, ChannelResult, transcribe_source


@dataclass(frozen=True)
class Settings:
    """What is asked of every recording of a run."""

    formats: tuple[str, ...] = ("json",)
    """Names in `phonestream.formats.registry.FORMATS`."""
    options: Options = field(default_factory=Options)
    channel: str | int = MIX
    """`mix`, `each` or `tiers`, or the number of one, counted from 1."""
    n_best: int = 1
    """Transcripts that JSON lists, from a recogniser that decodes by beam search."""
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


class ModelSpec(NamedTuple):
    """How to open the model, in this process or another."""

    model: str = "default"
    threads: int = 1
    provider: str = "cpu"
    decoder: Decoding | None = None

    def open(self) -> Recognizer:
        """The recogniser.

        Raises:
            ModelError: it cannot be had, or not run here.
        """
        return Recognizer(self.model, threads=self.threads, provider=self.provider, decoder=self.decoder)


class Result(NamedTuple):
    """What became of a task."""

    seconds: float = 0.0  # of audio
    failure: str | None = None  # why there is nothing, in one line that names the recording
    payloads: tuple[Payload, ...] = ()  # where there is no output folder; whoever takes them closes them
    remarks: tuple[str, ...] = ()  # warnings about a recording that was transcribed, in lines that name it
    misfits: tuple[str, ...] = ()  # where a transcript and its recording differ, in lines that name it

    def in_memory(self) -> "Result":
        """The same with payloads that can be sent to another process."""
        kept = []
        for payload in self.payloads:
            with payload.file as file:
                kept.append(payload._replace(file=BytesIO(file.read())))
        return self._replace(payloads=tuple(kept))


Progress: TypeAlias = Callable[[float, float | None], object]
"""Called with the seconds that are decoded, and how many there are if that is known."""


class Task(NamedTuple):
    """One recording to be transcribed."""

    source: Source
    settings: Settings

    def run(self, opened: Recognizer, output: Output | None, progress: Progress) -> Result:
        """`run_task`, for an executor."""
        return run_task(self, opened, output, progress)


def run_task(
    task: Task, recognizer: Recognizer, output: Output | None = None, progress: Progress = lambda *_: None
) -> Result:
    """Transcribe a recording, in memory that does not grow with the audio.

    Equal tasks and models give equal bytes, wherever it runs.

    Args:
        task: the recording, and what is wanted of it.
        recognizer: transcribes it.
        output: where its results are written, each whole or not at all; None: they come with the result.
        progress: see `Progress`.
    """
    source, settings = task

    def write(sink: ResultSink) -> tuple[float, Sequence[str]]:
        channels = _transcribe(sink, task, recognizer, progress)
        options = settings.options
        if output is not None:
            options = replace(options, folder=result_folder(output, source.stem))
        _write(sink, task, channels, options)
        return channels[0].seconds, channels[0].remarks

    return whole_result(source, output, write)


def whole_result(
    source: Source, output: Output | None, write: Callable[[ResultSink], tuple[float, Sequence[str]]]
) -> Result:
    """What `write` makes of a recording, kept whole or not at all; what is wrong with the recording is a result, too.

    Args:
        source: the recording.
        output: where results are written; None: they come with the result.
        write: puts them into a sink; returns seconds of audio, and warnings in lines that do not name it.
    """
    name = f"{source.where}{source.path}"
    sink = MemorySink() if output is None else output_folder(output).sink(source.stem)
    try:
        seconds, remarks = write(sink)
        sink.commit()
    except PhonestreamError as error:
        sink.discard()
        return Result(failure=str(error))
    except OSError as error:  # of writing: a recording that cannot be read is an AudioError
        sink.discard()
        return Result(failure=f"{name}: its results cannot be written: {reason_of(error)}; make room")
    except BaseException:
        sink.discard()
        raise
    return Result(
        seconds,
        payloads=tuple(sink.payloads) if isinstance(sink, MemorySink) else (),
        remarks=tuple(f"{name}: {remark}" for remark in remarks),
    )


def _transcribe(
    sink: ResultSink, task: Task, recognizer: Recognizer, progress: Progress
) -> list[ChannelResult]:
    """The result of each channel; log-probabilities, if they are wanted, go into `sink` meanwhile."""
    source, settings = task
    writers: dict[int | None, PosteriorsWriter] = {}

    def write_rows(channel: int | None, rows: FloatArray) -> None:
        if channel not in writers:
            file = sink.open(channel if settings.channel == EACH else None, posteriors.EXTENSION)
            writers[channel] = PosteriorsWriter(file, recognizer.metadata)
        writers[channel].add(rows)

    channels = transcribe_source(
        source,
        recognizer,
        channel=settings.channel,
        n_best=settings.n_best,
        on_rows=write_rows if settings.posteriors else None,
        progress=progress,
    )
    for writer in writers.values():
        writer.finish()
    return channels


def _write(sink: ResultSink, task: Task, channels: Sequence[ChannelResult], options: Options) -> None:
    """The files of a recording, in every format."""
    source, settings = task
    forms = [FORMATS[name] for name in settings.formats]
    if settings.channel == TIERS:
        documents = [_document(source, settings, channel) for channel in channels]
        for form in forms:
            assert form.write_channels is not None
            sink.open(None, form.extension).write(form.write_channels(documents, options))
        return
    for channel in channels:
        document = _document(source, settings, channel)
        number = channel.channel if settings.channel == EACH else None
        for form in forms:
            sink.open(number, form.extension).writelines(form.chunks(document, options))


def _document(source: Source, settings: Settings, result: ChannelResult) -> Document:
    intervals: tuple[Interval, ...] = ()
    if needs_intervals(map(FORMATS.__getitem__, settings.formats), settings.options):
        intervals = tile(result.phones, result.seconds)
    return Document(
        source.name,
        result.seconds,
        result.phones,
        intervals,
        channel=result.channel,
        alternatives=result.alternatives,
        lost=result.lost,
    )
