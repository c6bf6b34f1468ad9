"""What a run reads is never written to, under whatever name."""

import os
import stat
from collections.abc import Iterable

from ..errors import ConfigError
from .remote import is_url


def check_not_read(
    targets: Iterable[str], inputs: Iterable[str | os.PathLike[str] | None], remedy: str
) -> None:
    """Refuse to write files in the place of what they are made from; links are followed.

    Args:
        targets: names that will be written to.
        inputs: names that are read; None stands for none.
        remedy: what to do, for the error.

    Raises:
        ConfigError: one is read.
    """
    there = {identity: target for target in targets if (identity := _identity(target)) is not None}
    if not there:
        return
    for name in inputs:
        if name is not None and _identity(os.fspath(name)) in there:
            raise ConfigError(f"{os.fspath(name)}: is read, and a result would be written to it; {remedy}")


def _identity(name: str) -> str | tuple[int, int] | None:
    """What two names of one file have in common; None where there is no regular file."""
    if is_url(name):
        return name
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
