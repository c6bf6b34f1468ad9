"""Phones guessed from a word's spelling: a joint n-gram model of letters and phones, decoded with numpy.

A *graphone* is one letter with the nought to two phones it stands for (x with K S, the e of "make" with
none). A word and its pronunciation are one sequence of graphones, and a back-off n-gram over such sequences
scores both together; the guess is the best sequence that spells the word. M. Bisani and H. Ney,
"Joint-sequence models for grapheme-to-phoneme conversion", Speech Communication 50 (2008). `g2p_train.py` makes
the model file.

The file is safetensors. Its metadata has one key, `phonestream_g2p`, a JSON object: `format` (1), `step`
(nats), `graphones` (list of [letter, "phones with spaces"]) and `about` (free text). The n-grams are a trie in
breadth-first order, node 0 the root; a path from the root is an n-gram, and symbols are 0 for the start of a
word, i for graphone i - 1, and the number of graphones plus one for the end of a word:

    symbol    uint8 [nodes]      last symbol of the n-gram; ascending among the children of a node
    children  uint8 [nodes]      how many nodes extend it; child lists stand in the order of their parents
    cost      uint8 [nodes]      -log p(last symbol | the ones before) / step
    back_off  uint8 [parents]    for nodes that have children: 128 - log(back-off weight) / step
"""

import bisect
import functools
import json
import math
import os
from array import array
from importlib.resources import files
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import safetensors

from ...errors import DataError, ModelError
from .phones import PHONES
from .text import clean, fold

FORMAT = 1
METADATA_KEY = "phonestream_g2p"
START = 0
LETTERS = "abcdefghijklmnopqrstuvwxyz"

_BEAM = 20  # partial words kept after each letter
_WIDTH = 10.0  # nats below the best at which a partial word is dropped
_LONGEST = 200  # letters; what is longer is no word, and takes long
_SILENT = "'-. "  # may stand in a word and is not said


class Graphone(NamedTuple):
    """A letter and the phones that it stands for."""

    letter: str
    phones: tuple[str, ...]


class _Partial(NamedTuple):
    """The start of a word, as far as it is decoded."""

    score: float  # log-probability, nats
    # Nodes of the last n-1, n-2, ... symbols, those with children; ends with the root
    contexts: tuple[int, ...]
    last: int  # symbol
    before: "_Partial | None"
    sounds: bool  # has phones already


class GraphoneModel:
    """A trained model: `model(word)` guesses the phones of `word`. Never changes: threads may share it."""

    def __init__(self, graphones: list[Graphone], step: float, tensors: dict[str, np.ndarray]) -> None:
        """From the parts of the file (see the top of this module), which must be valid: `load` checks."""
        self.graphones = graphones
        self._end = len(graphones) + 1
        # bytes and arrays: bisect and single look-ups are many times faster in them than in numpy arrays.
        self._symbol = tensors["symbol"].tobytes()
        self._cost = array("f", (tensors["cost"] * step).astype(np.float32).tobytes())
        self._first = array("i", accumulate(tensors["children"].tolist(), initial=1))
        weight = np.zeros(len(tensors["children"]), np.float32)
        weight[tensors["children"] > 0] = (128.0 - tensors["back_off"]) * step
        self._weight = array("f", weight.tobytes())
        self._spells: dict[str, list[int]] = {}
        for symbol, graphone in enumerate(graphones, start=1):
            self._spells.setdefault(graphone.letter, []).append(symbol)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "GraphoneModel":
        """The model in the file at `path`.

        Raises:
            ModelError: the file is missing, damaged, of another format, or not such a model.
        """
        name = os.fspath(path)
        try:
            with safetensors.safe_open(name, framework="numpy") as file:
                about = (file.metadata() or {}).get(METADATA_KEY)
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError) as error:
            raise ModelError(f"{name}: cannot read the spelling model: {error}") from error
        try:
            return cls(*_validated(about, tensors))
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"{name}: not a spelling model of format {FORMAT}: {error}; "
                "make one with python -m phonestream.asr.lexicon.g2p_train"
            ) from error

    def __call__(self, word: str) -> list[str]:
        """Phones of `word`, at least one. Case, accents, apostrophes and hyphens make no difference.

        Raises:
            DataError: `word` has no letters, or a character that is not an English letter.
        """
        letters = "".join(c for c in fold(clean(word)) if c not in _SILENT)
        for letter in letters:
            if letter not in self._spells:
                raise DataError(
                    f"cannot pronounce {letter!r} in the word {word!r}: expected the letters a to z, "
                    "with accents or without"
                )
        if len(letters) > _LONGEST:
            raise DataError(
                f"cannot pronounce a word of {len(letters)} letters ({word[:20]}…): is it a word?"
            )
        if not letters:
            raise DataError(f"no letters to pronounce in the word {word!r}")
        return [phone for symbol in self._best(letters) for phone in self.graphones[symbol - 1].phones]

    def _best(self, letters: str) -> list[int]:
        """The likeliest graphones that spell `letters` and have a phone among them, by beam search."""
        start = self._child(0, START)
        beam = [_Partial(0.0, (start, 0) if self._extends(start) else (0,), START, None, False)]
        for letter in letters:
            longer: dict[tuple[int, bool], _Partial] = {}
            for partial in beam:
                for symbol in self._spells[letter]:
                    score = partial.score + self._log_prob(partial.contexts, symbol)
                    sounds = partial.sounds or bool(self.graphones[symbol - 1].phones)
                    contexts = self._advance(partial.contexts, symbol)
                    # Two ways to the same context have the same future: only the better can win.
                    rival = longer.get((contexts[0], sounds))
                    if rival is None or rival.score < score:
                        longer[contexts[0], sounds] = _Partial(score, contexts, symbol, partial, sounds)
            ranked = sorted(longer.values(), key=lambda partial: -partial.score)
            beam = [partial for partial in ranked[:_BEAM] if partial.score > ranked[0].score - _WIDTH]
            if not any(partial.sounds for partial in beam):
                beam += [partial for partial in ranked if partial.sounds][:1]
        ends = [
            (partial.score + self._log_prob(partial.contexts, self._end), -rank, partial)
            for rank, partial in enumerate(beam)
            if partial.sounds
        ]
        symbols = []
        partial = max(ends)[2]
        while partial.before is not None:
            symbols.append(partial.last)
            partial = partial.before
        return symbols[::-1]

    def _child(self, node: int, symbol: int) -> int:
        """The node that extends `node` by `symbol`; 0 if there is none."""
        end = self._first[node + 1]
        at = bisect.bisect_left(self._symbol, symbol, self._first[node], end)
        return at if at < end and self._symbol[at] == symbol else 0

    def _extends(self, node: int) -> bool:
        return bool(self._first[node] < self._first[node + 1])

    def _log_prob(self, contexts: tuple[int, ...], symbol: int) -> float:
        """log p(symbol | contexts): the longest context that knows `symbol`, and the back-off down to it."""
        backed_off = 0.0
        for context in contexts:
            if node := self._child(context, symbol):
                return backed_off - self._cost[node]
            backed_off += self._weight[context]
        raise AssertionError("every symbol is a child of the root")

    def _advance(self, contexts: tuple[int, ...], symbol: int) -> tuple[int, ...]:
        nodes = (self._child(context, symbol) for context in contexts)
        return (*(node for node in nodes if node and self._extends(node)), 0)


def _validated(
    about: str | None, tensors: dict[str, Any]
) -> tuple[list[Graphone], float, dict[str, np.ndarray]]:
    """The parts of a model file, all checked. Raises ValueError, TypeError or KeyError with the reason."""
    if about is None:
        raise ValueError(f"it has no metadata {METADATA_KEY!r}")
    header = json.loads(about)
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']!r}")
    step = float(header["step"])
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"its step is {step}")
    graphones = [Graphone(letter, tuple(phones.split())) for letter, phones in header["graphones"]]
    used = {phone for graphone in graphones for phone in graphone.phones}
    if len(graphones) > 254 or not used <= set(PHONES):
        raise ValueError("it has more than 254 graphones, or phones that are not ours")
    if {graphone.letter for graphone in graphones if graphone.phones} != set(LETTERS):
        raise ValueError("a letter from a to z has no phone, or there are other letters")
    if tensors.keys() != {"symbol", "children", "cost", "back_off"}:
        raise ValueError(f"its tensors are {', '.join(sorted(tensors)) or 'none'}")
    if any(tensor.dtype != np.uint8 or tensor.ndim != 1 for tensor in tensors.values()):
        raise ValueError("a tensor is not one row of uint8")
    symbol, children = tensors["symbol"], tensors["children"].astype(np.int64)
    nodes = len(symbol)
    if not (len(children) == len(tensors["cost"]) == nodes == children.sum() + 1):
        raise ValueError("its tensors do not fit each other")
    if len(tensors["back_off"]) != np.count_nonzero(children):
        raise ValueError("it has not one back-off weight for each node with children")
    first = 1 + np.concatenate([[0], np.cumsum(children)])
    if (first[:-1] <= np.arange(nodes))[children > 0].any():
        raise ValueError("a node comes before its parent")
    ascending = np.diff(symbol.astype(np.int64)) > 0
    ascending[first[first < nodes] - 1] = True  # where one node's children end and the next one's begin
    if not ascending[1:].all():
        raise ValueError("the children of a node are out of order")
    if symbol.max() != len(graphones) + 1 or children[0] != len(graphones) + 2:
        raise ValueError("the root does not have every symbol")
    return graphones, step, tensors


@functools.cache
def _bundled() -> GraphoneModel:
    return GraphoneModel.load(str(files(__package__).joinpath("data", "g2p.safetensors")))


@functools.lru_cache(maxsize=4096)
def _guess(word: str) -> tuple[str, ...]:
    return tuple(_bundled()(word))


def g2p(word: str) -> list[str]:
    """Phones of an English `word` guessed from its spelling by the bundled model; never asks a dictionary.

    Raises:
        DataError: `word` has no letters, or a character that is not an English letter.
    """
    return list(_guess(word))
