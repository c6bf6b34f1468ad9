"""Phone error rate after leads and pauses of silence and noise, for longform.py.

Whatever comes first is heard once, and copies of that stream each hear one recording: how long a pause is costs little,
and every recording follows the same one. Only phones that end after it are scored; those heard in it are counted apart.
"""

from collections.abc import Sequence
from itertools import pairwise

import degrade
import numpy as np
from degrade import RATE, Samples
from tables import Report

from phonestream import Recognizer
from phonestream.asr.corpora.corpus import speech_root
from phonestream.asr.evaluation.score import PhoneErrors, phone_errors
from phonestream.streaming.stream import Stream

SECONDS = (1, 2, 5, 10, 20, 60, 600)
LEVELS = (-80, -70, -60, -50)  # dBFS, of white noise
RECORDED_DB = (30, 20)  # recorded noise, below the recordings' mean level
SPOKEN = 30.0  # seconds of speech at least before a pause

Recording = tuple[Samples, list[str]]


def tabulate(recognizer: Recognizer, recordings: Sequence[Recording], seed: int, report: Report) -> None:
    """A table with a line for each place and kind of silence."""
    spoken = _until(recordings, SPOKEN)
    table = report.table(
        ("where", ""),
        ("of what", ""),
        ("0 s", ".1f"),
        *((f"{seconds} s", ".1f") for seconds in SECONDS),
        ("phones a minute", ".1f"),
        title=f"PER % of {len(recordings)} recordings, each after so many seconds",
    )
    for place, before in (("at the start", []), (f"after {_seconds(spoken):.0f} s of speech", spoken)):
        begun = recognizer.stream()
        for samples in before:
            begun.accept(samples, RATE)
        at_once = _per(begun, recordings)
        for kind, noise in _kinds(recordings, seed):
            stream, heard, rates = begun.copy(), 0, []
            for done, until in pairwise((0, *SECONDS)):
                for second in range(done, until):
                    part = slice(second * RATE, (second + 1) * RATE)
                    heard += len(stream.accept(noise[part], RATE))
                rates.append(_per(stream, recordings))
            table.add(place, kind, at_once, *rates, heard / SECONDS[-1] * 60)


def _kinds(recordings: Sequence[Recording], seed: int) -> list[tuple[str, Samples]]:
    """What pauses are made of, each as long as the longest."""
    rng = np.random.default_rng(seed)
    length = SECONDS[-1] * RATE
    kinds = [("digital silence", np.zeros(length, np.float32))]
    white = rng.standard_normal(length).astype(np.float32)
    kinds += [(f"white noise, {level} dBFS", white * np.float32(10 ** (level / 20))) for level in LEVELS]
    level = float(np.sqrt(np.mean([np.mean(samples**2) for samples, _ in recordings])))
    recorded = degrade.recorded_noise(speech_root() / "noise", length, rng)
    for below in RECORDED_DB:
        scaled = recorded * np.float32(level * 10 ** (-below / 20))
        kinds.append((f"recorded noise, {below} dB below speech", scaled))
    return kinds


def _per(stream: Stream, recordings: Sequence[Recording]) -> float:
    """Of the recordings, each as it is heard next by a copy of `stream`, in percent."""
    begin = stream.seconds
    errors = PhoneErrors()
    for samples, reference in recordings:
        fork = stream.copy()
        phones = [*fork.accept(samples, RATE), *fork.finish()]
        errors += phone_errors(reference, [phone.symbol for phone in phones if phone.end > begin])
    return 100 * errors.per


def _until(recordings: Sequence[Recording], seconds: float) -> list[Samples]:
    """The last recordings, so many that they last `seconds`."""
    found: list[Samples] = []
    for samples, _ in reversed(recordings):
        if _seconds(found) >= seconds:
            break
        found.append(samples)
    return found


def _seconds(parts: Sequence[Samples]) -> float:
    return sum(map(len, parts)) / RATE
