"""Discriminative training of single words: the word that was said beside those that fit nearly as well.

A command is refused where other words fit as well as it does (`streaming.spotting.command_level`). The loss is the
cross-entropy of the word said among usual words, that is maximum mutual information (Bahl et al. 1986), each scored by
its best path as `streaming.spotting.phone_tree` does.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor

from ...streaming.spotting.commands import common_words
from ...streaming.spotting.phone_tree import BONUS, STEEPEST, PhoneTree
from ..lexicon.lexicon import bundled
from ..lexicon.phones import BLANK, encode

RIVALS = 24  # words beside the right one: those that fit best

_NEVER = -1e9

Labels = tuple[int, ...]


def word_discrimination_loss(log_probs: Tensor, targets: Tensor, rows: Tensor, phones: Tensor) -> Tensor:
    """Cross-entropy of the words said among their rivals, nats summed over the batch.

    Args:
        log_probs: `[batch, rows, phones + 1]`, which gradients reach.
        targets: int64 `[sum of phones]`, labels of all words one after the other.
        rows: int64 `[batch]`, rows of each recording.
        phones: int64 `[batch]`, phones of each word.
    """
    best = log_probs.detach().amax(dim=-1, keepdim=True)
    relative = (log_probs - best).clamp(min=STEEPEST)
    behind = torch.arange(log_probs.shape[1]) >= rows.cpu().unsqueeze(1)
    nothing = relative.new_full(relative.shape[-1:], STEEPEST)
    nothing[BLANK] = 0.0
    relative = torch.where(behind.unsqueeze(-1).to(relative.device), nothing, relative)
    words_said = np.split(targets.cpu().numpy(), np.cumsum(phones.cpu().numpy())[:-1])
    said = [tuple(word.tolist()) for word in words_said]
    words = [[word, *_rivals(own, word)] for own, word in zip(relative.detach(), said, strict=True)]
    scores = path_scores(relative, words)
    return (scores.logsumexp(dim=1) - scores[:, 0]).sum()


def path_scores(relative: Tensor, words: Sequence[Sequence[Labels]]) -> Tensor:
    """The best path of each of a recording's `words`, as `PhoneTree` scores it: `[batch, most words]`.

    A recording with fewer words than another has scores of no weight in place of them.

    Args:
        relative: `[batch, rows, phones + 1]`, as `phone_tree.relative` makes rows, which gradients reach.
        words: of each recording.
    """
    most = max(map(len, words))
    longest = max(len(word) for word in chain.from_iterable(words))
    symbols = np.full((len(words), most, 2 * longest + 1), BLANK, np.int64)
    skips = np.full(
        symbols.shape, _NEVER, np.float32
    )  # of what a path pays to leave out the blank before a phone
    lengths = np.zeros((len(words), most), np.int64)
    for index, own in enumerate(words):
        for place, word in enumerate(own):
            lengths[index, place] = len(word)
            symbols[index, place, 1 : 2 * len(word) : 2] = word
            differs = 1 + np.flatnonzero(np.diff(word))
            skips[index, place, 2 * differs + 1] = 0.0
    device = relative.device
    columns = torch.from_numpy(symbols).to(device).flatten(1).unsqueeze(1).expand(-1, relative.shape[1], -1)
    steps = relative.gather(2, columns).reshape(*columns.shape[:2], *symbols.shape[1:])
    skip = torch.from_numpy(skips).to(device)
    never = torch.full((*symbols.shape[:2], 2), _NEVER, device=device)
    paths = torch.full(symbols.shape, _NEVER, device=device)
    paths[..., 0] = 0.0
    for step in steps.unbind(dim=1):
        before = torch.cat([never, paths], dim=-1)
        paths = paths.maximum(before[..., 1:-1]).maximum(before[..., :-2] + skip) + step
    count = torch.from_numpy(lengths).to(device)
    last = 2 * count.unsqueeze(-1)
    ends = paths.gather(2, last).maximum(paths.gather(2, (last - 1).clamp(min=0))).squeeze(-1)
    return (ends + BONUS * count).masked_fill(count == 0, _NEVER)


def _rivals(relative: Tensor, said: Labels) -> list[Labels]:
    """The usual words that fit a recording's rows best, but for those that sound like the one said."""
    words, tree = _usual_words()
    scores = tree.scores(tree.decode(tree.initial(), relative.double().cpu().numpy()))
    same = _pronunciations(said)
    best = (words[place] for place in np.argsort(-scores, kind="stable").tolist())
    return list(islice((word for word in best if word not in same), RIVALS))


@cache
def _usual_words() -> tuple[tuple[Labels, ...], PhoneTree]:
    words = tuple(tuple(encode(phones)) for phones in common_words() if len(phones) > 1)
    return words, PhoneTree(words, blank=BLANK)


@cache
def _pronunciations(said: Labels) -> frozenset[Labels]:
    """All of every word that may be pronounced like that: none of them is wrong."""
    return frozenset({said}.union(*(_dictionary()[0][word] for word in _dictionary()[1].get(said, ()))))


@cache
def _dictionary() -> tuple[dict[str, list[Labels]], dict[Labels, list[str]]]:
    """Pronunciations of each word of the lexicon, and words of each pronunciation."""
    lexicon, words_of = bundled(), defaultdict[Labels, list[str]](list)
    variants = {
        word: [tuple(encode(said.phones)) for said in lexicon.pronunciations(word)] for word in lexicon
    }
    for word, pronunciations in variants.items():
        for said in pronunciations:
            words_of[said].append(word)
    return variants, dict(words_of)
