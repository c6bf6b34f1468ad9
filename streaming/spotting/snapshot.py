"""What spotting remembers as fields and tensors of a stream's snapshot, and back, completely checked.

The keywords themselves are not in it, only their digest: whoever restores a stream gives them again.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import AnyArray
from .search import LOWEST, Peak, SearchState, begins_before
from .spotter import Spotter, SpotterState, Spotting

PREFIX = "spotting."
ROWS = "keywords.rows"
_PHONE, _BLANK = PREFIX + "phone", PREFIX + "blank"
_LEAST = -(1 << 61)


def fields(spotting: Spotting) -> dict[str, Any]:
    """What is no array: the keywords' digest, peaks that are not certain yet and the last."""
    state = spotting.state
    return {
        "keywords": spotting.spotter.digest,
        "pending": [list(peak) for peak in state.search.pending],
        "last": [list(peak) for peak in state.search.last],
    }


def tensors(spotting: Spotting) -> dict[str, AnyArray]:
    """The arrays: best paths as in `search.SearchState`, int64, and the last rows, float32."""
    state = spotting.state
    return {_PHONE: state.search.phone, _BLANK: state.search.blank, ROWS: state.rows}


def load(
    saved: Any, arrays: Mapping[str, AnyArray], rows: AnyArray | None, spotter: Spotter, row: int
) -> Spotting:
    """The state of a stream that has seen `row` rows; `rows` are the last of them, float32, finite.

    Raises:
        ValueError: it is damaged, or of other keywords.
    """
    if isinstance(saved, dict):
        saved = {"last": [], **saved}  # not in snapshots of before the last peaks were kept
        if saved.pop("label", None) is not None and rows is None:  # of before the last rows were
            arrays = {name: array for name, array in arrays.items() if name != PREFIX + "heard"}
            rows = np.empty((0, spotter.columns), np.float32)
    if not isinstance(saved, dict) or saved.keys() != {"keywords", "pending", "last"}:
        raise ValueError("is damaged: field 'spotting' is no object of keywords, pending and last")
    if saved["keywords"] not in (spotter.digest, spotter.digest_of_sounds):
        raise ValueError("is of a stream with other keywords: give the same keywords with it")
    first = spotter.initial()
    shapes = {_PHONE: first.search.phone.shape, _BLANK: first.search.blank.shape}
    if arrays.keys() != shapes.keys():
        raise ValueError(
            f"is damaged: tensors {sorted(arrays.keys() ^ shapes.keys())} are missing or unknown"
        )
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape:
            raise ValueError(f"is damaged: tensor {name!r} has shape {array.shape}, expected {shape}")
        # A path's row is in its lower half, so a score of 0 is at most a row.
        if array.size and not (int(array.min()) >= _LEAST and int(array.max()) < 1 << 32):
            raise ValueError(f"is damaged: tensor {name!r} holds no scores")
        if not begins_before(array, row):
            raise ValueError(f"is damaged: tensor {name!r} has a path that begins in a row still to come")
    if (
        rows is None
        or rows.ndim != 2
        or rows.shape[1] != spotter.columns
        or len(rows) > min(spotter.kept, row)
        or (rows > 1e-3).any()
    ):
        raise ValueError(f"is damaged: tensor {ROWS!r} holds no log-probabilities of the last rows")
    search = SearchState(
        row, arrays[_PHONE], arrays[_BLANK], _peaks(saved, "pending", spotter), _peaks(saved, "last", spotter)
    )
    if not all(peak.end < row <= peak.end + spotter.window for peak in search.pending):
        raise ValueError("is damaged: field 'spotting.pending' has a peak that cannot be pending")
    if not all(peak.end + spotter.window < row for peak in search.last):
        raise ValueError("is damaged: field 'spotting.last' has a peak that cannot be certain")
    return Spotting(spotter, SpotterState(search, rows))


def _peaks(saved: Mapping[str, Any], name: str, spotter: Spotter) -> tuple[Peak, ...]:
    """The list of peaks, one a keyword at most."""
    if not (isinstance(saved[name], list) and all(_is_peak(peak, spotter) for peak in saved[name])):
        raise ValueError(f"is damaged: field 'spotting.{name}' is no list of peaks")
    peaks = tuple(Peak(one[0], one[1], one[2], one[3], float(one[4])) for one in saved[name])
    if any(one.keyword >= other.keyword for one, other in pairwise(peaks)):
        raise ValueError(f"is damaged: field 'spotting.{name}' has a keyword twice")
    return peaks


def _is_peak(peak: Any, spotter: Spotter) -> bool:
    if not (isinstance(peak, list) and len(peak) == 5 and all(type(value) is int for value in peak[:4])):
        return False
    keyword, variant, start, end, score = peak
    return (
        type(score) in (int, float)
        and LOWEST <= score <= 0
        and spotter.owns(keyword, variant)
        and 0 <= start <= end
    )
