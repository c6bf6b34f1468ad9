"""Words cut out of the recordings of a split as clips of a second: commands to choose a score by, where there are none.

`phonestream align` says where a word is. It is cut there, faded, and put at a random place into a second of background
noise from the speech folder's `noise`, 10 to 40 dB below it. Words of running speech are harder to tell than words said
alone, and cuts let a little of their neighbours in; what is spoken fast is left out.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phonestream import DataError, Recognizer
from phonestream.asr.align.aligner import fit, spoken
from phonestream.asr.align.alignment import AlignedWord
from phonestream.asr.align.posteriors import compute_posteriors
from phonestream.asr.corpora.corpus import load_cuts, load_samples
from phonestream.asr.training.augment import load_noises

RATE = 16_000  # Hz
SECONDS = 1.0  # of a clip
PHONE_SECONDS = 0.08  # of a phone of a word, on average, at least
SHORTEST, LONGEST = 0.18, 0.85  # seconds
BEFORE, AFTER, FADE = 0.02, 0.03, 0.01  # seconds
SNR = (10.0, 40.0)  # dB

Samples = NDArray[np.float32]


def cut_words(recognizer: Recognizer, root: Path, split: str, seed: int = 0) -> list[tuple[str, Samples]]:
    """Words of a split and their clips, always the same ones.

    Args:
        recognizer: finds them.
        root: the speech folder.

    Raises:
        DataError: the folder has no such split or no noise.
    """
    noises, rng = load_noises(root / "noise"), np.random.default_rng(seed)
    found = []
    for cut in load_cuts(root, split):
        samples = load_samples(cut)
        posteriors = compute_posteriors(recognizer, [samples], RATE, 1)
        try:
            words = fit(recognizer, posteriors, spoken(cut.supervisions[0].text, recognizer.phones)).words
        except DataError:
            continue
        for word in filter(_is_clear, words):
            noise = noises[rng.integers(len(noises))]
            found.append((word.text.lower(), _clip(samples, word, noise, rng)))
    return found


def _is_clear(word: AlignedWord) -> bool:
    seconds, phones = word.end - word.start, len(word.phones)
    return word.found and phones > 1 and max(SHORTEST, PHONE_SECONDS * phones) <= seconds <= LONGEST


def _clip(samples: Samples, word: AlignedWord, noise: Samples, rng: np.random.Generator) -> Samples:
    """A second [16000] with the word in it."""
    length, ramp = round(SECONDS * RATE), np.linspace(0, 1, round(FADE * RATE), dtype=np.float32)
    speech = samples[max(0, round((word.start - BEFORE) * RATE)) : round((word.end + AFTER) * RATE)].copy()
    speech[: len(ramp)] *= ramp
    speech[-len(ramp) :] *= ramp[::-1]
    place = int(rng.uniform(0.25, 0.75) * (length - len(speech)))
    clip = np.resize(noise, length)
    clip = clip * np.float32(_power(speech) / _power(clip) * 10 ** (-rng.uniform(*SNR) / 20))
    clip[place : place + len(speech)] += speech
    quiet: Samples = np.clip(clip, -1, 1, dtype=np.float32)
    return quiet


def _power(samples: Samples) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) + 1e-9
