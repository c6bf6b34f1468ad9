"""Lists of ten commands drawn at random, judged on clips of words: all lists from one pass over each clip."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonestream.asr.lexicon.lexicon import Lexicon
from phonestream.errors import DataError
from phonestream.streaming.decode import Decoder
from phonestream.streaming.spotting import command_level
from phonestream.streaming.spotting.commands import common_words
from phonestream.streaming.spotting.phone_tree import PhoneTree, free_score, relative

WORDS = 10  # in a list
TIMES = 5  # that a word is said, at least, to be drawn

Phones = tuple[str, ...]
Passes = Sequence[NDArray[np.float32]]  # rows [n, columns] of a clip, for each time that it is heard


class Judgement(NamedTuple):
    """What a list made of the clips; arrays [clips]."""

    levels: NDArray[np.float64]
    right: NDArray[np.bool_]
    """Whether the best command is the word that was said."""
    known: NDArray[np.bool_]
    """Whether it is one of the list."""
    others: NDArray[np.bool_]
    """Whether it is to be refused. A homophone of a command is neither."""


class Lists:
    """Clips, and how every word that may be a command and every other word fits each of them."""

    def __init__(
        self, decoder: Decoder, lexicon: Lexicon, words: Sequence[str], clips: Sequence[Passes]
    ) -> None:
        """
        Args:
            words: said in the clips.
            clips: their rows.
        """
        self.words = np.array(words)
        self.variants = {word: _variants(word, lexicon) for word in set(words)}
        counts = Counter(words)
        self.drawn = sorted(
            word
            for word, variants in self.variants.items()
            if counts[word] >= TIMES and variants and all(len(phones) > 1 for phones in variants)
        )
        """Words of which lists are made."""
        column = {symbol: place for place, symbol in enumerate(decoder.symbols) if place != decoder.blank}
        self._others = [phones for phones in common_words() if len(phones) > 1]
        own = [(word, phones) for word in self.drawn for phones in sorted(self.variants[word])]
        first = [place for place, (word, _) in enumerate(own) if not place or own[place - 1][0] != word]
        sequences = [phones for _, phones in own] + self._others
        tree = PhoneTree(
            [tuple(column[phone] for phone in phones) for phones in sequences], blank=decoder.blank
        )
        each, others, free = [], [], []
        for passes in clips:
            values = [relative(rows) for rows in passes]
            scores = [tree.scores(tree.decode(tree.initial(), rows)) for rows in values]
            each.append(np.mean([np.maximum.reduceat(one[: len(own)], first) for one in scores], axis=0))
            others.append([one[len(own) :] for one in scores])
            free.append(np.mean([free_score(rows, decoder.blank) for rows in values]))
        self._each = np.array(each)  # [clips, drawn]
        self._lengths = np.array([len(own[place][1]) for place in first])  # phones of each of the drawn
        self._other_scores = np.array(others, np.float32)  # [clips, passes, other words]
        self._free = np.array(free)

    def draw(self, count: int, seed: int = 9) -> list[list[str]]:
        """Lists without homophones, always the same ones."""
        rng, lists = np.random.default_rng(seed), []
        for _ in range(count):
            chosen: list[str] = []
            said = set[Phones]()
            for word in rng.permutation(self.drawn).tolist():
                if len(chosen) < WORDS and not said & self.variants[word]:
                    chosen.append(word)
                    said |= self.variants[word]
            lists.append(chosen)
        return lists

    def judge(self, words: Sequence[str]) -> Judgement:
        """The clips beside a list."""
        said = set[Phones]().union(*(self.variants[word] for word in words))
        listed = [self.drawn.index(word) for word in words]
        each = self._each[:, listed]
        kept = [place for place, phones in enumerate(self._others) if phones not in said]
        others = command_level.log_sum(self._other_scores[:, :, kept]).mean(axis=1)
        best = each.argmax(axis=1)
        known = np.isin(self.words, words)
        homophone = np.array([bool(self.variants[word] & said) for word in self.words.tolist()])
        return Judgement(
            command_level.level(each.max(axis=1), self._lengths[listed][best], others, self._free),
            known & (np.array(words)[best] == self.words),
            known,
            ~known & ~homophone,
        )


def _variants(word: str, lexicon: Lexicon) -> set[Phones]:
    """Pronunciations; none of a word that the lexicon does not know how to read."""
    try:
        return {said.phones for said in lexicon.pronunciations(word)}
    except DataError:
        return set()
