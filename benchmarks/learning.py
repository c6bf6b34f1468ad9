"""The learning curve of the bundled model: phone error rate and loss against hours of training, stage after stage.

    python benchmarks/learning.py

reads the stages' records (`benchmarks/records/default.dev*.tsv`, `default.losses*.tsv`), prints what each stage cost
and gained, and draws benchmarks/pictures/learning.png.
"""

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import on_split
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tables import Report, add_option

RECORDS = Path(__file__).parent / "records"
PICTURE = Path(__file__).parent / "pictures" / "learning.png"
SMOOTHING = 50  # steps that a point of the loss is the mean of
CROWDED = 1.2  # hours: numbers of stages shorter than that lie at different heights


class Stage(NamedTuple):
    """One stage's records."""

    hours: NDArray[np.float64]  # [measurements] since the stage began
    per: NDArray[np.float64]  # [measurements] % of dev's first 100 recordings
    loss: NDArray[np.float64]  # [steps] a phone
    epochs: float  # passes over the data


def columns(path: Path, *names: str) -> list[NDArray[np.float64]]:
    """Columns of a table with a header."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [np.array([float(row[name]) for row in rows]) for name in names]


def read(number: int) -> Stage | None:
    """Stage `number`, counted from 1; None if there is none."""
    suffix = "" if number == 1 else f"-{number}"
    dev = RECORDS / f"default.dev{suffix}.tsv"
    if not dev.exists():
        return None
    hours, per = columns(dev, "hours", "per")
    loss, epoch = columns(RECORDS / f"default.losses{suffix}.tsv", "loss", "epoch")
    return Stage(hours, per, loss, float(epoch[-1]))


def draw(stages: list[Stage]) -> Figure:
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    before = 0.0
    for number, (hours, per, loss, _) in enumerate(stages, start=1):
        means = loss[: len(loss) // SMOOTHING * SMOOTHING].reshape(-1, SMOOTHING).mean(axis=1)
        places = before + hours[-1] * (np.arange(len(means)) + 0.5) * SMOOTHING / len(loss)
        (line,) = above.plot(before + hours, per, marker="o", markersize=3)
        last = (before + hours[-1], per[-1])
        down = 5 + (8 * (number % 3) if hours[-1] < CROWDED else 0)
        above.annotate(
            str(number), last, (0, -down), textcoords="offset points", ha="center", va="top", size=7
        )
        below.plot(places, means, color=line.get_color())
        before += hours[-1]
    above.set(ylabel="PER on dev, %, by stage", ylim=(9, 55))
    below.set(xlabel="hours of training", ylabel="training loss a phone", ylim=(0.9, 4.2))
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", type=Path, default=PICTURE)
    add_option(parser)
    options = parser.parse_args()

    stages = []
    while (stage := read(len(stages) + 1)) is not None:
        stages.append(stage)
    report = Report(options)
    report.note("PER on 100 recordings of dev, first and last; loss over the last 100 steps.")
    figures = (("passes", ".1f"), ("hours", ".2f"), ("PER %, first", ".2f"), ("last", ".2f"), ("loss", ".3f"))
    table = report.table(("stage", ""), ("steps", ""), *figures)
    for number, (hours, per, loss, epochs) in enumerate(stages, start=1):
        table.add(number, len(loss), epochs, hours[-1], per[0], per[-1], loss[-100:].mean())
    report.save("default")
    on_split.save(draw(stages), options.picture)


if __name__ == "__main__":
    main()
