"""Worker processes that share a list of tasks: results in its order, and a death costs one recording at most."""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from ..errors import PhonestreamError
from .work import Result, Task
from .worker import Begun, Bug, Hearing, Opening, Ready, Refused, work

WINDOW = 16  # tasks a worker that may be begun before an earlier one has ended: their results wait in memory
TRIES = 2  # of a recording whose worker dies

Progress = Callable[[int, float, float | None], object]
"""Called with a task's index, the seconds of it that have been heard, and how many there are if that is known."""


@dataclass
class Worker:
    """A process, this end of its pipe, and what it is at."""

    process: SpawnProcess
    connection: Connection
    ready: bool = False
    task: int | None = None
    begun: bool = False  # whether the task has arrived; until then it has no part in the process's death


class Pool:
    """Up to `jobs` processes, each with one recogniser. Leaving the `with` block ends them."""

    def __init__(self, jobs: int, opening: Opening, folder: str | None = None) -> None:
        """Prepare; processes start when there is work.

        Args:
            jobs: how many processes.
            opening: the model.
            folder: where they write results; None: results are handed back.
        """
        self._jobs = jobs
        self._opening = opening
        self._folder = folder
        self._workers: list[Worker] = []
        self._stillborn = 0  # processes that died before they did anything

    def run(self, tasks: Sequence[Task], progress: Progress) -> Iterator[Result]:
        """The result of each task, in order.

        A recording whose process dies is tried once more, and is a failure then.

        Raises:
            PhonestreamError: the model cannot be used, or processes cannot start.
            RuntimeError: a bug, with the traceback of the process in which it happened.
        """
        waiting = deque(range(len(tasks)))
        deaths: dict[int, int] = {}
        done: dict[int, Result] = {}
        for following in range(len(tasks)):
            while following not in done:
                while len(self._workers) < min(self._jobs, len(tasks) - len(done) - following):
                    self._start()
                self._hand_out(tasks, waiting, following)
                for worker in self._heard_from():
                    try:
                        message = worker.connection.recv()
                    except (EOFError, OSError):
                        index = self._bury(worker)
                        if index is None:
                            continue
                        deaths[index] = deaths.get(index, 0) + worker.begun
                        if deaths[index] < TRIES:
                            waiting.appendleft(index)
                        else:
                            done[index] = Result(failure=_dead(tasks[index], worker))
                        continue
                    match message:
                        case Ready():
                            worker.ready = True
                        case Refused():
                            raise message.error
                        case Begun():
                            worker.begun = True
                        case Hearing() if worker.task is not None:
                            progress(worker.task, message.seconds, message.length)
                        case Bug():
                            raise RuntimeError(f"in a worker process:\n{message.traceback}")
                        case Result() if worker.task is not None:
                            done[worker.task], worker.task = message, None
            yield done.pop(following)

    def close(self) -> None:
        """End the processes at once, whatever they are at."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._opening, self._folder), daemon=True)
        with interrupts_held():
            process.start()
            theirs.close()  # so that the process's death closes the pipe
            self._workers.append(Worker(process, ours))

    def _hand_out(self, tasks: Sequence[Task], waiting: deque[int], following: int) -> None:
        for worker in self._workers:
            if worker.ready and worker.task is None and waiting:
                if waiting[0] >= following + WINDOW * self._jobs:
                    return
                worker.task, worker.begun = waiting.popleft(), False
                with suppress(OSError):  # it died; reading from it says so
                    worker.connection.send(tasks[worker.task])

    def _heard_from(self) -> list[Worker]:
        found = wait([worker.connection for worker in self._workers])
        return [worker for worker in self._workers if worker.connection in found]

    def _bury(self, worker: Worker) -> int | None:
        """Take a dead process off the list, and say what it was at; another starts if there is work for it.

        Raises:
            PhonestreamError: processes die while they start, so that there is no end to it.
        """
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        if not worker.ready or (worker.task is not None and not worker.begun):
            self._stillborn += 1
            if self._stillborn >= TRIES * self._jobs:
                raise PhonestreamError(
                    f"a worker process {_cause(worker)} before it began to work; try fewer --jobs"
                )
        return worker.task


def _dead(task: Task, worker: Worker) -> str:
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


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Inside, Ctrl-C waits; a process that is started inside never hears it, from its first instruction on."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # a first process would start it, and it lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
