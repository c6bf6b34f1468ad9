"""Which floating-point type the blocks' matrix products are computed in, chosen by what the processor has.

Only the products are: parameters, gradients, optimiser state, norms, the attention's `s` and `z`, and on CPUs depthwise
convolutions stay float32 (`torch.autocast`).
"""

from pathlib import Path
from typing import Literal

import torch

from .distributed import Processes

Precision = Literal["float32", "bfloat16"]
DTYPES: dict[Precision, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # as Linux names them
CPUINFO = Path("/proc/cpuinfo")


def choose_precision(wanted: Literal["auto", "float32", "bfloat16"], processes: Processes) -> Precision:
    """`wanted`, or for "auto" bfloat16 where the devices of all processes have it, else float32."""
    if wanted != "auto":
        return wanted
    lacking = processes.any(not has_bfloat16(processes.device))
    return "float32" if lacking else "bfloat16"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies matrices of bfloat16 in hardware; where that cannot be known, False."""
    if device.type == "cuda":
        supported: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return supported
    return not CPU_FLAGS.isdisjoint(cpu_flags())


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The instruction sets that every processor of a Linux machine has; none elsewhere."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = [frozenset(line.partition(":")[2].split()) for line in lines if line.startswith("flags")]
    return frozenset.intersection(*flags) if flags else frozenset()
