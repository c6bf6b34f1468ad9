"""A whole run: every entry in turn, decoded here or by worker processes, and what came of it in the same order."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from io import BytesIO
from typing import NamedTuple, TypeAlias

from . import sinks
from .pool import Pool
from .sinks import Folder, Payload, Spool
from .sources import Entry, Failure, Source
from .work import Result, Settings, Task, decode_into
from .worker import Opening

Progress = Callable[[int, float, float | None], object]
"""Called with a recording's index, the seconds of it that have been heard, and how many there are if known."""


class Outcome(NamedTuple):
    """What came of one entry."""

    entry: Entry
    result: Result
    payloads: Sequence[Payload] = ()
    """Open files with its results, where no folder was given. They are the caller's to close."""


def run(
    entries: Sequence[Entry],
    settings: Settings,
    opening: Opening,
    *,
    jobs: int = 1,
    folder: str | None = None,
    progress: Progress = lambda *_: None,
) -> Generator[Outcome, None, None]:
    """Decode every recording among `entries`; an outcome for each entry, in order.

    Results do not depend on `jobs`. With one job all is done in this process, and so is what only this process
    can open: standard input, and pipes that a shell made for it.

    Args:
        entries: from `sources.expand`.
        settings: what is wanted of each.
        opening: the model.
        jobs: processes.
        folder: where results are written; None: they come with the outcomes.
        progress: see `Progress`; indices count the recordings among `entries`.

    Raises:
        ModelError: the model cannot be used.
    """
    tasks = [Task(entry, settings) for entry in entries if isinstance(entry, Source)]
    alone = min(jobs, len(tasks)) <= 1 or any(task.source.local for task in tasks)
    done = (
        _here(tasks, opening, folder, progress) if alone else _there(tasks, opening, jobs, folder, progress)
    )
    try:
        for entry in entries:
            if isinstance(entry, Failure):
                yield Outcome(entry, Result(failure=entry.reason))
            else:
                result, payloads = next(done)
                yield Outcome(entry, result, payloads)
    finally:
        done.close()  # ends workers before what they left is cleared away
        if folder is not None:
            sinks.clean(folder)


def weight(source: Source) -> float:
    """About how much work a recording is: bytes of its file, or of its samples at 16 kHz; 0 where none can say."""
    if source.seconds is not None:
        return 32_000 * source.seconds
    with suppress(OSError, ValueError):
        return os.stat(source.path).st_size
    return 0


Done: TypeAlias = Generator[tuple[Result, Sequence[Payload]], None, None]


def _here(tasks: Sequence[Task], opening: Opening, folder: str | None, progress: Progress) -> Done:
    if not tasks:
        return
    recognizer = opening.recognizer()
    for index, task in enumerate(tasks):

        def report(seconds: float, length: float | None, index: int = index) -> None:
            progress(index, seconds, length)

        if folder is None:
            spool = Spool()
            yield decode_into(spool, task, recognizer, report), spool.payloads
        else:
            yield decode_into(Folder(folder, task.source.stem), task, recognizer, report), ()


def _there(
    tasks: Sequence[Task], opening: Opening, jobs: int, folder: str | None, progress: Progress
) -> Done:
    with Pool(jobs, opening, folder) as pool:
        for result in pool.run(tasks, progress):
            yield (
                result,
                [Payload(part.channel, part.extension, BytesIO(part.data)) for part in result.payloads],
            )
