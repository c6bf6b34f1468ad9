"""A back-off n-gram model of phones as a packed trie, and the file that holds it.

Symbols. With P phones, 0 is the start of a sentence, i + 1 phone i, and the last symbol the end of a sentence. With
word marks phone i has a second symbol, i + 1 + P, for where a word begins with it: a model of 39 phones then has 80
symbols.

The trie is in breadth-first order, node 0 the root; a path from the root is an n-gram, and node s + 1 is the n-gram of
symbol s alone. Arrays:

    symbol    uint8 [nodes]      last symbol of the n-gram; ascending among the children of a node
    children  uint8 [nodes]      how many nodes extend it; children stand in the order of their parents
    cost      uint8 [nodes]      -log p(last symbol | the ones before) in units of `step`; the root's means nothing
    back_off  uint8 [contexts]   of nodes with children, in order: 128 - log(back-off weight) in units of `step`

A *context* is a node with children, and its number is its place among them. The score of a symbol after a context is
minus the cost of the child if there is one; otherwise the context's back-off weight plus the score after its suffix,
the n-gram without its first symbol (Katz 1987). Scores are natural logarithms.

The file is little-endian: the 8 bytes `PHONELM1`; a uint32, the length of the header; the header, a JSON object in
UTF-8; the four arrays in the order above, each compressed with zlib (what browsers call "deflate"); and the SHA-256
of all that, 32 bytes. The header has `phones` (a list), `word_marks` (true or false), `step` (nats), `nodes`,
`contexts`, `stored` (bytes of each compressed array) and `about` (text).
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import AnyArray

MAGIC = b"PHONELM1"
ARRAYS = ("symbol", "children", "cost", "back_off")
START = 0
NO_BACK_OFF = 128  # in `back_off`: a weight of 1
MAX_FILE_BYTES = 2**26
MAX_NODES = 2**25
MAX_ORDER = 16
MAX_PHONES = 126
LEAST_SUM, LARGEST_SUM = 0.2, 1.5
"""What the probabilities of phones may add up to, without history: not quite to 1, since they are rounded, and other
tools give some to unknown words. What is far from it is in another unit, such as nats where log10 is expected."""
MAX_BACK_OFF = 1280.0  # nats: what a packed file can say at most

_LENGTH = struct.Struct("<I")
_DIGEST = 32  # bytes


@dataclass(frozen=True, eq=False)
class Trie:
    """An n-gram model; see the top of this module. `validate` checks what the rest relies on."""

    phones: tuple[str, ...]
    word_marks: bool
    symbol: AnyArray
    """uint8 [nodes]."""
    children: AnyArray
    """uint8 [nodes]."""
    score: AnyArray
    """float64 [nodes]: log-probability of the last symbol after the others, nats."""
    back_off: AnyArray
    """float64 [contexts]: logarithm of the weight, nats."""

    @property
    def end(self) -> int:
        """The symbol of a sentence's end."""
        return len(self.phones) * (2 if self.word_marks else 1) + 1

    @property
    def sha256(self) -> str:
        """Of what the model says, in hexadecimal, however it was stored."""
        digest = hashlib.sha256(json.dumps([self.phones, self.word_marks]).encode())
        for array in (self.symbol, self.children, self.score, self.back_off):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def write(
    arrays: Mapping[str, AnyArray], *, phones: tuple[str, ...], word_marks: bool, step: float, about: str
) -> bytes:
    """The file of `arrays`, by the names at the top of this module. The same gives the same bytes."""
    stored = [zlib.compress(arrays[name].astype(np.uint8).tobytes(), 9) for name in ARRAYS]
    header = {
        "phones": phones,
        "word_marks": word_marks,
        "step": step,
        "nodes": len(arrays["symbol"]),
        "contexts": len(arrays["back_off"]),
        "stored": [len(data) for data in stored],
        "about": about,
    }
    text = json.dumps(header, ensure_ascii=False).encode()
    body = MAGIC + _LENGTH.pack(len(text)) + text + b"".join(stored)
    return body + hashlib.sha256(body).digest()


def read(data: bytes) -> Trie:
    """The model that `write` packed, validated completely.

    Raises:
        ValueError: it is truncated, changed or none of ours; the message says which.
    """
    _require(data[: len(MAGIC)] == MAGIC, "it does not begin as one")
    body, digest = data[:-_DIGEST], data[-_DIGEST:]
    _require(hashlib.sha256(body).digest() == digest, "it is truncated or changed: its checksum is another")
    try:
        (length,) = _LENGTH.unpack_from(body, len(MAGIC))
        begin = len(MAGIC) + _LENGTH.size
        header = _header(body[begin : begin + length])
        step, word_marks = header["step"], header["word_marks"]
        _require(type(step) in (int, float) and 0 < step < 10, f"a step of {repr(step)[:40]} nats")
        _require(type(word_marks) is bool, f"word_marks {repr(word_marks)[:40]}")
        phones = header["phones"]
        are_names = isinstance(phones, list) and all(type(phone) is str for phone in phones)
        _require(are_names, "phones that are no list of names")
        arrays = _unpack(header, body[begin + length :])
    except (KeyError, TypeError, struct.error, zlib.error, RecursionError) as error:
        raise ValueError(f"its header is wrong ({type(error).__name__}: {str(error)[:80]})") from None
    # One byte each until they are known to be a trie: as scores they take eight.
    trie = Trie(tuple(phones), word_marks, *(arrays[name] for name in ARRAYS))
    validate_shape(trie)
    score, back_off = trie.score.astype(float), NO_BACK_OFF - trie.back_off.astype(float)
    score *= -step
    back_off *= step
    trie = replace(trie, score=score, back_off=back_off)
    validate_scores(trie)
    return trie


def _header(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"its header is no JSON text in UTF-8 ({str(error)[:80]})") from None


def _unpack(header: Mapping[str, Any], stored: bytes) -> dict[str, AnyArray]:
    nodes, contexts = header["nodes"], header["contexts"]
    _require(
        type(nodes) is int and type(contexts) is int and 1 <= contexts <= nodes <= MAX_NODES,
        f"{repr(nodes)[:40]} nodes and {repr(contexts)[:40]} contexts, at most {MAX_NODES:,} can be had",
    )
    arrays = {}
    for name, size in zip(ARRAYS, header["stored"], strict=True):
        length = contexts if name == "back_off" else nodes
        array = np.frombuffer(zlib.decompressobj().decompress(stored[:size], length), np.uint8)
        _require(len(array) == length, f"{name} has {len(array)} entries of {length}")
        arrays[name] = array
        stored = stored[size:]
    _require(not stored, f"{len(stored):,} bytes too many behind its arrays")
    return arrays


def validate(trie: Trie) -> None:
    """Check that `trie` is one.

    Raises:
        ValueError: it is not; the message says why.
    """
    validate_shape(trie)
    validate_scores(trie)


def validate_shape(trie: Trie) -> None:
    """Check its phones, and the form of the tree: first what is cheap, since a small file may claim much.

    Raises:
        ValueError: they cannot be; the message says why.
    """
    phones, nodes = trie.phones, len(trie.symbol)
    unlike = len({phone for phone in phones if phone}) == len(phones)
    kinds = 2 if trie.word_marks else 1
    _require(unlike and 1 <= len(phones) * kinds <= MAX_PHONES, f"phones {repr(phones[:5])[:80]}")
    unigrams = trie.symbol[1 : 1 + int(trie.children[0])]
    count = trie.end + 1
    _require(np.array_equal(unigrams, np.arange(count)), f"it has not the {count} n-grams of one symbol")
    _require(int(trie.children.sum(dtype=np.int64)) + 1 == nodes, "its nodes are not one tree")
    weighed = np.count_nonzero(trie.children) == len(trie.back_off)
    _require(weighed, "it has not a back-off weight for each context")
    contexts = np.flatnonzero(trie.children)
    first = first_children(trie.children[contexts])
    _require(not (first[:-1] <= contexts).any(), "its nodes are not in breadth-first order")
    _require(len(level_bounds(first, contexts)) - 1 <= MAX_ORDER, f"n-grams are longer than {MAX_ORDER}")
    rising = trie.symbol[2:] > trie.symbol[1:-1]
    rising[first[1:-1] - 2] = True  # from the last child of a node to the first of the next
    _require(rising.all() and trie.symbol[1:].max() <= trie.end, "symbols are out of order")


def validate_scores(trie: Trie) -> None:
    """Check that scores are what a search can add up, and those of phones without history a distribution.

    Raises:
        ValueError: they are not; the message says why.
    """
    _require(np.isfinite(trie.score).all() and np.isfinite(trie.back_off).all(), "a score is not finite")
    highest = np.abs(trie.back_off).max(initial=0)
    _require(highest <= MAX_BACK_OFF, f"a back-off weight beyond e^{MAX_BACK_OFF:g}")
    total = float(np.exp(trie.score[2 : 2 + trie.end]).sum())  # of all but the start of a sentence
    _require(
        LEAST_SUM <= total <= LARGEST_SUM,
        f"the probabilities of its phones and of a sentence's end add up to {total:.3g}, not to 1: in another unit?",
    )


def _require(holds: bool | np.bool_, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


def first_children(children: AnyArray) -> AnyArray:
    """[contexts + 1]: the first child of each context, given how many each has, and the number of nodes."""
    return np.concatenate([[1], 1 + np.cumsum(children, dtype=np.int64)])


def level_bounds(first: AnyArray, contexts: AnyArray) -> list[int]:
    """Numbers of the first context of each length 0, 1, …, then the number of contexts.

    Args:
        first: `first_children`.
        contexts: [contexts] the node of each.
    """
    bounds = [0]
    end = 1  # nodes of the lengths so far
    while bounds[-1] < len(contexts):
        bounds.append(int(np.searchsorted(contexts, end)))
        end = int(first[bounds[-1]])
        if len(bounds) > MAX_ORDER + 1:
            break
    return bounds
