"""Where the tasks of a run are done: what every executor offers, and the order that none of them need keep."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Protocol, TypeAlias

from .entries import Source
from .output import Output
from .task import Progress as TaskProgress
from .task import Result

Progress: TypeAlias = Callable[[int, float, float | None], object]
"""Called with a task's index, the seconds of it that are decoded, and how many there are if that is known."""


class Opener(Protocol):
    """Opens what all tasks of a process need, such as a model. It can be sent to another process."""

    def open(self) -> Any:
        """What `Work.run` is given.

        Raises:
            PhonestreamError: it cannot be used.
        """


class Work(Protocol):
    """One recording and what to do with it. It can be sent to another process."""

    @property
    def source(self) -> Source:
        """The recording."""

    def run(self, opened: Any, output: Output | None, progress: TaskProgress) -> Result:
        """Do it; what is wrong with the recording is a result, too."""


class Completed(NamedTuple):
    """A task that is done."""

    task: int  # its index
    result: Result


class Executor(Protocol):
    """Does tasks here, in worker processes or on a cluster. The results depend on none of that."""

    def run(self, tasks: Sequence[Any], progress: Progress) -> Generator[Completed, None, None]:
        """Each task once, in the order in which they are done. Closing the generator ends all that it started.

        Raises:
            PhonestreamError: what tasks need cannot be used, or the work cannot go on at all.
            RuntimeError: a bug, with the traceback of the process in which it happened.
        """


class InlineExecutor:
    """This process, a task at a time."""

    def __init__(self, opener: Opener, output: Output | None) -> None:
        self._opener = opener
        self._output = output

    def run(self, tasks: Sequence[Work], progress: Progress) -> Generator[Completed, None, None]:
        if not tasks:
            return
        opened = self._opener.open()
        for index, task in enumerate(tasks):

            def report(seconds: float, length: float | None, index: int = index) -> None:
                progress(index, seconds, length)

            yield Completed(index, task.run(opened, self._output, report))


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
