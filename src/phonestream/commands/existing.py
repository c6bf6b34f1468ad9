"""Files that are there already: nobody's work is replaced unasked."""

import os

from ..errors import ConfigError


def check_new(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuse to replace a file. A device or a pipe, which is written to, may be there.

    Raises:
        ConfigError: it is there, and `overwrite` is false.
    """
    if not overwrite and os.path.isfile(path):
        raise ConfigError(f"{os.fspath(path)}: exists already; --overwrite replaces it")
