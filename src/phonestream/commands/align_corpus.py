"""`phonestream align FOLDER`: every recording below a folder with the transcript beside it, in several processes."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .align_spec import AlignSpec, Opened, misfits_of
from .run_batch import run_batch
from .run_options import RunOptions

if TYPE_CHECKING:
    from ..batch.entries import Entry, Source
    from ..batch.output import Output
    from ..batch.sinks import ResultSink
    from ..batch.task import Progress, Result

SUFFIXES = (".txt", ".lab", ".textgrid")
"""Of transcripts, in lower case; the first that is there counts."""


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

        spec, file = opened.spec, self.source.path
        of_recording: list[str] = []
        misfits: list[str] = []

        def write(sink: "ResultSink") -> tuple[float, Sequence[str]]:
            with errors_named(self.source):
                speakers = spec.read(self.transcript)
                aligned = opened.align(
                    file, speakers, transcript=self.transcript, tell=of_recording.append, progress=progress
                )
                data = spec.render(aligned, file, result_folder(output, self.source.stem))
                sink.open(None, find(spec.form).extension).write(data)
            misfits.extend(misfits_of(aligned, file))
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
    from ..formats.registry import find

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
        form=find(spec.form),
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
