"""`phonestream align FOLDER`: every recording below a folder with the transcript beside it, in several processes."""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError, PhonestreamError, reason_of
from .align_output import remarks, render, render_channels
from .align_recording import Channel, align_file, read_speakers, read_transcript
from .failures import failure_list
from .output import complain
from .progress import Bar

if TYPE_CHECKING:
    from ..asr.lexicon.lexicon import Lexicon
    from ..batch.entries import Entry, Source
    from ..batch.output import Output
    from ..batch.plan import Existing
    from ..batch.task import Progress, Result
    from ..formats.options import Options
    from ..streaming.recognizer import Recognizer

SUFFIXES = (".txt", ".lab", ".textgrid")
"""Of transcripts, in lower case; the first that is there counts."""


class Settings(NamedTuple):
    """What is done with each recording of a corpus."""

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

    def open(self) -> "tuple[Recognizer, Lexicon]":
        """The model and the lexicon.

        Raises:
            ModelError, DataError: one of them cannot be used.
        """
        from ..asr.lexicon.lexicon import Lexicon, bundled
        from ..streaming.recognizer import Recognizer

        lexicon = self.dictionary
        if not isinstance(lexicon, Lexicon):
            lexicon = bundled() if lexicon is None else Lexicon(lexicon)
        return Recognizer(self.model, threads=self.threads), lexicon


class AlignTask(NamedTuple):
    """A recording that is to be aligned."""

    source: "Source"
    transcript: str
    settings: Settings

    def run(
        self, opened: "tuple[Recognizer, Lexicon]", output: "Output | None", progress: "Progress"
    ) -> "Result":
        """Align the recording and write the result, whole or not at all. Equal tasks give equal bytes.

        Args:
            opened: from `Settings.open`.
            output: the output folder.
            progress: not called; a recording is one step.
        """
        from ..batch.output import result_folder
        from ..batch.output_folder import output_folder
        from ..batch.task import Result
        from ..formats.registry import find
        from ..streaming.audio.recording import unexpected

        assert output is not None
        recognizer, lexicon = opened
        file, settings = self.source.path, self.settings
        sink = output_folder(output).sink(self.source.stem)
        of_recording: list[str] = []
        try:
            tiers = settings.channel == "tiers"
            said = self.transcript
            aligned = align_file(
                recognizer,
                file,
                read_speakers(said) if tiers else [read_transcript(said, settings.tier)],
                transcript=self.transcript,
                channel=settings.channel,
                time_shifts=settings.time_shifts,
                tell=of_recording.append,
                phonemes=settings.phonemes,
                lexicon=lexicon,
                refuse=settings.refuse,
            )
            options = replace(settings.options, folder=result_folder(output, self.source.stem))
            data = (
                render_channels(aligned, file, options)
                if tiers
                else render(aligned[0].alignment, file, settings.form, options)
            )
            sink.open(None, find(settings.form).extension).write(data)
            sink.commit()
        except PhonestreamError as error:
            failure = str(error)
        except OSError as error:  # of writing: a recording that cannot be read is an AudioError
            failure = f"{file}: its result cannot be written: {reason_of(error)}; make room"
        except Exception as error:  # whatever it is, the other recordings go on
            failure = str(unexpected(file, error))
        else:
            misfits = tuple(f"{file}: {remark}" for found in aligned for remark in remarks(found.alignment))
            return Result(aligned[0].alignment.seconds, remarks=tuple(of_recording), misfits=misfits)
        finally:
            sink.discard()
        return Result(failure=failure, remarks=tuple(of_recording))


def align_corpus(
    folder: str,
    settings: Settings,
    output: "Output",
    existing: "Existing",
    jobs: int,
    failure_file: str | None = None,
) -> bool:
    """Align the recordings below a folder and write results below `output`, which mirrors its tree.

    Results do not depend on `jobs`. Failures and remarks are printed as they come, failures again at the end, and
    written to `failure_file`, as `failures.failure_list` has it.

    Returns:
        Whether all were aligned and every transcript fits.

    Raises:
        ConfigError: results exist and are neither to be kept nor to be replaced, a transcript would be replaced, or the
            list of failures cannot be written or would replace what is read.
        ModelError, DataError: the model or the dictionary cannot be used.
        PhonestreamError: processes cannot start.
    """
    from ..asr.lexicon.lexicon import Lexicon
    from ..batch.entries import Source, paths
    from ..batch.executor import in_order
    from ..batch.inputs import check_not_read
    from ..batch.output_folder import output_folder
    from ..batch.plan import plan_outputs
    from ..batch.processes import local_executor
    from ..batch.run import Outcome
    from ..batch.sources import expand
    from ..batch.statistics import interrupted, with_failures
    from ..batch.task import Result
    from ..batch.task import Settings as Files
    from ..formats.registry import find

    entries, transcripts = with_transcripts(list(expand([folder])))
    dictionary = settings.dictionary if isinstance(settings.dictionary, str) else None
    if failure_file is not None:
        read = [*paths(entries), *transcripts.values(), dictionary]
        check_not_read([failure_file], read, "give --failures another name")
    results_folder = output_folder(output)
    extension = find(settings.form).extension
    for entry in entries:
        if isinstance(entry, Source):
            target = results_folder.target(entry.stem, None, extension)
            if os.path.realpath(target) == os.path.realpath(transcripts[entry.path]):
                raise ConfigError(f"{target}: is a transcript, which is not replaced; give another --output")
    left, done = plan_outputs(entries, Files(formats=(settings.form,)), output, existing)
    tasks = [
        AlignTask(entry, transcripts[entry.path], settings) for entry in left if isinstance(entry, Source)
    ]
    if dictionary is not None and not os.path.isfile(dictionary):
        # A pipe can be read once, and by this process alone.
        settings = settings._replace(dictionary=Lexicon(dictionary))
        tasks = [task._replace(settings=settings._replace(dictionary=None)) for task in tasks]
    failures: list[str] = []
    fine = True
    reported = 0
    completed = local_executor(tasks, jobs, settings, output).run(tasks, lambda *_: None)
    try:
        with (
            failure_list(failure_file) as note_failure,
            Bar("aligning") as bar,
            closing(in_order(completed)) as results,
        ):

            def report(entry: "Entry", result: Result) -> None:
                nonlocal fine, reported
                reported += 1
                wrong = result.misfits if result.failure is None else (result.failure,)
                for line in (*result.remarks, *wrong):
                    bar.hide()
                    complain(line)
                note_failure(Outcome(entry, result))
                if result.failure is not None:
                    failures.append(result.failure)
                fine = fine and not wrong

            for entry in left:
                if not isinstance(entry, Source):
                    report(entry, Result(failure=entry.reason))
            for count, (task, result) in enumerate(zip(tasks, results, strict=True), start=1):
                report(task.source, result)
                bar(count, len(tasks))
    except KeyboardInterrupt:
        complain(interrupted(done + reported - len(failures), done + len(left)))
        raise
    finally:
        results_folder.clean()
    before = f"; {done} done before" if done else ""
    summary = f"{len(left) - len(failures)} of {len(left)} recordings aligned{before}"
    for line in with_failures(summary, failures):
        complain(line)
    return fine


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
