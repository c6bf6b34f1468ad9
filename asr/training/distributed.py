"""Data-parallel training: each process computes its shard of every step, and gradients are summed.

torchrun starts them and numbers them by environment variables. Only the first one writes, and it broadcasts what it
reads. With one process nothing here does anything, so that training is one program.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from ...errors import ConfigError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")  # which torchrun sets
TIMEOUT = timedelta(hours=12)  # for which processes wait for another: the first may decode a large corpus

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among all: `rank` of `count`, `local_rank` on its machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The GPU of this process, or the CPU where there is none."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def shard(self, items: Sequence[T]) -> list[T]:
        """Of `items`, which all processes hold alike, those that are this one's: every `count`-th."""
        return list(items[self.rank :: self.count])

    def sum(self, value: float) -> float:
        """A number added up over all processes."""
        if self.count == 1:
            return value
        number = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(number)
        return float(number)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in one of the processes; all get the same answer."""
        return self.sum(float(flag)) > 0

    def broadcast(self, value: T) -> T:
        """The first process's `value`, in all of them."""
        if self.count == 1:
            return value
        holder = [value]
        distributed.broadcast_object_list(holder, device=torch.device("cpu"))
        return holder[0]

    def all_reduce_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes. All must lack one for the same parameters."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        _as_one(gradients, distributed.all_reduce)

    @torch.no_grad()
    def broadcast_weights(self, module: nn.Module) -> None:
        """Copy the first process's weights and statistics into `module`."""
        if self.count == 1:
            return
        _as_one(list(module.state_dict().values()), partial(distributed.broadcast, src=0))

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block in the first process of each machine, then in the others, which find what it has made."""
        if self.local_rank > 0:
            self.sum(0)  # returns when all have called it
        yield
        if self.local_rank == 0:
            self.sum(0)


SINGLE_PROCESS = Processes()


def _as_one(tensors: Sequence[Tensor], communicate: Callable[[Tensor], object]) -> None:
    """Change `tensors` in place by what `communicate` does to all their numbers in one tensor."""
    whole = torch.cat([tensor.flatten() for tensor in tensors])
    communicate(whole)
    parts = torch.split(whole, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


@contextmanager
def init_processes() -> Iterator[Processes]:
    """The processes that torchrun has started, connected; one alone without torchrun.

    Raises:
        ConfigError: torchrun's variables are incomplete, or there are fewer GPUs than processes on this machine.
    """
    present = [name for name in VARIABLES if name in os.environ]
    if "WORLD_SIZE" not in present or os.environ["WORLD_SIZE"] == "1":
        yield SINGLE_PROCESS
        return
    if len(present) < len(VARIABLES):
        raise ConfigError(
            f"WORLD_SIZE is set but {(set(VARIABLES) - set(present)).pop()} is not: start with torchrun, "
            "or unset it to train with one process"
        )
    rank, count, local_rank = (int(os.environ[name]) for name in VARIABLES)
    processes = Processes(rank, count, local_rank)
    gpus = torch.cuda.device_count()
    if 0 < gpus <= local_rank:
        raise ConfigError(
            f"process {local_rank} of this machine has no GPU: it has {gpus}; "
            f"start torchrun with --nproc-per-node {gpus}"
        )
    if gpus:
        torch.cuda.set_device(processes.device)
    # Numbers and checkpoints go by gloo, gradients by NCCL
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    distributed.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield processes
    finally:
        distributed.destroy_process_group()
