"""A whole run: every entry in turn, decoded here or by worker processes, and what came of it in the same order."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from io import BytesIO
from typing import NamedTuple, TypeAlias

from .entries import Entry, Failure, Source
from .places import place
from .pool import Pool
from .remote import is_url
from .sinks import Payload, Spool
from .work import Result, Settings, Task, decode_into, store
from .worker import Opening

UTTERANCE = 200_000  # bytes: about how much work a recording is whose size a store was not asked for

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
    jobs: int | None = None,
    folder: str | None = None,
    cluster: str | None = None,
    progress: Progress = lambda *_: None,
) -> Generator[Outcome, None, None]:
    """Decode every recording among `entries`; an outcome for each entry, in order.

    Results do not depend on `jobs` or `cluster`. With one job all is done in this process,
    and so is what only this process can open: standard input, and pipes that a shell made for it.

    Args:
        entries: from `sources.expand`.
        settings: what is wanted of each.
        opening: the model.
        jobs: processes; None: one, or as many as a cluster has room for.
        folder: where results are written; None: they come with the outcomes.
        cluster: address of the Ray cluster whose machines do the work; None: this machine does.
        progress: see `Progress`; indices count the recordings among `entries`.

    Raises:
        ModelError: the model cannot be used.
        ConfigError: the cluster cannot, or not for what only this process can open.
        ModuleNotFoundError: a cluster or a URL without the extra `cluster`.
    """
    tasks = [Task(entry, settings) for entry in entries if isinstance(entry, Source)]
    if cluster is not None:
        done = _far(tasks, opening, cluster, jobs, folder, progress)
    elif jobs is None or min(jobs, len(tasks)) <= 1 or any(task.source.local for task in tasks):
        done = _here(tasks, opening, folder, progress)
    else:
        done = _there(tasks, opening, jobs, folder, progress)
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
            place(folder).clean()


def weight(source: Source) -> float:
    """About how much work a recording is: bytes of its file, or of its samples at 16 kHz; 0 where none can say."""
    if source.seconds is not None:
        return 32_000 * source.seconds
    if is_url(source.path):
        return UTTERANCE if source.size is None else source.size
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
            yield store(task, recognizer, folder, report), ()


def _there(
    tasks: Sequence[Task], opening: Opening, jobs: int, folder: str | None, progress: Progress
) -> Done:
    with Pool(jobs, opening, folder) as pool:
        for result in pool.run(tasks, progress):
            yield result, _opened(result)


def _far(
    tasks: Sequence[Task],
    opening: Opening,
    cluster: str,
    jobs: int | None,
    folder: str | None,
    progress: Progress,
) -> Done:
    from .ray_run import decode_on_cluster

    with closing(decode_on_cluster(cluster, tasks, opening, jobs, folder, progress)) as results:
        for result in results:
            yield result, _opened(result)


def _opened(result: Result) -> list[Payload]:
    return [Payload(part.channel, part.extension, BytesIO(part.data)) for part in result.payloads]
