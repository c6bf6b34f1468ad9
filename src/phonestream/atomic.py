"""Files that take their name when they are whole: whoever opens one finds the old one or the new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` if the block ends without an error.

    Raises:
        OSError: it cannot be put on the disk, or not take that name.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
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
