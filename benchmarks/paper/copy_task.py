"""Figure 2 of Katharopoulos et al. (2020): how well attentions learn to repeat a sequence of symbols.

    python benchmarks/paper/copy_task.py

A sequence is 0 w 0 w, where w is `length / 2 - 1` symbols out of ten; the loss is the cross-entropy of the second w, in
nats a symbol. All rows see the same sequences in the same order, from the same seed. Buckets of the LSH rows are an
eighth of the length, as 32 of the paper's 256 were, so that they cannot hold all of it.

`--full` is the paper's size: length 256, 4 layers, 8 heads of 32, batches of 64, 10,000 steps, and words of any length
up to the longest (`--vary`), which take far longer to learn.
"""

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import records
import torch
from torch import Tensor
from torch.nn import functional
from transformer import Kind, Transformer

SYMBOLS = 10
SEPARATOR = 0
POINTS = 50  # of a curve; each the mean over the steps between


def sequences(rng: np.random.Generator, batch: int, length: int, vary: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs and targets `[batch, length - 1]`, and where the loss counts: bool, True in the second w."""
    symbols = np.full((batch, length), SEPARATOR)
    counts = np.zeros((batch, length - 1), np.bool_)
    for row, counted in zip(symbols, counts, strict=True):
        size = int(rng.integers(1, length // 2)) if vary else length // 2 - 1
        word = rng.integers(1, SYMBOLS + 1, size)
        row[1 : size + 1] = row[size + 2 : 2 * size + 2] = word
        counted[size + 1 : 2 * size + 1] = True
    return torch.from_numpy(symbols[:, :-1]), torch.from_numpy(symbols[:, 1:]), torch.from_numpy(counts)


def loss_of(model: Transformer, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Mean cross-entropy, in nats, of the symbols that count."""
    inputs, targets, counts = batch
    return functional.cross_entropy(model(inputs)[counts], targets[counts])


def learn(kind: Kind, settings: dict[str, Any]) -> records.Row:
    """Train a row; its curve, its loss on sequences kept for the end, and the seconds that a step took to compute."""
    torch.manual_seed(1)
    model = Transformer(
        symbols=SYMBOLS + 1,
        outputs=SYMBOLS + 1,
        length=settings["length"],
        width=settings["width"],
        layers=settings["layers"],
        heads=settings["heads"],
        kind=kind,
        bucket=max(1, settings["length"] // 8),
    )
    steps = settings["steps"]
    optimiser = torch.optim.RAdam(model.parameters(), lr=2e-3)
    rate = torch.optim.lr_scheduler.MultiStepLR(optimiser, [3 * steps // 4], gamma=0.1)
    rng = np.random.default_rng(1)
    losses = []

    def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        return sequences(rng, settings["batch"], settings["length"], settings["vary"])

    began = time.process_time()
    for step in range(steps):
        loss = loss_of(model, batch(rng))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rate.step()
        losses.append(loss.item())
        if (step + 1) % max(1, steps // 10) == 0:
            print(f"{kind}: step {step + 1}/{steps}, loss {np.mean(losses[-100:]):.4f}", flush=True)
    seconds = (time.process_time() - began) / steps
    model.eval()
    rng = np.random.default_rng(2)
    with torch.no_grad():
        kept = [loss_of(model, batch(rng)).item() for _ in range(20)]
    curve = [float(part.mean()) for part in np.array_split(np.array(losses), min(POINTS, steps))]
    return {"kind": kind, "curve": curve, "loss": float(np.mean(kept)), "step_seconds": seconds}


def table(settings: dict[str, Any], rows: Sequence[records.Row]) -> str:
    """Markdown."""
    half = min(POINTS, settings["steps"]) // 2
    return records.markdown(
        rows,
        {
            "": lambda row: row["kind"],
            "loss at half of the steps": lambda row: f"{row['curve'][half - 1]:.4f}",
            "at the end": lambda row: f"{row['curve'][-1]:.4f}",
            "of other sequences": lambda row: f"{row['loss']:.4f}",
            "ms for a step": lambda row: f"{1000 * row['step_seconds']:.0f}",
        },
    )


def draw(settings: dict[str, Any], rows: Sequence[records.Row], path: Path) -> None:
    """Loss against steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    for row in rows:
        points = len(row["curve"])
        middle = (np.arange(points) + 0.5) * settings["steps"] / points
        axes.semilogy(middle, row["curve"], label=row["kind"])
    axes.set(xlabel="steps", ylabel="cross-entropy, nats a symbol")
    longest = settings["length"] // 2 - 1
    axes.set_title(f"repeating {'up to ' if settings['vary'] else ''}{longest} symbols")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper right")
    records.save(figure, path)


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--full", action="store_true", help="the paper's size; a day on a CPU")
    parser.add_argument("--length", type=int, default=32, help="of a sequence, in symbols; even")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--vary", action=argparse.BooleanOptionalAction, default=False, help="words of any length"
    )
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rows", nargs="+", choices=get_args(Kind), default=list(get_args(Kind)))
    options = parser.parse_args()
    if options.full:
        parser.set_defaults(length=256, width=256, layers=4, heads=8, batch=64, steps=10_000, vary=True)
    if options.quick:
        parser.set_defaults(length=16, width=16, layers=1, heads=2, batch=2, steps=4)
    options = parser.parse_args()
    place = records.places("copy", options)
    if not options.table:
        torch.set_num_threads(1)
        settings = {
            name: getattr(options, name)
            for name in ("length", "width", "layers", "heads", "batch", "steps", "vary")
        }
        record = records.Record(place.rows, settings, ["kind"], again=options.again)
        for kind in options.rows:
            if record.find(kind=kind) is None:
                record.add(learn(kind, settings))
    settings, rows = records.read(place.rows)
    rows.sort(key=lambda row: get_args(Kind).index(row["kind"]))
    print(f"\nlength {settings['length']}, {settings['layers']} layers, {settings['steps']} steps\n")
    print(table(settings, rows))
    draw(settings, rows, place.picture)


if __name__ == "__main__":
    main()
