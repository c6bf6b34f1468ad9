"""CTC prefix beam search with a phone n-gram: the rule, as a pure step from one beam and one row to the next beam.

A *prefix* is a sequence of the language model's symbols, and carries the log-probability of all ways to say it in the
rows so far that end in a blank, and of all that end in its last phone (Hannun et al. 2014, "First-pass large
vocabulary continuous speech recognition using bi-directional recurrent DNNs", algorithm 1). The score of a prefix is

    log P(prefix | rows) + lm_weight * log P_lm(prefix) + blank_score * rows that are blanks

in nats, the last within the sum over all ways. A row of log-probabilities times `acoustic_scale`, y [columns] with the
blank's y_b, turns each prefix, of scores b (blank), p (phone) and t = log(e^b + e^p), into

    itself, after a blank         b' = t + y_b + blank_score
    itself, its last phone s on   p' = p + y_s
    itself and a symbol c         e  = (b if c and s are one phone, else t) + y_c + lm_weight * log P_lm(c | prefix)

1. A row with y_b above `skip` stops here: no prefix goes on with a symbol, and none is given up.
2. Only columns c with y_c > max(y) - `cut` are tried, in the order of columns, a phone within a word before the same
   at the beginning of one.
3. An e that makes a prefix which is in the beam already is added to that prefix's p'. Where e is above both b' and p'
   as they were, the better way now says the last phone here: the prefix takes over the other's history, times
   included, and this row.
4. Of all prefixes, old ones in their order and then new ones in the order of (prefix, symbol), those stay whose score
   is above the best one's less `threshold`, and of them the best `size`: of equals the first. They keep their order.
   The best one's score is taken off all scores.

A row belongs to the last phone of a prefix where p' > b' before 3, or where 3 put it. A phone begins at its first row,
ends after its last, and its confidence is the highest posterior of its column in its rows.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray
from .phone_lm import PhoneLM

IMPOSSIBLE = -1e30  # log-probability
MAX_CONFIDENCE = 65535  # for a posterior of 1

HEARD = np.dtype([("start", "<i4"), ("rows", "u1"), ("symbol", "u1"), ("confidence", "<u2")])
"""A phone of a history: its first row, how many it has (255: or more), symbol, posterior * 65535."""

WHOLE = np.uint64  # of the size of HEARD
_EMPTY, _MIX, CODE, _SHIFT = (
    np.uint64(value) for value in (0x3039, 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 29)
)
_NO_PARENT = np.uint64(0)


class Beam(NamedTuple):
    """The prefixes of a beam, n of them. Arrays are never written to once they are in one."""

    blank: AnyArray
    """float64 [n]: score of all ways that end in a blank."""
    phone: AnyArray
    """float64 [n]: of all that end in the last phone."""
    context: AnyArray
    """int32 [n]: of the language model."""
    last: AnyArray
    """uint8 [n]: last symbol, 0 for the empty prefix."""
    length: AnyArray
    """int16 [n]: phones in `history`."""
    identity: AnyArray
    """uint64 [n]: hash of all symbols of the prefix."""
    parent: AnyArray
    """uint64 [n]: `identity` of the prefix without its last symbol."""
    history: AnyArray
    """HEARD [n, depth]: the phones that are not final yet, the oldest first."""


class _Row(NamedTuple):
    number: int
    confidence: AnyArray  # uint16 [columns]


@dataclass(frozen=True, eq=False)
class Rule:
    """What a search goes by. `column` and `symbols` tie the model's columns to the language model's symbols."""

    lm: PhoneLM
    column: AnyArray
    """int64 [symbols]: column of each symbol; the blank for the start and the end of a sentence."""
    symbols: AnyArray
    """int64 [columns, 1 or 2]: symbols of each column; 0 for the blank."""
    blank: int
    size: int
    acoustic_scale: float
    lm_weight: float
    blank_score: float  # nats a row
    threshold: float
    cut: float  # of scaled log-probabilities, as is the next
    skip: float
    depth: int  # phones that a history has room for


def empty(rule: Rule) -> Beam:
    """The beam before the first row: the empty prefix at a sentence's start."""
    return Beam(
        blank=np.zeros(1),
        phone=np.full(1, IMPOSSIBLE),
        context=np.full(1, rule.lm.start, np.int32),
        last=np.zeros(1, np.uint8),
        length=np.zeros(1, np.int16),
        identity=np.full(1, _EMPTY),
        parent=np.full(1, _NO_PARENT),
        history=np.zeros((1, rule.depth), HEARD),
    )


def step(rule: Rule, beam: Beam, row: int, log_probs: AnyArray, confidence: AnyArray) -> Beam:
    """The beam after one row.

    Args:
        row: its index.
        log_probs: float64 [columns].
        confidence: uint16 [columns]: posteriors times `MAX_CONFIDENCE`.
    """
    log_probs = rule.acoustic_scale * log_probs
    blank_log_prob = log_probs[rule.blank]
    total = scores(beam)
    column = rule.column[beam.last]
    blank = total + (blank_log_prob + rule.blank_score)
    phone = beam.phone + log_probs[column]
    if blank_log_prob > rule.skip:
        return beam._replace(blank=blank, phone=phone)
    tried = log_probs > log_probs.max() - rule.cut
    tried[rule.blank] = False
    symbols = rule.symbols[tried].ravel()
    running = np.flatnonzero((phone > blank) & (beam.length > 0))
    history = prolong(beam, running, row, confidence[column[running]])
    if len(symbols) == 0:
        return beam._replace(blank=blank, phone=phone, history=history)

    lm_rows, lm_places = rule.lm.rows(beam.context)
    lm_scores = lm_rows.scores[lm_places[:, None], symbols]
    extended = _extend(rule, beam, total, symbols, log_probs, lm_scores)
    children, parents, places = _merges(beam, symbols)
    if len(children):
        merged = extended[parents, places]
        extended[parents, places] = IMPOSSIBLE
        better = merged > np.maximum(blank, phone)[children]
        phone[children] = np.logaddexp(phone[children], merged)
        if better.any():
            history = history.copy() if history is beam.history else history
            taken = children[better]
            history[taken] = beam.history[parents[better]]
            history[taken, beam.length[taken] - 1] = heard_first(
                row, beam.last[taken], confidence[column[taken]]
            )
    now = beam._replace(blank=blank, phone=phone, history=history)
    return _select(
        rule, now, beam.history, extended, symbols, _Row(row, confidence), lm_rows.nexts, lm_places
    )


def scores(beam: Beam) -> AnyArray:
    """float64 [n]: the score of each prefix."""
    total: AnyArray = np.logaddexp(beam.blank, beam.phone)
    return total


def keep(beam: Beam, which: AnyArray) -> Beam:
    """Some prefixes of a beam, by their places or by a mask."""
    return Beam(*(array[which] for array in beam))


def identify(symbols: AnyArray, length: AnyArray) -> tuple[AnyArray, AnyArray]:
    """`identity` and `parent` of prefixes that differ only in `symbols` [n, depth], of which `length` [n] count."""
    identity = np.full(len(length), _EMPTY)
    parent = np.full(len(length), _NO_PARENT)
    for place in range(int(length.max(initial=0))):
        longer = place < length
        parent[longer] = identity[longer]
        identity[longer] = child(identity[longer], symbols[longer, place])
    return identity, parent


def child(identity: AnyArray, symbol: AnyArray) -> AnyArray:
    mixed = identity * _MIX ^ (symbol.astype(np.uint64) + np.uint64(1)) * CODE
    hashed: AnyArray = mixed ^ mixed >> _SHIFT
    return hashed


def _extend(
    rule: Rule, beam: Beam, total: AnyArray, symbols: AnyArray, log_probs: AnyArray, lm_scores: AnyArray
) -> AnyArray:
    """float64 [n, symbols]: scores of each prefix and one more symbol."""
    column = rule.column[symbols]
    again = rule.column[beam.last][:, None] == column
    extended: AnyArray = np.where(again, beam.blank[:, None], total[:, None]) + (
        log_probs[column] + rule.lm_weight * lm_scores
    )
    return extended


def _merges(beam: Beam, symbols: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Prefixes that others of the beam become with one of `symbols`: their places, the others', the symbols'."""
    parents, children = np.nonzero(beam.identity[:, None] == beam.parent)
    if len(children) == 0:
        return children, parents, children
    place = np.full(256, -1)
    place[symbols] = np.arange(len(symbols))
    places = place[beam.last[children]]
    there = places >= 0
    return children[there], parents[there], places[there]


def prolong(beam: Beam, running: AnyArray, row: AnyArray | int, confidence: AnyArray) -> AnyArray:
    """Histories [n, depth] in which `row` belongs to the last phone of the prefixes at `running` [m].

    Args:
        row: one for all, or [m].
        confidence: uint16 [m].
    """
    if len(running) == 0:
        return beam.history
    history = beam.history.copy()
    place = beam.length[running] - 1
    heard = history[running, place]
    heard["rows"] = np.minimum(row + 1 - heard["start"], 255)
    heard["confidence"] = np.maximum(heard["confidence"], confidence)
    history[running, place] = heard
    return history


def heard_first(row: AnyArray | int, symbol: AnyArray, confidence: AnyArray) -> AnyArray:
    """Phones [n] that begin at `row`, one for all or [n]."""
    heard = np.empty(len(symbol), HEARD)
    heard["start"], heard["rows"] = row, 1
    heard["symbol"], heard["confidence"] = symbol, confidence
    return heard


def _select(
    rule: Rule,
    beam: Beam,
    before: AnyArray,
    extended: AnyArray,
    symbols: AnyArray,
    now: _Row,
    nexts: AnyArray,
    context_places: AnyArray,
) -> Beam:
    """The best of the prefixes of `beam` and of those `extended` [n, symbols], whose histories were `before`."""
    count = len(beam.last)
    every = np.concatenate([scores(beam), extended.ravel()])
    best = every.max()
    chosen = np.flatnonzero(every > best - rule.threshold)
    if len(chosen) > rule.size:
        order = np.argsort(-every[chosen], kind="stable")[: rule.size]
        chosen = np.sort(chosen[order])
    stay = int(np.searchsorted(chosen, count))  # how many of the old ones do
    old = chosen[:stay]
    if stay == len(chosen):
        kept = beam if stay == count else keep(beam, old)
        return kept._replace(blank=kept.blank - best, phone=kept.phone - best)
    parents, places = np.divmod(chosen[stay:] - count, len(symbols))
    symbol = symbols[places]
    source = np.concatenate([old, parents])
    context, last, length = beam.context[source], beam.last[source], beam.length[source]
    identity, parent = beam.identity[source], beam.parent[source]
    context[stay:] = nexts[context_places[parents], symbol]
    last[stay:] = symbol
    parent[stay:] = identity[stay:]
    identity[stay:] = child(identity[stay:], last[stay:])
    # As whole numbers: joining records, numpy would compare their fields each time.
    parts = [beam.history.view(WHOLE)[old], before.view(WHOLE)[parents]]
    history = np.concatenate(parts).view(HEARD)
    heard = heard_first(now.number, last[stay:], now.confidence[rule.column[symbol]])
    history[np.arange(stay, len(chosen)), length[stay:]] = heard
    length[stay:] += 1
    blank = np.full(len(chosen), IMPOSSIBLE)
    blank[:stay] = beam.blank[old] - best
    phone = np.concatenate([beam.phone[old], every[chosen[stay:]]]) - best
    return Beam(blank, phone, context, last, length, identity, parent, history)
