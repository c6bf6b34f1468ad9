"""`phonestream align FOLDER`: every recording below a folder with the transcript beside it, in several processes."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from .align_output import remarks, render, render_channels
from .align_recording import Channel, align_file, read_speakers, read_transcript
from .run_batch import run_batch
from .run_options import RunOptions

if TYPE_CHECKING:
    from ..asr.lexicon.lexicon import Lexicon
    from ..batch.entries import Entry, Source
    from ..batch.output import Output
    from ..batch.sinks import ResultSink
    from ..batch.task import Progress, Result
    from ..formats.options import Options
    from ..streaming.recognizer import Recognizer

SUFFIXES = (".txt", ".lab", ".textgrid")
"""Of transcripts, in lower case; the first that is there counts."""


class AlignSpec(NamedTuple):
    """What is done with each recording of a corpus, and what for."""

    model: str
    threads: int
    form: str
    """The name of a format."""
    options: "Options"
    phonemes: bool
    dictionary: "str | Lexicon | None"
    """Its file, or what was read of it; None for the bundled one."""
    time_shifts: int
    channel: Channel
    tier: str | None
    """The name of that with the utterances, in TextGrids."""
    refuse: bool
    """Whether a transcript that does not fit is an error."""

    def open(self) -> "Opened":
        """The model and the lexicon.

        Raises:
            ModelError, DataError: one of them cannot be used.
        """
        from ..asr.lexicon.lexicon import Lexicon, bundled
        from ..streaming.recognizer import Recognizer

        lexicon = self.dictionary
        if not isinstance(lexicon, Lexicon):
            lexicon = bundled() if lexicon is None else Lexicon(lexicon)
        return Opened(Recognizer(self.model, threads=self.threads), lexicon, self)


class Opened(NamedTuple):
    """What all recordings of a corpus are aligned with."""

    recognizer: "Recognizer"
    lexicon: "Lexicon"
    spec: AlignSpec


class AlignTask(NamedTuple):
    """A recording that is to be aligned."""

    source: "Source"
    transcript: str

    def run(self, opened: Opened, output: "Output | None", progress: "Progress") -> "Result":
        """Align the recording and write the result, whole or not at all. Equal tasks give equal bytes.

        Args:
            opened: from `AlignSpec.open`.
            output: the output folder.
            progress: see `batch.task.Progress`.
        """
        from ..batch.output import result_folder
        from ..batch.task import whole_result
        from ..batch.transcription import errors_named
        from ..formats.registry import find

        spec, file, said = opened.spec, self.source.path, self.transcript
        of_recording: list[str] = []
        misfits: list[str] = []

        def write(sink: "ResultSink") -> tuple[float, Sequence[str]]:
            tiers = spec.channel == "tiers"
            with errors_named(self.source):
                aligned = align_file(
                    opened.recognizer,
                    file,
                    read_speakers(said) if tiers else [read_transcript(said, spec.tier)],
                    transcript=said,
                    channel=spec.channel,
                    time_shifts=spec.time_shifts,
                    tell=of_recording.append,
                    progress=progress,
                    phonemes=spec.phonemes,
                    lexicon=opened.lexicon,
                    refuse=spec.refuse,
                )
                options = replace(spec.options, folder=result_folder(output, self.source.stem))
                data = (
                    render_channels(aligned, file, options)
                    if tiers
                    else render(aligned[0].alignment, file, spec.form, options)
                )
                sink.open(None, find(spec.form).extension).write(data)
            misfits.extend(f"{file}: {remark}" for found in aligned for remark in remarks(found.alignment))
            return aligned[0].alignment.seconds, ()

        result = whole_result(self.source, output, write)
        return result._replace(remarks=tuple(of_recording), misfits=tuple(misfits))


def align_corpus(folder: str, spec: AlignSpec, options: RunOptions) -> bool:
    """Align the recordings below a folder and write results below `--output`, which mirrors its tree.

    Args:
        folder: has recordings with transcripts beside them.
        spec: how they are aligned.
        options: where results go, what is there already, and who does the work.

    Returns:
        Whether all were aligned and every transcript fits.

    Raises:
        PhonestreamError: as `run_batch`.
    """
    from ..asr.lexicon.lexicon import Lexicon
    from ..batch.sources import expand
    from ..batch.task import Settings

    entries, transcripts = with_transcripts(list(expand([folder])))
    names = list(transcripts.values())
    if isinstance(spec.dictionary, str):
        names.append(spec.dictionary)
        if not os.path.isfile(spec.dictionary):
            # A pipe can be read once, and by this process alone.
            spec = spec._replace(dictionary=Lexicon(spec.dictionary))
    return run_batch(
        entries,
        Settings(formats=(spec.form,)),
        lambda source: AlignTask(source, transcripts[source.path]),
        spec,
        options,
        label="aligning",
        names=names,
        printer=None,
    )


def with_transcripts(entries: "Sequence[Entry]") -> "tuple[list[Entry], dict[str, str]]":
    """Entries, a failure in the place of each without a transcript; the transcripts by the recordings' paths."""
    from ..batch.entries import Failure, Source

    kept, transcripts = list[Source | Failure](), dict[str, str]()
    beside: dict[str, dict[str, str]] = {}  # folder -> name in lower-case suffix -> name
    for entry in entries:
        if not isinstance(entry, Source):
            kept.append(entry)
            continue
        folder, name = os.path.split(entry.path)
        if folder not in beside:
            beside[folder] = {}
            for other in sorted(os.listdir(folder or os.curdir)):
                stem, suffix = os.path.splitext(other)
                beside[folder].setdefault(stem + suffix.lower(), other)
        stem = os.path.splitext(name)[0]
        found = [beside[folder][stem + suffix] for suffix in SUFFIXES if stem + suffix in beside[folder]]
        if found:
            transcripts[entry.path] = os.path.join(folder, found[0])
            kept.append(entry)
        else:
            kept.append(
                Failure.of(
                    entry.path,
                    f"has no transcript; write what is said to {stem}.txt, .lab or .TextGrid beside it",
                )
            )
    return kept, transcripts
