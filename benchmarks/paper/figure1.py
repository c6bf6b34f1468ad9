"""Figure 1 of Katharopoulos et al. (2020): time and memory of an element, forward and backward, against the length.

    python benchmarks/paper/figure1.py

Attention over the full context, from queries, keys and values to their gradients; linear attention's feature map and
LSH's hashing are counted in. `softmax, matrix` keeps the matrix of all weights, as the paper's did; `softmax` is
torch's scaled_dot_product_attention, which never has it whole: its memory is linear, its time quadratic as ever.
Times are taken with the settings that `phonestream train` makes, memory with glibc's defaults.
Methods take turns, round by round; medians are given. A method leaves off after the length at which its step takes
longer than `--patience` seconds, and the matrix where it would need more than a quarter of the machine's memory. Needs
a quiet machine.

`--causal` measures all of them with causal attention; `--full` is up to 2^16 elements without a limit of time.
"""

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import records
import torch
from lsh import Lsh
from memory import peak_bytes
from torch import Tensor
from torch.nn import functional

from phonestream.asr.training.process import restart_script_with_settings
from phonestream.kernels import causal_linear_attention, feature_map, linear_attention

LEAST_SECONDS = 0.1  # for which a method is measured in a round
WARM_UP = 64  # elements of the step that loads what is loaded once, of two LSH buckets

Attention = Callable[[Tensor, Tensor, Tensor, bool], Tensor]


def linear(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Ours."""
    if causal:
        return causal_linear_attention(feature_map(q), feature_map(k), v)[0]
    return linear_attention(feature_map(q), feature_map(k), v)


def softmax(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """As torch does it best."""
    return functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


def softmax_matrix(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """As it is written."""
    weights = q @ k.mT * q.shape[-1] ** -0.5
    if causal:
        time = q.shape[2]
        weights = weights.masked_fill(torch.ones(time, time, dtype=torch.bool).triu(1), float("-inf"))
    return weights.softmax(dim=-1) @ v


@cache
def reformer(rounds: int, causal: bool) -> Lsh:
    """reformer-pytorch's."""
    return Lsh(rounds, causal=causal)


def lsh_1(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """One round of hashing; LSH takes queries for keys."""
    return reformer(1, causal)(q, v)


def lsh_4(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Four rounds."""
    return reformer(4, causal)(q, v)


METHODS: dict[str, Attention] = {
    "linear (ours)": linear,
    "softmax": softmax,
    "softmax, matrix": softmax_matrix,
    "LSH-1": lsh_1,
    "LSH-4": lsh_4,
}


class Step:
    """Forward and backward of a method on random inputs `[1, heads, length, width]`."""

    def __init__(self, name: str, length: int, heads: int, width: int, causal: bool) -> None:
        torch.manual_seed(length)
        shape = (1, heads, length, width)
        self.attention, self.causal = METHODS[name], causal
        self.inputs = [torch.randn(shape, requires_grad=True) for _ in range(3)]
        self.gradient = torch.randn(shape)

    def __call__(self) -> None:
        for tensor in self.inputs:
            tensor.grad = None
        self.attention(*self.inputs, self.causal).backward(self.gradient)

    def seconds(self, least: float) -> float:
        """Mean time of as many steps as fill `least` seconds."""
        count, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < least or count == 0:
            self()
            count += 1
        return elapsed / count


def warmed_step(name: str, length: int, heads: int, width: int, causal: bool) -> Step:
    """For `peak_bytes`."""
    torch.set_num_threads(1)
    Step(name, WARM_UP, heads, width, causal)()
    return Step(name, length, heads, width, causal)


def fits(name: str, length: int, heads: int) -> bool:
    """Whether the matrix form has room: its weights are kept thrice."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return name != "softmax, matrix" or 3 * 4 * heads * length**2 <= machine / 4


def measure(record: records.Record, lengths: Sequence[int], rounds: int, patience: float) -> None:
    """Add the rows that are missing, length by length."""
    heads, width, causal = (record.settings[name] for name in ("heads", "width", "causal"))
    impatient: set[str] = set()
    for length in sorted(lengths):
        steps = {}
        for name in METHODS:
            if (known := record.find(method=name, length=length)) is None:
                if name not in impatient and fits(name, length, heads):
                    steps[name] = Step(name, length, heads, width, causal)
            elif known["seconds"] > patience:
                impatient.add(name)
        taken: dict[str, list[float]] = {name: [] for name in steps}
        for step in steps.values():
            step()
        for _ in range(rounds):
            for name, step in steps.items():
                taken[name].append(step.seconds(LEAST_SECONDS))
        for name, found in taken.items():
            seconds = statistics.median(found)
            peak = peak_bytes(warmed_step, name, length, heads, width, causal)
            record.add({"method": name, "length": length, "seconds": seconds, "peak_bytes": peak})
            print(f"{length} elements, {name}: {1000 * seconds:.1f} ms, {peak / 2**20:.0f} MiB", flush=True)
            if seconds > patience:
                impatient.add(name)


def table(rows: Sequence[records.Row]) -> str:
    """Markdown: a line for each length."""
    names = [name for name in METHODS if any(row["method"] == name for row in rows)]
    lines: dict[int, records.Row] = {}
    for row in rows:
        lines.setdefault(row["length"], {"length": row["length"]})[row["method"]] = row

    def per_element(name: str, figure: str, unit: float) -> records.Cell:
        def three_digits(line: records.Row) -> str:
            value = float(f"{line[name][figure] / line['length'] / unit:.3g}")
            return f"{value:g}"

        return three_digits

    columns: dict[str, records.Cell] = {"elements": lambda line: f"{line['length']}"}
    columns |= {f"{name}, µs": per_element(name, "seconds", 1e-6) for name in names}
    columns |= {f"{name}, KiB": per_element(name, "peak_bytes", 1024) for name in names}
    return records.markdown([lines[length] for length in sorted(lines)], columns)


def draw(settings: dict[str, Any], rows: Sequence[records.Row], path: Path) -> None:
    """Time and memory of an element against the length."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
    for name in METHODS:
        found = sorted((row for row in rows if row["method"] == name), key=lambda row: row["length"])
        lengths = [row["length"] for row in found]
        axes[0].loglog(
            lengths, [1e6 * row["seconds"] / row["length"] for row in found], "o-", ms=3, label=name
        )
        kib = [max(row["peak_bytes"], 4096) / 1024 / row["length"] for row in found]
        axes[1].loglog(lengths, kib, "o-", ms=3, label=name)
    kind = "causal" if settings["causal"] else "full context"
    axes[0].set(xlabel="elements", ylabel="µs for each element", title=f"forward + backward, {kind}")
    axes[1].set(xlabel="elements", ylabel="KiB for each element", title="peak memory beyond the inputs")
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.grid(alpha=0.3)
    records.save(figure, path)


def main() -> None:
    restart_script_with_settings()
    parser = records.parser(__doc__)
    parser.add_argument("--full", action="store_true", help="up to 2^16 elements, however long it takes")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2**n for n in range(9, 16)])
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--width", type=int, default=64, help="of a head")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--patience", type=float, default=10.0, help="seconds of a step beyond which is no longer one"
    )
    parser.add_argument("--causal", action=argparse.BooleanOptionalAction, default=False)
    options = parser.parse_args()
    if options.full:
        parser.set_defaults(lengths=[2**n for n in range(9, 17)], patience=1e9)
    if options.quick:
        parser.set_defaults(lengths=[64], heads=1, width=8, rounds=1)
    options = parser.parse_args()
    place = records.places("causal" if options.causal else "figure1", options)
    if not options.table:
        torch.set_num_threads(1)
        settings = {name: getattr(options, name) for name in ("heads", "width", "causal")}
        record = records.Record(place.rows, settings, ["method", "length"], again=options.again)
        measure(record, options.lengths, options.rounds, options.patience)
    settings, rows = records.read(place.rows)
    print(f"\n{settings['heads']} heads of {settings['width']}\n\n{table(rows)}")
    draw(settings, rows, place.picture)


if __name__ == "__main__":
    main()
