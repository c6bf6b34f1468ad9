"""What a person names as text: read whole from a file or a pipe, within a limit, in UTF-8; never from a device."""

import errno
import os
import stat
import sys
from os import PathLike, fspath
from typing import BinaryIO

from .errors import DataError, PhonestreamError, reason_of

MAX_TEXT_BYTES = 64 << 20
PIECE = 1 << 20  # bytes that are read at a time

STANDARD_INPUT = "-"


def read_text(
    path: str | PathLike[str],
    noun: str,
    *,
    limit: int = MAX_TEXT_BYTES,
    remedy: str = "check the name",
    kind: type[PhonestreamError] = DataError,
) -> str:
    """A text in UTF-8, with or without a byte order mark; all lines of it end with a newline alone.

    Args:
        path: a regular file or a pipe.
        noun: what messages call it.
        limit: bytes that it may have.
        remedy: what to do where it cannot be read.
        kind: of the error.

    Raises:
        PhonestreamError: it cannot be read, is a device, is longer than `limit`, or is not UTF-8, of which the message
            says the line.
    """
    name = fspath(path)
    try:
        with open(path, "rb") as file:
            data = read_whole(file, limit)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise kind(f"{name}: the {noun} cannot be read: {reason_of(error)}; {remedy}") from None
    return decode(name, data, noun, kind=kind).replace("\r\n", "\n").replace("\r", "\n")


def decode(name: str, data: bytes, noun: str, *, kind: type[PhonestreamError] = DataError) -> str:
    """The text in `data`, with or without a byte order mark.

    Args:
        name: of the file, for errors.
        noun: what messages call it.
        kind: of the error.

    Raises:
        PhonestreamError: it is not UTF-8; the message says in which line.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise kind(f"{name}:{line}: not UTF-8 text; save the {noun} as UTF-8") from None


def read_whole(file: BinaryIO, limit: int = MAX_TEXT_BYTES) -> bytes:
    """All that is in an open file.

    Raises:
        OSError: it cannot be read, is a device, or has more than `limit` bytes.
    """
    check_ends(file)
    return read_limited(file, limit)


def read_standard_input(limit: int = MAX_TEXT_BYTES) -> bytes:
    """All that comes on standard input.

    Raises:
        OSError: it is closed, cannot be read, or has more than `limit` bytes.
    """
    if sys.stdin is None:  # closed by whoever started us; what is open in its place is something else
        raise OSError(errno.EBADF, "standard input is closed")
    with open(sys.stdin.fileno(), "rb", closefd=False) as file:
        return read_limited(file, limit)


def read_limited(file: BinaryIO, limit: int) -> bytes:
    """All that is left of `file`.

    Raises:
        OSError: it cannot be read, or has more than `limit` bytes.
    """
    pieces, size = [], 0
    while piece := file.read(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise OSError(errno.EFBIG, f"it is longer than {limit >> 20} MiB")
    return b"".join(pieces)


def check_ends(file: BinaryIO) -> None:
    """Refuse devices, such as /dev/zero, of which many never end; a terminal ends where its user says so.

    Raises:
        OSError: `file` is one.
    """
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not file.isatty()):
        raise OSError(errno.EINVAL, "it is a device, not a file or a pipe")
