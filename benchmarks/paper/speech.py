"""Table 3 of Katharopoulos et al. (2020) on our data: phone error rate and speed of attentions and a Bi-LSTM in speech.

    python benchmarks/paper/speech.py

All rows have our front end, subsampling, CTC head and trainer, and hear the same recordings of LibriSpeech in the same
batches; what differs is the attention in the blocks, or that layers of a Bi-LSTM stand in their place. The blocks keep
their short causal convolution, without which attention over the full context would not know the order of frames.

Seconds are of one thread's own computing, so that other work on the machine counts little; an evaluation takes dev and
test together, one recording at a time. Rows are kept as they are measured: the same command goes on where it was
stopped. Speech is what `PHONESTREAM_SPEECH` names.

`--full` is the paper's size: 9 layers, 6 heads, LSTMs of 320, 10 passes over all of LibriSpeech there.
"""

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import records
import torch
from speech_encoders import Build, WholeRecordings, bi_lstm, forgetful, lsh, parameters

from phonestream.asr.corpora.corpus import load_cuts, load_samples, reference_phones, speech_root, spread
from phonestream.asr.evaluation.score import PhoneErrors, phone_errors
from phonestream.asr.model.config import Attention, EncoderConfig
from phonestream.asr.model.encoder import FRAME, Encoder
from phonestream.asr.model.offline import encoder_log_probs, greedy_phones
from phonestream.asr.training.batches import epoch_plan
from phonestream.asr.training.checkpoint import load_checkpoint, load_weights
from phonestream.asr.training.config import AugmentConfig, TrainConfig
from phonestream.asr.training.process import restart_script_with_settings
from phonestream.asr.training.progress import LOSSES
from phonestream.asr.training.train import train

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

PAPER = {  # WSJ, validation: phone error rate and seconds for an epoch on a GPU
    "Bi-LSTM": (10.94, 1047),
    "softmax": (5.12, 2711),
    "LSH-4": (9.33, 2250),
    "linear": (8.08, 824),
}


@dataclass(frozen=True)
class Contestant:
    """A row: its name, how its encoder is made, and the attention by which the trainer knows it."""

    name: str
    build: Build
    attention: Attention
    layers: int


def contestants(layers: int, lstm_layers: int, lstm_width: int, chunk: int) -> list[Contestant]:
    """All rows, ours first. What is not causal is "softmax" or "linear" to the trainer: it needs recordings' ends."""
    return [
        Contestant("linear, causal (ours)", WholeRecordings, "linear-causal", layers),
        Contestant("the same, s and z zeroed at every chunk", forgetful(chunk), "linear-causal", layers),
        Contestant("softmax, causal", WholeRecordings, "softmax-causal", layers),
        Contestant("linear", WholeRecordings, "linear", layers),
        Contestant("softmax", WholeRecordings, "softmax", layers),
        Contestant("LSH-4", lsh(4), "softmax", layers),
        Contestant("Bi-LSTM", bi_lstm(lstm_width), "softmax", lstm_layers),
    ]


def training_data(folder: Path, source: Path, hours: float) -> list[float]:
    """Write a corpus of at most `hours` hours of LibriSpeech, spread evenly over `source`'s train split.

    Returns the seconds of its recordings.

    Where a source has no such corpus, all that it has is taken.
    """
    with (source / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    heard = [row for row in rows if row["split"] == "train"]
    heard = [row for row in heard if row.get("corpus") == "librispeech"] or heard
    total = sum(float(row["seconds"]) for row in heard) / 3600
    if total > hours:
        heard = spread(heard, int(len(heard) * hours / total))
    measured = spread([row for row in rows if row["split"] == "dev"], 20)
    with (folder / "manifest.tsv").open("w", encoding="utf-8") as file:
        file.write("\t".join(rows[0]) + "\n")
        for row in [*heard, *measured]:
            file.write("\t".join({**row, "path": str((source / row["path"]).resolve())}.values()) + "\n")
    return [float(row["seconds"]) for row in heard]


def configuration(
    model: EncoderConfig, recordings: Sequence[float], passes: float, batch_seconds: float, masks: int
) -> TrainConfig:
    """One for all rows: as many steps as `passes` over recordings of these seconds take."""
    samples = np.array([round(16000 * seconds) for seconds in recordings], np.int64)
    batches = epoch_plan(
        samples + model.look_ahead_frames * FRAME, int(16000 * batch_seconds), seed=1, epoch=0
    )
    steps = max(1, round(passes * len(batches)))
    return TrainConfig(
        precision="float32",
        steps=steps,
        batch_seconds=batch_seconds,
        optimiser="muon",
        matrix_learning_rate=0.02,
        warmup_steps=max(1, steps // 20),
        cooldown_steps=steps // 2,
        layer_drop=0.0,
        average_decay=0.99,
        evaluate_every=steps,
        evaluate_recordings=1,
        checkpoint_minutes=60,
        model=model,
        augment=AugmentConfig(frequency_masks=masks, time_masks_per_second=0.25 * masks),
    )


def errors(encoder: Encoder, cuts: Sequence["MonoCut"]) -> tuple[PhoneErrors, float]:
    """Greedy phone errors over `cuts`, a recording at a time, and the seconds of computing that they took."""
    found, seconds = PhoneErrors(), 0.0
    for cut in cuts:
        samples = load_samples(cut)
        began = time.process_time()
        rows = encoder_log_probs(encoder, [samples])[0]
        seconds += time.process_time() - began
        found += phone_errors(reference_phones(cut), greedy_phones(rows))
    return found, seconds


def measure(
    contestant: Contestant, config: TrainConfig, run: Path, data: Path, source: Path, limit: int
) -> records.Row:
    """Train a row and evaluate it."""
    model = replace(config.model, attention=contestant.attention, layers=contestant.layers)
    config = replace(config, model=model)
    steps_began: list[float] = []

    def build(config: EncoderConfig) -> Encoder:
        encoder = contestant.build(config)
        encoder.register_forward_pre_hook(lambda *_: steps_began.append(time.process_time()))
        return encoder

    train(config, run, data, threads=1, build=build)
    seconds = time.process_time() - steps_began[0]
    with (run / LOSSES).open(encoding="utf-8") as file:
        steps = list(csv.DictReader(file, delimiter="\t"))
    last = steps[-max(1, len(steps) // 20) :]

    encoder = contestant.build(model)
    load_weights(encoder, load_checkpoint(run).averaged, str(run))
    torch.manual_seed(config.seed)  # LSH draws its hashes
    row: records.Row = {
        "row": contestant.name,
        "parameters": parameters(encoder),
        "training_seconds": seconds,
    }
    row["audio_hours"] = sum(float(step["seconds"]) for step in steps) / 3600
    row["loss"] = sum(float(step["loss"]) for step in last) / len(last)
    row["evaluation_seconds"] = 0.0
    for split in ("dev", "test"):
        found, spent = errors(encoder, spread(list(load_cuts(source, split)), limit))
        row[split] = 100 * found.per
        row["evaluation_seconds"] += spent
    return row


def table(settings: dict[str, float], rows: Sequence[records.Row]) -> str:
    """Markdown."""
    hours = settings["hours"]
    return records.markdown(
        rows,
        {
            "": lambda row: row["row"],
            "parameters": lambda row: f"{row['parameters'] / 1e6:.2f} M",
            "PER dev, %": lambda row: f"{row['dev']:.2f}",
            "PER test, %": lambda row: f"{row['test']:.2f}",
            "loss": lambda row: f"{row['loss']:.2f}",
            "s for an epoch": lambda row: f"{row['training_seconds'] * hours / row['audio_hours']:.0f}",
            "s to evaluate": lambda row: f"{row['evaluation_seconds']:.0f}",
            "paper: PER on WSJ, %": lambda row: f"{PAPER[row['row']][0]}",
            "paper: s for an epoch, GPU": lambda row: f"{PAPER[row['row']][1]}",
        },
    )


def draw(settings: dict[str, float], rows: Sequence[records.Row], path: Path) -> None:
    """Error against the time of an epoch."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.0, 4.0), layout="constrained")
    for row in rows:
        seconds = row["training_seconds"] * settings["hours"] / row["audio_hours"]
        axes.plot(seconds, row["test"], "o", label=row["row"])
    axes.set(xlabel="seconds for an epoch, one thread", ylabel="phone error rate on test, %", xscale="log")
    axes.set_title(f"after {settings['hours'] * settings['passes']:.1f} hours of audio")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    records.save(figure, path)


def main() -> None:
    restart_script_with_settings()
    parser = records.parser(__doc__)
    parser.add_argument("--full", action="store_true", help="the paper's size; days on a CPU")
    parser.add_argument("--hours", type=float, default=3.0, help="of LibriSpeech to train on")
    parser.add_argument("--passes", type=float, default=1.0, help="over these hours")
    parser.add_argument("--batch-seconds", type=float, default=20.0, help="audio in a step")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--lstm-layers", type=int, default=3)
    parser.add_argument("--lstm-width", type=int, default=128, help="units of a layer in each direction")
    parser.add_argument("--masks", type=int, default=0, help="SpecAugment's masks for a recording")
    parser.add_argument(
        "--chunk",
        type=int,
        default=16,
        help="frames of 40 ms after which s and z are zeroed in the row that does",
    )
    parser.add_argument("--limit", type=int, default=200, help="recordings of dev and of test, spread evenly")
    parser.add_argument("--rows", nargs="+", help="only these, by their names in the table")
    parser.add_argument("--data", type=Path, help="in place of what PHONESTREAM_SPEECH names")
    options = parser.parse_args()
    if options.full:
        parser.set_defaults(hours=1000.0, passes=10.0, batch_seconds=128.0, width=192, layers=9, heads=6)
        parser.set_defaults(lstm_width=320, masks=2, limit=100_000)
        options = parser.parse_args()
    if options.quick:
        parser.set_defaults(hours=0.01, passes=0.5, batch_seconds=8.0, width=16, layers=1, heads=1)
        parser.set_defaults(lstm_layers=1, lstm_width=8, limit=1)
        options = parser.parse_args()
    place = records.places("speech", options)
    if not options.table:
        run_all(options, place)
    settings, rows = records.read(place.rows)
    print(f"\n{settings['hours']:.2f} hours, {settings['passes']:g} passes, {settings['layers']} layers\n")
    print(table(settings, rows))
    draw(settings, rows, place.picture)


def run_all(options: argparse.Namespace, place: records.Places) -> None:
    """Measure the rows that are missing."""
    source = options.data or speech_root()
    rows = contestants(options.layers, options.lstm_layers, options.lstm_width, options.chunk)
    names = [contestant.name for contestant in rows]
    for name in options.rows or ():
        if name not in names:
            raise SystemExit(f"--rows: there is no row {name!r}; there are {', '.join(map(repr, names))}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        recordings = training_data(data, source, options.hours)
        model = EncoderConfig(
            width=options.width,
            layers=options.layers,
            heads=options.heads,
            head_width=options.width // options.heads,
            feed_forward=4 * options.width,
            subsampling_width=options.width,
        )
        config = configuration(model, recordings, options.passes, options.batch_seconds, options.masks)
        named = ("passes", "batch_seconds", "width", "layers", "heads", "lstm_layers", "lstm_width", "masks")
        settings = {name: getattr(options, name) for name in (*named, "chunk", "limit")}
        settings["hours"] = sum(recordings) / 3600
        record = records.Record(place.rows, settings, ["row"], again=options.again)
        for index, contestant in enumerate(rows):
            if record.find(row=contestant.name) or contestant.name not in (options.rows or names):
                continue
            print(f"{contestant.name}: {config.steps} steps", flush=True)
            record.add(measure(contestant, config, data / str(index), data, source, options.limit))


if __name__ == "__main__":
    main()
