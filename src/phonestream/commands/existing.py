"""Files that are there already: nobody's work is replaced unasked."""

import os
from collections.abc import Iterable

from ..errors import ConfigError


def check_new(
    path: str | os.PathLike[str], overwrite: bool, read: Iterable[str | os.PathLike[str] | None]
) -> None:
    """Refuse to replace a file. A device or a pipe, which is written to, may be there.

    Args:
        read: what the result is made from, which is not replaced either way.

    Raises:
        ConfigError: it is there, and `overwrite` is false or it is read.
    """
    from ..batch.inputs import check_not_read

    check_not_read([os.fspath(path)], read, "give another --output")
    if not overwrite and os.path.isfile(path):
        raise ConfigError(f"{os.fspath(path)}: exists already; --overwrite replaces it")
