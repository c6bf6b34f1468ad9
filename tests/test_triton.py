"""The Triton kernels beyond their numbers, which test_attention.py checks: compiled for GPUs, an operator of torch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from attention_cases import GPU, Case, arguments, assert_same, attend, everything, random_loss
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from triton_interpreter import DEVICE

from phonestream.kernels import State, causal_linear_attention, triton_attention

ROOT = Path(__file__).parents[1]
KERNELS = 6

pytestmark = GPU


# Of all that benchmarks/kernels_aot.py compiles. float16 and bfloat16 differ in how numbers are loaded and stored only,
# 80 and 86 in their shared memory, and of that a head of 128 takes no more than one of 64.
CHIPS = [
    (80, "float16", 64),
    (80, "float64", 24),
    (86, "bfloat16", 128),
    (90, "float32", 64),
    (90, "float32", 128),
    (100, "float16", 64),
]
COMPILE = """
import json, sys
from kernels_aot import KERNELS, figures
for chip in json.loads(sys.argv[1]):
    for kernel in KERNELS:
        row = figures(kernel, *chip)
        print(json.dumps({**row._asdict(), "shared_limit": row.shared_limit}))
"""


def run(*program: str | Path) -> list[str]:
    """The lines that a Python program prints in another process: the kernels of this one may be interpreted."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT / "benchmarks")
    done = subprocess.run([sys.executable, *program], text=True, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_kernels_fit_every_chip() -> None:
    """All compile, within a chip's shared memory and, for heads of up to 64, its registers."""
    rows = [json.loads(line) for line in run("-c", COMPILE, json.dumps(CHIPS))]
    assert len(rows) == KERNELS * len(CHIPS)
    for row in rows:
        assert row["shared_bytes"] <= row["shared_limit"], row
        assert row["spilled_bytes"] == 0 or row["head_size"] > 64, row


@pytest.mark.slow
def test_every_launch_is_one_that_triton_can_bind_and_compile() -> None:
    """One head, one frame, no decay, no state: Triton makes constants of what is 1 or None elsewhere than on a CPU."""
    launches = run(ROOT / "tests/support/triton_warmup.py")
    assert len(launches) == 2 * (KERNELS + 1)  # the states are scanned forward, and backward again


def leaves(case: Case, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    made = {name: x.to(DEVICE) for name, x in arguments(case, dtype).items()}
    return {name: x.requires_grad_(x.dtype.is_floating_point) for name, x in made.items()}


@pytest.mark.parametrize(
    "case", [Case(1, 3, 2, 2, 3), Case(2, 3, 2, 2, 3, decay=True, state=True, lengths=True)], ids=str
)
def test_the_operator_is_one_that_torch_can_trace(case: Case) -> None:
    """Schema, shapes and strides without data, gradients, all of it with symbolic shapes."""
    given = leaves(case)
    if "lengths" in given:
        given["lengths"] = torch.tensor([1, 3], device=DEVICE)
    inputs = tuple(given.get(name) for name in ("q", "k", "v", "decay", "s0", "z0", "lengths"))
    torch.library.opcheck(torch.ops.phonestream.causal_linear_attention, inputs)
    transposed = tuple(given[name].transpose(1, 2).contiguous().transpose(1, 2) for name in "qkv")
    torch.library.opcheck(
        torch.ops.phonestream.causal_linear_attention,
        (*transposed, *inputs[3:]),
        test_utils="test_faketensor",
    )


def test_compiled_as_one_graph_it_is_the_same() -> None:
    case = Case(1, 5, 2, 3, 4, decay=True, state=True)
    whole = torch.compile(lambda given: attend("triton", given), fullgraph=True, backend="aot_eager")
    found = {}
    for name, function in (("eager", lambda given: attend("triton", given)), ("compiled", whole)):
        given = leaves(case)
        y, (s, z) = function(given)
        gradients = torch.autograd.grad(random_loss((y.cpu(), State(s.cpu(), z.cpu()))), list(given.values()))
        found[name] = {"y": y, "s": s, "z": z, **dict(zip(given, gradients, strict=True))}
    for name, x in found["eager"].items():
        assert torch.equal(found["compiled"][name], x), name


def test_nothing_is_kept_for_backward_but_inputs_and_outputs() -> None:
    """States are computed again: T d_k d_v / C numbers that need not wait for the backward pass."""
    given = leaves(Case(1, 70, 2, 5, 6, decay=True, state=True))
    kept: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        kept[x.data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        y, _ = attend("triton", given)
    normaliser = given["q"][..., 0]
    assert sum(kept.values()) == sum(x.numel() for x in given.values()) + y.numel() + normaliser.numel()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_precision_is_multiplied_as_what_it_is(name: str) -> None:
    """Triton's interpreter multiplies the bits of bfloat16 numbers; the kernels convert before they multiply."""
    dtype = getattr(torch, name)
    rounded = {
        n: x.to(dtype) if n in "qkv" else x for n, x in arguments(Case(1, 70, 2, 5, 6), torch.float32).items()
    }
    expected = everything("quadratic", {n: x.double() for n, x in rounded.items()})
    assert_same(everything("triton", rounded), expected, 2 * torch.finfo(dtype).eps)


def test_cuda_tensors_are_given_to_it_and_others_are_not() -> None:
    def chosen(device: str, head: int) -> str:
        q = torch.empty(1, 2, 5, head, device=device)
        called = []

        class Record(torch.utils._python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(
                self, function: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                called.append(function.name())
                return function(*args, **(kwargs or {}))

        with Record():
            causal_linear_attention(q, q, q)
        return "triton" if "phonestream::causal_linear_attention" in called else "chunked"

    with FakeTensorMode():
        assert chosen("cuda", 64) == "triton"
        assert chosen("cuda", 256) == "chunked"
        assert chosen("cpu", 64) == "chunked"


def test_what_it_cannot_do_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    q, wide = torch.ones(1, 2, 5, 4, device=DEVICE), torch.ones(1, 2, 5, 129, device=DEVICE)
    with pytest.raises(ValueError, match=r"head sizes of 1 to 128, got d_k = 129; .*backend='chunked'"):
        causal_linear_attention(wide, wide, q, backend="triton")
    with pytest.raises(ValueError, match="head sizes of 1 to 128, got d_v = 129"):
        causal_linear_attention(q, q, wide, backend="triton")
    narrow = q.to(torch.float8_e5m2)
    with pytest.raises(TypeError, match=r"takes torch.float32, .*got torch.float8_e5m2; use backend="):
        causal_linear_attention(narrow, narrow, narrow, backend="triton")

    from phonestream.kernels import triton_launch

    monkeypatch.setattr(triton_launch, "INTERPRETED", False)
    with pytest.raises(
        ValueError, match=r"CUDA device, got cpu; move them with .to\('cuda'\), or use backend="
    ):
        causal_linear_attention(q.cpu(), q.cpu(), q.cpu(), backend="triton")
    monkeypatch.setattr(triton_attention, "IS_INSTALLED", False)
    with pytest.raises(
        ModuleNotFoundError, match=r"needs Triton: pip install triton, or use backend='chunked'"
    ):
        causal_linear_attention(q, q, q, backend="triton")
    y, _ = causal_linear_attention(q, q, q)  # the choice is then another
    assert torch.equal(y, causal_linear_attention(q, q, q, backend="chunked")[0])
