"""A process that decodes one recording after the other, and is gone as soon as the one that started it is."""

import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from ..errors import PhonestreamError
from ..streaming.decoding.config import Decoding
from ..streaming.recognizer import Recognizer
from .work import Result, Task, decode, store

REPORT_EVERY = 0.2  # seconds between two reports of progress

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Opening(NamedTuple):
    """How to open the model."""

    model: str = "default"
    threads: int = 1
    provider: str = "cpu"
    decoder: Decoding | None = None

    def recognizer(self) -> Recognizer:
        return Recognizer(self.model, threads=self.threads, provider=self.provider, decoder=self.decoder)


class Ready(NamedTuple):
    """The model is open."""


class Refused(NamedTuple):
    """The model cannot be used."""

    error: PhonestreamError


class Begun(NamedTuple):
    """The task has arrived."""


class Hearing(NamedTuple):
    """How far the task has come."""

    seconds: float
    length: float | None


class Bug(NamedTuple):
    """What must not happen did."""

    traceback: str


def work(connection: Connection, opening: Opening, folder: str | None) -> None:
    """Send Ready or Refused, then for each Task that is received Begun, any number of Hearing, and Result or Bug.

    It ends when None is received, or the other end is closed.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and decides
    try:
        try:
            recognizer = opening.recognizer()
        except PhonestreamError as error:
            connection.send(Refused(error))
            return
        connection.send(Ready())
        while (task := connection.recv()) is not None:
            connection.send(Begun())
            connection.send(_answer(task, recognizer, folder, connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody is left to hear of it


def _answer(task: Task, recognizer: Recognizer, folder: str | None, connection: Connection) -> Result | Bug:
    reported = time.monotonic()

    def progress(seconds: float, length: float | None) -> None:
        nonlocal reported
        if time.monotonic() - reported >= REPORT_EVERY:
            reported = time.monotonic()
            connection.send(Hearing(seconds, length))

    try:
        if folder is None:
            return decode(task, recognizer, progress)
        return store(task, recognizer, folder, progress)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception:
        return Bug(traceback.format_exc())


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
