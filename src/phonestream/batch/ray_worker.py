"""A worker of Ray Data's pool: one model for whatever task comes, on whatever machine it is."""

import os
import pickle
import socket
import tempfile
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ..errors import ConfigError, PhonestreamError
from .entries import Source
from .executor import Work
from .output import Output
from .remote import is_url
from .sinks import HIDDEN
from .spot_task import SpotSpec
from .task import ModelSpec, Result
from .worker import Crashed, Unusable

TRIES = 3  # of a recording whose worker dies; a cluster's machines are taken away more often than a process is killed

Answer: TypeAlias = Result | Unusable | Crashed

Row: TypeAlias = dict[str, Any]
"""To a worker: `index` of a task and the pickled `task`; from it: `index` and the pickled `answer`."""


class WorkerSpec(NamedTuple):
    """What a worker needs to do as the machine that called would do."""

    model_file: bytes  # so that it need not be on every machine, and is the same on each
    model: ModelSpec | SpotSpec
    output: Output | None  # where results are written; None: they are handed back
    working_folder: str  # what relative names are relative to
    machine: str
    version: str  # of phonestream


class AttemptCounter:
    """Counts, for all workers, how often each recording was started and not completed: its worker had died by then."""

    def __init__(self) -> None:
        self._attempts: Counter[int] = Counter()

    def start(self, index: int) -> int:
        """How often recording `index` has been started, this time included."""
        self._attempts[index] += 1
        return self._attempts[index]

    def complete(self, index: int) -> None:
        del self._attempts[index]


class Transcriber:
    """Called with a row of a data set for each recording. What goes wrong is an answer, never an exception."""

    def __init__(self, spec: WorkerSpec, attempts: Any) -> None:
        """Open the model.

        Args:
            spec: what to work with.
            attempts: handle of the actor that is the AttemptCounter.
        """
        self._spec = spec
        self._attempts = attempts
        with suppress(OSError):
            os.chdir(spec.working_folder)
        self._opened: Any
        try:
            check_machine(spec)
            self._opened = open_model(spec)
        except PhonestreamError as error:
            self._opened = Unusable(error)
        except ModuleNotFoundError as error:
            self._opened = Unusable(_lacks(error))

    def __call__(self, row: Row) -> Row:
        index = int(row["index"])
        return {"index": index, "answer": pickle.dumps(self._answer(index, pickle.loads(row["task"])))}

    def _answer(self, index: int, task: Work) -> Answer:
        import ray

        if isinstance(self._opened, Unusable):
            return self._opened
        source = task.source
        if ray.get(self._attempts.start.remote(index)) > TRIES:
            return Result(
                failure=f"{source.where}{source.path}: the worker that decoded it died {TRIES} times; "
                "it may need more memory than there is"
            )
        try:
            result = task.run(self._opened, self._spec.output, lambda *_: None).in_memory()
        except ModuleNotFoundError as error:
            return Unusable(_lacks(error))
        except Exception:
            return Crashed(traceback.format_exc())
        self._attempts.complete.remote(index)
        if result.failure is not None:
            return Result(failure=_missing(source, self._spec.machine) or result.failure)
        return result


def check_machine(spec: WorkerSpec) -> None:
    """Whether this machine is fit for the work of another.

    Raises:
        ConfigError: it has another version of phonestream, whose results may be others, or does not see the folder
            that results must go to.
    """
    from .. import __version__

    here = socket.gethostname()
    if __version__ != spec.version:
        raise ConfigError(
            f"{here} has phonestream {__version__}, not {spec.version}; install one version everywhere"
        )
    output = spec.output
    if output is None or is_url(output.folder):
        return
    if not Path(output.folder, HIDDEN, output.run).exists():
        raise ConfigError(
            f"{output.folder}: {here} does not see this folder; "
            "give --output a folder that all machines share, or a URL"
        )


def open_model(spec: WorkerSpec) -> Any:
    """What tasks need: the recogniser, above all.

    Raises:
        ModelError: it cannot run here.
    """
    with tempfile.TemporaryDirectory(prefix="phonestream-") as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(spec.model_file)
        return spec.model._replace(model=os.fspath(path)).open()


def _missing(source: Source, caller: str) -> str | None:
    """Why a recording is missing that the one who called may well see."""
    here = socket.gethostname()
    if here == caller or is_url(source.path) or os.path.lexists(source.path):
        return None
    return (
        f"{source.where}{source.path}: {here} has no such file; give a path that all machines share, or a URL"
    )


def _lacks(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(
        f"{socket.gethostname()} lacks the module {error.name}; install phonestream there with the same extras as here"
    )
