"""Random inputs of causal linear attention, and what a backend makes of them: outputs, states, gradients."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from triton_interpreter import DEVICE

from phonestream.kernels import State, causal_linear_attention, feature_map

OUTPUTS = ("y", "s", "z")
INPUTS = ("q", "k", "v", "decay", "s0", "z0")
GPU = [pytest.mark.gpu] if DEVICE == "cuda" else []


class Case(NamedTuple):
    """Shapes and options of one call; `str` of it is the test's id."""

    batch: int
    time: int
    heads: int
    d_k: int
    d_v: int
    decay: bool = False
    state: bool = False
    lengths: bool = False

    def __str__(self) -> str:
        shape = f"B{self.batch}-T{self.time}-H{self.heads}-Dk{self.d_k}-Dv{self.d_v}"
        return "-".join([shape, *(name for name in ("decay", "state", "lengths") if getattr(self, name))])


def arguments(case: Case, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Random inputs; the same float32 numbers for every dtype, so that only arithmetic can differ."""
    generator = torch.Generator().manual_seed(case.time)
    batch, time, heads, d_k, d_v = case[:5]

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    made = {
        "q": feature_map(normal(batch, heads, time, d_k)),
        "k": feature_map(normal(batch, heads, time, d_k)),
        "v": normal(batch, heads, time, d_v),
    }
    if case.decay:
        made["decay"] = torch.linspace(1.0, 0.6, heads)
    if case.state:
        made |= {"s0": normal(batch, heads, d_k, d_v), "z0": feature_map(normal(batch, heads, d_k))}
    made = {name: x.to(dtype) for name, x in made.items()}
    if case.lengths:
        # An empty sequence, a full one, and ends at the start, the middle and the end of a chunk.
        made["lengths"] = torch.tensor([0, time, 33, 1, 64, 50][:batch])
    return made


def attend(backend: str, given: dict[str, Tensor]) -> tuple[Tensor, State]:
    """The backend's outputs, on the device of what it is given."""
    device = given["q"].device
    if backend == "triton":
        given = {name: x.to(DEVICE) for name, x in given.items()}
    state = (given["s0"], given["z0"]) if "s0" in given else None
    y, (s, z) = causal_linear_attention(
        *(given[name] for name in "qkv"),
        decay=given.get("decay"),
        state=state,
        lengths=given.get("lengths"),
        backend=backend,
    )
    return y.to(device), State(s.to(device), z.to(device))


def random_loss(outputs: tuple[Tensor, State], loss_on: str = "ysz") -> Tensor:
    """A random linear function, always the same, of the outputs named."""
    y, (s, z) = outputs
    generator = torch.Generator().manual_seed(1)
    loss = torch.zeros((), dtype=s.dtype)
    for name, x in zip(OUTPUTS, (y, s, z), strict=True):
        weight = torch.randn(x.shape, generator=generator).to(s.dtype)
        if name in loss_on:
            loss = loss + (x.to(s.dtype) * weight).sum()
    return loss


def everything(backend: str, given: dict[str, Tensor], *, loss_on: str = "ysz") -> dict[str, Tensor]:
    """Outputs, and the gradient of `random_loss` for every input."""
    given = {name: x.clone().requires_grad_(x.dtype.is_floating_point) for name, x in given.items()}
    y, (s, z) = attend(backend, given)
    found = {"y": y.detach(), "s": s.detach(), "z": z.detach()}
    leaves = {name: given[name] for name in INPUTS if name in given}
    loss = random_loss((y, State(s, z)), loss_on)
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    for (name, x), gradient in zip(leaves.items(), gradients, strict=True):
        found[f"d{name}"] = torch.zeros_like(x) if gradient is None else gradient
    return found


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Every tensor by name, to a fraction of its largest number (of 1, where all are smaller)."""
    assert actual.keys() == expected.keys()
    for name, reference in expected.items():
        assert actual[name].shape == reference.shape, name
        if reference.numel() == 0:
            continue
        scale = max(1.0, reference.abs().max().item())
        error = (actual[name].double() - reference.double()).abs().max().item() / scale
        assert error <= tolerance, f"{name} is off by {error:.2e} of its scale {scale:.2e}"  # False for a NaN
