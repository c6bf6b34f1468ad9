"""The feature map that takes the place of softmax, exact in its negative tail and cheap to train."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def feature_map(x: Tensor) -> Tensor:
    """phi(x) = x + 1 where x > 0, exp(x) elsewhere: elu(x) + 1 of Katharopoulos et al. 2020, section 3.2.1.

    It is positive, so that the normaliser of the attention is too. It is computed in float32 (float64 for
    float64) as exp(min(x, 0)) + max(x, 0), the same number. `elu(x) + 1` would round exp(x) to a multiple
    of the machine epsilon, so to 0 below x = -17 (-6 in bfloat16); and exp of a large x, computed to be
    discarded by `where`, would make the gradient infinity times zero.

    Args:
        x: any shape, floating point.

    Returns:
        phi(x), of x's shape, dtype and memory layout.
    """
    if torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_compiling():
        y: Tensor = _FeatureMap.apply(x)  # type: ignore[no-untyped-call]
        return y
    return _phi(x)


def _phi(x: Tensor) -> Tensor:
    wide = x if x.dtype == torch.float64 else x.float()
    # The compiler differentiates it: nothing may change in place, and it fuses anyway
    if torch.compiler.is_compiling():
        return (wide.clamp(max=0).exp() + wide.relu()).to(x.dtype)
    return wide.clamp(max=0).exp_().add_(wide.relu()).to(x.dtype)


class _FeatureMap(torch.autograd.Function):
    """Keeps nothing but its output for backward: phi' = exp(min(x, 0)) = min(phi, 1)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = _phi(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        y: Tensor = ctx.saved_tensors[0]
        return y.clamp(max=1).mul_(dy)
