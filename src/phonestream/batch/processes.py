"""Worker processes that share the tasks of a run: the death of one costs one recording at most.

Pools of others do less: that of concurrent.futures gives up when any worker dies, pebble's when one dies while it is
idle or starts, and neither passes on progress or bounds how many results wait for an earlier one.
"""

import signal
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from ..errors import ConfigError, PhonestreamError
from .executor import Completed, Executor, InlineExecutor, Opener, Progress, Work
from .output import Output
from .task import Result
from .worker import Crashed, Decoded, Ready, Started, Unusable, work

WINDOW = 16  # tasks a worker that may be started before an earlier one is done: their results wait in memory
MAX_JOBS = 1024
TRIES = 2  # of a recording whose worker dies


@dataclass
class Worker:
    """A process, this end of its pipe, and its task."""

    process: SpawnProcess
    connection: Connection
    ready: bool = False
    task: int | None = None
    started: bool = False  # whether the task has arrived; until then it has no part in the process's death


class ProcessExecutor:
    """Up to `jobs` processes, each with a model of its own."""

    def __init__(self, jobs: int, opener: Opener, output: Output | None) -> None:
        """Prepare; processes start when there is work.

        Args:
            jobs: how many processes.
            opener: opens what each of them needs.
            output: where they write results; None: results are handed back.
        """
        self._jobs = jobs
        self._opener = opener
        self._output = output
        self._workers: list[Worker] = []
        self._failed_starts = 0

    def run(self, tasks: Sequence[Work], progress: Progress) -> Generator[Completed, None, None]:
        """As `Executor.run`. A recording whose process dies is tried once more, and is a failure then.

        Raises:
            PhonestreamError: what tasks need cannot be used, or processes cannot start.
            RuntimeError: a bug, with the traceback of the process in which it happened.
        """
        waiting = deque(range(len(tasks)))
        deaths: Counter[int] = Counter()
        try:
            while left := len(waiting) + sum(worker.task is not None for worker in self._workers):
                while len(self._workers) < min(self._jobs, left):
                    with interrupts_held():
                        self._workers.append(Worker(*spawn(work, self._opener, self._output)))
                self._assign(tasks, waiting)
                for worker in self._readable():
                    try:
                        message = worker.connection.recv()
                    except (EOFError, OSError):
                        index = self._reap(worker)
                        if index is None:
                            continue
                        deaths[index] += worker.started
                        if deaths[index] < TRIES:
                            waiting.appendleft(index)
                        else:
                            yield Completed(index, Result(failure=_death(tasks[index], worker)))
                        continue
                    match message:
                        case Ready():
                            worker.ready = True
                        case Unusable():
                            raise message.error
                        case Started():
                            worker.started = True
                        case Decoded() if worker.task is not None:
                            progress(worker.task, message.seconds, message.length)
                        case Crashed():
                            raise RuntimeError(f"in a worker process:\n{message.traceback}")
                        case Result() if worker.task is not None:
                            index, worker.task = worker.task, None
                            yield Completed(index, message)
        finally:
            self._kill()

    def _assign(self, tasks: Sequence[Work], waiting: deque[int]) -> None:
        """Send tasks to idle workers, none far ahead of the oldest that is not done."""
        for worker in self._workers:
            if worker.ready and worker.task is None and waiting:
                busy = [other.task for other in self._workers if other.task is not None]
                if waiting[0] >= min([*busy, waiting[0]]) + WINDOW * self._jobs:
                    return
                worker.task, worker.started = waiting.popleft(), False
                with suppress(OSError):  # it died; reading from it says so
                    worker.connection.send(tasks[worker.task])

    def _readable(self) -> list[Worker]:
        found = wait([worker.connection for worker in self._workers])
        return [worker for worker in self._workers if worker.connection in found]

    def _reap(self, worker: Worker) -> int | None:
        """Take a dead process off the list, and return its task; another starts if there is work for it.

        Raises:
            PhonestreamError: processes die while they start, so that there is no end to it.
        """
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        if not worker.ready or (worker.task is not None and not worker.started):
            self._failed_starts += 1
            if self._failed_starts >= TRIES * self._jobs:
                raise PhonestreamError(
                    f"a worker process {_cause(worker)} before it began to work; try fewer --jobs"
                )
        return worker.task

    def _kill(self) -> None:
        """End the processes at once, whatever they are at."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers = []


def _death(task: Work, worker: Worker) -> str:
    return (
        f"{task.source.where}{task.source.path}: the process that decoded it {_cause(worker)}, twice; "
        "it may need more memory than there is"
    )


def _cause(worker: Worker) -> str:
    code = worker.process.exitcode or 0
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def local_executor(
    tasks: Sequence[Work], jobs: int | None, opener: Opener, output: Output | None
) -> Executor:
    """This process for one job, and for what only this process can open; else up to `jobs` processes.

    Raises:
        ConfigError: more than `MAX_JOBS` are asked for.
    """
    if jobs is not None and jobs > MAX_JOBS:
        raise ConfigError(
            f"--jobs {jobs}: one machine runs at most {MAX_JOBS}; give about as many as it has cores"
        )
    if jobs is None or min(jobs, len(tasks)) <= 1 or any(task.source.local for task in tasks):
        return InlineExecutor(opener, output)
    return ProcessExecutor(jobs, opener, output)


def spawn(target: Callable[..., None], *arguments: object) -> tuple[SpawnProcess, Connection]:
    """A process that calls `target` with its end of a pipe and `arguments`, and our end; in `interrupts_held`."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()  # so that the process's death closes the pipe
    return process, ours


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Inside, Ctrl-C waits; a process started inside never receives it, from its first instruction on."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # a first process would start it, and it lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
