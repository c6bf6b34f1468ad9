"""Rows written in parts while they are made, so that a teacher that is stopped goes on where it was."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....errors import DataError, system_errors_as
from .rows import SparseRows, load_rows, sparse_rows, write_rows

RECORDINGS = 100  # in a part

LogProbs = Callable[[int], NDArray[np.float32]]


def rows_in_parts(
    folder: Path,
    key: str,
    ids: Sequence[str],
    log_probs: LogProbs,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[str, SparseRows]]:
    """The rows of all recordings; those of a part that lies in `folder` are read, the others made and put there.

    Args:
        folder: is made if need be. `remove_parts` takes it away.
        key: names what the rows come from; parts of another key are not read.
        ids: of the recordings.
        log_probs: makes the rows `[rows, phones + 1]` of the recording with this index.
        progress: called with the recordings done and their number.

    Raises:
        DataError: a part cannot be written.
    """
    with system_errors_as(DataError, f"{folder}: cannot be made"):
        folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(ids), RECORDINGS):
        part = ids[first : first + RECORDINGS]
        digest = hashlib.sha256("\n".join([key, *part]).encode()).hexdigest()
        path = folder / f"{first:08d}-{digest[:16]}.npz"
        made = _read(path, part)
        if made is None:
            made = []
            for index, identifier in enumerate(part, start=first):
                made.append((identifier, sparse_rows(log_probs(index))))
                progress(index + 1, len(ids))
            write_rows(path, made, row_seconds=0.02, lead_seconds=0.0, teacher=key)
        yield from made
        progress(first + len(part), len(ids))


def remove_parts(folder: Path) -> None:
    """Take the parts away, once their rows are in one file."""
    for path in folder.glob("*.npz"):
        path.unlink()
    folder.rmdir()


def _read(path: Path, ids: Sequence[str]) -> list[tuple[str, SparseRows]] | None:
    """A part's rows, or None where it is not there, damaged, or of others."""
    try:
        rows = load_rows(path)
    except DataError:
        return None
    return [(name, rows.sparse(name)) for name in ids] if list(rows.places) == list(ids) else None
