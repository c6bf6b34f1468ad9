"""A progress bar on standard error, there only while work is long and a person is watching."""

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE = 1.0  # seconds of work before a bar is worth showing


class Bar:
    """Call it with how much is done and how much there is, as often as wanted; `hide` it before printing.

    A third argument is shown at the end of the line: the pace, in words.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._since = time.monotonic()
        self._wanted = sys.stderr is not None and sys.stderr.isatty()
        self._shown: Progress | None = None

    def __call__(self, done: float, total: float | None, note: str = "") -> None:
        if not self._wanted or time.monotonic() - self._since < PATIENCE:
            return
        if self._shown is None:
            self._shown = self._make()
            self._shown.start()
        self._shown.update(self._shown.task_ids[0], completed=done, total=total, note=note)

    def hide(self) -> None:
        """Clear the bar's line; the next call shows it again."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.hide()

    def _make(self) -> "Progress":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

        progress = Progress(
            "{task.description}",
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            "{task.fields[note]}",
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # results go to standard output as they are, terminal or not
            redirect_stderr=False,
        )
        progress.add_task(self._label, total=None, note="")
        return progress
