"""The rule of `search.py` for many beams at once, each with a row of its own: what a batch of streams goes through.

Most of a step's time goes into the calls of numpy, and hardly depends on how long the arrays are. So the prefixes of
all beams lie side by side in one `Beam`, and each call does its part for all of them. Only what compares prefixes must
keep the beams apart: it goes by `of`, the beam of each. What comes out is, to the last bit, what `search.step` makes of
each beam alone; for one beam that has less to do.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray
from .search import CODE, HEARD, IMPOSSIBLE, WHOLE, Beam, Rule, child, heard_first, prolong, scores


class _Beams(NamedTuple):
    """Beams side by side, n prefixes in all."""

    prefixes: Beam
    of: AnyArray  # int64 [n]: the beam of each
    starts: AnyArray  # int64 [beams]: the first of each beam


class _Pairs(NamedTuple):
    """Each prefix with each symbol that is tried in its beam, in this order."""

    prefix: AnyArray  # int64 [pairs]
    symbol: AnyArray  # int64 [pairs]
    starts: AnyArray  # int64 [n]: the first of each prefix
    places: AnyArray
    """int64 [beams, symbols]: the place of a symbol among those tried in a beam, -1 for one that is not."""


class _Chosen(NamedTuple):
    """The prefixes of the next beams, in order."""

    places: AnyArray
    """int64 [chosen]: one that there is, or n + pair."""
    of: AnyArray  # int64 [chosen]: the beam of each
    scores: AnyArray  # float64 [chosen]: less the best one's of the beam
    best: AnyArray  # float64 [beams]: what was taken off


def step_many(
    rule: Rule, beams: Sequence[Beam], rows: AnyArray, log_probs: AnyArray, confidence: AnyArray
) -> list[Beam]:
    """Beams after one row each. What becomes of a beam is the same in any company.

    Many in one step take hardly longer than a few, since most of the time goes into the calls of numpy.

    Args:
        beams: one or more.
        rows: int64 [beams]: the index of each one's row.
        log_probs: float64 [beams, columns].
        confidence: uint16 [beams, columns]: posteriors times `MAX_CONFIDENCE`.
    """
    before = _join(beams)
    prefixes, of, starts = before
    column = rule.column[prefixes.last]
    total = scores(prefixes)
    log_probs = rule.acoustic_scale * log_probs
    blank_log_probs = log_probs[:, rule.blank]
    blank = total + (blank_log_probs + rule.blank_score)[of]
    phone = prefixes.phone + log_probs[of, column]
    spoken = blank_log_probs <= rule.skip
    if not spoken.any():
        return _split(prefixes._replace(blank=blank, phone=phone), starts)
    heard = confidence[of, column]
    running = np.flatnonzero(spoken[of] & (phone > blank) & (prefixes.length > 0))
    history = prolong(prefixes, running, rows[of[running]], heard[running])
    tried = log_probs > log_probs.max(axis=1, keepdims=True) - rule.cut
    tried[:, rule.blank] = False
    tried &= spoken[:, None]
    now = prefixes._replace(blank=blank, phone=phone, history=history)
    if not tried.any():
        return _split(now, starts)

    pairs = _pairs(rule, tried, of)
    lm_rows, lm_places = rule.lm.rows(prefixes.context)
    said = rule.column[pairs.symbol]
    again = said == column[pairs.prefix]
    added = log_probs[of[pairs.prefix], said] + (
        rule.lm_weight * lm_rows.scores[lm_places[pairs.prefix], pairs.symbol]
    )
    extended = np.where(again, prefixes.blank[pairs.prefix], total[pairs.prefix]) + added
    children, ways = _merges(before, pairs)
    if len(children):
        merged = extended[ways]
        extended[ways] = IMPOSSIBLE
        better = merged > np.maximum(blank, phone)[children]
        phone[children] = np.logaddexp(phone[children], merged)
        if better.any():
            history = history.copy() if history is prefixes.history else history
            taken = children[better]
            history[taken] = prefixes.history[pairs.prefix[ways[better]]]
            new = heard_first(rows[of[taken]], prefixes.last[taken], heard[taken])
            history[taken, prefixes.length[taken] - 1] = new
            now = now._replace(history=history)

    chosen = _choose(rule, before._replace(prefixes=now), extended, pairs)
    born = np.flatnonzero(chosen.places >= len(of))
    pair = chosen.places[born] - len(of)
    symbol = pairs.symbol[pair]
    source = chosen.places.copy()
    source[born] = pairs.prefix[pair]
    histories = now.history.view(WHOLE)[source]
    histories[born] = prefixes.history.view(WHOLE)[source[born]]
    after = Beam(
        blank=blank[source] - chosen.best[chosen.of],
        phone=phone[source] - chosen.best[chosen.of],
        context=prefixes.context[source],
        last=prefixes.last[source],
        length=prefixes.length[source],
        identity=prefixes.identity[source],
        parent=prefixes.parent[source],
        history=histories.view(HEARD),
    )
    after.blank[born] = IMPOSSIBLE
    after.phone[born] = chosen.scores[born]
    after.context[born] = lm_rows.nexts[lm_places[source[born]], symbol]
    after.last[born] = symbol
    after.parent[born] = after.identity[born]
    after.identity[born] = child(after.identity[born], after.last[born])
    born_of = chosen.of[born]
    posterior = confidence[born_of, rule.column[symbol]]
    after.history[born, after.length[born]] = heard_first(rows[born_of], after.last[born], posterior)
    after.length[born] += 1
    return _split(after, chosen.of.searchsorted(np.arange(len(beams))))


def _join(beams: Sequence[Beam]) -> _Beams:
    counts = np.array([len(beam.last) for beam in beams])
    # As whole numbers: joining or taking records, numpy would go through their fields.
    whole = [beam._replace(history=beam.history.view(WHOLE)) for beam in beams]
    prefixes = Beam(*map(np.concatenate, zip(*whole, strict=True)))
    prefixes = prefixes._replace(history=prefixes.history.view(HEARD))
    return _Beams(prefixes, np.arange(len(beams)).repeat(counts), counts.cumsum() - counts)


def _split(prefixes: Beam, starts: AnyArray) -> list[Beam]:
    bounds = [slice(*bound) for bound in pairwise([*starts.tolist(), len(prefixes.last)])]
    return [
        Beam(*parts)
        for parts in zip(*([array[bound] for bound in bounds] for array in prefixes), strict=True)
    ]


def _pairs(rule: Rule, tried: AnyArray, of: AnyArray) -> _Pairs:
    """The pairs of prefixes `of` beams with the columns `tried` [beams, columns] there."""
    owner, columns = np.nonzero(tried)
    symbols = rule.symbols[columns].ravel()
    kinds = rule.symbols.shape[1]
    count = kinds * np.bincount(owner, minlength=len(tried))  # symbols of each beam
    first = count.cumsum() - count
    owner = owner.repeat(kinds)
    places = np.full((len(tried), 256), -1)
    places[owner, symbols] = np.arange(len(symbols)) - first[owner]
    count = count[of]  # of each prefix
    starts = count.cumsum() - count
    prefix = np.arange(len(of)).repeat(count)
    symbol = symbols[np.arange(len(prefix)) - (starts - first[of])[prefix]]
    return _Pairs(prefix, symbol, starts, places)


def _merges(beams: _Beams, pairs: _Pairs) -> tuple[AnyArray, AnyArray]:
    """Prefixes that others of their beam become with a symbol that is tried, and the pairs that these are."""
    prefixes, of, _ = beams
    salt = of.astype(np.uint64) * CODE
    own, wanted = prefixes.identity ^ salt, prefixes.parent ^ salt
    order = own.argsort()
    parents = order[np.minimum(own[order].searchsorted(wanted), len(own) - 1)]
    children = np.flatnonzero(own[parents] == wanted)
    places = pairs.places[of[children], prefixes.last[children]]
    children, places = children[places >= 0], places[places >= 0]
    return children, pairs.starts[parents[children]] + places


def _choose(rule: Rule, beams: _Beams, extended: AnyArray, pairs: _Pairs) -> _Chosen:
    """The best of the prefixes of `beams` and of those `extended` [pairs]; of a beam without pairs, all."""
    prefixes, of, starts = beams
    total, pair_of = scores(prefixes), of[pairs.prefix]
    growing = np.bincount(pair_of, minlength=len(starts)) > 0
    best = np.maximum.reduceat(total, starts)
    grown = np.maximum.reduceat(extended, pairs.starts[starts[growing]])
    best[growing] = np.maximum(best[growing], grown)
    least = np.where(growing, best - rule.threshold, -np.inf)
    old, new = np.flatnonzero(total > least[of]), np.flatnonzero(extended > least[pair_of])
    every = np.concatenate([total[old], extended[new]])
    owner = np.concatenate([of[old], pair_of[new]])
    places = np.concatenate([old, len(of) + new])
    order = owner.argsort(kind="stable")
    count = np.bincount(owner, minlength=len(starts))
    if (count[growing] > rule.size).any():
        ranked = np.lexsort((-every, owner))  # by beam, the best first, of equals the first
        rank = np.arange(len(every)) - (count.cumsum() - count)[owner[ranked]]
        kept = np.zeros(len(every), bool)
        kept[ranked[(rank < rule.size) | ~growing[owner[ranked]]]] = True
        order = order[kept[order]]
    best[~growing] = 0.0
    return _Chosen(places[order], owner[order], every[order] - best[owner[order]], best)
