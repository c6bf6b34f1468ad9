"""A whole run: what came of every entry, in the order of entries, whatever does the work."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import NamedTuple

from .entries import Entry, Failure, Source
from .executor import Executor, Opener, Progress, Work, in_order
from .output import Output
from .output_folder import output_folder
from .processes import local_executor
from .spot_task import SpotSpec
from .task import ModelSpec, Result


class Outcome(NamedTuple):
    """What came of one entry."""

    entry: Entry
    result: Result


def run(
    entries: Sequence[Entry],
    task: Callable[[Source], Work],
    model: Opener,
    *,
    jobs: int | None = None,
    output: Output | None = None,
    cluster: str | None = None,
    progress: Progress = lambda *_: None,
) -> Generator[Outcome, None, None]:
    """Do the work on every recording among `entries`; an outcome for each entry, in order.

    Results do not depend on `jobs` or `cluster`. With one job all is done in this process,
    and so is what only this process can open: standard input, and pipes that a shell made for it.

    Args:
        entries: from `sources.expand`.
        task: the work on one of them.
        model: opens what it needs.
        jobs: processes; None: one, or as many as a cluster has room for.
        output: where results are written; None: they come with the outcomes.
        cluster: address of the Ray cluster whose machines do the work; None: this machine does.
        progress: see `Progress`; indices count the recordings among `entries`.

    Raises:
        ModelError, DataError: what it needs cannot be used.
        ConfigError: the cluster cannot, or not for what only this process can open.
        ModuleNotFoundError: a cluster or a URL without the extra that it needs.
    """
    tasks = [task(entry) for entry in entries if isinstance(entry, Source)]
    executor: Executor
    if cluster is not None:
        assert isinstance(model, ModelSpec | SpotSpec)  # whose model is sent to the machines
        from .ray_executor import RayExecutor

        executor = RayExecutor(cluster, jobs, model, output)
    else:
        executor = local_executor(tasks, jobs, model, output)
    try:
        with closing(in_order(executor.run(tasks, progress))) as results:
            for entry in entries:
                if isinstance(entry, Failure):
                    yield Outcome(entry, Result(failure=entry.reason))
                else:
                    yield Outcome(entry, next(results))
    finally:
        if output is not None:
            output_folder(output).clean()
