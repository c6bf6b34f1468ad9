"""A process that does one task after the other, and is gone as soon as the one that started it is."""

import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from ..errors import PhonestreamError
from .executor import Opener, Work
from .output import Output
from .task import Result

PROGRESS_INTERVAL = 0.2  # seconds between two reports of progress

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Ready(NamedTuple):
    """What tasks need is open."""


class Unusable(NamedTuple):
    """The model, or whatever else all tasks need, cannot be used."""

    error: PhonestreamError


class Started(NamedTuple):
    """The task has arrived."""


class Decoded(NamedTuple):
    """How far the task has come."""

    seconds: float
    length: float | None


class Crashed(NamedTuple):
    """An exception that is a bug."""

    traceback: str


def work(connection: Connection, opener: Opener, output: Output | None) -> None:
    """Send Ready or Unusable, then for each `Work` received Started, any number of Decoded, and Result or Crashed.

    It ends when None is received, or the other end is closed.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it too, and decides
    try:
        try:
            opened = opener.open()
        except PhonestreamError as error:
            connection.send(Unusable(error))
            return
        connection.send(Ready())
        while (task := connection.recv()) is not None:
            connection.send(Started())
            connection.send(_run(task, opened, output, connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone


def _run(task: Work, opened: Any, output: Output | None, connection: Connection) -> Result | Crashed:
    reported = time.monotonic()

    def progress(seconds: float, length: float | None) -> None:
        nonlocal reported
        if time.monotonic() - reported >= PROGRESS_INTERVAL:
            reported = time.monotonic()
            connection.send(Decoded(seconds, length))

    try:
        return task.run(opened, output, progress).in_memory()
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception:
        return Crashed(traceback.format_exc())


def end_with_parent() -> None:
    """See to it that this process ends when its parent does, however that happens."""
    parent = parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:  # it ended before it could be watched
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
