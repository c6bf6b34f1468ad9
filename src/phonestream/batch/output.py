"""Where the results of a run go, and which unfinished ones are left from a run that is over."""

import os
import re
import socket
import time
import uuid
from typing import NamedTuple

from .remote import is_url, strip_file_scheme

ABANDONED = 7 * 24 * 3600  # seconds after its beginning a run on another machine is taken to be over

_HOST = re.sub(r"[^\w.]", "_", socket.gethostname())
_RUN = re.compile(r"(?P<host>[\w.]+)-(?P<process>\d+)-(?P<began>\d+)-[0-9a-f]{8}")


class Output(NamedTuple):
    """Where the results of one run go."""

    folder: str
    """A path or a URL."""
    run: str
    """Name of the run: its unfinished results are in a folder of their own, that no other run clears away."""


def new_output(folder: str) -> Output:
    """The output of a run that begins now."""
    return Output(
        strip_file_scheme(folder), f"{_HOST}-{os.getpid()}-{time.time():.0f}-{uuid.uuid4().hex[:8]}"
    )


def result_folder(output: Output | None, stem: str) -> str | None:
    """The folder in which results of that name lie; None where they are printed, or behind a URL."""
    if output is None or is_url(output.folder):
        return None
    return os.path.dirname(os.path.join(output.folder, stem))


def is_abandoned(run: str) -> bool:
    """Whether the run of that name is over: its process is gone, or it began long ago on another machine."""
    named = _RUN.fullmatch(run)
    if named is None:  # left by a release whose runs had no names
        return True
    if named["host"] == _HOST and os.name == "posix":
        return not _is_running(int(named["process"]))
    return time.time() - int(named["began"]) > ABANDONED


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
