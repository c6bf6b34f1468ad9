"""The output folder, wherever it is: what is there already, and sinks that write into it."""

import os
from pathlib import Path
from typing import Protocol

from ..errors import ConfigError
from . import sinks
from .remote import is_url, plain
from .sinks import Folder, Sink


class Place(Protocol):
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

    def sink(self, stem: str) -> Sink:
        """Takes the files of one recording."""

    def clean(self) -> None:
        """Remove unfinished results, a killed run's too."""


class LocalPlace:
    """A folder of a file system that this machine has mounted."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def check(self) -> None:
        if Path(self._folder).exists() and not Path(self._folder).is_dir():
            raise ConfigError(f"{self._folder}: is not a folder; give --output another name")

    def target(self, stem: str, channel: int | None, extension: str) -> str:
        return os.fspath(sinks.target_path(self._folder, stem, channel, extension))

    def exists(self, stem: str, channel: int | None, extension: str) -> bool:
        return sinks.target_path(self._folder, stem, channel, extension).exists()

    def make(self) -> None:
        try:
            Path(self._folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:  # better now than after hours of work
            raise ConfigError(
                f"{self._folder}: cannot be made: {error.strerror}; give --output another name"
            ) from None

    def sink(self, stem: str) -> Folder:
        return Folder(self._folder, stem)

    def clean(self) -> None:
        sinks.clean(self._folder)


def place(folder: str) -> Place:
    """The folder of that name or URL.

    Raises:
        ConfigError: nothing is known of such URLs.
        ModuleNotFoundError: a URL needs the extra `cluster`.
    """
    if is_url(folder := plain(folder)):
        from .remote_output import RemotePlace

        return RemotePlace(folder)
    return LocalPlace(folder)
