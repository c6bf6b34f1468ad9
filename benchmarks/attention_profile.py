"""Where the time of the chunked attention goes on a CPU: `python benchmarks/attention.py --profile`.

torch's profiler says how long each operation ran, and a run without the profiler how long a step takes; what no
operation accounts for is left to Python, to autograd, to views and to memory. Products are held against the rate of a
big one, operations on single numbers against that of a multiplication in place that stays in the cache. Of calls with
the same shapes the median counts for all, so that it matters little who else is at work.
"""

import math
import resource
import statistics
import time
from collections import defaultdict
from typing import NamedTuple

import torch
from attention_rivals import Attention, Inputs, gemm_rate, ours, seconds
from tables import Report
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from phonestream.kernels.blocks import BLOCK

KINDS = ("matrix products", "feature map", "other operations on numbers", "copies")
PRODUCTS = ("bmm", "baddbmm_")
COPIES = ("copy_", "fill_", "zero_")
SINGLE = (
    "mul",
    "mul_",
    "div",
    "add",
    "add_",
    "addcmul",
    "addcmul_",
    "sum",
    "neg_",
    "clamp",
    "clamp_min",
    "exp_",
)
STEPS = 10  # under the profiler


class Part(NamedTuple):
    """Operations of one kind in a step."""

    name: str
    calls: float
    seconds: float
    work: float  # multiplications and additions of products, numbers of all else


def print_profile(heads: int, frames: int, width: int, rounds: int, report: Report) -> None:
    """The table for forward and backward, batch 1, float32, feature map counted in, on one thread."""
    torch.set_num_threads(1)
    inputs = Inputs(1, heads, frames, width, "cpu", torch.float32)
    inputs.step(ours)
    gemm, single = gemm_rate("cpu", torch.float32), single_rate()
    faults = _faults()
    inputs.step(ours)
    faults = _faults() - faults
    step = statistics.median(seconds(inputs, ours, 0.1) for _ in range(rounds))
    parts = profiled(inputs, ours)
    report.note(
        f"Batch 1, {heads} heads of {width}, {frames} frames, float32, one thread: {1000 * step:.2f} ms a step; a "
        f"product of 1024 x 1024 matrices: {gemm / 1e9:.0f} GFLOP/s; a multiplication of {BLOCK} numbers in place: "
        f"{single / 1e9:.1f} G/s; page faults a step: {faults}."
    )
    table = report.table(
        ("part", ""),
        ("calls", ".0f"),
        ("ms", ".2f"),
        ("share", ".0%"),
        ("rate", ""),
        ("of the possible", ".0%"),
        ("ms at the possible", ".2f"),
    )
    for part in parts:
        possible, unit = (gemm, "GFLOP/s") if part.name == KINDS[0] else (single, "G numbers/s")
        rate = part.work / part.seconds
        shares = (f"{rate / 1e9:.1f} {unit}", rate / possible, 1000 * part.work / possible)
        table.add(part.name, part.calls, 1000 * part.seconds, part.seconds / step, *shares)
    rest = step - sum(part.seconds for part in parts)
    table.add("Python, autograd, views, memory", None, 1000 * rest, rest / step, None, None, None)
    report.save()


def profiled(inputs: Inputs, attention: Attention) -> list[Part]:
    """The kinds of operations of a step, by torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True) as profiler:
        for _ in range(STEPS):
            inputs.step(attention)
    calls: dict[tuple[str, str, str], list[FunctionEvent]] = defaultdict(list)
    for event in profiler.events() or ():
        if (kind := _kind(event)) is not None:
            calls[kind, event.name, str(event.input_shapes)].append(event)
    parts = {name: Part(name, 0, 0, 0) for name in KINDS}
    for (kind, *_), alike in calls.items():
        part, count = parts[kind], len(alike) / STEPS
        each = 1e-6 * statistics.median(event.self_cpu_time_total for event in alike)
        work = _product_work(alike[0]) if kind == KINDS[0] else _numbers(alike[0])
        parts[kind] = Part(kind, part.calls + count, part.seconds + count * each, part.work + count * work)
    return list(parts.values())


def single_rate() -> float:
    """Numbers a second that one multiplication in place gets through, in memory that a core's cache holds."""
    x = torch.ones(BLOCK)
    best = math.inf
    for _ in range(200):
        began = time.process_time()
        x.mul_(1.0)
        best = min(best, time.process_time() - began)
    return BLOCK / best


def _kind(event: FunctionEvent) -> str | None:
    """One of `KINDS`, or None for what is no work on numbers."""
    products, mapped, single, copies = KINDS
    name = event.name.removeprefix("aten::")
    if name in PRODUCTS:
        return products
    if name in COPIES:
        return copies
    if name not in SINGLE:
        return None
    caller = event.cpu_parent
    while caller is not None:
        if caller.name.startswith("_FeatureMap"):
            return mapped
        caller = caller.cpu_parent
    return single


def _product_work(event: FunctionEvent) -> float:
    first = 0 if event.name == "aten::bmm" else 1  # after what it is added to
    left, right = event.input_shapes[first : first + 2]
    return 2.0 * math.prod(left) * right[2]


def _numbers(event: FunctionEvent) -> float:
    return float(max(math.prod(shape) for shape in event.input_shapes))


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
