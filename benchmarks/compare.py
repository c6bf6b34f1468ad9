"""What a choice in the model's shape is worth: like trainings that differ in it alone, measured alike.

    PHONESTREAM_SPEECH=DIR python benchmarks/compare.py look-ahead --runs RUNS
    PHONESTREAM_SPEECH=DIR python benchmarks/compare.py decay --runs RUNS

`look-ahead` trains with 0, 80, 160 and 320 ms of it; `decay` with none, a learnt and a fixed one for each head. Every
row is recipes/quick.toml but for that, from the same random weights, on the same batches. PER is that of dev, greedy.
A phone is *late* by the time from its end in pocketsphinx's forced alignment to the moment when the model has it: all
the audio has come that its last row looks at. What it is *off* by is how far its middle lies after the alignment's,
once look-ahead is taken off.

Runs are kept in RUNS and go on from where they were stopped. Prints Markdown; `look-ahead` draws
benchmarks/pictures/look-ahead.png.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import on_split

from phonestream import Recognizer
from phonestream.asr.corpora.corpus import load_samples, speech_root
from phonestream.asr.evaluation.evaluate import evaluate
from phonestream.asr.evaluation.pocketsphinx_alignment import (
    forced_alignment,
    match_phones,
    peak,
    pocketsphinx_aligner,
)
from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.training.checkpoint import CHECKPOINT, load_checkpoint
from phonestream.asr.training.config import TrainConfig, load_recipe
from phonestream.asr.training.process import restart_script_with_settings
from phonestream.asr.training.train import train
from phonestream.export import export

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Path(__file__).parent.parent / "recipes" / "quick.toml"
PICTURE = on_split.PICTURES / "look-ahead.png"
FRAME_SECONDS = 0.04
ALIGNED = 60  # recordings


class Row(NamedTuple):
    """What one choice gives."""

    name: str
    per: float  # %
    late: float  # seconds, median
    latest: float  # seconds, 90th percentile
    off: float  # seconds, median


def choices(what: str, model: EncoderConfig) -> Mapping[str, EncoderConfig]:
    """The models to compare, by name."""
    if what == "decay":
        return {
            "none": replace(model, decay="none"),
            "learnt": replace(model, decay="learnt"),
            "fixed": model,
        }
    return {f"{40 * frames} ms": replace(model, look_ahead_frames=frames) for frames in (0, 2, 4, 8)}


def trained(config: TrainConfig, run: Path, threads: int) -> Path:
    """The model file of a run, which is begun, or goes on, if it is not done."""
    data = speech_root()
    begun = (run / CHECKPOINT).exists()
    done = begun and load_checkpoint(run).step == config.steps
    if not done and not train(config, run, data, resume=begun, threads=threads):
        raise SystemExit(f"stopped; {run} goes on from its checkpoint with the same command")
    model = run / "model.onnx"
    if not model.exists():
        export(run, model, int8=True)
    return model


def measured(name: str, model: Path, recordings: int | None) -> Row:
    """Errors and times of a model file."""
    recognizer = Recognizer(model)
    look_ahead = recognizer.metadata.look_ahead_frames * FRAME_SECONDS
    decoder = pocketsphinx_aligner()
    late, off = [], []  # seconds, of each phone that is heard right
    for cut in on_split.cuts("dev", min(recordings or ALIGNED, ALIGNED)):
        samples = load_samples(cut)
        reference = forced_alignment(decoder, cut.supervisions[0].text, samples)
        for said, phone in match_phones(reference, recognizer.transcribe(samples) if reference else ()):
            known = FRAME_SECONDS * np.ceil(round(peak(phone) / FRAME_SECONDS, 6)) + look_ahead
            late.append(known - said.end)
            off.append(peak(phone) - (said.start + said.end) / 2)
    if not late:  # a model that has not learnt yet
        late, off = [np.nan], [np.nan]
    report = evaluate(model, split="dev", limit=recordings)
    return Row(
        name,
        100 * report.errors.per,
        float(np.median(late)),
        float(np.percentile(late, 90)),
        float(np.median(off)),
    )


def draw(rows: Sequence[Row]) -> "Figure":
    """Errors, and how late phones are known, by look-ahead."""
    from matplotlib.figure import Figure

    names = [row.name for row in rows]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    errors, delay = figure.subplots(1, 2)
    errors.plot(names, [row.per for row in rows], marker="o", color="#0060a8")
    errors.set(ylabel="phone error rate on dev, %", ylim=(0, 1.15 * max(row.per for row in rows)))
    for label, times in (
        ("until it is known, 90 %", [row.latest for row in rows]),
        ("until it is known, median", [row.late for row in rows]),
        ("its place, look-ahead taken off", [row.off for row in rows]),
    ):
        delay.plot(names, [1000 * seconds for seconds in times], marker="o", label=label)
    delay.set(ylabel="ms after a phone was said")
    delay.legend(frameon=False, fontsize=8)
    for axes in (errors, delay):
        axes.set_xlabel("look-ahead")
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    restart_script_with_settings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["look-ahead", "decay"])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--steps", type=int, help="of each training, instead of the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, help="recordings of dev at most")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()

    (config,) = load_recipe(RECIPE)
    if options.steps:
        config = replace(config, steps=options.steps, cooldown_steps=options.steps // 2)
    rows = []
    for name, model in choices(options.what, config.model).items():
        run = options.runs / f"{options.what}-{name.replace(' ', '')}"
        rows.append(
            measured(name, trained(replace(config, model=model), run, options.threads), options.limit)
        )
    print(
        f"\n| {options.what} | PER % | late, median | late, 90 % | off, median |\n| --- | --- | --- | --- | --- |"
    )
    for row in rows:
        times = " | ".join(f"{1000 * seconds:.0f} ms" for seconds in (row.late, row.latest, row.off))
        print(f"| {row.name} | {row.per:.2f} | {times} |")
    if options.what == "look-ahead":
        on_split.save(draw(rows), options.picture)


if __name__ == "__main__":
    main()
