"""Files that take their name when they are whole: whoever opens one finds the old one or the new one."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path`, or beside the file that it leads to, to write to; it takes the place of that if the block
    ends without an error.

    Raises:
        OSError: it cannot be put on the disk, or not take that name.
    """
    path = _followed(path)
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


def is_special(path: str | Path) -> bool:
    """Whether there is a device, a pipe or this process's own output of that name: written to and never replaced."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return False
    return not stat.S_ISDIR(status.st_mode) and (not stat.S_ISREG(status.st_mode) or _is_output(status))


def write_output(path: Path, content: bytes) -> None:
    """`write_atomically`, or to what `is_special`.

    Raises:
        OSError: as there.
    """
    if is_special(path):
        path.write_bytes(content)
    else:
        write_atomically(path, content)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or none, and the folders that they lie in.

    All are on the disk before the first takes its name; they take their names in the order of `contents`. Links are
    followed.

    Raises:
        OSError: one cannot be written; what was there before is untouched, and folders that were made are gone.
    """
    made: list[Path] = []
    contents = {_followed(path): content for path, content in contents.items()}
    try:
        for path, content in contents.items():
            _make_folders(path.parent, made)
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
            with suppress(OSError, ValueError):  # a name with a null character
                _partial(path).unlink(missing_ok=True)
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _followed(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _is_output(status: os.stat_result) -> bool:
    """Whether a file is open as standard output or error, as behind /dev/stdout where that was redirected."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(status, os.fstat(descriptor)):
                return True
    return False


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it; those that were not there are appended to `made`, the outermost first."""
    for missing in reversed([above for above in (folder, *folder.parents) if not above.exists()]):
        missing.mkdir(exist_ok=True)
        made.append(missing)
