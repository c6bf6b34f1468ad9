"""How far `phonestream align` may be trusted that a phone or word was said right.

    PHONESTREAM_SPEECH=DIR python benchmarks/pronunciation.py --split dev dev-cv --limit 300

Every recording is aligned with its own text. Then in every fourth word one phone of the pronunciation that was found
is replaced by another at random, and it is aligned again: a replaced phone is an error, and so is its word; all others
stand for right speech. Of the probabilities that both have, tables give the share of errors missed and of right phones
or words that are blamed at several thresholds. A third time, one phone is left out of some words, so that it was
inserted by the speaker, and one put into others, which the speaker left out. Speakers of the splits do make errors
themselves, learners above all: they count as right speech here, so that a false alarm need not be one.

Below stands the logistic function of a score's log odds that fits these errors, weighted so that one phone in ten is
wrong: what `asr/align/pronunciation.py` should say after a new model. It is fitted on dev and dev-cv alone.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from tables import Report, add_option

from phonestream import DataError, Recognizer
from phonestream.asr.align.aligner import fit, spoken
from phonestream.asr.align.posteriors import Posteriors, compute_posteriors
from phonestream.asr.align.pronunciation import INTERCEPT, SLOPE, log_odds
from phonestream.asr.align.transcript import Spoken
from phonestream.asr.corpora.corpus import load_cuts, load_samples
from phonestream.asr.lexicon.phones import PHONES

EVERY = 4  # which word has a phone replaced
WRONG = 0.1  # share of phones that are wrong, by the weights of the fit
THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)

Floats = NDArray[np.float64]


class Observed:
    """Scores and probabilities of phones, and probabilities of words, right and wrong ones."""

    def __init__(self) -> None:
        self.scores: tuple[list[float], list[float]] = ([], [])
        self.phones: tuple[list[float], list[float]] = ([], [])
        self.words: tuple[list[float], list[float]] = ([], [])
        # Of the replaced phones that were aligned: those whose original is told, and all.
        self.instead = [0, 0]
        # Of phones left out those told to be inserted, those told rightly, and all; of gaps left alone likewise.
        self.inserted = [0, 0, 0]
        self.untouched = [0, 0]
        # Of phones put in those of which is told that nothing was said, those blamed at 0.5, and all.
        self.deleted = [0, 0, 0]

    def add(self, recognizer: Recognizer, posteriors: Posteriors, text: str, random: Random) -> None:
        """Align a recording with its own text, and with one in which phones are replaced."""
        try:
            words = spoken(text, recognizer.phones)
            own = fit(recognizer, posteriors, words)
        except DataError:
            return
        found = [[phone.symbol for phone in word.phones] for word in own.words]
        self._add_insertions(recognizer, posteriors, words, found, random)
        changed, replaced = _replace(words, found, random)
        for index, word in enumerate(fit(recognizer, posteriors, changed, refuse=False).words):
            at, original = replaced.get(index, (-1, ""))
            self.words[index in replaced].append(word.pronunciation)
            for position, phone in enumerate(word.phones):
                wrong = position == at
                self.scores[wrong].append(phone.score)
                self.phones[wrong].append(phone.pronunciation)
                if wrong:
                    self.instead[0] += phone.instead.symbol == original
                    self.instead[1] += 1

    def _add_insertions(
        self,
        recognizer: Recognizer,
        posteriors: Posteriors,
        words: Sequence[Spoken],
        found: Sequence[Sequence[str]],
        random: Random,
    ) -> None:
        changed, left_out, put_in = _insert(words, found, random)
        aligned = fit(recognizer, posteriors, changed, refuse=False).words
        for index, word in enumerate(aligned):
            for position, phone in enumerate(word.phones):
                told = phone.inserted
                if left_out.get(index, (-1, ""))[0] == position:
                    self.inserted[0] += told is not None
                    self.inserted[1] += told is not None and told.symbol == left_out[index][1]
                    self.inserted[2] += 1
                elif put_in.get(index) == position:
                    self.deleted[0] += phone.instead.symbol == ""
                    self.deleted[1] += phone.pronunciation < 0.5
                    self.deleted[2] += 1
                elif {index, index + 1}.isdisjoint(put_in) and index not in left_out:
                    self.untouched[0] += told is not None
                    self.untouched[1] += 1


def _insert(
    words: Sequence[Spoken], found: Sequence[Sequence[str]], random: Random
) -> tuple[list[Spoken], dict[int, tuple[int, str]], dict[int, int]]:
    """Words of the pronunciations found, some with an inner phone left out (behind which phone, and what it was), some
    with one put in (which)."""
    changed, left_out, put_in = [], {}, {}
    for index, (word, phones) in enumerate(zip(words, found, strict=True)):
        said = list(phones or word.variants[0])
        if len(phones) > 2 and index % EVERY == 1:
            at = random.randrange(1, len(said) - 1)
            left_out[index] = at - 1, said.pop(at)
        elif phones and index % EVERY == EVERY - 1:
            put_in[index] = random.randrange(len(said) + 1)
            said.insert(put_in[index], random.choice(PHONES))
        changed.append(word._replace(variants=(tuple(said),)))
    return changed, left_out, put_in


def _replace(
    words: Sequence[Spoken], found: Sequence[Sequence[str]], random: Random
) -> tuple[list[Spoken], dict[int, tuple[int, str]]]:
    """Words of the pronunciations found, some with a phone replaced: which phone of which word, and what it was."""
    changed, replaced = [], {}
    for index, (word, phones) in enumerate(zip(words, found, strict=True)):
        said = list(phones or word.variants[0])
        if phones and index % EVERY == 1:
            at = random.randrange(len(said))
            replaced[index] = at, said[at]
            said[at] = random.choice([phone for phone in PHONES if phone != said[at]])
        changed.append(word._replace(variants=(tuple(said),)))
    return changed, replaced


def logistic(right: Floats, wrong: Floats) -> tuple[float, float]:
    """Slope and intercept of the log odds of being right, by Newton's method on weighted log odds of scores."""
    inputs = np.stack([np.concatenate([right, wrong]), np.ones(len(right) + len(wrong))], axis=1)
    target = np.concatenate([np.ones(len(right)), np.zeros(len(wrong))])
    weight = np.concatenate(
        [np.full(len(right), (1 - WRONG) / len(right)), np.full(len(wrong), WRONG / len(wrong))]
    )
    parameters = np.zeros(2)
    for _ in range(50):
        probability = 1 / (1 + np.exp(-inputs @ parameters))
        gradient = inputs.T @ (weight * (target - probability))
        curvature = (inputs * (weight * probability * (1 - probability))[:, None]).T @ inputs
        parameters = parameters + np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
    return float(parameters[0]), float(parameters[1])


def calibration_error(right: Floats, wrong: Floats) -> float:
    """Expected calibration error in ten bins, one phone in ten being wrong."""
    probability = np.concatenate([right, wrong])
    weight = np.concatenate(
        [np.full(len(right), (1 - WRONG) / len(right)), np.full(len(wrong), WRONG / len(wrong))]
    )
    is_right = np.arange(len(probability)) < len(right)
    bins = np.minimum((probability * 10).astype(int), 9)
    return float(sum(abs((weight * (is_right - probability))[bins == each].sum()) for each in range(10)))


def report_splits(recognizer: Recognizer, splits: Sequence[str], limit: int, report: Report) -> None:
    random = Random(1)
    observed = Observed()
    for split in splits:
        everything = list(load_cuts(Path(os.environ["PHONESTREAM_SPEECH"]), split))
        count = min(limit, len(everything))
        for index in range(count):
            cut = everything[index * len(everything) // count]
            posteriors = compute_posteriors(recognizer, [load_samples(cut)], 16_000, 1)
            observed.add(recognizer, posteriors, cut.supervisions[0].text, random)
    (right, wrong), (right_words, wrong_words) = (
        tuple(np.array(each) for each in kind) for kind in (observed.phones, observed.words)
    )
    report.note(
        f"{' and '.join(splits)}: {len(right)} phones left alone, {len(wrong)} replaced; "
        f"{len(right_words)} words, {len(wrong_words)}."
    )
    shares = (("errors missed, %", ".1f"), ("right ones blamed, %", ".1f"))
    columns = ((f"{kind}: {name}", form) for kind in ("phones", "words") for name, form in shares)
    table = report.table(("threshold", ".2f"), *columns)
    for threshold in THRESHOLDS:
        table.add(
            threshold,
            *(
                100 * float(share)
                for alone, replaced in ((right, wrong), (right_words, wrong_words))
                for share in ((replaced >= threshold).mean(), (alone < threshold).mean())
            ),
        )
    told, all_wrong = observed.instead
    left_out, untouched, put_in = (
        [100 * count / max(1, counts[-1]) for count in counts]
        for counts in (observed.inserted, observed.untouched, observed.deleted)
    )
    report.note(
        f"Of {observed.inserted[-1]} phones left out of the transcript {left_out[0]:.1f} % are told as inserted, "
        f"{left_out[1]:.1f} % by name, and of {observed.untouched[-1]} other gaps between phones {untouched[0]:.1f} % "
        f"have one. Of {observed.deleted[-1]} phones put in {put_in[1]:.1f} % are blamed below 0.5, {put_in[0]:.1f} % "
        "with nothing said instead."
    )
    slope, intercept = logistic(*(log_odds(np.array(each)) for each in observed.scores))
    report.note(
        f"What was said instead is the phone that was replaced in {100 * told / max(1, all_wrong):.1f} % of cases. "
        f"Calibration error {calibration_error(right, wrong):.3f} with slope {SLOPE} and intercept {INTERCEPT}; "
        f"fitted here: slope {slope:.3f}, intercept {intercept:.3f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument("--split", nargs="+", default=["dev", "dev-cv"])
    parser.add_argument(
        "--limit", type=int, default=300, help="how many recordings of each split, evenly spread over it"
    )
    add_option(parser)
    options = parser.parse_args()
    report = Report(options)
    report_splits(Recognizer(options.model), options.split, options.limit, report)
    report.save()


if __name__ == "__main__":
    main()
