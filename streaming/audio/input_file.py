"""What a recording is read from: a file that can seek, whatever its name stands for."""

import os
import stat
import sys
import tempfile
from contextlib import ExitStack
from typing import BinaryIO, cast

from ...errors import AudioError, reason_of

PIECE = 1 << 20  # bytes of a pipe that are read at a time

STANDARD_INPUT = "-"


def open_input(path: str) -> BinaryIO:
    """A seekable, non-empty file; of a pipe, or of standard input where the name is `-`, a temporary copy.

    Raises:
        AudioError: it cannot be had; the message begins with the path.
    """
    try:
        file: BinaryIO = _standard_input() if path == STANDARD_INPUT else open(path, "rb", buffering=0)  # noqa: SIM115
    except IsADirectoryError:
        raise AudioError(
            f"{path}: is a folder; give the files in it, for example {path.rstrip('/')}/*.wav"
        ) from None
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file; check the name") from None
    except PermissionError:
        raise AudioError(f"{path}: may not be read; ask its owner or change its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise AudioError(f"{path}: cannot be opened: {reason_of(error)}") from None
    try:
        status = os.fstat(file.fileno())
        if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
            with file:
                file = _kept(path, file)
        elif not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{path}: is a device, not a file or a pipe; record from it into a file first")
        if os.fstat(file.fileno()).st_size == 0:
            raise AudioError(f"{path}: is empty; record, copy or download it again")
    except BaseException:
        file.close()
        raise
    return file


def _kept(path: str, pipe: BinaryIO) -> BinaryIO:
    """A temporary file with all that comes out of a pipe.

    Raises:
        AudioError: it cannot be written; the message begins with the path.
    """
    with ExitStack() as stack:
        try:
            file = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile(buffering=0)))
            while piece := pipe.read(PIECE):
                rest = memoryview(piece)
                while rest:  # a disk that is nearly full takes a part, and says nothing
                    rest = rest[file.write(rest) :]
        except OSError as error:
            folder = tempfile.tempdir or "the folder for temporary files"
            raise AudioError(
                f"{path}: cannot be kept in {folder} while it is read: {reason_of(error)}; make room there, "
                "or name another folder in TMPDIR"
            ) from None
        stack.pop_all()
        return file


def _standard_input() -> BinaryIO:
    """Standard input, which stays open when the file is closed."""
    if sys.stdin is None:  # closed by whoever started us
        raise OSError("standard input is closed")
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
