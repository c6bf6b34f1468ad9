"""Whether confidences mean something: of the phones that a model is 80 % sure of, 80 % should be right."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError
from ...streaming.decode import Phone
from .score import Edit

BINS = 15
Binning = Literal["mass", "width"]


class Judged(NamedTuple):
    """Decoded phones."""

    confidence: NDArray[np.float64]
    """[n], in [0, 1]."""
    right: NDArray[np.bool_]
    """[n]"""


class Bin(NamedTuple):
    """Phones of like confidence."""

    low: float
    high: float
    phones: int
    confidence: float
    """Mean over the bin."""
    right: float
    """Share of the bin's phones that are right."""


class Reliability(NamedTuple):
    """A reliability diagram in numbers."""

    bins: tuple[Bin, ...]
    """From the least confident to the most; empty ones left out."""
    phones: int
    confidence: float
    """Mean over all phones; NaN without any."""
    right: float
    """Share of all phones that are right; NaN without any."""
    error: float
    """Expected calibration error."""


def judge(scored: Iterable[tuple[Sequence[Edit], Sequence[Phone]]]) -> Judged:
    """Which phones are right: those that the edit-distance alignment pairs with their like in the reference.

    Args:
        scored: for each recording the alignment of its reference with the symbols of its phones, and these phones.

    Raises:
        ValueError: an alignment is not of those phones.
    """
    confidence: list[float] = []
    right: list[bool] = []
    for alignment, phones in scored:
        decoded = [edit for edit in alignment if edit.hypothesis is not None]
        for edit, phone in zip(decoded, phones, strict=True):
            if edit.hypothesis != phone.symbol:
                raise ValueError(f"alignment has {edit.hypothesis} where {phone.symbol} was decoded")
            confidence.append(phone.confidence)
            right.append(edit.operation == "equal")
    return Judged(np.array(confidence, np.float64), np.array(right, bool))


def reliability(judged: Judged, *, bins: int = BINS, binning: Binning = "mass") -> Reliability:
    """Confidence against the share that is right, and their expected difference.

    The expected calibration error (Naeini, Cooper & Hauskrecht 2015) is the mean over bins of |mean confidence - share
    right|, each bin weighted by its phones. Bins of equal mass hold about as many phones each, so that no point of the
    diagram rests on a handful; equal confidences stay together. Bins of equal width cut [0, 1] evenly, as most papers
    do.

    Raises:
        ConfigError: fewer than one bin.
    """
    if bins < 1:
        raise ConfigError(f"{bins} bins: give a number from 1")
    confidence, right = judged
    count = len(confidence)
    if not count:
        return Reliability((), 0, float("nan"), float("nan"), float("nan"))
    edges = np.linspace(0, 1, bins + 1)
    if binning == "mass":
        edges = np.quantile(confidence, edges)
    which = np.searchsorted(edges[1:-1], confidence, side="right")
    found = []
    for index in range(bins):
        inside = which == index
        if inside.any():
            means = float(confidence[inside].mean()), float(right[inside].mean())
            found.append(Bin(float(edges[index]), float(edges[index + 1]), int(inside.sum()), *means))
    error = sum(entry.phones * abs(entry.confidence - entry.right) for entry in found) / count
    return Reliability(tuple(found), count, float(confidence.mean()), float(right.mean()), error)
