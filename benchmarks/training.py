"""How fast a training step is, in float32 and in bfloat16, in turns in one run.

    python benchmarks/training.py recipes/default.toml --stage 9 --data DATA

Steps are those of the recipe's stage, optimisers and averaging included; making the batches is timed apart, since
training does it in the background. Audio is counted in every view. With --profile, what a step's time goes into.
"""

import argparse
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from statistics import median

import tables
import torch

from phonestream.asr.corpora.corpus import load_cuts, spread
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training.audio_cache import cached_corpus
from phonestream.asr.training.augment import noises_of
from phonestream.asr.training.batches import Batch, Batches
from phonestream.asr.training.config import TrainConfig, load_recipe
from phonestream.asr.training.optimisers import average, make_optimisers
from phonestream.asr.training.precision import DTYPES, Precision, has_bfloat16
from phonestream.asr.training.process import restart_script_with_settings
from phonestream.asr.training.train import set_statistics, training_step

CPU = torch.device("cpu")
OPERATORS = 25  # of the profile


class Learner:
    """A model in one precision, with all that a step changes."""

    def __init__(self, encoder: Encoder, config: TrainConfig, precision: Precision) -> None:
        self.config = config
        self.encoder = deepcopy(encoder)
        self.encoder.precision = DTYPES[precision]
        self.averaged = deepcopy(encoder).requires_grad_(False)
        self.optimisers = make_optimisers(self.encoder, config)

    def step(self, batch: Batch) -> tuple[float, float]:
        """Learn from a batch: the loss, and the seconds that it took."""
        begin = time.perf_counter()
        loss = training_step(self.encoder, batch, self.config, CPU).loss
        for optimiser in self.optimisers:
            optimiser.step()
        average(self.averaged, self.encoder, batch.step, self.config.average_decay)
        return loss, time.perf_counter() - begin


def main() -> None:
    restart_script_with_settings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--stage", type=int, default=1)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recordings", type=int, default=400, help="of the train split, evenly spread")
    parser.add_argument(
        "--steps", type=int, default=20, help="in each precision, after two that are not counted"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    tables.add_option(parser)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    config = replace(load_recipe(options.recipe)[options.stage - 1], distillation=0.0)
    cuts = spread(list(load_cuts(options.data, "train")), options.recordings)
    corpus = cached_corpus(cuts, longest_seconds=config.longest_seconds, report=print)
    batches = Batches(corpus, noises_of(config.augment, options.data), config)
    torch.manual_seed(config.seed)
    encoder = Encoder(config.model)
    set_statistics(encoder, corpus)

    learners = {name: Learner(encoder, config, name) for name in DTYPES}
    seconds: dict[Precision, list[float]] = {name: [] for name in learners}
    losses: dict[Precision, list[float]] = {name: [] for name in learners}
    audio, making = 0.0, []
    for step in range(2 + options.steps):
        begin = time.perf_counter()
        batch = batches.batch(step)
        made = time.perf_counter() - begin
        for name, learner in learners.items():
            loss, took = learner.step(batch)
            if step >= 2:
                seconds[name].append(took)
                losses[name].append(loss)
        if step >= 2:
            audio += config.views * batch.seconds
            making.append(made)

    report = tables.Report(options)
    has = "has" if has_bfloat16(CPU) else "has not"
    report.note(
        f"{options.steps} steps, {options.threads} threads, {audio / options.steps:.0f} s of audio a step in "
        f"{config.views} views; the processor {has} bfloat16; making a batch: {median(making):.2f} s, median."
    )
    table = report.table(
        ("products in", ""),
        ("s a step, median", ".2f"),
        ("x real time", ".0f"),
        ("x float32", ".2f"),
        ("loss", ".4f"),
    )
    for name in learners:
        total = sum(seconds[name])
        ratio = sum(seconds["float32"]) / total
        table.add(name, median(seconds[name]), audio / total, ratio, losses[name][-1])
    report.save()
    if options.profile:
        for name, learner in learners.items():
            with torch.profiler.profile() as profile:
                learner.step(batches.batch(0))
            print(
                f"\n{name}\n{profile.key_averages().table(sort_by='self_cpu_time_total', row_limit=OPERATORS)}"
            )


if __name__ == "__main__":
    main()
