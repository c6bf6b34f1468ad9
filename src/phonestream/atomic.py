"""Files that take their name when they are whole: whoever opens one finds the old one or the new one."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` if the block ends without an error.

    Raises:
        OSError: it cannot be put on the disk, or not take that name.
    """
    partial = _partial(path)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())  # on the disk before it has its name, lest a power cut leave it empty
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write all of a file or nothing.

    Raises:
        OSError: it cannot be written; what was there before is untouched.
    """
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or none, and the folders that they lie in.

    All are on the disk before the first takes its name; they take their names in the order of `contents`.

    Raises:
        OSError: one cannot be written; what was there before is untouched, and folders that were made are gone.
    """
    made: list[Path] = []
    try:
        for path, content in contents.items():
            made += _make_folders(path.parent)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            with _partial(path).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            os.replace(_partial(path), path)
    except BaseException:
        for path in contents:
            with suppress(OSError):
                _partial(path).unlink(missing_ok=True)
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; returns those that were not there, the outermost first."""
    missing = [above for above in (folder, *folder.parents) if not above.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]
