"""A teacher's rows in a file, and the targets that a student takes from them.

Of a row only the four most probable labels are kept, in 8 bits each, and none of a row that is almost certainly blank:
about 5 MB for 17 hours. Rows are those of the clean recording. A student whose recording was changed in speed takes
them at rescaled indices; and later by the lead, the time by which the teacher's spikes come before the student's.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....atomic import write_atomically
from ....errors import DataError, system_errors_as
from ....text_file import check_ends
from ...lexicon.phones import BLANK, PHONES

FORMAT = 1
KEPT = 4  # labels of a row
CERTAIN = 0.98  # probability of blank from which on a row is not kept
LEVELS = 255
HINT = "make it again with `phonestream teacher`"


@dataclass(frozen=True)
class SparseRows:
    """What is kept of a recording's rows."""

    count: int  # rows, kept or not
    at: NDArray[np.int64]  # [kept] indices of those that are kept
    labels: NDArray[np.uint8]  # [kept, KEPT]
    levels: NDArray[np.uint8]  # [kept, KEPT] probabilities times LEVELS


def sparse_rows(log_probs: NDArray[np.float32]) -> SparseRows:
    """Log-probabilities `[rows, phones + 1]` without the blank rows, and the most probable labels of the others."""
    probabilities = np.exp(log_probs)
    at = np.flatnonzero(probabilities[:, BLANK] < CERTAIN)
    best = np.argsort(-probabilities[at], axis=1, kind="stable")[:, :KEPT]
    share = np.take_along_axis(probabilities[at], best, axis=1)
    levels = np.rint(share / share.sum(axis=1, keepdims=True) * LEVELS)
    return SparseRows(len(log_probs), at, best.astype(np.uint8), levels.astype(np.uint8))


@dataclass(frozen=True)
class TeacherRows:
    """Sparse rows of many recordings."""

    row_seconds: float
    lead_seconds: float  # by which the teacher's spikes come before the student's
    places: dict[str, int]  # index of each recording
    counts: NDArray[np.int64]  # [recordings] rows of each
    offsets: NDArray[np.int64]  # [recordings + 1] where each one's kept rows begin
    at: NDArray[np.int64]  # [kept] index of a kept row within its recording
    labels: NDArray[np.uint8]  # [kept, KEPT]
    levels: NDArray[np.uint8]  # [kept, KEPT] probabilities times LEVELS
    digest: str  # SHA-256 of the file

    def __contains__(self, recording: str) -> bool:
        return recording in self.places

    def sparse(self, recording: str) -> SparseRows:
        """A recording's rows as they lie in the file."""
        place = self.places[recording]
        kept = slice(self.offsets[place], self.offsets[place + 1])
        return SparseRows(int(self.counts[place]), self.at[kept], self.labels[kept], self.levels[kept])

    def dense(self, recording: str) -> NDArray[np.float32]:
        """Probabilities `[rows, phones + 1]` of a recording, each row adding up to 1."""
        sparse = self.sparse(recording)
        rows = np.zeros((sparse.count, len(PHONES) + 1), np.float32)
        rows[:, BLANK] = 1.0
        rows[sparse.at, BLANK] = 0.0
        np.add.at(rows, (sparse.at[:, None], sparse.labels), sparse.levels.astype(np.float32))
        rows /= rows.sum(axis=1, keepdims=True)
        return rows

    def targets(
        self, taught: NDArray[np.float32], rows: int, row_seconds: float, speed: float
    ) -> NDArray[np.float32]:
        """What a student learns: probabilities float32 `[rows, phones + 1]`.

        Args:
            taught: rows of `dense`, or made of such.
            rows: of the student.
            row_seconds: of the student.
            speed: by which the student's recording is faster than the teacher's.
        """
        later = round(self.lead_seconds / row_seconds)
        taken = resample(taught, max(0, rows - later), row_seconds * speed / self.row_seconds)
        targets = np.zeros((rows, len(PHONES) + 1), np.float32)
        targets[:, BLANK] = 1.0
        if later >= 0:
            targets[later:] = taken
        else:
            targets[:] = taken[-later:]
        return targets


def resample(rows: NDArray[np.float32], count: int, step: float) -> NDArray[np.float32]:
    """Rows at the indices 0, `step`, 2 `step`, …: `[rows, labels]` to `[count, labels]`, blank behind the last.

    Of several rows that fall into one, the one with the least blank is taken, so that no spike is lost; where one falls
    into several it is repeated, so that no spike is cut in two.
    """
    targets = np.zeros((count, rows.shape[1]), np.float32)
    targets[:, BLANK] = 1.0
    sources = np.floor(np.arange(count) * step + 0.5).astype(np.int64)
    inside = sources < len(rows)
    targets[inside] = rows[sources[inside]]
    into = np.floor(np.arange(len(rows)) / step + 0.5).astype(np.int64)
    order = np.argsort(-rows[:, BLANK], kind="stable")  # the least blank is written last
    order = order[into[order] < count]
    better = rows[order, BLANK] < targets[into[order], BLANK]
    targets[into[order[better]]] = rows[order[better]]
    return targets


def write_rows(
    path: Path,
    recordings: Iterable[tuple[str, SparseRows]],
    *,
    row_seconds: float,
    lead_seconds: float,
    teacher: str,
) -> int:
    """Write the rows of recordings, and return the file's size in bytes.

    Args:
        teacher: what the file says of where the rows are from.

    Raises:
        DataError: the file cannot be written.
    """
    ids, kept = [], []
    for identifier, sparse in recordings:
        ids.append(identifier)
        kept.append(sparse)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        format=np.array(FORMAT),
        phones=np.array(PHONES),
        teacher=np.array(teacher),
        row_seconds=np.array(row_seconds),
        lead_seconds=np.array(lead_seconds),
        ids=np.array(ids, dtype=np.str_),
        counts=np.array([sparse.count for sparse in kept], np.uint32),
        kept_counts=np.array([len(sparse.at) for sparse in kept], np.uint32),
        gaps=np.concatenate(
            [np.zeros(0, np.uint16), *(np.diff(sparse.at, prepend=0).astype(np.uint16) for sparse in kept)]
        ),
        labels=np.concatenate([np.zeros((0, KEPT), np.uint8), *(sparse.labels for sparse in kept)]),
        levels=np.concatenate([np.zeros((0, KEPT), np.uint8), *(sparse.levels for sparse in kept)]),
    )
    with system_errors_as(
        DataError,
        f"{path}: the teacher's rows cannot be written",
        "make room, and start again: what is made is kept",
    ):
        write_atomically(path, buffer.getbuffer())
    return buffer.getbuffer().nbytes


def load_rows(path: Path) -> TeacherRows:
    """Read a file of `write_rows`, checked whole.

    Raises:
        DataError: it cannot be read, is damaged, or is of other phones.
    """
    with system_errors_as(DataError, f"{path}: cannot be read", HINT), path.open("rb") as whole:
        check_ends(whole)
        content = whole.read()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            table = {name: file[name] for name in file.files}
        if int(table["format"]) != FORMAT or tuple(table["phones"].tolist()) != PHONES:
            raise DataError(f"{path}: is of another version or of other phones; {HINT}")
        kept = table["kept_counts"].astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(kept)])
        gaps, labels, levels = table["gaps"].astype(np.int64), table["labels"], table["levels"]
        ids, counts = table["ids"].tolist(), table["counts"].astype(np.int64)
        running = np.cumsum(gaps)
        before = np.concatenate([[0], running])[offsets[:-1]]
        at = running - np.repeat(before, kept)
        last = np.repeat(counts, kept)
        sound = (
            len(set(ids)) == len(ids) == len(counts) == len(kept)
            and labels.shape == levels.shape == (offsets[-1], KEPT)
            and (labels.dtype, levels.dtype) == (np.uint8, np.uint8)
            and len(gaps) == offsets[-1]
            and bool((at < last).all())
            and bool((labels <= len(PHONES)).all())
            and bool((levels.sum(axis=1, dtype=np.int64) > 0).all())
        )
        row_seconds, lead_seconds = float(table["row_seconds"]), float(table["lead_seconds"])
        if not sound or not 0 < row_seconds < 1 or not abs(lead_seconds) < 1:
            raise DataError(f"{path}: is damaged; {HINT}")
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds on damaged files
        raise DataError(
            f"{path}: is not a file of a teacher's rows ({type(error).__name__}); {HINT}"
        ) from None
    places = {identifier: index for index, identifier in enumerate(ids)}
    digest = hashlib.sha256(content).hexdigest()
    return TeacherRows(row_seconds, lead_seconds, places, counts, offsets, at, labels, levels, digest)
