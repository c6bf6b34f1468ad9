"""The process that is connected to Ray, apart from the one that prints: Ray writes to its terminal, and may end it."""

import logging
import os
import pickle
import signal
import socket
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from ..errors import ConfigError, PhonestreamError, system_errors_as
from ..native_output import redirect_to_null
from .executor import Work
from .ray_worker import Answer, AttemptCounter, Transcriber, WorkerSpec
from .worker import Crashed, Unusable, end_with_parent

LOCAL = "local"  # the address that means: start a cluster on this machine, and end it afterwards
CLIENT = "ray://"  # what addresses of a cluster begin with that is spoken to from outside
PATIENCE = 20.0  # seconds for an address to answer
BLOCKS = 32  # of recordings for each worker: fewer cost Ray less, more share the work evenly


class Job(NamedTuple):
    """All that Ray is to do."""

    address: str
    tasks: Sequence[Work]
    worker: WorkerSpec
    jobs: int | None  # workers; None: as many as there is room for
    ordered: bool  # whether results are wanted in the order of tasks, those that wait being kept by Ray


class Connected(NamedTuple):
    """There is a cluster."""


class Answered(NamedTuple):
    """A worker's answer to a task."""

    task: int  # its index
    answer: Answer


class Missing(NamedTuple):
    """A module is not installed."""

    module: str


def drive(connection: Connection, job: Job) -> None:
    """Send Connected, then Answered for each task; or, if that cannot be, Missing, Unusable or Crashed."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it too, and decides
    redirect_to_null(0, 1, 2)
    try:
        import ray
        import ray.data
    except ImportError:
        connection.send(Missing("ray"))
        return
    try:
        _connect(job)
        connection.send(Connected())
        answers = _from_outside(job) if job.address.startswith(CLIENT) else answer(job)
        for message in answers:
            connection.send(message)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone
    except PhonestreamError as error:
        connection.send(Unusable(error))
    except Exception as error:
        connection.send(_explained(error))
    finally:
        ray.shutdown()


def answer(job: Job) -> Iterator[Answered]:
    """Run the data set of the job's tasks through a pool of workers.

    A worker that dies is started again and has its tasks again, as often as AttemptCounter allows: see `Transcriber`.

    Raises:
        ConfigError: the cluster has no room for a worker.
    """
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = job.ordered
    share = {"num_cpus": float(job.worker.model.threads)}
    if job.worker.model.provider == "cuda":
        share["num_gpus"] = 1.0
    attempts = ray.remote(AttemptCounter).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    rows = [{"index": index, "task": pickle.dumps(task)} for index, task in enumerate(job.tasks)]
    size = min(job.jobs or _room(share), len(rows))
    questions: Any = ray.data.from_items(rows, override_num_blocks=min(len(rows), BLOCKS * size))
    answers = questions.map(
        Transcriber,
        fn_constructor_args=(job.worker, attempts),
        compute=ray.data.ActorPoolStrategy(size=size),
        **share,
    )
    for batch in answers.iter_batches(batch_size=None, prefetch_batches=0):
        for index, pickled in zip(batch["index"], batch["answer"], strict=True):
            yield Answered(int(index), pickle.loads(pickled))


class DriverActor:
    """`answer` within the cluster, for a caller outside: Ray Data's own part must run inside."""

    def __init__(self, job: Job) -> None:
        self._answers = answer(job)

    def next_answer(self) -> Answered | PhonestreamError | None:
        """The next answer; None after the last."""
        try:
            return next(self._answers, None)
        except PhonestreamError as error:
            return error


def _from_outside(job: Job) -> Iterator[Answered]:
    import ray

    driver: Any = ray.remote(DriverActor).options(num_cpus=0).remote(job)
    while True:
        message: Answered | PhonestreamError | None = ray.get(driver.next_answer.remote())
        match message:
            case None:
                return
            case PhonestreamError():
                raise message
            case Answered():
                yield message


def _connect(job: Job) -> None:
    """Join the cluster, or start one.

    Raises:
        ConfigError: there is none.
    """
    import ray

    _check_reachable(job.address)
    options: dict[str, Any] = {}
    if job.address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # none are sent from a cluster that we start
        options["include_dashboard"] = False
        if job.jobs is not None:
            options["num_cpus"] = job.jobs * job.worker.model.threads
    try:
        ray.init(job.address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:  # Ray's errors of connecting have no base class of their own
        raise ConfigError(
            f"--ray {job.address}: no Ray cluster can be used there: {_first_line(error)}; "
            "start one with: ray start --head"
        ) from None


def _check_reachable(address: str) -> None:
    """See that something listens at an address: Ray waits very long for a cluster that is not there.

    Raises:
        ConfigError: nothing does.
    """
    host, colon, port = address.removeprefix(CLIENT).partition("/")[0].rpartition(":")
    if not colon or not port.isdecimal() or "://" in host:
        return  # a word, or a kind of address that only Ray knows
    # OverflowError: a port beyond 65535
    with system_errors_as(
        ConfigError,
        f"--ray {address}: no Ray cluster answers there",
        "start one with: ray start --head",
        also=OverflowError,
    ):
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()


def _room(share: dict[str, float]) -> int:
    """How many workers the cluster has room for, each with its `share`.

    Raises:
        ConfigError: for none.
    """
    import ray

    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    room = min(int(there.get(names[name], 0) // wanted) for name, wanted in share.items())
    if room < 1:
        wanted = ", ".join(f"{names[name]} {wanted:g}" for name, wanted in share.items())
        raise ConfigError(
            f"the Ray cluster has no room for a worker ({wanted}) now; if it grows on demand, give --jobs"
        )
    return room


def _explained(error: Exception) -> Unusable | Crashed:
    """An exception of Ray's as what to do about it."""
    import ray

    text = str(error)
    if "No module named 'phonestream" in text:
        return Unusable(
            ConfigError("the cluster's machines lack phonestream; install it on each, as it is here")
        )
    if isinstance(error, ray.exceptions.RayError | ConnectionError):
        return Unusable(
            PhonestreamError(
                f"the Ray cluster failed: {_first_line(error)}; see its logs, then go on with --resume"
            )
        )
    return Crashed(traceback.format_exc())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__
