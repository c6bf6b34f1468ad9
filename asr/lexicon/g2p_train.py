"""Trains the spelling model that `g2p.py` decodes, from a dictionary alone, and measures it on unseen words.

    python -m phonestream.asr.lexicon.g2p_train --output g2p.safetensors

measures on one word in twenty (chosen by a hash of its spelling) a model of the others, then trains the model
that is written on all of them. On CMUdict: 27.8 % of unseen words wrong, phone error rate 7.1 %
(asr/lexicon/data/README.md). No random numbers: the same dictionary gives the same file.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save

from ...atomic import replacing
from ...errors import ConfigError, PhonestreamError, system_errors_as
from . import graphones, ngram
from .g2p import FORMAT, LETTERS, METADATA_KEY, GraphoneModel
from .lexicon import Lexicon

ORDER = 7  # graphones in the longest n-gram
PRUNE = 8e-8  # nats of relative entropy; decides the size of the file
STEP = 0.08  # nats, to which log-probabilities are rounded
HELD_OUT = 20  # one word in so many


class Accuracy(NamedTuple):
    """How guesses agree with the dictionary."""

    words: int
    word_errors: float  # fraction of words guessed otherwise than any of their pronunciations
    first_word_errors: float  # ... than their first pronunciation
    phone_errors: float  # edit distance to the first pronunciations, a fraction of their length

    def __str__(self) -> str:
        return (
            f"{self.words} unseen words: {100 * self.word_errors:.1f} % of words wrong "
            f"({100 * self.first_word_errors:.1f} % by the first pronunciation alone), "
            f"phone error rate {100 * self.phone_errors:.1f} %"
        )


def held_out(word: str) -> bool:
    """Whether `word` is for measuring, not for training: decided by its spelling alone."""
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % HELD_OUT == 0


def spelt_words(lexicon: Lexicon) -> list[str]:
    """The words of `lexicon` that a model learns from: of letters alone, two or more."""
    return [word for word in lexicon if len(word) > 1 and set(word) <= set(LETTERS)]


def train(
    lexicon: Lexicon,
    words: Sequence[str],
    prune: float = PRUNE,
    report: Callable[[str], None] = lambda line: None,
) -> bytes:
    """The model file of a model of the first pronunciations of `words`.

    Raises:
        ConfigError: the words are too few or too alike to learn from.
    """
    entries = [(word, lexicon.pronunciations(word)[0].phones) for word in words]
    aligned = graphones.align(entries, graphones.estimate(entries, report=report))
    usual = set(graphones.inventory(aligned))
    kept = [word for word in aligned if word and usual.issuperset(word)]
    inventory = graphones.inventory(kept, least=1)  # again: some occurred in the words that went only
    missing = set(LETTERS) - {graphone.letter for graphone in inventory if graphone.phones}
    if missing or len(inventory) > 254:
        raise ConfigError(
            f"cannot learn to spell from {len(words)} words: "
            + (
                f"too few have the letters {' '.join(sorted(missing))}"
                if missing
                else "letters have too many sounds"
            )
            + "; use a larger dictionary"
        )
    symbol = {graphone: number for number, graphone in enumerate(inventory, start=1)}
    stream = [
        number for word in kept for number in (*(symbol[graphone] for graphone in word), ngram.BOUNDARY)
    ]
    levels = ngram.estimate(np.array(stream, np.uint8), len(inventory) + 2, ORDER)
    keep = ngram.select(levels, ngram.worth(levels), prune)
    tensors = ngram.pack(levels, keep, STEP)
    about = f"{ORDER}-gram: {len(tensors['symbol'])} n-grams of {len(inventory)} graphones, {len(kept)} words"
    report(about)
    header = {
        "format": FORMAT,
        "step": STEP,
        "graphones": [[graphone.letter, " ".join(graphone.phones)] for graphone in inventory],
        "about": about,
    }
    # One key: the order of several would differ from run to run.
    return save(tensors, {METADATA_KEY: json.dumps(header)})


def measure(model: Callable[[str], list[str]], lexicon: Lexicon, words: Sequence[str]) -> Accuracy:
    """How the guesses of `model` for `words` agree with `lexicon`."""
    wrong = first_wrong = edits = length = 0
    for word in words:
        guess = tuple(model(word))
        said = [pronunciation.phones for pronunciation in lexicon.pronunciations(word)]
        wrong += guess not in said
        first_wrong += guess != said[0]
        edits += _edits(said[0], guess)
        length += len(said[0])
    return Accuracy(len(words), wrong / len(words), first_wrong / len(words), edits / length)


def _edits(reference: Sequence[str], guess: Sequence[str]) -> int:
    row = list(range(len(guess) + 1))
    for i, expected in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, found in enumerate(guess, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != found))
    return row[-1]


def _write(path: Path, model: bytes) -> GraphoneModel:
    """Puts `model` at `path`, all or nothing, and reads it back."""
    with system_errors_as(ConfigError, f"{path}: cannot write the model"), replacing(path) as partial:
        partial.write_bytes(model)
        return GraphoneModel.load(partial)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m phonestream.asr.lexicon.g2p_train", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--output", type=Path, required=True, help="model file to write")
    parser.add_argument("--lexicon", type=Path, help="dictionary to learn from (the bundled CMUdict)")
    parser.add_argument("--prune", type=float, default=PRUNE, help="larger is smaller (%(default)g)")
    options = parser.parse_args(arguments)

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        lexicon = Lexicon(options.lexicon)
        words = spelt_words(lexicon)
        seen, unseen = [w for w in words if not held_out(w)], [w for w in words if held_out(w)]
        with tempfile.TemporaryDirectory() as folder:
            model = _write(Path(folder) / "measured.safetensors", train(lexicon, seen, options.prune, report))
        print(measure(model, lexicon, unseen), flush=True)
        _write(options.output, train(lexicon, words, options.prune, report))
        print(f"{options.output}: {options.output.stat().st_size} bytes, trained on all {len(words)} words")
    except PhonestreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
