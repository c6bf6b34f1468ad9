"""An output folder behind a URL: its files appear there whole or not at all, as they do in a folder on a disk."""

import os
import tempfile
import uuid
from contextlib import suppress
from typing import BinaryIO

from ..errors import ConfigError
from .output import Output, is_abandoned
from .remote import error_reason, filesystem, parse, remedy, with_retries
from .sinks import HIDDEN, target_name, written_to

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "memory"})
"""Schemes where a file is there when all of it has arrived. Elsewhere it gets its name afterwards."""


class RemoteFolder:
    """An output folder behind a URL, as `output_folder.OutputFolder`."""

    def __init__(self, output: Output) -> None:
        """Find its file system.

        Raises:
            ConfigError: there is none.
            ModuleNotFoundError: fsspec is not installed.
        """
        self._name = url = output.folder
        self._run = output.run
        self._url = parse(url)
        try:
            self._store, path = filesystem(url)
        except OSError as error:
            raise ConfigError(
                f"{url}: {error.strerror}; {remedy(error, 'then try again')}, or give another --output"
            ) from None
        self._path = path.rstrip("/")
        self._there: frozenset[str] | None = None
        protocol = self._store.protocol
        self._whole = not OBJECT_STORES.isdisjoint([protocol] if isinstance(protocol, str) else protocol)

    def check(self) -> None:
        try:
            self._store.invalidate_cache()
            if self._path and self._store.isfile(self._path):
                raise ConfigError(f"{self._name}: is not a folder; give --output another name")
            found = self._store.find(self._path) if self._store.exists(self._path) else []
        except FileNotFoundError:
            found = []
        except ConfigError:
            raise
        except Exception as error:  # plug-ins raise what they like
            raise ConfigError(
                f"{self._name}: cannot be listed: {error_reason(error)}; "
                "check the name, the network and the credentials"
            ) from None
        self._there = frozenset(name[len(self._path) :].lstrip("/") for name in found)

    def target(self, stem: str, channel: int | None, extension: str) -> str:
        return str(self._url.child(target_name(stem, channel, extension)))

    def exists(self, stem: str, channel: int | None, extension: str) -> bool:
        if self._there is None:
            self.check()
        return self._there is not None and target_name(stem, channel, extension) in self._there

    def make(self) -> None:
        """There are no empty folders in many stores, so a file is written and removed: better now than after hours."""
        probe = self._unfinished()
        try:
            # Stores of objects have no folders, and would make a bucket of a slip of the pen
            if not self._whole:
                self._store.makedirs(self._store._parent(probe), exist_ok=True)
            self._store.pipe_file(probe, b"phonestream")
            self._store.rm_file(probe)
        except Exception as error:  # plug-ins raise what they like
            raise ConfigError(
                f"{self._name}: cannot be written to: {error_reason(error)}; check the credentials, "
                "or give another --output"
            ) from None

    def sink(self, stem: str) -> "UploadSink":
        return UploadSink(self, stem)

    def clean(self) -> None:
        hidden = f"{self._path}/{HIDDEN}"
        with suppress(Exception):
            self._store.invalidate_cache()
            runs = [name.rstrip("/").rpartition("/")[2] for name in self._store.ls(hidden, detail=False)]
            over = [run for run in runs if run == self._run or is_abandoned(run)]
            for below in [""] if over == runs else [f"/{run}" for run in over]:
                self._store.rm(f"{hidden}{below}", recursive=True)

    def put(self, file: str, name: str) -> None:
        """Copy a file of this machine's to `name` below the folder.

        Raises:
            OSError: it does not arrive.
        """
        target = f"{self._path}/{name}"
        if self._whole:
            with_retries(lambda: self._store.put_file(file, target))
            return
        passing = self._unfinished()

        def arrive() -> None:
            self._store.makedirs(self._store._parent(passing), exist_ok=True)
            self._store.put_file(file, passing)
            self._store.makedirs(self._store._parent(target), exist_ok=True)
            self._store.mv(passing, target)

        with_retries(arrive)

    def _unfinished(self) -> str:
        """A path for a file of this run's that has no name yet."""
        return f"{self._path}/{HIDDEN}/{self._run}/{uuid.uuid4().hex}"


class UploadSink:
    """Files of one recording, made here and sent when all are whole; the first channel's are sent last."""

    def __init__(self, folder: RemoteFolder, stem: str) -> None:
        self._folder = folder
        self._stem = stem
        self._files: list[tuple[BinaryIO, str, int | None, str]] = []  # open file, its name here, what it is

    def open(self, channel: int | None, extension: str) -> BinaryIO:
        descriptor, name = tempfile.mkstemp(prefix="phonestream-")
        file = os.fdopen(descriptor, "w+b")
        self._files.append((file, name, channel, extension))
        return file

    def commit(self) -> None:
        """Send the files.

        Raises:
            PhonestreamError: one does not arrive.
        """
        for file, _, channel, extension in self._files:
            with written_to(self._folder.target(self._stem, channel, extension)):
                file.close()
        for _, name, channel, extension in reversed(self._files):
            with written_to(self._folder.target(self._stem, channel, extension)):
                self._folder.put(name, target_name(self._stem, channel, extension))
        self.discard()

    def discard(self) -> None:
        for file, name, _, _ in self._files:
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                os.unlink(name)
        self._files = []
