"""Keywords that were spotted, judged by where they are said; and the thresholds that follow from it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..align.alignment import AlignedWord
from ..lexicon.text import normalise

PRIOR_HOURS = 1.0  # of recordings that the scale's own false alarms stand for, and then those of all keywords


class Said(NamedTuple):
    """A keyword in a recording, by the transcript or by a detector."""

    recording: int
    phrase: str
    start: float
    end: float
    score: float = 0.0


class Judged(NamedTuple):
    """A detection, and whether it is right."""

    phrase: str
    score: float
    hit: bool


def occurrences(recording: int, words: Iterable[AlignedWord], phrases: Sequence[str]) -> Iterator[Said]:
    """Where phrases are said as words of their own, in lower case or not, `words` being all of the transcript."""
    spoken = [
        (part, word.start, word.end, word.found)
        for word in words
        for part in ([] if word.problem else normalise(word.text))
    ]
    for phrase in phrases:
        parts = normalise(phrase)
        for first in range(len(spoken) - len(parts) + 1 if parts else 0):
            piece = spoken[first : first + len(parts)]
            if all(found and text == part for (text, _, _, found), part in zip(piece, parts, strict=True)):
                yield Said(recording, phrase, piece[0][1], piece[-1][2])


def judge(found: Iterable[Said], said: Sequence[Said]) -> list[Judged]:
    """Detections, the best score first: a hit is one whose middle is in a keyword that is said, the first one there."""
    places = defaultdict(list)
    for index, one in enumerate(said):
        places[one.recording, one.phrase].append((index, one.start, one.end))
    seen = set[int]()
    judged = []
    for one in sorted(found, key=lambda found: -found.score):
        middle = (one.start + one.end) / 2
        hit = next((n for n, start, end in places[one.recording, one.phrase] if start <= middle <= end), None)
        judged.append(Judged(one.phrase, one.score, hit is not None and hit not in seen))
        seen |= {hit} if hit is not None else set()
    return judged


def thresholds(
    judged: Sequence[Judged], phrases: Sequence[str], hours: float, alarms: float
) -> dict[str, float]:
    """Of each phrase the least score at which no more than `alarms` false alarms an hour are to be expected.

    In `hours` of recordings a phrase had c(s) false alarms at a score of s and above, and all K phrases had C(s).
    A score of s promises f(s) = 1 / s - 1 an hour (`streaming.spotting.calibration`). With w hours' worth of trust in
    what is known beforehand, which is the mean of a rate's gamma posterior, the expectation is

        g(s) = (C(s) + w f(s)) / (K hours + w)        of an average phrase
        (c(s) + w g(s)) / (hours + w)                 of this one

    so that without recordings f decides, and with many of them nothing but what the phrase itself did.
    """
    wrong: dict[str, list[float]] = {phrase: [] for phrase in phrases}
    for one in judged:
        if not one.hit:
            wrong[one.phrase].append(one.score)
    everywhere = [score for scores in wrong.values() for score in scores]

    def average(score: float) -> float:
        return (_at_least(everywhere, score) + PRIOR_HOURS * (1 / score - 1)) / (
            len(phrases) * hours + PRIOR_HOURS
        )

    def expected(phrase: str) -> Callable[[float], float]:
        return lambda score: (
            (_at_least(wrong[phrase], score) + PRIOR_HOURS * average(score)) / (hours + PRIOR_HOURS)
        )

    return {phrase: _least(expected(phrase), alarms) for phrase in phrases}


def _at_least(scores: Sequence[float], least: float) -> int:
    return sum(score >= least for score in scores)


def _least(alarms: Callable[[float], float], most: float) -> float:
    """The least score, to four digits, at which `alarms`, which never rises with the score, is at most `most`."""
    low, high = 1, 10_000  # ten-thousandths
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if alarms(middle / 10_000) <= most else (middle + 1, high)
    return low / 10_000
