"""Compiles every Triton kernel for GPUs that need not be there, and prints what each takes of a multiprocessor.

    python benchmarks/kernels_aot.py                                            # everything, in markdown
    python benchmarks/kernels_aot.py --capability 90 --dtype bfloat16 --head-size 64

Registers and spills are what ptxas -v says. Shared memory is held against what one program may have on the chip. The
kernels are compiled as they run on tensors of usual alignment, with everything on: a decay and its gradient, lengths,
a first and a last state.
"""

import argparse
import contextlib
import io
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

os.environ.pop("TRITON_INTERPRET", None)  # before Triton is imported

import tables
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from phonestream.kernels.triton_backward import differentiate_qk, differentiate_v, divide, scan_gradients
from phonestream.kernels.triton_forward import attend, scan_states
from phonestream.kernels.triton_launch import TILES, constants

KERNELS = {
    kernel.__name__: kernel
    for kernel in (scan_states, attend, divide, scan_gradients, differentiate_qk, differentiate_v)
}
SHARED_KIB = {80: 163, 86: 99, 90: 227, 100: 227}  # most that one program may have, by compute capability
DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "float64": "fp64"}
HEAD_SIZES = (32, 64, 128)
INTEGERS = ("heads", "time", "chunks")
SEQUENCES = (
    "q",
    "k",
    "v",
    "y",
    "dy",
    "dq",
    "dk",
    "dv",
)  # in the dtype of the inputs; other tensors in the accumulator's


class Figures(NamedTuple):
    """What one kernel takes."""

    kernel: str
    capability: int
    dtype: str
    head_size: int
    registers: int
    spilled_bytes: int
    shared_bytes: int

    @property
    def shared_limit(self) -> int:
        return SHARED_KIB[self.capability] * 1024


def figures(kernel: str, capability: int, dtype: str, head_size: int) -> Figures:
    """Compile a kernel for d_k = d_v = head_size.

    Raises:
        triton.CompilationError: and others, if it does not compile.
        RuntimeError: ptxas has not said what it took.
    """
    function, torch_dtype = KERNELS[kernel], getattr(torch, dtype)
    fixed = constants(torch_dtype, head_size, head_size)
    fixed |= dict.fromkeys(("HAS_FIRST", "HAS_LAST", "DECAYS", "RAGGED", "DECAY_GRADIENT"), True)
    fixed = {name: value for name, value in fixed.items() if name in function.arg_names}
    wide = "*fp64" if dtype == "float64" else "*fp32"
    signature: dict[str, Any] = {}
    aligned: dict[tuple[int, ...], list[list[str | int]]] = {}
    for i, name in enumerate(function.arg_names):
        paths: list[tuple[int, ...]] = []
        if name in fixed:
            signature[name] = "constexpr"
        elif name in INTEGERS:
            signature[name] = "i32"
        elif name.endswith("_strides"):
            signature[name] = ("i32",) * 3
            paths = [(i, 0), (i, 1), (i, 2)]
        else:
            signature[name] = (
                "*i64" if name == "lengths" else "*" + DTYPES[dtype] if name in SEQUENCES else wide
            )
            paths = [(i,)]
        aligned |= {path: [["tt.divisibility", 16]] for path in paths}

    source = ASTSource(function, signature, fixed, aligned)
    log = io.StringIO()
    with triton.knobs.nvidia.scope(), triton.knobs.compilation.scope(), contextlib.redirect_stdout(log):
        triton.knobs.nvidia.dump_ptxas_log = True
        triton.knobs.compilation.always_compile = True
        compiled = triton.compile(
            source,
            target=GPUTarget("cuda", capability, 32),
            options={"num_warps": TILES[torch_dtype].warps},
        )
    used = re.search(r"Used (\d+) registers", log.getvalue())
    spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log.getvalue())
    if used is None or spilled is None:
        raise RuntimeError(f"no registers in what ptxas printed for {kernel}: {log.getvalue()!r}")
    spills = int(spilled[1]) + int(spilled[2])
    return Figures(kernel, capability, dtype, head_size, int(used[1]), spills, compiled.metadata.shared)


def report(rows: Iterable[Figures], options: argparse.Namespace) -> None:
    """A line for each kernel, dtype and head size, then the most that each kernel takes; chips stand side by side."""
    found = tables.Report(options)
    found.note("Registers of a thread / bytes of spill stores and loads / KiB of shared memory.")
    chips = [(f"sm_{chip}", "") for chip in sorted(options.capability)]
    table = found.table(("kernel", ""), ("dtype", ""), ("head", ""), *chips, shown=False)
    kept: dict[str, dict[int, list[Figures]]] = {}
    for (kernel, dtype, head), group in itertools.groupby(
        rows, lambda row: (row.kernel, row.dtype, row.head_size)
    ):
        cells = sorted(group, key=lambda row: row.capability)
        table.add(kernel, dtype, head, *(most([row]) for row in cells))
        for row in cells:
            kept.setdefault(kernel, {}).setdefault(row.capability, []).append(row)
    table = found.table(("most of any dtype and head size", ""), *chips)
    for kernel, by_chip in kept.items():
        table.add(kernel, *(most(alike) for _, alike in sorted(by_chip.items())))
    found.save()


def most(rows: Sequence[Figures]) -> str:
    """Registers / spills / KiB: of each the most that a row has."""
    columns = ("registers", "spilled_bytes", "shared_bytes")
    registers, spilled, shared = (max(getattr(row, name) for row in rows) for name in columns)
    return f"{registers} / {spilled} / {shared / 1024:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernel", nargs="+", choices=KERNELS, default=list(KERNELS))
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--head-size", nargs="+", type=int, default=list(HEAD_SIZES))
    parser.add_argument("--capability", nargs="+", type=int, choices=SHARED_KIB, default=list(SHARED_KIB))
    tables.add_option(parser)
    options = parser.parse_args()

    wanted = itertools.product(options.kernel, options.dtype, options.head_size, options.capability)
    report((figures(k, cc, dtype, head) for k, dtype, head, cc in wanted), options)


if __name__ == "__main__":
    main()
