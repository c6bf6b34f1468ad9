"""`phonestream align FOLDER`: every recording below a folder with the transcript beside it, in several processes."""

import os
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError, PhonestreamError
from .align_output import remarks, render
from .align_recording import align_said, compute, read_transcript
from .output import complain
from .progress import Bar

if TYPE_CHECKING:
    from ..asr.lexicon.lexicon import Lexicon
    from ..batch.entries import Entry, Source
    from ..batch.output import Output
    from ..batch.plan import Existing
    from ..formats.options import Options
    from ..streaming.recognizer import Recognizer

SUFFIXES = (".txt", ".lab", ".textgrid")
"""Of transcripts, in lower case; the first that is there counts."""

SHOWN = 20  # failures that are repeated at the end


class Settings(NamedTuple):
    """What is done with each recording of a corpus."""

    model: str
    threads: int
    form: str
    """The name of a format."""
    options: "Options"
    phonemes: bool
    dictionary: str | None
    time_shifts: int
    refuse: bool
    """Whether a transcript that does not fit is an error."""
    output: "Output"

    def open(self) -> "tuple[Recognizer, Lexicon]":
        """The model and the lexicon.

        Raises:
            ModelError, DataError: one of them cannot be used.
        """
        from ..asr.lexicon.lexicon import Lexicon, bundled
        from ..streaming.recognizer import Recognizer

        lexicon = bundled() if self.dictionary is None else Lexicon(self.dictionary)
        return Recognizer(self.model, threads=self.threads), lexicon


class Task(NamedTuple):
    """A recording that is to be aligned."""

    source: "Source"
    transcript: str


class Aligned(NamedTuple):
    """What became of a recording."""

    failure: str | None = None
    """Why nothing was written, in one line that names it."""
    remarks: tuple[str, ...] = ()
    """What did not fit, in lines that name it."""


def align_corpus(folder: str, settings: Settings, existing: "Existing", jobs: int) -> bool:
    """Align the recordings below a folder and write results below `settings.output`, which mirrors its tree.

    Results do not depend on `jobs`. Failures and remarks are printed as they come, failures again at the end.

    Returns:
        Whether all were aligned and nothing was remarked.

    Raises:
        ConfigError: results exist and are neither to be kept nor to be replaced, or a transcript would be replaced.
        ModelError, DataError: the model or the dictionary cannot be used.
        PhonestreamError: a process died.
    """
    from ..batch.entries import Source
    from ..batch.output_folder import output_folder
    from ..batch.plan import plan_outputs
    from ..batch.sources import expand
    from ..batch.task import Settings as Files
    from ..formats.registry import find

    opened = settings.open()
    entries, transcripts = _with_transcripts(list(expand([folder])))
    output = output_folder(settings.output)
    extension = find(settings.form).extension
    for entry in entries:
        if isinstance(entry, Source):
            target = output.target(entry.stem, None, extension)
            if os.path.realpath(target) == os.path.realpath(transcripts[entry.path]):
                raise ConfigError(f"{target}: is a transcript, which is not replaced; give another --output")
    left, done = plan_outputs(entries, Files(formats=(settings.form,)), settings.output, existing)
    tasks = [Task(entry, transcripts[entry.path]) for entry in left if isinstance(entry, Source)]
    failures = [entry.reason for entry in left if not isinstance(entry, Source)]
    for reason in failures:
        complain(reason)
    fine = True
    try:
        with Bar("aligning") as bar:
            for count, (failure, remarked) in enumerate(_run(tasks, settings, opened, jobs), start=1):
                for line in remarked if failure is None else (failure,):
                    bar.hide()
                    complain(line)
                    fine = False
                if failure is not None:
                    failures.append(failure)
                bar(count, len(tasks))
    finally:
        output.clean()
    for line in _summary(len(left), done, failures):
        complain(line)
    return fine and not failures


def _with_transcripts(entries: "Sequence[Entry]") -> "tuple[list[Entry], dict[str, str]]":
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
                Failure(
                    f"{entry.path}: has no transcript; write what is said to {stem}.txt, .lab or .TextGrid beside it"
                )
            )
    return kept, transcripts


def _run(
    tasks: Sequence[Task], settings: Settings, opened: "tuple[Recognizer, Lexicon]", jobs: int
) -> Generator[Aligned, None, None]:
    """What becomes of each task, in their order."""
    if min(jobs, len(tasks)) <= 1:
        for task in tasks:
            yield align_task(task, settings, *opened)
        return
    from ..batch.processes import interrupts_held

    pool = ProcessPoolExecutor(
        min(jobs, len(tasks)), mp_context=get_context("spawn"), initializer=_begin, initargs=(settings,)
    )
    try:
        with interrupts_held():  # processes start with the first task
            results = pool.map(_work, tasks)
        yield from results
    except BrokenProcessPool:
        raise PhonestreamError(
            "a worker process died; it may need more memory than there is: try fewer --jobs, and --resume to go on"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_opened: "tuple[Settings, Recognizer, Lexicon] | None" = None  # of a worker process


def _begin(settings: Settings) -> None:
    global _opened
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which ends this one
    _opened = (settings, *settings.open())


def _work(task: Task) -> Aligned:
    assert _opened is not None
    settings, recognizer, lexicon = _opened
    return align_task(task, settings, recognizer, lexicon)


def align_task(task: Task, settings: Settings, recognizer: "Recognizer", lexicon: "Lexicon") -> Aligned:
    """Align a recording and write the result, whole or not at all. Equal tasks give equal bytes."""
    from ..batch.output_folder import output_folder
    from ..formats.registry import find

    file = task.source.path
    sink = output_folder(settings.output).sink(task.source.stem)
    try:
        alignment = align_said(
            recognizer,
            read_transcript(task.transcript),
            lambda: compute(recognizer, file, settings.time_shifts),
            names=(task.transcript, file),
            phonemes=settings.phonemes,
            lexicon=lexicon,
            refuse=settings.refuse,
        )
        data = render(alignment, file, settings.form, settings.options)
        sink.open(None, find(settings.form).extension).write(data)
        sink.commit()
    except PhonestreamError as error:
        return Aligned(str(error))
    finally:
        sink.discard()
    return Aligned(remarks=tuple(f"{file}: {remark}" for remark in remarks(alignment)))


def _summary(count: int, done: int, failures: Sequence[str]) -> list[str]:
    before = f"; {done} done before" if done else ""
    line = f"{count - len(failures)} of {count} recordings aligned{before}"
    if not failures:
        return [line]
    shown = [f"  {failure}" for failure in failures[:SHOWN]]
    if len(failures) > SHOWN:
        shown.append(f"  and {len(failures) - SHOWN} more, named above")
    return [f"{line}; {len(failures)} failed:", *shown]
