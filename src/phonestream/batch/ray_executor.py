"""The tasks of a run handed to a Ray cluster, as seen from the process that waits for it."""

import os
import socket
import time
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from ..errors import ConfigError, PhonestreamError
from ..streaming.model import read_model
from .executor import Completed, Progress, Work
from .output import Output
from .processes import interrupts_held, spawn
from .ray_driver import Answered, Connected, Job, Missing, drive
from .ray_worker import WorkerSpec
from .remote import is_url
from .sinks import HIDDEN, written_to
from .spot_task import SpotSpec
from .task import ModelSpec, Result
from .worker import Crashed, Unusable

GRACE = 20  # seconds for Ray to end by itself
TICK = 1.0  # seconds between two reports while nothing happens
PATIENCE = 300  # seconds for a cluster to be joined or started


class RayExecutor:
    """The workers of a Ray cluster."""

    def __init__(
        self, address: str, jobs: int | None, model: ModelSpec | SpotSpec, output: Output | None
    ) -> None:
        """Prepare; the cluster is joined when there is work.

        Args:
            address: as `ray.init` takes it: `auto`, `ray://host:port`, `host:port`, `local`.
            jobs: workers; None: as many as the cluster has room for.
            model: what each opens; only this machine needs its file.
            output: where workers write results, a folder that all machines see or a URL; None: they are handed back.
        """
        self._address = address
        self._jobs = jobs
        self._model = model
        self._output = output

    def run(self, tasks: Sequence[Work], progress: Progress) -> Generator[Completed, None, None]:
        """As `Executor.run`. Files are such as all machines see, or URLs.

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
        self._model._replace(provider="cpu").open()  # so that what is wrong with the model is said now
        spec = _worker_spec(self._model, self._output)
        job = Job(self._address, tasks, spec, self._jobs, ordered=self._output is None)
        with interrupts_held():
            process, connection = spawn(drive, job)
        try:
            yield from _completed(process, connection, job, progress)
            process.join(GRACE)
        finally:
            _end(process, connection)


def _worker_spec(model: ModelSpec | SpotSpec, output: Output | None) -> WorkerSpec:
    from .. import __version__

    if output is not None and not is_url(output.folder):
        with written_to(output.folder):  # workers check that they see this folder
            Path(output.folder, HIDDEN, output.run).mkdir(parents=True, exist_ok=True)
    return WorkerSpec(read_model(model.model), model, output, os.getcwd(), socket.gethostname(), __version__)


def _completed(
    process: SpawnProcess, connection: Connection, job: Job, progress: Progress
) -> Generator[Completed, None, None]:
    left = set(range(len(job.tasks)))
    connected, since = False, time.monotonic()
    while left:
        while not connection.poll(TICK):
            progress(min(left), 0.0, None)  # a bar's clock goes on
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
            case Unusable():
                raise message.error
            case Crashed():
                raise RuntimeError(f"in a process of the cluster's:\n{message.traceback}")
            case Result():
                left.discard(index)
                progress(index, message.seconds, message.seconds)
                yield Completed(index, message)


def _end(process: SpawnProcess, connection: Connection) -> None:
    """End the process, and with it the workers and a cluster that it started."""
    connection.close()
    if process.is_alive():
        process.terminate()  # Ray ends in good order then
        process.join(GRACE)
    process.kill()
    process.join()
