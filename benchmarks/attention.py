"""What causal attention costs, forward and backward, against length: ours, another library's, and softmax.

    python benchmarks/attention.py

Every row starts from queries, keys and values before the feature map, so that the map is counted in, and ends with
their gradients. The contestants take turns, round by round, so that a machine whose speed drifts is unfair to none;
medians over the rounds are printed. Peak memory is what a fresh process takes beyond the inputs, for one forward and
backward; it is measured on Linux alone, elsewhere give --no-memory. Times are taken with the settings that
`phonestream train` makes for itself (phonestream/asr/process.py): without them every step pays for fresh pages, and
from 16384 frames on, whose tensors glibc hands back at once, that is as much again as half of the work.

On the CPU, on one thread: the chunked backend, pytorch-fast-transformers' compiled kernel where that is installed (hide
nvcc while it builds), and torch's scaled_dot_product_attention. On a GPU: the Triton backend, torch's
scaled_dot_product_attention, flash-linear-attention where that is installed, and the least time that the memory's
bandwidth allows.

    python benchmarks/attention.py --profile

says instead, for one length on a CPU, how much of ours is matrix products, and how far from the possible they are.
"""

import os

from phonestream.asr.training.process import restart_script_with_settings

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
if __name__ == "__main__":
    restart_script_with_settings()

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import tables
import torch
from attention_profile import print_profile
from attention_rivals import Inputs, contestants, gemm_rate, limit, operations, seconds
from paper.memory import peak_bytes

PICTURE = Path(__file__).parent / "pictures" / "attention.png"


def warmed_step(name: str, shape: tuple[int, int, int, int]) -> Callable[[], object]:
    """For `peak_bytes`: one forward and backward over [batch, heads, frames, width]."""
    torch.set_num_threads(1)
    attention = contestants("cpu")[name]
    batch, heads, _, width = shape
    Inputs(batch, heads, 64, width, "cpu", torch.float32).step(attention)  # loads what is loaded once
    inputs = Inputs(*shape, "cpu", torch.float32)
    return lambda: inputs.step(attention)


def cpu(
    lengths: Sequence[int], heads: int, width: int, rounds: int, memory: bool, report: tables.Report
) -> None:
    """The table and the picture for one thread of a CPU."""
    torch.set_num_threads(1)
    rivals = contestants("cpu")
    rate = gemm_rate("cpu", torch.float32)
    report.note(
        f"Batch 1, {heads} heads of {width}, float32, forward + backward, {rounds} rounds, one thread; a product of "
        f"1024 x 1024 matrices: {rate / 1e9:.0f} GFLOP/s."
    )
    others = [name for name in rivals if name != "phonestream"]
    columns = [(f"{name}, ms", ".2f") for name in rivals] + [
        (f"x as fast as {name}", ".1f") for name in others
    ]
    columns += [("share of GEMM peak", ".0%")] + [(f"{name}, MiB", ".0f") for name in rivals if memory]
    table = report.table(("frames", ""), *columns)
    times: dict[str, dict[int, float]] = {name: {} for name in rivals}
    peaks: dict[str, dict[int, int]] = {name: {} for name in rivals}
    for frames in lengths:
        inputs = Inputs(1, heads, frames, width, "cpu", torch.float32)
        taking_part = {name: rival for name, rival in rivals.items() if frames <= limit(name)}
        for rival in taking_part.values():
            inputs.step(rival)
        measured: dict[str, list[float]] = {name: [] for name in taking_part}
        for _ in range(rounds):
            for name, rival in taking_part.items():
                measured[name].append(seconds(inputs, rival, 0.1))
        for name, found in measured.items():
            times[name][frames] = statistics.median(found)
            if memory:
                peaks[name][frames] = peak_bytes(warmed_step, name, (1, heads, frames, width))
        mine = times["phonestream"][frames]
        cells: list[float | None] = [_in(1e-3, times[name].get(frames)) for name in rivals]
        for name in others:
            ratios = [b / a for a, b in zip(measured["phonestream"], measured.get(name, ()), strict=False)]
            cells.append(statistics.median(ratios) if ratios else None)
        cells.append(operations(1, heads, frames, width) / mine / rate)
        table.add(frames, *cells, *(_in(2**20, peaks[name].get(frames)) for name in rivals if memory))
    report.note(crossover(times["phonestream"], times["softmax"]))
    report.save()
    draw(times, peaks, heads, width)


def _in(unit: float, value: float | None) -> float | None:
    return None if value is None else value / unit


def crossover(linear: dict[int, float], quadratic: dict[int, float]) -> str:
    """From which measured length on linear attention is the faster one."""
    both = sorted(set(linear) & set(quadratic))
    if not both:
        return "Softmax was measured at none of these lengths."
    slower = [frames for frames in both if linear[frames] >= quadratic[frames]]
    if not slower:
        return f"Linear attention is faster than softmax at every length from {both[0]} frames on."
    later = [frames for frames in both if frames > slower[-1]]
    if not later:
        return f"Linear attention is not faster than softmax up to {both[-1]} frames."
    return f"Linear attention is faster than softmax from {later[0]} frames on."


def draw(
    times: dict[str, dict[int, float]], peaks: dict[str, dict[int, int]], heads: int, width: int
) -> None:
    """Time and memory of a frame against length."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = 2 if any(peaks.values()) else 1
    figure, axes = pyplot.subplots(
        1, panels, figsize=(4.8 * panels, 3.6), squeeze=False, layout="constrained"
    )
    for name, found in times.items():
        axes[0][0].loglog(list(found), [1e6 * t / n for n, t in found.items()], "o-", ms=3, label=name)
    axes[0][0].set(
        xlabel="frames", ylabel="µs for each frame", title=f"{heads} heads of {width}, forward + backward"
    )
    axes[0][0].legend(frameon=False)
    if panels == 2:
        for name, taken in peaks.items():
            axes[0][1].loglog(
                list(taken), [max(b, 1) / 1024 / n for n, b in taken.items()], "o-", ms=3, label=name
            )
        axes[0][1].set(xlabel="frames", ylabel="KiB for each frame", title="peak memory beyond the inputs")
    for axis in axes[0]:
        axis.grid(alpha=0.3)
        axis.set_xscale("log", base=2)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=150)
    print(f"picture: {PICTURE}")


def gpu(
    lengths: Sequence[int], heads: int, width: int, rounds: int, batch: int, report: tables.Report
) -> None:
    """The table for a GPU, in float32 and bfloat16."""
    properties = torch.cuda.get_device_properties(0)
    copied = torch.empty(2**28, device="cuda")
    target = torch.empty_like(copied)
    best = math.inf
    for _ in range(10):
        torch.cuda.synchronize()
        began = time.perf_counter()
        target.copy_(copied)
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    bandwidth = 2 * copied.numel() * 4 / best
    del copied, target
    rivals = contestants("cuda")
    report.note(
        f"{properties.name}, batch {batch}, {heads} heads of {width}; memory copies at {bandwidth / 1e9:.0f} GB/s."
    )
    columns = [*((f"{name}, ms", ".3f") for name in rivals), ("bandwidth limit, ms", ".3f")]
    table = report.table(
        ("dtype", ""), ("frames", ""), *columns, *((f"{name}, MiB", ".0f") for name in rivals)
    )
    for dtype in (torch.float32, torch.bfloat16):
        for frames in lengths:
            inputs = Inputs(batch, heads, frames, width, "cuda", dtype)
            cells: list[float | None] = []
            peaks: list[float | None] = []
            for name, rival in rivals.items():
                if frames > 4 * limit(name):
                    cells.append(None)
                    peaks.append(None)
                    continue
                for _ in range(3):
                    inputs.step(rival)
                torch.cuda.synchronize()
                before = torch.cuda.memory_allocated()
                torch.cuda.reset_peak_memory_stats()
                took = statistics.median(seconds(inputs, rival, 0.1) for _ in range(rounds))
                cells.append(1000 * took)
                peaks.append((torch.cuda.max_memory_allocated() - before) / 2**20)
            # forward reads q, k, v and writes y; backward reads q, k, v, y, dy and writes dq, dk, dv
            moved = 12 * batch * heads * frames * width * inputs.dy.element_size()
            table.add(str(dtype).removeprefix("torch."), frames, *cells, 1000 * moved / bandwidth, *peaks)
    report.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--lengths", type=int, nargs="+", help="default: 1000, and powers of two from 128 to 131072"
    )
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--width", type=int, default=64, help="d_k and d_v of a head")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8, help="sequences, on a GPU; a CPU takes one")
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="where the time of ours goes, at the first of --lengths, or at 1000",
    )
    tables.add_option(parser)
    options = parser.parse_args()
    report = tables.Report(options, "attention-profile" if options.profile else f"attention-{options.device}")
    lengths = options.lengths or sorted([1000, *(2**n for n in range(7, 18))])
    if options.profile:
        if options.device != "cpu":
            parser.error("--profile is for CPUs; give --device cpu")
        print_profile(
            options.heads,
            options.lengths[0] if options.lengths else 1000,
            options.width,
            options.rounds,
            report,
        )
    elif options.device == "cpu":
        cpu(lengths, options.heads, options.width, options.rounds, not options.no_memory, report)
    else:
        gpu(lengths, options.heads, options.width, options.rounds, options.batch, report)


if __name__ == "__main__":
    main()
