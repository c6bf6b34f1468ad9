"""N-grams of a long stream of symbols, with their modified Kneser-Ney probabilities.

What `lexicon/ngram.py` does for words, for a hundred million symbols: an n-gram is a 64-bit key, so that sorting keys
counts it, and nothing is kept for each place of the stream but its key.
"""

import numpy as np

from ..lexicon.g2p import START
from ..lexicon.ngram import Level, smooth
from .text import BOUNDARY

BITS = 7  # of a symbol
MAX_SYMBOLS = 1 << BITS
MAX_ORDER = 64 // BITS


def estimate(stream: np.ndarray, symbols: int, order: int) -> list[Level]:
    """N-grams of lengths 0 to `order` within sentences, ids in order of (parent, symbol).

    All symbols are there as n-grams of length 1, seen or not. Fifty million symbols took 2.7 GB at order 8.

    Args:
        stream: uint8 [n], each sentence followed by `BOUNDARY`.
        symbols: how many there are, the start of a sentence (0) and the end (`symbols - 1`) included; at most 128.
        order: from 2 to 9.
    """
    places = _with_ends(stream, symbols - 1)
    levels = [Level(*(np.zeros(1, np.int32),) * 3, np.array([len(places)]), np.ones(1))]
    shorter = np.zeros(1, np.uint64)
    keys = np.zeros(len(places), np.uint64)  # of the n-gram that ends at each place
    whole = np.ones(len(places), bool)  # whether that is within a sentence
    for k in range(1, order + 1):
        keys = np.roll(keys, 1) << np.uint64(BITS) | places
        if k > 1:
            whole = np.roll(whole, 1) & (places != START)
            whole[0] = False
        found, counts = _count(keys[whole])
        if k == 1:
            everything = np.zeros(symbols, counts.dtype)
            everything[found.astype(int)] = counts
            found, counts = np.arange(symbols, dtype=np.uint64), everything
        levels.append(_level(found, counts, shorter, k))
        shorter = found
    return smooth(levels, symbols)


def _with_ends(stream: np.ndarray, end: int) -> np.ndarray:
    """START before each sentence and `end` after it."""
    ends = stream == BOUNDARY
    places = np.full(len(stream) + int(ends.sum()), START, np.uint8)
    where = np.arange(1, len(stream) + 1)
    where[1:] += np.cumsum(ends[:-1])
    places[where] = np.where(ends, end, stream)
    return places


def _count(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different `keys`, ascending, and how often each is there. Sorts in place."""
    keys.sort()
    first = np.flatnonzero(np.concatenate([np.ones(min(1, len(keys)), bool), keys[1:] != keys[:-1]]))
    return keys[first], np.diff(first, append=len(keys)).astype(np.int32)


def _level(keys: np.ndarray, counts: np.ndarray, shorter: np.ndarray, k: int) -> Level:
    symbol = (keys & np.uint64(MAX_SYMBOLS - 1)).astype(np.uint8)
    if k == 1:
        root = np.zeros(len(keys), np.int32)
        return Level(symbol, root, root, counts, np.empty(0))
    parent = np.searchsorted(shorter, keys >> np.uint64(BITS)).astype(np.int32)
    ending = keys & np.uint64((1 << BITS * (k - 1)) - 1)
    return Level(symbol, parent, np.searchsorted(shorter, ending).astype(np.int32), counts, np.empty(0))
