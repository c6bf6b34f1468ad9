"""A language model of phones: n-grams of what a corpus says, as an ARPA file for beam search.

KenLM, which reads such files, has its estimator in no package; this one is `ngram.py`'s: modified Kneser-Ney (Chen and
Goodman 1999), pruned by entropy (Stolcke 1998). The ARPA format is described in the manual page ngram-format(5) of
SRILM: log10 probabilities, and for an n-gram that longer ones begin with, the log10 weight of backing off from it.
"""

import gzip
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ..lexicon import ngram
from ..lexicon.g2p import START
from ..lexicon.phones import PHONES, encode

MIN_ORDER, MAX_ORDER = 2, 6  # what KenLM, as it is packaged, reads
ORDER = 6
PRUNE = 1e-6
"""Nats of relative entropy below which an n-gram goes."""

_START, _END, _UNKNOWN = "<s>", "</s>", "<unk>"
_NEVER = -99.0  # log10 of the probability of what is never predicted
_TINY = 1e-6  # least mass left to back-off


class PhoneLM(NamedTuple):
    """The lines of an ARPA file, and what is in it."""

    lines: tuple[str, ...]
    counts: tuple[int, ...]
    """N-grams of lengths 1, 2, … `order`."""
    sentences: int
    """Different ones that were learnt from."""


def estimate(sentences: Iterable[Sequence[str]], *, order: int = ORDER, prune: float = PRUNE) -> PhoneLM:
    """A model of the different `sentences`, each a sequence of phones.

    A sentence that occurs often, as when many speakers read one text, counts once: how often it was recorded says
    nothing about the language.

    Args:
        sentences: phones of each recording; empty ones are passed over.
        order: n, from 2 to 6.
        prune: see `PRUNE`; 0 keeps all n-grams, larger is smaller.

    Raises:
        DataError: a phone is not one of the 39, there are no sentences, or `order` or `prune` is out of range.
    """
    if not MIN_ORDER <= order <= MAX_ORDER:
        raise DataError(f"order {order}: KenLM reads n-grams of orders {MIN_ORDER} to {MAX_ORDER}")
    if not 0 <= prune < 1:
        raise DataError(f"prune {prune}: expected a number from 0 to below 1, such as {PRUNE:g}")
    sequences = sorted({tuple(encode(sentence)) for sentence in sentences} - {()})
    if not sequences:
        raise DataError("there are no phones to learn a language model from")
    # `encode` numbers phones from 1, so that START is free and the end comes after the last phone.
    levels = ngram.estimate(sequences, len(PHONES) + 2, order)
    keep = ngram.prune(levels, prune) if prune > 0 else [np.ones(len(level.symbol), bool) for level in levels]
    bodies = [list(_body(levels, keep, k)) for k in range(1, order + 1)]
    bodies[0] += _unseen(levels[1])
    counts = tuple(len(body) for body in bodies)
    lines = ["\\data\\", *(f"ngram {k}={count}" for k, count in enumerate(counts, start=1))]
    for k, body in enumerate(bodies, start=1):
        lines += ["", f"\\{k}-grams:", *body]
    return PhoneLM((*lines, "", "\\end\\"), counts, len(sequences))


def save(model: PhoneLM, path: Path) -> None:
    """Put the ARPA file at `path`, all or nothing; compressed if its name ends in .gz. The same gives the same bytes.

    Raises:
        DataError: it cannot be written.
    """
    text = ("\n".join(model.lines) + "\n").encode()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"{path}: the language model cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def perplexity(path: Path, sentences: Iterable[Sequence[str]]) -> float:
    """How many phones the model at `path` wavers between on average, ends of sentences counted, as KenLM reads it.

    Raises:
        DataError: there are no sentences.
        ModelError: KenLM cannot read the file.
        ModuleNotFoundError: the extra `beam` is not installed.
    """
    from ...streaming.beam_lm import read_kenlm

    model, total, length = read_kenlm(str(path), path), 0.0, 0
    for sentence in sentences:
        total += model.score(" ".join(sentence))
        length += len(sentence) + 1
    if length == 0:
        raise DataError("there are no sentences to measure a language model on")
    return float(10 ** (-total / length))


def _body(levels: Sequence[ngram._Level], keep: Sequence[np.ndarray], k: int) -> Iterator[str]:
    """Lines of the k-grams that stay."""
    level = levels[k]
    probs = np.log10(np.maximum(level.prob, 1e-12))
    if k == 1:
        probs = np.where(level.symbol == START, _NEVER, probs)
    weights = _back_off(levels, keep, k) if k + 1 < len(levels) else None
    histories = _names(levels, k)
    for place in np.flatnonzero(keep[k]):
        line = f"{probs[place]:.4f}\t{histories[place]}"
        yield line if weights is None or np.isnan(weights[place]) else f"{line}\t{weights[place]:.4f}"


def _back_off(levels: Sequence[ngram._Level], keep: Sequence[np.ndarray], k: int) -> np.ndarray:
    """log10 of the weight of backing off from each k-gram; NaN where no longer n-gram is left to back off from.

    Chosen so that probabilities after the k-gram add up to one: what its n-grams leave, over what the shorter
    model gives to all others.
    """
    level, longer, stays = levels[k], levels[k + 1], keep[k + 1]
    parent, size = longer.parent[stays], len(level.symbol)
    free = 1 - np.bincount(parent, longer.prob[stays], size)
    lower_free = 1 - np.bincount(parent, level.prob[longer.suffix[stays]], size)
    weights = np.log10(np.maximum(free, _TINY) / np.maximum(lower_free, _TINY))
    return np.where(np.bincount(parent, minlength=size) > 0, weights, np.nan)


def _names(levels: Sequence[ngram._Level], k: int) -> list[str]:
    """Each k-gram as text."""
    words = np.array([_START, *PHONES, _END])
    names = [""]
    for level in levels[1 : k + 1]:
        names = [
            f"{names[parent]} {word}".lstrip()
            for parent, word in zip(level.parent, words[level.symbol], strict=True)
        ]
    return names


def _unseen(unigrams: ngram._Level) -> list[str]:
    """Lines of the phones that no sentence has, which share the mass that discounting left them, and of <unk>."""
    seen = set(unigrams.symbol.tolist())
    missing = [phone for label, phone in enumerate(PHONES, start=1) if label not in seen]
    left = 1 - float(unigrams.prob[unigrams.symbol != START].sum())
    share = np.log10(max(left, _TINY) / max(1, len(missing)))
    return [f"{share:.4f}\t{phone}" for phone in missing] + [f"{_NEVER:.4f}\t{_UNKNOWN}"]
