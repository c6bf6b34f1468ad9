"""Where the tasks of a run are done: what every executor offers, and the order that none of them need keep."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol, TypeAlias

from .output import Output
from .task import ModelSpec, Result, Task, run_task

Progress: TypeAlias = Callable[[int, float, float | None], object]
"""Called with a task's index, the seconds of it that are decoded, and how many there are if that is known."""


class Completed(NamedTuple):
    """A task that is done."""

    task: int  # its index
    result: Result


class Executor(Protocol):
    """Does tasks here, in worker processes or on a cluster. The results depend on none of that."""

    def run(self, tasks: Sequence[Task], progress: Progress) -> Generator[Completed, None, None]:
        """Each task once, in the order in which they are done. Closing the generator ends all that it started.

        Raises:
            PhonestreamError: the model cannot be used, or the work cannot go on at all.
            RuntimeError: a bug, with the traceback of the process in which it happened.
        """


class InlineExecutor:
    """This process, a task at a time."""

    def __init__(self, model: ModelSpec, output: Output | None) -> None:
        self._model = model
        self._output = output

    def run(self, tasks: Sequence[Task], progress: Progress) -> Generator[Completed, None, None]:
        if not tasks:
            return
        recognizer = self._model.open()
        for index, task in enumerate(tasks):

            def report(seconds: float, length: float | None, index: int = index) -> None:
                progress(index, seconds, length)

            yield Completed(index, run_task(task, recognizer, self._output, report))


def in_order(completed: Generator[Completed, None, None]) -> Generator[Result, None, None]:
    """The results in the order of tasks; those that are done too early wait in memory."""
    early: dict[int, Result] = {}
    following = 0
    with closing(completed):
        for index, result in completed:
            early[index] = result
            while following in early:
                yield early.pop(following)
                following += 1
