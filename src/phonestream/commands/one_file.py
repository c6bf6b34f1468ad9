"""A result that is one file: its format by its name's ending, and the file written whole or not at all."""

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from typing import BinaryIO

from ..errors import PhonestreamError


def format_of(path: str) -> str | None:
    """Name of the format whose files end as `path` does, in any case; None where none does."""
    from ..formats.registry import FORMATS

    name = os.path.basename(path).lower()
    by_length = sorted(FORMATS.values(), key=lambda form: -len(form.extension))  # a.audacity.txt is no text
    return next((form.name for form in by_length if name.endswith(f".{form.extension.lower()}")), None)


def is_special(path: str) -> bool:
    """Whether there is a device or a pipe of that name, which is written to and never replaced."""
    return os.path.exists(path) and not os.path.isdir(path) and not stat.S_ISREG(os.stat(path).st_mode)


def save(path: str, content: BinaryIO) -> None:
    """Write a file that takes its name when it is whole; to a device or a pipe.

    Raises:
        PhonestreamError: it cannot be written.
    """
    temporary = None
    try:
        if is_special(path):
            with open(path, "wb", buffering=0) as device:
                shutil.copyfileobj(content, device)
            return
        target = os.path.realpath(path)  # through a link, to the file that it leads to
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(target) or ".")
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # temporary files are private, results like any other file
        os.replace(temporary, target)
    except (OSError, ValueError) as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        reason = getattr(error, "strerror", None) or error
        raise PhonestreamError(
            f"{path}: cannot be written: {reason}; make room, or give another --output"
        ) from None
