"""What spotting remembers as fields and tensors of a stream's snapshot, and back, completely checked.

The keywords themselves are not in it, only their digest: whoever restores a stream gives them again.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from ..arrays import AnyArray
from .search import LOWEST, Peak, SearchState
from .spotter import KEPT_PHONES, Spotter, SpotterState, Spotting

PREFIX = "spotting."
_PHONE, _BLANK, _HEARD = PREFIX + "phone", PREFIX + "blank", PREFIX + "heard"
_LEAST = -(1 << 61)


def fields(spotting: Spotting) -> dict[str, Any]:
    """What is no array: the keywords' digest, the last row's column, peaks that are not certain yet."""
    state = spotting.state
    return {
        "keywords": spotting.spotter.digest,
        "label": state.label,
        "pending": [list(peak) for peak in state.search.pending],
    }


def tensors(spotting: Spotting) -> dict[str, AnyArray]:
    """The arrays, all int64: best paths as in `search.SearchState`, and the last phones as [phones, 2]."""
    state = spotting.state
    return {_PHONE: state.search.phone, _BLANK: state.search.blank, _HEARD: state.heard}


def load(saved: Any, arrays: Mapping[str, AnyArray], spotter: Spotter, row: int) -> Spotting:
    """The state of a stream that has seen `row` rows.

    Raises:
        ValueError: it is damaged, or of other keywords.
    """
    if not isinstance(saved, dict) or saved.keys() != {"keywords", "label", "pending"}:
        raise ValueError("is damaged: field 'spotting' is no object of keywords, label and pending")
    if saved["keywords"] != spotter.digest:
        raise ValueError("is of a stream with other keywords: give restore(…, keywords=…) the same ones")
    first = spotter.initial()
    shapes = {_PHONE: first.search.phone.shape, _BLANK: first.search.blank.shape}
    if arrays.keys() != {*shapes, _HEARD}:
        raise ValueError(
            f"is damaged: tensors {sorted(arrays.keys() ^ {*shapes, _HEARD})} are missing or unknown"
        )
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape:
            raise ValueError(f"is damaged: tensor {name!r} has shape {array.shape}, expected {shape}")
        # A path's row is in its lower half, so a score of 0 is at most a row.
        if array.size and not (int(array.min()) >= _LEAST and int(array.max()) < 1 << 32):
            raise ValueError(f"is damaged: tensor {name!r} holds no scores")
    heard = arrays[_HEARD]
    if not _are_phones(heard, spotter.columns, row):
        raise ValueError(f"is damaged: tensor {_HEARD!r} holds no phones of the {row} rows")
    label, pending = saved["label"], saved["pending"]
    if not (type(label) is int and 0 <= label < spotter.columns):
        raise ValueError("is damaged: field 'spotting.label' is no column of the rows")
    if not (isinstance(pending, list) and all(_is_peak(peak, spotter, row) for peak in pending)):
        raise ValueError("is damaged: field 'spotting.pending' is no list of peaks")
    peaks = tuple(Peak(peak[0], peak[1], peak[2], peak[3], float(peak[4])) for peak in pending)
    if any(one.keyword >= other.keyword for one, other in pairwise(peaks)):
        raise ValueError("is damaged: field 'spotting.pending' has a keyword twice")
    return Spotting(
        spotter, SpotterState(SearchState(row, arrays[_PHONE], arrays[_BLANK], peaks), label, heard)
    )


def _are_phones(heard: AnyArray, columns: int, row: int) -> bool:
    if heard.ndim != 2 or heard.shape[1] != 2 or len(heard) > KEPT_PHONES + row:
        return False
    rows, labels = heard[:, 0], heard[:, 1]
    ascending = bool((rows[1:] > rows[:-1]).all())
    return ascending and bool(((rows >= 0) & (rows < row) & (labels >= 0) & (labels < columns)).all())


def _is_peak(peak: Any, spotter: Spotter, row: int) -> bool:
    if not (isinstance(peak, list) and len(peak) == 5 and all(type(value) is int for value in peak[:4])):
        return False
    keyword, variant, start, end, score = peak
    return (
        type(score) in (int, float)
        and LOWEST <= score <= 0
        and spotter.owns(keyword, variant)
        and 0 <= start <= end < row <= end + spotter.window
    )
