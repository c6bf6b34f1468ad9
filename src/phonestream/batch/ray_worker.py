"""A worker of Ray Data's pool: one recogniser, that decodes whatever recording comes, on whatever machine it is."""

import os
import pickle
import socket
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ..errors import ConfigError, PhonestreamError
from ..streaming.recognizer import Recognizer
from .entries import Source
from .remote import is_url
from .sinks import HIDDEN
from .work import Result, Task, decode, store
from .worker import Bug, Opening, Refused

TRIES = 3  # of a recording whose worker dies; a cluster's machines are taken away more often than a process is killed

Answer: TypeAlias = Result | Refused | Bug

Row: TypeAlias = dict[str, Any]
"""To a worker: `index` of a task and the pickled `task`; from it: `index` and the pickled `answer`."""


class Kit(NamedTuple):
    """What a worker needs to do as the one who called would do."""

    model: bytes  # of the model file, so that it need not be on every machine, and is the same on each
    opening: Opening
    folder: str | None  # where results are written; None: they are handed back
    token: (
        str | None
    )  # a file in the folder's hidden one: a worker that does not see it has another folder before it
    working_folder: str  # what relative names are relative to
    machine: str
    version: str  # of phonestream


class Ledger:
    """Counts, for all workers, how often each recording was begun and not ended: by then its worker had died."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}

    def begin(self, index: int) -> int:
        """How often recording `index` has been begun, this time included."""
        self._begun[index] = self._begun.get(index, 0) + 1
        return self._begun[index]

    def end(self, index: int) -> None:
        self._begun.pop(index, None)


class Decoder:
    """Called with a row of a data set for each recording. What goes wrong is an answer, never an exception."""

    def __init__(self, kit: Kit, ledger: Any) -> None:
        """Open the model.

        Args:
            kit: what to work with.
            ledger: handle of the actor that is the Ledger.
        """
        self._kit = kit
        self._ledger = ledger
        with suppress(OSError):
            os.chdir(kit.working_folder)
        self._recognizer: Recognizer | Refused
        try:
            check_place(kit)
            self._recognizer = open_model(kit)
        except PhonestreamError as error:
            self._recognizer = Refused(error)
        except ModuleNotFoundError as error:
            self._recognizer = Refused(_lacks(error))

    def __call__(self, row: Row) -> Row:
        index = int(row["index"])
        return {"index": index, "answer": pickle.dumps(self._answer(index, pickle.loads(row["task"])))}

    def _answer(self, index: int, task: Task) -> Answer:
        import ray

        if isinstance(self._recognizer, Refused):
            return self._recognizer
        source, folder = task.source, self._kit.folder
        if ray.get(self._ledger.begin.remote(index)) > TRIES:
            return Result(
                failure=f"{source.where}{source.path}: the worker that decoded it died {TRIES} times; "
                "it may need more memory than there is"
            )
        try:
            hear = self._recognizer
            result = decode(task, hear) if folder is None else store(task, hear, folder)
        except ModuleNotFoundError as error:
            return Refused(_lacks(error))
        except Exception:
            return Bug(traceback.format_exc())
        self._ledger.end.remote(index)
        if result.failure is not None:
            return Result(failure=_missing(source, self._kit.machine) or result.failure)
        return result


def check_place(kit: Kit) -> None:
    """Whether this machine is fit for the work of another.

    Raises:
        ConfigError: it has another version of phonestream, whose results may be others, or does not see the folder
            that results must go to.
    """
    from .. import __version__

    here = socket.gethostname()
    if __version__ != kit.version:
        raise ConfigError(
            f"{here} has phonestream {__version__}, not {kit.version}; install one version everywhere"
        )
    if kit.folder is not None and kit.token is not None and not Path(kit.folder, HIDDEN, kit.token).exists():
        raise ConfigError(
            f"{kit.folder}: {here} does not see this folder; give --output a folder that all machines share, or a URL"
        )


def open_model(kit: Kit) -> Recognizer:
    """The recogniser of a kit.

    Raises:
        ModelError: it cannot run here.
    """
    with tempfile.TemporaryDirectory(prefix="phonestream-") as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(kit.model)
        return kit.opening._replace(model=os.fspath(path)).recognizer()


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
