"""Learning a phone language model: from a stream of symbols to a packed file, or an ARPA file for other tools.

Modified Kneser-Ney (Chen and Goodman 1999), pruned by entropy (Stolcke 1998) at a threshold, or at that which makes the
file as large as it may be.
"""

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...atomic import write_atomically
from ...errors import DataError, reason_of, system_errors_as
from ...streaming.decoding import arpa, trie
from ...streaming.decoding.phone_lm import PhoneLM
from ..lexicon import ngram
from ..lexicon.ngram import BOUNDARY
from ..lexicon.phones import PHONES

MIN_ORDER, MAX_ORDER = 2, 9  # see `ngram.estimate`
MAX_SYMBOLS = 200_000_000
"""Of all sentences together: at order 8 they take some 11 GB of memory."""
ORDER = 8
PRUNE = 1e-7
"""Nats of relative entropy below which an n-gram goes."""
STEP = 0.1
"""Nats to which scores are rounded."""

_BYTES = 2.0  # about what an n-gram takes in a packed file
_TRIALS = 8


class LearntLM(NamedTuple):
    """A packed model, and what is in it."""

    data: bytes
    """The file, `streaming.decoding.trie`."""
    ngrams: int
    order: int
    prune: float
    """The threshold that it was pruned at."""


def learn(
    stream: np.ndarray,
    *,
    order: int = ORDER,
    prune: float = PRUNE,
    size: int | None = None,
    word_marks: bool = True,
    about: str = "",
) -> LearntLM:
    """A model of the sentences in `stream`.

    Args:
        stream: uint8 [n], as `text.Sentences.stream`.
        order: n, from 2 to 9.
        prune: see `PRUNE`; 0 keeps all n-grams, larger is smaller.
        size: bytes that the file may have: pruned as little as will do, instead of at `prune`.
        word_marks: whether phones that begin a word are told from those within; otherwise marks are dropped.
        about: goes into the file.

    Raises:
        DataError: there are no sentences, or more than `MAX_SYMBOLS`, or `order`, `prune` or `size` is out of range.
    """
    if not MIN_ORDER <= order <= MAX_ORDER:
        raise DataError(f"order {order}: expected a number from {MIN_ORDER} to {MAX_ORDER}")
    if not 0 <= prune < 1:
        raise DataError(f"prune {prune}: expected a number from 0 to below 1, such as {PRUNE:g}")
    if len(stream) > MAX_SYMBOLS:
        raise DataError(
            f"{len(stream):,} phones and ends of sentences to learn a language model from, at most {MAX_SYMBOLS:,} can "
            "be had: give a part of the text"
        )
    if not stream.any():
        raise DataError("there are no phones to learn a language model from")
    if not word_marks:
        stream = np.where(stream > len(PHONES), stream - len(PHONES), stream).astype(np.uint8)
    symbols = len(PHONES) * (2 if word_marks else 1) + 2
    levels = ngram.estimate(stream, symbols, order)
    values = ngram.worth(levels)

    def pack(threshold: float) -> LearntLM:
        keep = ngram.select(levels, values, threshold)
        arrays = ngram.pack(levels, keep, STEP)
        data = trie.write(arrays, phones=PHONES, word_marks=word_marks, step=STEP, about=about)
        longest = max(k for k, stays in enumerate(keep) if stays.any())
        return LearntLM(data, len(arrays["symbol"]) - 1, longest, threshold)

    if size is None:
        return pack(prune if prune > 0 else -np.inf)
    return _fit(pack, np.concatenate(values), size)


def _fit(pack: Callable[[float], LearntLM], values: np.ndarray, size: int) -> LearntLM:
    """The largest model of at most `size` bytes, within a percent, of n-grams of the worths `values`."""
    ordered = np.sort(values)[::-1]
    wanted, best = size / _BYTES, None
    for _ in range(_TRIALS):
        place = min(len(ordered) - 1, int(wanted))
        model = pack(float(ordered[place]) if place + 1 < len(ordered) else -np.inf)
        if len(model.data) <= size and (best is None or len(model.data) > len(best.data)):
            best = model
        if best is not None and (len(best.data) >= 0.99 * size or best.ngrams >= len(values) - 1):
            break
        wanted *= 0.995 * size / len(model.data)
        if wanted < 1:
            break
    if best is None:
        raise DataError(f"size {size:,}: no model is as small as that; give more bytes or a lower order")
    return best


def pack_arpa(path: Path) -> bytes:
    """The packed file of an ARPA file of phones, its scores rounded to `STEP`.

    Raises:
        DataError: it cannot be read, or is none.
    """
    try:
        model = arpa.read(path)
    except OSError as error:
        raise DataError(f"{path}: the ARPA file cannot be read: {reason_of(error)}") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    arrays = {
        "symbol": model.symbol,
        "children": model.children,
        "cost": np.round(-model.score / STEP).clip(0, 255),
        "back_off": np.round(trie.NO_BACK_OFF - model.back_off / STEP).clip(0, 255),
    }
    return trie.write(arrays, phones=model.phones, word_marks=False, step=STEP, about="")


def save(data: bytes, path: Path) -> None:
    """Put the packed model `data` at `path`, all or nothing; as ARPA if the name ends in .arpa or .arpa.gz.

    Raises:
        DataError: it cannot be written.
    """
    if is_arpa(path):
        data = ("\n".join(arpa.lines(trie.read(data))) + "\n").encode()
        data = gzip.compress(data, mtime=0) if path.suffix == ".gz" else data
    with system_errors_as(
        DataError, f"{path}: the language model cannot be written", "make room, or give another --output"
    ):
        write_atomically(path, data)


def is_arpa(path: Path) -> bool:
    """Whether a language model is written to this file as ARPA text, which has no word boundaries."""
    return path.name.endswith((".arpa", ".arpa.gz"))


def perplexity(data: bytes, streams: Iterable[np.ndarray]) -> float:
    """How many symbols the packed model wavers between on average, ends of sentences counted.

    Args:
        streams: uint8, as `text.Sentences.stream`.

    Raises:
        DataError: there are no sentences.
    """
    lm = PhoneLM(trie.read(data))
    total, length = 0.0, 0
    context = lm.start
    for symbol in np.concatenate([np.empty(0, np.uint8), *streams]).tolist():
        if not lm.word_marks and symbol > len(PHONES):
            symbol -= len(PHONES)
        rows, places = lm.rows(np.array([context]))
        total += float(rows.scores[places[0], lm.end if symbol == BOUNDARY else symbol])
        context = lm.start if symbol == BOUNDARY else int(rows.nexts[places[0], symbol])
        length += 1
    if length == 0:
        raise DataError("there are no sentences to measure a language model on")
    return float(np.exp(-total / length))
