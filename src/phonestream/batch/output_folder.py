"""The output folder, wherever it is: what is there already, and sinks that write into it."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ..errors import ConfigError, system_errors_as
from .output import Output, is_abandoned
from .remote import is_url
from .sinks import HIDDEN, FolderSink, ResultSink, target_name


class OutputFolder(Protocol):
    """A folder for results."""

    def check(self) -> None:
        """See what is there, if anything is.

        Raises:
            ConfigError: it is a file, or cannot be listed.
        """

    def target(self, stem: str, channel: int | None, extension: str) -> str:
        """Name of a result, for people."""

    def exists(self, stem: str, channel: int | None, extension: str) -> bool:
        """Whether a result was there when `check` was called, or is now."""

    def make(self) -> None:
        """Make it, if need be.

        Raises:
            ConfigError: it cannot be made or written to.
        """

    def sink(self, stem: str) -> ResultSink:
        """Takes the files of one recording."""

    def clean(self) -> None:
        """Remove this run's unfinished results, and those of runs that were killed."""


class LocalFolder:
    """A folder of a file system that this machine has mounted."""

    def __init__(self, output: Output) -> None:
        self._folder = output.folder
        self._unfinished = Path(output.folder, HIDDEN, output.run)

    def check(self) -> None:
        if Path(self._folder).exists() and not Path(self._folder).is_dir():
            raise ConfigError(f"{self._folder}: is not a folder; give --output another name")

    def target(self, stem: str, channel: int | None, extension: str) -> str:
        return os.path.join(self._folder, target_name(stem, channel, extension))

    def exists(self, stem: str, channel: int | None, extension: str) -> bool:
        return os.path.exists(self.target(stem, channel, extension))

    def make(self) -> None:
        # Better now than after hours of work
        with system_errors_as(ConfigError, f"{self._folder}: cannot be made", "give --output another name"):
            Path(self._folder).mkdir(parents=True, exist_ok=True)

    def sink(self, stem: str) -> FolderSink:
        return FolderSink(self._folder, self._unfinished, stem)

    def clean(self) -> None:
        shutil.rmtree(self._unfinished, ignore_errors=True)
        hidden = self._unfinished.parent
        with suppress(OSError):
            for entry in list(hidden.iterdir()):
                if not is_abandoned(entry.name):
                    continue
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink()
            hidden.rmdir()  # fails while another run has files in it


def output_folder(output: Output) -> OutputFolder:
    """The folder of that name or URL.

    Raises:
        ConfigError: nothing is known of such URLs.
        ModuleNotFoundError: a URL needs the extra `url`.
    """
    if is_url(output.folder):
        from .remote_output import RemoteFolder

        return RemoteFolder(output)
    return LocalFolder(output)
