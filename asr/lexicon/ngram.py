"""A back-off n-gram model of graphones or phones: Kneser-Ney estimates, pruned by entropy, packed for a file.

An n-gram is a 64-bit key, so that sorting keys counts it, and of a hundred million symbols nothing is kept for each
place but its key.

Estimates: S. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling" (1999),
modified Kneser-Ney in the interpolated form, written as back-off. Pruning: A. Stolcke, "Entropy-based pruning
of backoff language models" (1998), with p(history) from plain counts, because Kneser-Ney's own lower orders are
no estimate of it (C. Chelba et al. 2010). Training only; `g2p.py` and `streaming/decoding/trie.py` read the result.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .g2p import START

BOUNDARY = 0  # between sequences, in a stream of symbols
_TINY = 1e-6  # least mass left to back-off


class Level(NamedTuple):
    """All n-grams of one length k; ids are positions here, in order of (parent, symbol)."""

    symbol: np.ndarray  # the last symbol
    parent: np.ndarray  # id, among the (k-1)-grams, without the last symbol
    suffix: np.ndarray  # id, among the (k-1)-grams, without the first symbol
    counts: np.ndarray
    prob: np.ndarray  # p(last symbol | the ones before), interpolated


def _sum(ids: np.ndarray, values: np.ndarray, length: int) -> np.ndarray:
    return np.asarray(np.bincount(ids, values, minlength=length))


def estimate(stream: np.ndarray, symbols: int, order: int) -> list[Level]:
    """N-grams of lengths 0 to `order` within sequences, with their modified Kneser-Ney probabilities.

    All symbols are there as n-grams of length 1, seen or not. Fifty million symbols took 2.7 GB at order 8.

    Args:
        stream: uint8 [n], each sequence, a word or a sentence, followed by `BOUNDARY`.
        symbols: how many there are, the start of a sequence (0) and the end (`symbols - 1`) included; at most 256.
        order: from 2 on; so many symbols must fit into a key: 9 of 128, 8 of 256.
    """
    bits = (symbols - 1).bit_length()  # of a symbol in a key
    places = _with_ends(stream, symbols - 1)
    levels = [Level(*(np.zeros(1, np.int32),) * 3, np.array([len(places)]), np.ones(1))]
    shorter = np.zeros(1, np.uint64)
    keys = np.zeros(len(places), np.uint64)  # of the n-gram that ends at each place
    whole = np.ones(len(places), bool)  # whether that is within a sentence
    for k in range(1, order + 1):
        keys = np.roll(keys, 1) << np.uint64(bits) | places
        if k > 1:
            whole = np.roll(whole, 1) & (places != START)
            whole[0] = False
        found, counts = _count(keys[whole])
        if k == 1:
            everything = np.zeros(symbols, counts.dtype)
            everything[found.astype(int)] = counts
            found, counts = np.arange(symbols, dtype=np.uint64), everything
        levels.append(_level(found, counts, shorter, k, bits))
        shorter = found
    return smooth(levels, symbols)


def _with_ends(stream: np.ndarray, end: int) -> np.ndarray:
    """START before each sequence and `end` after it."""
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


def _level(keys: np.ndarray, counts: np.ndarray, shorter: np.ndarray, k: int, bits: int) -> Level:
    symbol = (keys & np.uint64((1 << bits) - 1)).astype(np.uint8)
    if k == 1:
        root = np.zeros(len(keys), np.int32)
        return Level(symbol, root, root, counts, np.empty(0))
    parent = np.searchsorted(shorter, keys >> np.uint64(bits)).astype(np.int32)
    ending = keys & np.uint64((1 << bits * (k - 1)) - 1)
    return Level(symbol, parent, np.searchsorted(shorter, ending).astype(np.int32), counts, np.empty(0))


def smooth(levels: Sequence[Level], symbols: int) -> list[Level]:
    """The same n-grams with their probabilities, from the shortest to the longest."""
    from_start = np.zeros(1, bool)  # n-grams that begin at the start of a word or a sentence
    done = [*levels[:1]]
    for k, level in enumerate(levels[1:], start=1):
        from_start = level.symbol == START if k == 1 else from_start[level.parent]
        seen = level.counts.astype(float)
        if k + 1 < len(levels):  # in how many contexts: but nothing comes before a start
            contexts = np.bincount(levels[k + 1].suffix, minlength=len(seen))
            seen = np.where(from_start, seen, contexts)
        if k == 1:
            seen[level.symbol == START] = 0  # is never predicted
        lower = done[k - 1].prob[level.suffix] if k > 1 else 1 / (symbols - 1)
        prob = _interpolate(seen, level.parent, len(levels[k - 1].symbol), lower)
        done.append(level._replace(prob=np.maximum(prob, 1e-12)))
    return done


def _interpolate(seen: np.ndarray, parent: np.ndarray, parents: int, lower: np.ndarray | float) -> np.ndarray:
    """Discounted counts plus what was taken off, spread in proportion to `lower`."""
    ones, twos, threes, fours = (float((seen == times).sum()) for times in (1, 2, 3, 4))
    scale = ones / (ones + 2 * twos) if ones else 0.0
    discounts = [0.0] + [
        min(max(times - (times + 1) * scale * more / fewer, 0.0), times) if fewer else 0.0
        for times, fewer, more in ((1, ones, twos), (2, twos, threes), (3, threes, fours))
    ]
    taken = np.array(discounts)[np.minimum(seen, 3).astype(int)]
    total = np.maximum(_sum(parent, seen, parents), 1e-9)
    left_over = _sum(parent, taken, parents) / total
    return np.asarray((seen - taken) / total[parent] + left_over[parent] * lower)


def worth(levels: list[Level]) -> list[np.ndarray]:
    """Nats of relative entropy that each n-gram of each level saves; infinity for the shortest, which always stay."""
    found = [np.full(len(level.symbol), np.inf, np.float32) for level in levels]
    for k in range(2, len(levels)):
        level, parents = levels[k], len(levels[k - 1].symbol)
        prob, lower = level.prob, levels[k - 1].prob[level.suffix]
        free = np.maximum(1 - _sum(level.parent, prob, parents), _TINY)
        lower_free = np.maximum(1 - _sum(level.parent, lower, parents), _TINY)
        history, free, lower_free = (
            values[level.parent] for values in (levels[k - 1].counts, free, lower_free)
        )
        # Equation 6 of Stolcke: the n-gram's own log ratio, and the new back-off weight of all the others.
        weight, new_weight = np.log(free / lower_free), np.log((free + prob) / (lower_free + lower))
        loss = prob * (np.log(prob) - np.log(lower) - new_weight) + free * (weight - new_weight)
        found[k] = (history / levels[0].counts[0] * loss).astype(np.float32)
    return found


def select(levels: list[Level], values: list[np.ndarray], threshold: float) -> list[np.ndarray]:
    """Which n-grams of each level stay: those worth more than `threshold` nats, by the `values` of `worth`.

    Whatever a kept n-gram leans on stays as well: all its prefixes and suffixes.
    """
    keep = [np.isinf(value) | (value > threshold) for value in values]
    for k in range(len(levels) - 2, 1, -1):
        keep[k][levels[k + 1].parent[keep[k + 1]]] = True
    for k in range(len(levels) - 1, 1, -1):
        keep[k - 1][levels[k].suffix[keep[k]]] = True
        keep[k - 1][levels[k].parent[keep[k]]] = True
    return keep


def pack(levels: list[Level], keep: list[np.ndarray], step: float) -> dict[str, np.ndarray]:
    """The tensors of the model file (see `g2p.py`) of the n-grams in `keep`."""
    symbol, children, cost, back_off = [], [], [], []
    for k, level in enumerate(levels):
        stays = keep[k]
        symbol.append(level.symbol[stays])
        cost.append(np.round(-np.log(level.prob[stays]) / step))
        if k + 1 == len(levels):
            children.append(np.zeros(stays.sum(), np.int64))
            continue
        longer = levels[k + 1]
        below = longer.parent[keep[k + 1]]
        below_prob = longer.prob[keep[k + 1]]
        below_lower = level.prob[longer.suffix[keep[k + 1]]] if k else np.zeros(len(below))
        number = np.bincount(below, minlength=len(stays))
        free = np.maximum(1 - _sum(below, below_prob, len(stays)), _TINY)
        lower_free = np.maximum(1 - _sum(below, below_lower, len(stays)), _TINY)
        weight = np.log(free / lower_free) if k else np.zeros(1)  # nothing is shorter than the root
        children.append(number[stays])
        back_off.append(np.round(128 - weight / step)[stays & (number > 0)])
    rows = {"symbol": symbol, "children": children, "cost": cost, "back_off": back_off}
    return {name: np.concatenate(parts).clip(0, 255).astype(np.uint8) for name, parts in rows.items()}
