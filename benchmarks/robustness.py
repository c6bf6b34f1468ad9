"""Phone error rates under noise, gain, telephones, codecs and rooms, and the phones heard where nobody speaks.

    PHONESTREAM_SPEECH=DIR python benchmarks/robustness.py --split test

Every condition is made from the same recordings, with random numbers that depend on the recording alone. *Recorded
noise* is the folder that training may draw from too; *pink noise* and *babble* (six talkers of the dev split) are not.
A codec's rate is what it was asked for. Prints Markdown and draws benchmarks/pictures/robustness.png.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import degrade
import numpy as np
import on_split
from degrade import RATE, Samples
from numpy.random import Generator
from tables import Report

from phonestream import Recognizer
from phonestream.asr.corpora.corpus import load_samples, reference_phones, speech_root
from phonestream.asr.evaluation.score import PhoneErrors, phone_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = on_split.PICTURES / "robustness.png"
SNRS = (20, 10, 5, 0)  # dB
GAINS = (-30, -20, -10, 10, 20)  # dB
CODECS = (
    ("MP3", "libmp3lame", "mp3", 32), ("MP3", "libmp3lame", "mp3", 16), ("Opus", "libopus", "ogg", 16),
    ("Opus", "libopus", "ogg", 8), ("Opus", "libopus", "ogg", 6),
)  # fmt: skip  # kbit/s
ROOMS = ((0.3, 1.0), (0.6, 1.0), (0.6, 2.5), (1.0, 2.5))  # T60 in seconds, distance in metres
ROOMS_EACH = 8
QUIET_SECONDS = 120  # of each sound without speech

Degrade = Callable[[Samples, Generator], tuple[Samples, int]]


class Condition(NamedTuple):
    """One way in which speech suffers."""

    kind: str
    name: str
    degrade: Degrade  # samples at 16 kHz and random numbers to samples and their rate


def conditions(speech: Path) -> Iterator[Condition]:
    yield Condition("clean", "as recorded", lambda samples, _: (samples, RATE))
    talkers = [load_samples(cut) for cut in on_split.cuts("dev", 30)]
    noises: dict[str, Callable[[int, Generator], Samples]] = {
        "recorded noise": partial(degrade.recorded_noise, speech / "noise"),
        "pink noise": degrade.pink_noise,
        "babble": partial(degrade.babble, talkers),
    }
    for kind, noise in noises.items():
        for snr in SNRS:
            yield Condition(kind, f"{snr} dB", partial(_with_noise, noise, snr))
    for decibels in GAINS:
        yield Condition("gain", f"{decibels:+d} dB", partial(_with_gain, decibels))
    yield Condition(
        "telephone", "8 kHz, 300 to 3400 Hz, G.711 mu-law", lambda samples, _: degrade.telephone(samples)
    )
    for name, encoder, container, kilobits in CODECS:
        yield Condition("codec", f"{name}, {kilobits} kbit/s", partial(_coded, encoder, container, kilobits))
    for decay, distance in ROOMS:
        yield Condition("room", f"T60 {decay:g} s, {distance:g} m away", partial(_in_room, decay, distance))


def _with_noise(
    noise: Callable[[int, Generator], Samples], snr: float, samples: Samples, rng: Generator
) -> tuple[Samples, int]:
    mixed = degrade.at_snr(samples, noise(len(samples), rng), snr)
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32), RATE  # turned down, not clipped


def _with_gain(decibels: float, samples: Samples, _: Generator) -> tuple[Samples, int]:
    return degrade.gain(samples, decibels), RATE


def _coded(
    encoder: str, container: str, kilobits: int, samples: Samples, _: Generator
) -> tuple[Samples, int]:
    return degrade.codec(samples, encoder, container, kilobits * 1000)


def _in_room(decay: float, distance: float, samples: Samples, rng: Generator) -> tuple[Samples, int]:
    heard = degrade.in_room(samples, _room(decay, distance, int(rng.integers(ROOMS_EACH))))
    return (heard / max(1.0, float(np.abs(heard).max()))).astype(np.float32), RATE


@cache
def _room(decay: float, distance: float, number: int) -> Samples:
    return degrade.room_response(decay, distance, np.random.default_rng(number))


def sounds_without_speech(speech: Path) -> Iterator[tuple[str, Samples]]:
    length = QUIET_SECONDS * RATE
    times = np.arange(length) / RATE
    yield "digital silence", np.zeros(length, np.float32)
    for level in (-60, -20):
        white = np.random.default_rng(1).normal(0, 10 ** (level / 20), length)
        yield f"white noise at {level} dBFS", white.astype(np.float32)
    yield (
        "pink noise at -30 dBFS",
        degrade.pink_noise(length, np.random.default_rng(2)) * np.float32(10 ** (-30 / 20)),
    )
    noise = degrade.recorded_noise(speech / "noise", length, np.random.default_rng(3))
    yield "recorded noise at -30 dBFS", noise * np.float32(10 ** (-30 / 20))
    hum = sum(np.sin(2 * np.pi * 50 * n * times) / n for n in range(1, 8))
    yield "mains hum at -30 dBFS", (hum / np.std(hum) * 10 ** (-30 / 20)).astype(np.float32)
    yield "music, synthesised", degrade.music(QUIET_SECONDS, np.random.default_rng(4))


def draw(rates: dict[str, dict[str, float]]) -> "Figure":
    """PER against signal-to-noise ratio, a line for each kind of noise, the clean figure dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    clean = rates["clean"]["as recorded"]
    kinds = ("recorded noise", "pink noise", "babble")
    for kind, marker, colour in zip(kinds, "os^", ("#0060a8", "#b34700", "#3a7d34"), strict=True):
        axes.plot(
            SNRS, [100 * rates[kind][f"{snr} dB"] for snr in SNRS], marker=marker, color=colour, label=kind
        )
    axes.axhline(
        100 * clean, color="#666666", linestyle="--", linewidth=1, label=f"clean, {100 * clean:.1f} %"
    )
    axes.set(xlabel="signal-to-noise ratio (dB)", ylabel="phone error rate (%)", xticks=SNRS)
    axes.invert_xaxis()
    axes.set_ylim(0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def main() -> None:
    options = on_split.parser(__doc__, "test", PICTURE).parse_args()

    speech = speech_root()
    recognizer = Recognizer(options.model)
    cuts = on_split.cuts(options.split, options.limit)
    recordings = [(cut.id, load_samples(cut), reference_phones(cut)) for cut in cuts]
    report = Report(options)
    report.note(f"{len(recordings)} recordings of {options.split}.")
    shares = ("PER %", "substitutions", "insertions", "deletions")
    table = report.table(("", ""), ("", ""), *((share, ".2f") for share in shares))
    rates: dict[str, dict[str, float]] = {}
    for kind, name, change in conditions(speech):
        errors = PhoneErrors()
        for number, samples, reference in recordings:
            audio, rate = change(samples, np.random.default_rng(zlib.crc32(number.encode())))
            errors += phone_errors(reference, [phone.symbol for phone in recognizer.transcribe(audio, rate)])
        rates.setdefault(kind, {})[name] = errors.per
        parts = (errors.substitutions, errors.insertions, errors.deletions)
        table.add(kind, name, 100 * errors.per, *(100 * count / errors.reference_length for count in parts))

    table = report.table(("without speech", ""), ("phones a minute", ".1f"))
    for name, samples in sounds_without_speech(speech):
        table.add(name, len(recognizer.transcribe(samples)) * 60 / QUIET_SECONDS)

    report.save()
    on_split.save(draw(rates), options.picture)


if __name__ == "__main__":
    main()
