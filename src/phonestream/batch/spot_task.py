"""Keywords in a recording of a run, or which command it is: work for the executors, as `task.Task` is."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ..formats.spotted import COMMAND_FORMATS, SPOT_FORMATS, Spots, Told
from ..streaming.audio.channels import MixLevel
from ..streaming.audio.samples import mono
from ..streaming.recognizer import Recognizer
from ..streaming.spotting.command_clip import hear_clip, read_clip
from ..streaming.spotting.commands import CommandRecognizer, Commands
from ..streaming.spotting.keywords import Keywords
from .entries import Source
from .output import Output, result_folder
from .sinks import ResultSink
from .task import Progress, Result, Settings, whole_result
from .transcription import EACH, MIX, choose_channels, opened, source_blocks, source_lost, transcribe_source

Opened: TypeAlias = tuple[Recognizer, Keywords | CommandRecognizer]


class SpotSpec(NamedTuple):
    """How to open the model and what is looked for, in this process or another."""

    model: str
    threads: int
    provider: str
    sought: Keywords | Commands

    def open(self) -> Opened:
        """The recogniser, and what is looked for in a form that is ready.

        Raises:
            ModelError: the model cannot be had, or not run here.
            ConfigError: keywords or commands in phones that the model has not.
        """
        recognizer = Recognizer(self.model, threads=self.threads, provider=self.provider, decoder="greedy")
        if isinstance(self.sought, Commands):
            return recognizer, CommandRecognizer(recognizer.metadata.decoder, self.sought)
        recognizer.open_spotter(self.sought)
        return recognizer, self.sought


class SpotTask(NamedTuple):
    """A recording in which keywords are looked for, or that is a command."""

    source: Source
    settings: Settings
    """Formats are names in `SPOT_FORMATS`, or for commands in `COMMAND_FORMATS`."""

    def run(self, opened: Opened, output: Output | None, progress: Progress) -> Result:
        """Do it, in memory that does not grow with the audio. Equal tasks, models and keywords give equal bytes.

        Args:
            opened: from `SpotSpec.open`.
            output: where its results are written, each whole or not at all; None: they come with the result.
            progress: see `task.Progress`; not called for commands, which are short.
        """
        recognizer, sought = opened

        def write(sink: ResultSink) -> tuple[float, Sequence[str]]:
            if isinstance(sought, Keywords):
                return self._spot(sink, recognizer, sought, output, progress)
            return self._tell(sink, recognizer, sought)

        return whole_result(self.source, output, write)

    def _spot(
        self,
        sink: ResultSink,
        recognizer: Recognizer,
        keywords: Keywords,
        output: Output | None,
        progress: Progress,
    ) -> tuple[float, Sequence[str]]:
        channels = transcribe_source(
            self.source, recognizer, channel=self.settings.channel, keywords=keywords, progress=progress
        )
        folder = self.settings.options.folder if output is None else result_folder(output, self.source.stem)
        for one in channels:
            found = Spots(self.source.name, one.seconds, one.spotted, one.channel, folder, one.lost)
            for form in map(SPOT_FORMATS.__getitem__, self.settings.formats):
                sink.open(self._number(one.channel), form.extension).write(form.write(found))
        return channels[0].seconds, channels[0].remarks

    def _tell(
        self, sink: ResultSink, recognizer: Recognizer, commands: CommandRecognizer
    ) -> tuple[float, Sequence[str]]:
        with opened(self.source) as audio:
            chosen = choose_channels(self.source, audio, self.settings.channel)
            block = read_clip(source_blocks(self.source, audio), audio)
            rate, remarks = audio.sample_rate, [*audio.remarks]
            lost = source_lost(self.source, audio)
        for channel, columns in chosen:
            samples = block if columns is None else block[:, columns]
            if self.settings.channel == MIX and (told := MixLevel().add(samples).remark) is not None:
                remarks.append(told)
            said = commands.recognize(*hear_clip(mono(samples), rate, recognizer))
            for form in map(COMMAND_FORMATS.__getitem__, self.settings.formats):
                content = form.write(Told(self.source.name, said, channel, lost))
                sink.open(self._number(channel), form.extension).write(content)
        return len(block) / rate, remarks

    def _number(self, channel: int | None) -> int | None:
        """In a result's name."""
        return channel if self.settings.channel == EACH else None
