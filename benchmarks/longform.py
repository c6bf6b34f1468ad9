"""Phone error rate over long streams and after pauses, and what a reset at pauses does to it.

    PHONESTREAM_SPEECH=DIR python benchmarks/longform.py --minutes 60
    PHONESTREAM_SPEECH=DIR python benchmarks/longform.py --pauses

Recordings of a split, shuffled, follow each other in one stream (round and round if it is longer than the split), with
pauses of half a second to ten between them: half of them nearly silent, half with recorded noise. Phones are scored
against the recording nearest in time, so that those heard in a pause are insertions. Five ways of hearing it:

    alone    each recording in a stream of its own: what there is to lose
    as is    one stream
    no rule  one stream, without the rule on silence (docs/silence.md)
    s and z  one stream, its attention's sums set to zero whenever nothing has been heard for --pause seconds
    all      the same, with everything else that the model carries

The tables' bins are equally long and hold the recordings that begin in them. Prints Markdown and draws
benchmarks/pictures/longform.png.

With --pauses it prints another table instead: PER after leads and pauses of 1 to 600 s, of digital silence, white noise
and recorded noise (pauses.py), with the rule on silence or, with --no-rule, without it.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import re
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import degrade
import numpy as np
import on_split
import pauses
from degrade import RATE, Samples
from tables import Report

from phonestream import Recognizer
from phonestream.asr.corpora.corpus import load_samples, reference_phones, speech_root
from phonestream.asr.evaluation.pocketsphinx_alignment import peak
from phonestream.asr.evaluation.score import PhoneErrors, phone_errors
from phonestream.streaming import state
from phonestream.streaming.decode import Phone
from phonestream.streaming.model import Model
from phonestream.streaming.silence import NOTHING_HEARD
from phonestream.streaming.stream_state import StreamState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = on_split.PICTURES / "longform.png"
SHORTEST, LONGEST = 0.5, 10.0  # seconds of a pause
FAINT = 10 ** (-70 / 20)  # of full scale, the noise of a silent pause
STEP = 0.16  # seconds of audio between two looks at whether there is a pause
ATTENTION = re.compile(r"[sz]\d+")  # names of the states that are sums over the past
COLOURS = {
    "alone": "#666666",
    "as is": "#0060a8",
    "no rule": "#7b4fa3",
    "s and z": "#b34700",
    "all": "#3a7d34",
}


class Placed(NamedTuple):
    """A recording's place in the long stream."""

    start: float  # seconds, where it begins
    until: float  # seconds; phones up to here, and after the one before, are scored against it
    samples: Samples
    reference: list[str]


def place(
    recordings: Sequence[tuple[Samples, list[str]]], seconds: float, seed: int
) -> tuple[Samples, list[Placed]]:
    """A stream of about `seconds` and where each recording is in it."""
    rng = np.random.default_rng(seed)
    order: list[int] = []
    parts: list[Samples] = []
    starts: list[tuple[float, int]] = []
    at = 0
    while at < seconds * RATE:
        if not order:
            order = rng.permutation(len(recordings)).tolist()
        number = order.pop()
        parts.append(_pause(recordings[number][0], rng))
        at += len(parts[-1])
        starts.append((at / RATE, number))
        parts.append(recordings[number][0])
        at += len(parts[-1])
    borders = []
    for (before, number), (after, _) in pairwise(starts):
        borders.append((before + len(recordings[number][0]) / RATE + after) / 2)
    borders.append(at / RATE)
    placed = [
        Placed(start, until, *recordings[number])
        for (start, number), until in zip(starts, borders, strict=True)
    ]
    return np.concatenate(parts), placed


def _pause(following: Samples, rng: np.random.Generator) -> Samples:
    """Near silence, or recorded noise 10 to 30 dB below the recording that follows."""
    length = int(np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST))) * RATE)
    if rng.random() < 0.5:
        return (FAINT * rng.normal(size=length)).astype(np.float32)
    noise = degrade.recorded_noise(speech_root() / "noise", length, rng)
    return noise * np.float32(following.std() * 10 ** (-rng.uniform(10, 30) / 20))


def hear(
    model: Model, samples: Samples, forget: re.Pattern[str] | None, pause: float
) -> tuple[list[Phone], int]:
    """Phones of one stream, and how often its states of the names `forget` were set to zero."""
    current, phones, resets = state.initial(model), [], 0
    size = int(STEP * RATE)
    last_heard = 0.0  # seconds; when the latest phone was still going on
    forgotten = True  # since then; at first there is nothing to forget
    zeros = model.initial_state()
    for first in range(0, len(samples), size):
        current = state.accept_waveform(model, current, samples[first : first + size], RATE)
        found, current = state.advance(model, current)
        phones += found
        heard = (current.frames - model.metadata.look_ahead_frames) * model.metadata.frame_samples / RATE
        if found or current.decoder.run is not None:
            last_heard, forgotten = heard, False
        elif forget is not None and not forgotten and heard - last_heard >= pause:
            current = _forget(current, {name: zero for name, zero in zeros.items() if forget.fullmatch(name)})
            forgotten, resets = True, resets + 1
    found, _ = state.finish(model, current)
    return phones + found, resets


def _forget(current: StreamState, zeros: "dict[str, np.ndarray]") -> StreamState:
    return replace(current, model={**current.model, **zeros}, silence=NOTHING_HEARD)


def without_rule(model: Model) -> Model:
    """The same model, to which silence is audio like any other."""
    plain = copy(model)
    plain.metadata = replace(model.metadata, silence=None)
    return plain


def score(phones: Sequence[Phone], placed: Sequence[Placed]) -> Iterator[PhoneErrors]:
    """Errors of each recording."""
    middles = np.array([peak(phone) for phone in phones])
    borders = np.searchsorted(middles, [entry.until for entry in placed])
    for entry, first, last in zip(placed, [0, *borders], borders, strict=False):
        yield phone_errors(entry.reference, [phone.symbol for phone in phones[first:last]])


def draw(rates: dict[str, list[float]], edges: Sequence[float]) -> "Figure":
    """PER against time in the stream, a line for each way of hearing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    for (name, values), marker in zip(rates.items(), "xods^", strict=True):
        axes.plot(middles, [100 * value for value in values], marker=marker, color=COLOURS[name], label=name)
    axes.set(xlabel="time in the stream (minutes)", ylabel="phone error rate (%)", xlim=(0, edges[-1]))
    axes.set_ylim(0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=len(rates), loc="lower center")
    return figure


def main() -> None:
    parser = on_split.parser(__doc__, "dev")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the stream; hours will do")
    parser.add_argument("--bins", type=int, default=10, help="into which it is divided")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds without a phone before a reset")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--pauses", action="store_true", help="the table of leads and pauses")
    parser.add_argument("--no-rule", action="store_true", help="with --pauses: without the rule on silence")
    parser.add_argument("--limit", type=int, help="with --pauses: recordings at most, evenly spread")
    options = parser.parse_args()
    if not options.pauses and (options.no_rule or options.limit):
        parser.error("--no-rule and --limit go with --pauses")

    model = Model(options.model)
    if model.metadata.sample_rate != RATE:
        raise SystemExit(
            f"{options.model}: hears {model.metadata.sample_rate} Hz, this benchmark gives {RATE}"
        )
    cuts = on_split.cuts(options.split, options.limit)
    recordings = [(load_samples(cut), reference_phones(cut)) for cut in cuts]
    if options.pauses:
        recognizer = Recognizer(options.model)
        if options.no_rule:
            recognizer._model = without_rule(recognizer._model)
        report = Report(options, "pauses-no-rule" if options.no_rule else "pauses")
        pauses.tabulate(recognizer, recordings, options.seed, report)
        report.save()
        return
    samples, placed = place(recordings, options.minutes * 60, options.seed)
    minutes = len(samples) / RATE / 60
    edges = np.linspace(0, minutes, options.bins + 1)
    which = np.searchsorted(edges, [entry.start / 60 for entry in placed], side="right") - 1

    errors: dict[str, list[PhoneErrors]] = {"alone": []}
    alone: dict[int, PhoneErrors] = {}  # by recording: in a long stream it comes more than once
    for entry in placed:
        if id(entry.samples) not in alone:
            phones, _ = hear(model, entry.samples, None, options.pause)
            symbols = [phone.symbol for phone in phones]
            alone[id(entry.samples)] = phone_errors(entry.reference, symbols)
        errors["alone"].append(alone[id(entry.samples)])
    resets = {}
    ways: dict[str, tuple[Model, re.Pattern[str] | None]] = {
        "as is": (model, None),
        "no rule": (without_rule(model), None),
        "s and z": (model, ATTENTION),
        "all": (model, re.compile(".*")),
    }
    for name, (own, forget) in ways.items():
        phones, resets[name] = hear(own, samples, forget, options.pause)
        errors[name] = list(score(phones, placed))

    report = Report(options)
    report.note(
        f"PER % of {len(placed)} recordings of {options.split} in a stream of {minutes:.1f} minutes; "
        f"{resets['s and z']} resets of s and z, {resets['all']} of all, after {options.pause:g} s without a phone."
    )
    table = report.table(("minutes", ""), *((name, ".2f") for name in errors))
    rates: dict[str, list[float]] = {name: [] for name in errors}
    for index, (low, high) in enumerate(pairwise(edges)):
        for name, counts in errors.items():
            inside = (count for count, bin_ in zip(counts, which, strict=True) if bin_ == index)
            rates[name].append(sum(inside, PhoneErrors()).per)
        table.add(f"{low:.1f} to {high:.1f}", *(100 * values[-1] for values in rates.values()))
    table.add("whole", *(100 * sum(counts, PhoneErrors()).per for counts in errors.values()))

    report.save()
    on_split.save(draw(rates, edges.tolist()), options.picture)


if __name__ == "__main__":
    main()
