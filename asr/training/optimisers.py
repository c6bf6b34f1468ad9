"""Optimisers, learning-rate schedule and weight averaging."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ..model.encoder import Encoder
from .config import TrainConfig

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of Jordan et al. (2024)
NEWTON_SCHULZ_STEPS = 5


class Muon(Optimizer):
    """Momentum whose update is made orthogonal: Jordan et al. (2024), "Muon: an optimizer for hidden layers".

    `torch.optim.Muon` iterates in bfloat16, matrix by matrix, which a CPU without bfloat16 units does very slowly;
    here matrices of one shape are iterated together in float32.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient. `closure` is not used."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                self._update(parameters, group)

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        updates = []
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            updates.append(parameter.grad.lerp(state["momentum"], group["momentum"]))  # Nesterov
        rows, columns = parameters[0].shape
        step = group["lr"] * max(1.0, rows / columns) ** 0.5
        for parameter, update in zip(parameters, orthogonalise(torch.stack(updates)), strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-step)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearly the closest semi-orthogonal matrices to `[count, rows, columns]`, by Newton-Schulz iteration."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def make_optimisers(encoder: Encoder, config: TrainConfig) -> list[Optimizer]:
    """AdamW for everything, or Muon for the blocks' matrices and AdamW for the rest. Vectors are not decayed."""
    matrices = [p for p in encoder.blocks.parameters() if p.ndim == 2] if config.optimiser == "muon" else []
    taken = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in encoder.parameters() if id(parameter) not in taken]
    groups = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
    if not matrices:
        return [adamw]
    return [adamw, Muon(matrices, lr=config.matrix_learning_rate, weight_decay=config.weight_decay)]


def peak_rates(optimisers: list[Optimizer]) -> list[list[float]]:
    """The learning rates that the optimisers were made with, group by group."""
    return [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]


def schedule(step: int, config: TrainConfig) -> float:
    """Share of the peak learning rate at `step`: a straight rise, a plateau, a straight fall to zero at the end."""
    rise = (step + 1) / config.warmup_steps
    fall = (config.steps - step) / (config.cooldown_steps + 1)
    return min(1.0, rise, fall)


def set_rates(optimisers: list[Optimizer], peaks: list[list[float]], share: float) -> None:
    """Set every group's learning rate to `share` of its peak."""
    for optimiser, rates in zip(optimisers, peaks, strict=True):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * share


@torch.no_grad()
def average(averaged: nn.Module, module: nn.Module, step: int, decay: float) -> None:
    """Move `averaged` towards `module` in place, faster in the first steps: `min(decay, (1 + step) / (10 + step))`."""
    decay = min(decay, (1 + step) / (10 + step))
    into, out_of = list(averaged.parameters()), list(module.parameters())
    torch._foreach_lerp_([p.data for p in into], [p.data for p in out_of], 1 - decay)
