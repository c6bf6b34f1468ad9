"""A result that is one file: its format by its name's ending, and the file written whole or not at all."""

import os
import shutil
from pathlib import Path
from typing import BinaryIO

from ..atomic import is_special, replacing


def format_of(path: str) -> str | None:
    """Name of the format whose files end as `path` does, in any case; None where none does."""
    from ..formats.registry import FORMATS

    name = os.path.basename(path).lower()
    by_length = sorted(FORMATS.values(), key=lambda form: -len(form.extension))  # a.audacity.txt is no text
    return next((form.name for form in by_length if name.endswith(f".{form.extension.lower()}")), None)


def save(path: str, content: BinaryIO) -> None:
    """Write a file that takes its name when it is whole; to a device or a pipe.

    Raises:
        PhonestreamError: it cannot be written.
    """
    from ..batch.sinks import written_to

    with written_to(path):
        if is_special(path):
            with open(path, "wb", buffering=0) as device:
                shutil.copyfileobj(content, device)
            return
        with replacing(Path(path)) as partial, partial.open("wb") as file:
            shutil.copyfileobj(content, file)
