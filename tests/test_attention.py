"""Causal linear attention: every backend gives the outputs, states and gradients of the equations.

The chain of trust: loops in numpy, written from the equations -> the quadratic form in float64 -> every backend.

`triton` runs on a GPU where there is one, in its interpreter elsewhere. That takes milliseconds for every few lines of
a kernel, so that it is marked `slow` for all but the smallest part of the matrix, and spared what only repeats it.
"""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from attention_cases import GPU, Case, arguments, assert_same, attend, everything, random_loss
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from triton_interpreter import DEVICE

from phonestream.kernels import BACKENDS, EPS, State, blocks, causal_linear_attention, feature_map
from phonestream.kernels.quadratic import quadratic

TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
}  # of the largest number in the tensor, and at least of 1

IN_TORCH = [backend for backend in BACKENDS if backend != "triton"]
WITH_TRITON = [*IN_TORCH, pytest.param("triton", marks=GPU)]
WITH_SLOW_TRITON = [*IN_TORCH, pytest.param("triton", marks=[*GPU, pytest.mark.slow])]


CASES = [
    Case(2, time, 2, 16, 24, decay, state)
    for time in (1, 2, 63, 64, 65)
    for decay, state in itertools.product((False, True), repeat=2)
]
CASES += [
    Case(1, 500, 2, 16, 24),
    Case(1, 500, 2, 16, 24, decay=True),
    Case(1, 500, 2, 16, 24, state=True),
    Case(1, 500, 2, 16, 24, decay=True, state=True),
    Case(2, 31, 1, 1, 1, decay=True, state=True),
    Case(1, 32, 2, 3, 2, decay=True, state=True),
    Case(3, 33, 3, 7, 1, decay=True, state=True),
    Case(1, 97, 5, 33, 9, state=True),
    Case(0, 5, 2, 3, 4, decay=True, state=True),
    Case(2, 0, 2, 3, 4, decay=True, state=True),
    Case(5, 65, 2, 8, 5, lengths=True),
    Case(5, 65, 2, 8, 5, decay=True, lengths=True),
    Case(5, 65, 2, 8, 5, state=True, lengths=True),
    Case(5, 65, 2, 8, 5, decay=True, state=True, lengths=True),
    Case(6, 130, 2, 8, 5, decay=True, state=True, lengths=True),
]
# In the interpreter: less than a chunk, two, three and four, with every combination of switches; all switches at 16.
FOR_TRITON = {case for case in CASES if case.time not in (2, 63, 500)} | {
    Case(1, 500, 2, 16, 24, decay=True, state=True)
}
QUICK = {Case(1, 32, 2, 3, 2, decay=True, state=True), Case(5, 65, 2, 8, 5, decay=True, lengths=True)}
DTYPES = {"float64": torch.float64, "float32": torch.float32}
MATRIX = [
    pytest.param(
        backend,
        case,
        DTYPES[dtype],
        marks=(GPU if case in QUICK else [*GPU, pytest.mark.slow]) if backend == "triton" else [],
        id=f"{backend}-{case}-{dtype}",
    )
    for backend, case, dtype in itertools.product(BACKENDS, CASES, DTYPES)
    if backend != "triton" or (case in FOR_TRITON and (dtype == "float32" or case.time >= 65))
]


def by_loops(given: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """The equations of the paper with a decay, one number after another."""
    q, k, v = (given[name].numpy() for name in "qkv")
    batch, heads, time, d_k = q.shape
    d_v = v.shape[3]
    y = np.zeros((batch, heads, time, d_v))
    s = given["s0"].numpy().copy() if "s0" in given else np.zeros((batch, heads, d_k, d_v))
    z = given["z0"].numpy().copy() if "z0" in given else np.zeros((batch, heads, d_k))
    for b, h in itertools.product(range(batch), range(heads)):
        decay = given["decay"][h].item() if "decay" in given else 1.0
        for t in range(int(given["lengths"][b]) if "lengths" in given else time):
            for i in range(d_k):
                z[b, h, i] = decay * z[b, h, i] + k[b, h, t, i]
                for j in range(d_v):
                    s[b, h, i, j] = decay * s[b, h, i, j] + k[b, h, t, i] * v[b, h, t, j]
            normaliser = sum(q[b, h, t, i] * z[b, h, i] for i in range(d_k)) + EPS
            for j in range(d_v):
                y[b, h, t, j] = sum(q[b, h, t, i] * s[b, h, i, j] for i in range(d_k)) / normaliser
    return {"y": y, "s": s, "z": z}


@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
@pytest.mark.parametrize(
    ("decay", "state", "lengths"), list(itertools.product((False, True), repeat=3)), ids=lambda on: "ny"[on]
)
def test_outputs_are_those_of_the_equations(backend: str, decay: bool, state: bool, lengths: bool) -> None:
    given = arguments(Case(5, 65, 2, 3, 4, decay, state, lengths))
    y, (s, z) = attend(backend, given)
    for actual, expected in zip((y, s, z), by_loops(given).values(), strict=True):
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lengths", [False, True], ids=["whole", "lengths"])
def test_the_quadratic_form_takes_a_decay_of_zero(lengths: bool) -> None:
    """As in a graph, where nobody checks. The head hears the present frame alone; 0 times its logarithm is NaN."""
    given = arguments(Case(5, 65, 2, 3, 4, decay=True, state=True, lengths=lengths))
    given["decay"] = torch.tensor([0.0, 0.9], dtype=given["q"].dtype)
    before = given["s0"], given["z0"]
    ends = given.get("lengths")
    y, (s, z) = quadratic(given["q"], given["k"], given["v"], given["decay"], before, ends)
    for actual, expected in zip((y, s, z), by_loops(given).values(), strict=True):
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", IN_TORCH)
@pytest.mark.parametrize("lengths", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("decay", [False, True], ids=["plain", "decay"])
def test_gradients_are_those_of_finite_differences(backend: str, decay: bool, lengths: bool) -> None:
    """Forty frames for `chunked`, so that chunks meet; five, all of them checked, are enough for autograd."""
    given = arguments(Case(2, 40 if backend == "chunked" else 5, 2, 2, 3, decay=decay, state=True))
    if decay:
        given["decay"] = torch.tensor([0.9, 0.5], dtype=torch.float64)  # differences need room below 1
    names = list(given)
    ends = torch.tensor([given["q"].shape[2], 4]) if lengths else None

    def function(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        named = dict(zip(names, inputs, strict=True))
        y, (s, z) = attend(backend, named if ends is None else named | {"lengths": ends})
        return y, s, z

    inputs = tuple(x.requires_grad_() for x in given.values())
    assert torch.autograd.gradcheck(function, inputs, fast_mode=backend == "chunked")


@pytest.mark.parametrize(("backend", "case", "dtype"), MATRIX)
def test_outputs_and_gradients_are_those_of_the_quadratic_form(
    backend: str, case: Case, dtype: torch.dtype
) -> None:
    expected = everything("quadratic", arguments(case))
    assert_same(everything(backend, arguments(case, dtype)), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("loss_on", ["y", "s", "z"])
@pytest.mark.parametrize("state", [False, True], ids=["fresh", "state"])
@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
def test_gradients_flow_from_any_output_alone(backend: str, state: bool, loss_on: str) -> None:
    given = arguments(Case(2, 70, 3, 5, 4, decay=True, state=state))
    expected = everything("quadratic", given, loss_on=loss_on)
    assert_same(everything(backend, given, loss_on=loss_on), expected, 1e-12)


@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
@pytest.mark.parametrize("wanted", ["q", "k", "v", "decay", "s0", "z0"])
def test_one_input_alone_can_be_differentiated(backend: str, wanted: str) -> None:
    given = arguments(Case(2, 40, 2, 3, 4, decay=True, state=True))
    expected = everything("quadratic", given)[f"d{wanted}"]
    given = {name: x.clone().requires_grad_(name == wanted) for name, x in given.items()}
    (actual,) = torch.autograd.grad(random_loss(attend(backend, given)), given[wanted])
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decay", [False, True], ids=["plain", "decay"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
def test_split_anywhere_it_is_the_same(backend: str, dtype: torch.dtype, decay: bool) -> None:
    """What streaming stands on: the state is all of the past, wherever it is handed over."""
    given = arguments(Case(1, 67, 2, 4, 5, decay=decay, state=True), dtype)
    y, (s, z) = attend(backend, given)
    whole = {"y": y, "s": s, "z": z}
    for point in (0, 1, 16, 31, 32, 33, 66, 67) if backend == "triton" else range(68):
        first, state = attend(backend, given | {name: given[name][:, :, :point] for name in "qkv"})
        rest = {name: given[name][:, :, point:] for name in "qkv"} | {"s0": state.s, "z0": state.z}
        second, state = attend(backend, given | rest)
        parts = {"y": torch.cat([first, second], dim=2), "s": state.s, "z": state.z}
        assert_same(parts, whole, TOLERANCE[dtype])


@pytest.mark.parametrize("point", [1, 31, 32, 33, 66])
@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
def test_gradients_flow_through_a_carried_state(backend: str, point: int) -> None:
    given = arguments(Case(2, 67, 2, 4, 5, decay=True, state=True))
    leaves = {name: x.clone().requires_grad_() for name, x in given.items()}
    first, state = attend(backend, leaves | {name: leaves[name][:, :, :point] for name in "qkv"})
    rest = {name: leaves[name][:, :, point:] for name in "qkv"} | {"s0": state.s, "z0": state.z}
    second, state = attend(backend, leaves | rest)
    loss = random_loss((torch.cat([first, second], dim=2), state))
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    expected = everything("quadratic", given)
    actual = {f"d{name}": x for name, x in zip(leaves, gradients, strict=True)}
    assert_same(actual, {name: expected[name] for name in actual}, 1e-12)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_chunking_of_a_batch_of_streams_is_each_stream_alone(data: st.DataObject) -> None:
    """Streams of different lengths, in one batch and in pieces, against each by itself and whole."""
    time = data.draw(st.integers(1, 100), label="time")
    cuts = sorted(data.draw(st.lists(st.integers(0, time), max_size=4), label="cuts"))
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, time), min_size=1, max_size=4), label="lengths"))
    backend = data.draw(st.sampled_from(IN_TORCH), label="backend")
    given = arguments(Case(len(lengths), time, 2, 3, 4, decay=True, state=True))

    carried, pieces = State(given["s0"], given["z0"]), []
    for start, end in itertools.pairwise([0, *cuts, time]):
        piece = {name: given[name][:, :, start:end] for name in "qkv"}
        piece |= {"s0": carried.s, "z0": carried.z, "lengths": (lengths - start).clamp(0, end - start)}
        y, carried = attend(backend, given | piece)
        pieces.append(y)
    together = torch.cat(pieces, dim=2)

    for b, length in enumerate(lengths.tolist()):
        alone = {name: given[name][b : b + 1, :, :length] for name in "qkv"}
        alone |= {name: given[name][b : b + 1] for name in ("s0", "z0")}
        y, state = attend("quadratic", given | alone)
        torch.testing.assert_close(together[b : b + 1, :, :length], y, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(carried.s[b : b + 1], state.s, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(carried.z[b : b + 1], state.z, rtol=1e-12, atol=1e-12)
        assert not together[b, :, length:].any()


@pytest.mark.parametrize("decay", [False, True], ids=["plain", "decay"])
@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
def test_nothing_comes_from_beyond_a_sequences_end_and_nothing_goes_there(backend: str, decay: bool) -> None:
    given = arguments(Case(6, 65, 2, 8, 5, decay=decay, state=True, lengths=True))
    padded = {name: x.clone() for name, x in given.items()}
    for b, length in enumerate(given["lengths"].tolist()):
        for name in "qkv":
            padded[name][b, :, length:] = 1e3
    expected, actual = everything(backend, given), everything(backend, padded)
    for name, reference in expected.items():
        assert torch.equal(actual[name], reference), name
    for b, length in enumerate(given["lengths"].tolist()):
        for name in ("y", "dq", "dk", "dv"):
            assert not actual[name][b, :, length:].any(), (name, length)
    assert torch.equal(actual["s"][0], given["s0"][0])  # the sequence of length 0
    assert torch.equal(actual["z"][0], given["z0"][0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("backend", WITH_TRITON)
def test_the_state_of_half_precision_inputs_goes_on_counting(backend: str, dtype: torch.dtype) -> None:
    """Counting by ones, bfloat16 stops at 256 and float16 at 2048: after 10 and 82 seconds of frames of 40 ms."""
    ones = torch.ones(1, 1, 3000, 1, dtype=dtype, device=DEVICE if backend == "triton" else "cpu")
    y, (s, z) = causal_linear_attention(ones, ones, ones, backend=backend)
    assert y.dtype == dtype
    assert s.dtype == z.dtype == torch.float32
    assert s.item() == z.item() == 3000
    y, (s, z) = causal_linear_attention(ones, ones, ones, state=(s, z), backend=backend)
    assert s.item() == z.item() == 6000
    assert torch.equal(y, ones)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
def test_half_precision_costs_no_more_than_the_rounding_of_inputs_and_outputs(
    backend: str, dtype: torch.dtype
) -> None:
    case = Case(1, 500, 2, 16, 24, decay=True, state=True)
    rounded = {name: x.to(dtype) if name in "qkv" else x.float() for name, x in arguments(case).items()}
    expected = everything("quadratic", {name: x.double() for name, x in rounded.items()})
    actual = everything(backend, rounded)
    assert {name: x.dtype for name, x in actual.items()} == {
        name: dtype if name in ("y", "dq", "dk", "dv") else torch.float32 for name in actual
    }
    assert_same(actual, expected, 2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
def test_autocast_leaves_the_sums_alone(backend: str) -> None:
    """Mixed precision is for the layers around: float32 inputs give the very numbers they give without it."""
    given = arguments(Case(2, 70, 2, 5, 4, decay=True, state=True), torch.float32)
    leaves = {name: x.clone().requires_grad_() for name, x in given.items()}
    y, state = attend(backend, leaves)
    expected = (y, *state, *torch.autograd.grad(y.square().sum(), list(leaves.values())))
    with torch.autocast(DEVICE if backend == "triton" else "cpu", torch.bfloat16):
        y, state = attend(backend, leaves)
    actual = (y, *state, *torch.autograd.grad(y.square().sum(), list(leaves.values())))
    assert all(torch.equal(x, reference) for x, reference in zip(actual, expected, strict=True))


@pytest.mark.parametrize("backend", WITH_TRITON)
def test_checkpointed_activations_are_computed_again_to_the_same_gradients(backend: str) -> None:
    found = []
    for computed_again in (False, True):
        given = arguments(Case(1, 40, 2, 3, 4, decay=True), torch.float32)
        leaves = {name: x.requires_grad_() for name, x in given.items()}

        def layer(*inputs: Tensor) -> Tensor:
            y, state = attend(backend, dict(zip(("q", "k", "v", "decay"), inputs, strict=True)))
            return y.square() + state.s.sum()

        inputs = list(leaves.values())
        y = checkpoint(layer, *inputs, use_reentrant=False) if computed_again else layer(*inputs)
        found.append(torch.autograd.grad(y.sum(), inputs))
    assert all(torch.equal(x, reference) for x, reference in zip(*found, strict=True))


@pytest.mark.parametrize("backend", WITH_TRITON)
def test_inputs_are_never_changed(backend: str) -> None:
    given = arguments(Case(5, 70, 2, 5, 4, decay=True, state=True, lengths=True))
    leaves = {n: x.clone().requires_grad_(x.dtype.is_floating_point) for n, x in given.items()}
    versions = {name: x._version for name, x in leaves.items()}
    y, (s, z) = attend(backend, leaves)
    (y.sum() + s.sum() + z.sum()).backward()
    for name, x in leaves.items():
        assert torch.equal(x, given[name]), name
        assert x._version == versions[name], name


@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
def test_memory_layout_does_not_matter(backend: str) -> None:
    """[batch, time, heads, d] seen the other way round, slices of one projection, and expanded tensors."""
    given = arguments(Case(2, 70, 3, 5, 5))
    expected = everything(backend, given)
    transposed = {name: x.transpose(1, 2).contiguous().transpose(1, 2) for name, x in given.items()}
    joined = torch.stack([given[name].transpose(1, 2) for name in "qkv"], dim=3)
    sliced = {name: joined[:, :, :, i].transpose(1, 2) for i, name in enumerate("qkv")}
    for other in (transposed, sliced):
        y, (s, z) = attend(backend, {n: x.requires_grad_() for n, x in other.items()})
        torch.testing.assert_close(y, expected["y"], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(s, expected["s"], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(z, expected["z"], rtol=1e-12, atol=1e-12)
    assert_same(everything(backend, transposed), expected, 1e-12)

    ones = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    shared = {name: ones.expand(2, 3, 40, 4).requires_grad_() for name in "qkv"}
    y, _ = attend(backend, shared)
    y.sum().backward()  # whose gradient is expanded too
    torch.testing.assert_close(y, torch.ones_like(y), rtol=1e-6, atol=0)


@pytest.mark.parametrize("backend", WITH_SLOW_TRITON)
def test_a_decay_whose_powers_underflow_forgets_and_stays_finite(backend: str) -> None:
    given = arguments(Case(1, 500, 2, 4, 4, decay=True, state=True), torch.float32)
    given["decay"] = torch.tensor([1e-30, 1e-4])
    exact = {name: x.double() for name, x in given.items()}
    assert_same(everything(backend, given), everything("quadratic", exact), TOLERANCE[torch.float32])


def test_what_chunked_keeps_for_backward_grows_with_time_and_not_with_its_square() -> None:
    def kept_bytes(backend: str, time: int) -> int:
        given = {n: x.requires_grad_() for n, x in arguments(Case(1, time, 2, 8, 8), torch.float32).items()}
        kept: dict[int, int] = {}

        def pack(x: Tensor) -> Tensor:
            kept[x.data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            attend(backend, given)
        return sum(kept.values())

    short, long = kept_bytes("chunked", 512), kept_bytes("chunked", 2048)
    assert long < 4.1 * short
    assert kept_bytes("quadratic", 2048) > 10 * long


@pytest.mark.parametrize("room", [1, 2**9, 2**11, 2**13])
@pytest.mark.parametrize(
    "case",
    [
        Case(3, 150, 3, 7, 5, decay=True, state=True, lengths=True),
        Case(3, 96, 3, 8, 8),
        Case(2, 100, 2, 32, 32, decay=True, state=True),  # as wide as a chunk is long
        Case(1, 120, 2, 48, 48, decay=True, state=True),
    ],
    ids=str,
)
def test_chunked_is_the_same_however_it_is_cut(
    case: Case, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk of one head at a time, up to all in one block; in both memory layouts."""
    given = arguments(case)
    expected = everything("quadratic", given)
    monkeypatch.setattr(blocks, "BLOCK", room)
    assert_same(everything("chunked", given), expected, 1e-12)
    transposed = {
        n: x.transpose(1, 2).contiguous().transpose(1, 2) if n in "qkv" else x for n, x in given.items()
    }
    assert_same(everything("chunked", transposed), expected, 1e-12)


@given(
    shape=st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(0, 300)),
    width=st.sampled_from([1, 32, 33, 64, 128]),
    room=st.sampled_from([1, 2**9, 2**12, 2**17]),
)
def test_blocks_cover_every_frame_once_and_the_past_first(
    shape: tuple[int, int, int], width: int, room: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", room)
        cut = blocks.split(torch.Size(shape), width, torch.device("cpu"))
    seen = torch.zeros(*shape, 1, dtype=torch.int64)
    for number, block in enumerate(cut, 1):
        part = block.of(seen)
        assert not part.any()
        part.fill_(number)
    assert seen.all()
    assert (seen.diff(dim=2) >= 0).all()


def test_the_default_is_chunked_and_the_backends_are_named() -> None:
    given = arguments(Case(1, 70, 2, 3, 4))
    assert torch.equal(
        causal_linear_attention(given["q"], given["k"], given["v"])[0], attend("chunked", given)[0]
    )
    assert set(BACKENDS) == {"chunked", "quadratic", "recurrent", "triton"}


def test_chunked_refuses_second_derivatives() -> None:
    given = {name: x.requires_grad_() for name, x in arguments(Case(1, 5, 1, 2, 2)).items()}
    y, _ = attend("chunked", given)
    (dq,) = torch.autograd.grad(y.square().sum(), given["q"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dq.sum().backward()


@pytest.mark.parametrize("decay", [False, True], ids=["plain", "decay"])
def test_the_quadratic_form_is_traced_for_every_batch_and_time(decay: bool) -> None:
    """What the ONNX export asks for: one graph for a single frame and for many, streams carried in and out."""

    class Layer(torch.nn.Module):
        def forward(
            self, q: Tensor, k: Tensor, v: Tensor, s: Tensor, z: Tensor
        ) -> tuple[Tensor, Tensor, Tensor]:
            g = torch.tensor([0.9, 0.5]) if decay else None
            q, k = feature_map(q), feature_map(k)
            y, state = causal_linear_attention(q, k, v, decay=g, state=(s, z), backend="quadratic")
            return y, state.s, state.z

    def inputs(batch: int, time: int) -> tuple[Tensor, ...]:
        given = arguments(Case(batch, time, 2, 3, 4, state=True), torch.float32)
        return tuple(given[name] for name in ("q", "k", "v", "s0", "z0"))

    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    sequence, state = {0: batch, 2: time}, {0: batch}
    program = torch.export.export(
        Layer(), inputs(3, 5), dynamic_shapes=(sequence, sequence, sequence, state, state), strict=False
    )
    graph = program.module()
    for shape in ((1, 1), (1, 7), (4, 1), (2, 33)):
        for actual, expected in zip(graph(*inputs(*shape)), Layer()(*inputs(*shape)), strict=True):
            torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"q": torch.ones(3, 5, 4)}, ValueError, r"q must be \[batch, heads, time, d\], got \[3, 5, 4\]"),
        ({"k": torch.ones(2, 3, 6, 4)}, ValueError, r"k must have the shape of q, \[2, 3, 5, 4\], got"),
        ({"v": torch.ones(2, 3, 6, 4)}, ValueError, r"v must be .*\[2, 3, 5\] as in q, got \[2, 3, 6, 4\]"),
        (
            {"v": torch.ones(2, 3, 5, 4, dtype=torch.int64)},
            TypeError,
            "v must be floating point, got torch.int64",
        ),
        ({"v": torch.ones(2, 3, 5, 4).double()}, TypeError, "v must have the dtype of q, torch.float32"),
        ({"k": torch.ones(2, 3, 5, 4, device="meta")}, ValueError, "k must be on q's device, cpu, got meta"),
        ({"decay": torch.ones(2)}, ValueError, r"decay must be \[3\], one for each head of q, got \[2\]"),
        ({"decay": torch.ones(3, dtype=torch.int64)}, TypeError, "decay must be floating point"),
        (
            {"decay": torch.tensor([0.5, 0.0, 1.0])},
            ValueError,
            r"decay must lie in \(0, 1\] .*got \[0.5, 0.0",
        ),
        ({"decay": torch.tensor([0.5, 1.5, 1.0])}, ValueError, r"decay must lie in \(0, 1\]"),
        ({"decay": torch.tensor([0.5, float("nan"), 1.0])}, ValueError, r"decay must lie in .*nan"),
        ({"lengths": torch.tensor([1])}, ValueError, r"lengths must be \[2\], one for each sequence"),
        (
            {"lengths": torch.tensor([1.0, 2.0])},
            TypeError,
            "lengths must be int64 or int32, got torch.float32",
        ),
        ({"lengths": torch.tensor([1, 6])}, ValueError, r"lengths must lie in 0..5, .*got \[1, 6\]"),
        ({"lengths": torch.tensor([-1, 5])}, ValueError, r"lengths must lie in 0..5, .*got \[-1, 5\]"),
        ({"state": (torch.ones(2, 3, 4, 4),)}, ValueError, r"state must be a pair \(s, z\), got 1"),
        (
            {"state": (torch.ones(2, 3, 4, 5), torch.ones(2, 3, 4))},
            ValueError,
            r"state s must be \[2, 3, 4, 4\]",
        ),
        (
            {"state": (torch.ones(2, 3, 4, 4), torch.ones(2, 3, 1))},
            ValueError,
            r"state z must be \[2, 3, 4\]",
        ),
        (
            {"state": (torch.ones(2, 3, 4, 4).half(), torch.ones(2, 3, 4))},
            TypeError,
            "state s must be torch.float32 for torch.float32 inputs, got torch.float16",
        ),
        ({"backend": "fastest"}, ValueError, "backend must be one of chunked, .*, or None, got 'fastest'"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    given: dict[str, Any] = dict.fromkeys("qkv", torch.ones(2, 3, 5, 4)) | changed
    with pytest.raises(error, match=message):
        causal_linear_attention(**given)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["q", "k", "v", "decay", "state s", "state z"])
def test_numbers_that_are_not_finite_are_errors_where_nans_are_looked_for(name: str, backend: str) -> None:
    given = arguments(Case(2, 5, 2, 3, 4, decay=True, state=True), torch.float32)
    wrong = given[{"state s": "s0", "state z": "z0"}.get(name, name)]
    wrong.view(-1)[1:] = float("inf")
    with (
        torch.autograd.set_detect_anomaly(True),
        pytest.raises(ValueError, match=f"{name} must be finite, got inf at .* {wrong.numel() - 1} such"),
    ):
        attend(backend, given)
