"""The work of a run handed to a Ray cluster, as seen from the process that waits for it."""

import os
import socket
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from ..errors import ConfigError, PhonestreamError
from ..streaming.model import read_model
from .pool import interrupts_held
from .ray_driver import Answered, Connected, Job, Missing, drive
from .ray_worker import Kit
from .remote import is_url, plain
from .sinks import HIDDEN, unwritable
from .work import Result, Task
from .worker import Bug, Opening, Refused

GRACE = 20  # seconds for Ray to end by itself
TICK = 1.0  # seconds between two reports while nothing happens
PATIENCE = 300  # seconds for a cluster to be joined or started

Progress = Callable[[int, float, float | None], object]


def decode_on_cluster(
    address: str,
    tasks: Sequence[Task],
    opening: Opening,
    jobs: int | None,
    folder: str | None,
    progress: Progress,
) -> Generator[Result, None, None]:
    """The result of each task, in order, from the workers of a Ray cluster.

    Args:
        address: as `ray.init` takes it: `auto`, `ray://host:port`, `host:port`, `local`.
        tasks: what to do. Files and the folder are such as all machines see, or URLs.
        opening: the model, whose file only this machine needs.
        jobs: workers; None: as many as the cluster has room for.
        folder: where workers write results; None: they are handed back.
        progress: called with a task's index and its seconds when it is done.

    Raises:
        ModelError: the model cannot be used.
        ConfigError: there is no such cluster, or its machines are not fit for the work.
        PhonestreamError: the cluster fails.
        ModuleNotFoundError: the extra `cluster` is not installed.
        RuntimeError: a bug, with the traceback of the process in which it happened.
    """
    for task in tasks:
        if task.source.local:
            raise ConfigError(f"{task.source.path}: only this process can read it; leave out --ray")
    if not tasks:
        return
    opening._replace(provider="cpu").recognizer()  # so that what is wrong with the model is said now
    job = Job(address, tasks, _kit(opening, folder), jobs, ordered=folder is None)
    process, connection = _start(job)
    try:
        yield from _in_order(process, connection, job, progress)
        process.join(GRACE)
    finally:
        _end(process, connection)


def _kit(opening: Opening, folder: str | None) -> Kit:
    from .. import __version__

    folder = None if folder is None else plain(folder)
    token = None
    if folder is not None and not is_url(folder):
        hidden = Path(folder, HIDDEN)
        token = uuid.uuid4().hex
        try:
            hidden.mkdir(parents=True, exist_ok=True)
            (hidden / token).touch()
        except OSError as error:
            raise unwritable(folder, error) from None
    return Kit(
        read_model(opening.model), opening, folder, token, os.getcwd(), socket.gethostname(), __version__
    )


def _start(job: Job) -> tuple[SpawnProcess, Connection]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=drive, args=(theirs, job), daemon=True)
    with interrupts_held():
        process.start()
    theirs.close()  # so that the process's death closes the pipe
    return process, ours


def _in_order(
    process: SpawnProcess, connection: Connection, job: Job, progress: Progress
) -> Generator[Result, None, None]:
    done: dict[int, Result] = {}
    connected, since = False, time.monotonic()
    for following in range(len(job.tasks)):
        while following not in done:
            while not connection.poll(TICK):
                progress(following, 0.0, None)  # a bar's clock goes on
                if not connected and time.monotonic() - since > PATIENCE:
                    raise ConfigError(
                        f"--ray {job.address}: the cluster is silent for {PATIENCE} s; look for it with: ray status"
                    )
            try:
                message = connection.recv()
            except (EOFError, OSError):
                process.join(GRACE)
                raise PhonestreamError(
                    f"--ray {job.address}: the cluster went away, or cannot be reached "
                    f"(Ray ended with status {process.exitcode}); look for it with: ray status, and go on with --resume"
                ) from None
            index = -1
            if isinstance(message, Answered):
                index, message = message
            match message:
                case Connected():
                    connected = True
                case Missing():
                    raise ModuleNotFoundError(f"No module named {message.module!r}", name=message.module)
                case Refused():
                    raise message.error
                case Bug():
                    raise RuntimeError(f"in a process of the cluster's:\n{message.traceback}")
                case Result():
                    done[index] = message
                    progress(index, message.seconds, message.seconds)
        yield done.pop(following)


def _end(process: SpawnProcess, connection: Connection) -> None:
    """End the process, and with it the workers and a cluster that it started."""
    connection.close()
    if process.is_alive():
        process.terminate()  # Ray ends in good order then
        process.join(GRACE)
    process.kill()
    process.join()
