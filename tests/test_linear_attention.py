"""Linear attention over the full context, and the feature map under both kinds of attention."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from phonestream.kernels import EPS, feature_map, linear_attention


def inputs(
    batch: int, time: int, *, heads: int = 2, d_k: int = 3, d_v: int = 4
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(time)
    q, k = (torch.randn(batch, heads, time, d_k, generator=generator).double() for _ in range(2))
    return feature_map(q), feature_map(k), torch.randn(batch, heads, time, d_v, generator=generator).double()


def by_loops(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> np.ndarray:
    """The softmax formula with phi(q)^T phi(k) in the place of exp(q^T k), a frame after another."""
    batch, heads, time, _ = q.shape
    y = np.zeros((batch, heads, time, v.shape[3]))
    for b, h in itertools.product(range(batch), range(heads)):
        for t in range(lengths[b]):
            weights = [float(q[b, h, t] @ k[b, h, j]) for j in range(lengths[b])]
            summed = sum(w * v[b, h, j].numpy() for j, w in enumerate(weights))
            y[b, h, t] = summed / (sum(weights) + EPS)
    return y


@pytest.mark.parametrize("lengths", [None, [0, 1, 20, 33]], ids=["whole", "lengths"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_every_frame_attends_to_every_frame(dtype: torch.dtype, lengths: list[int] | None) -> None:
    q, k, v = (x.to(dtype) for x in inputs(4, 33))
    ends = None if lengths is None else torch.tensor(lengths)
    y = linear_attention(q, k, v, lengths=ends)
    assert y.dtype == dtype
    expected = by_loops(q.double(), k.double(), v.double(), lengths or [33] * 4)
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2}[dtype]
    np.testing.assert_allclose(y.double().numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("lengths", [None, [0, 5, 3]], ids=["whole", "lengths"])
def test_gradients_are_those_of_finite_differences(lengths: list[int] | None) -> None:
    ends = None if lengths is None else torch.tensor(lengths)
    given = tuple(x.requires_grad_() for x in inputs(3, 5))
    assert torch.autograd.gradcheck(lambda q, k, v: linear_attention(q, k, v, lengths=ends), given)


def test_padding_neither_gives_nor_gets() -> None:
    q, k, v = (x.requires_grad_() for x in inputs(2, 9))
    alone = linear_attention(*(x[:1, :, :4] for x in (q, k, v)))
    y = linear_attention(q, k, v, lengths=torch.tensor([4, 9]))
    torch.testing.assert_close(y[:1, :, :4], alone, rtol=1e-14, atol=1e-14)
    assert not y[0, :, 4:].any()
    y.square().sum().backward()
    for x in (q, k, v):
        assert x.grad is not None
        assert not x.grad[0, :, 4:].any()
        assert x.grad[1].any()


def test_memory_kept_for_backward_is_linear_in_time() -> None:
    def kept_bytes(time: int) -> int:
        kept: dict[int, int] = {}

        def pack(x: Tensor) -> Tensor:
            kept[x.data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            linear_attention(*(x.requires_grad_() for x in inputs(1, time)))
        return sum(kept.values())

    assert kept_bytes(2048) < 4.1 * kept_bytes(512)


def test_an_empty_sequence_and_wrong_arguments() -> None:
    q, k, v = inputs(2, 0)
    assert linear_attention(q, k, v).shape == v.shape
    assert linear_attention(q, k, v, lengths=torch.tensor([0, 0])).shape == v.shape
    q, k, v = inputs(2, 3)
    with pytest.raises(ValueError, match="k must have the shape of q"):
        linear_attention(q, k[:, :, :2], v)
    with pytest.raises(ValueError, match=r"lengths must lie in 0..3"):
        linear_attention(q, k, v, lengths=torch.tensor([3, 4]))


def test_feature_map_is_elu_plus_one() -> None:
    x = torch.linspace(-20, 20, 801, dtype=torch.float64)
    torch.testing.assert_close(feature_map(x), torch.nn.functional.elu(x) + 1, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_feature_map_is_positive_and_its_gradient_finite_far_out(dtype: torch.dtype) -> None:
    """elu(x) + 1 is 0 from -17 on in float32; exp of 1000 is infinite, and 0 in the gradient would make it NaN."""
    x = torch.tensor([-80.0, -17.5, -1.0, 0.0, 1.0, 1000.0, 3e4], dtype=dtype, requires_grad=True)
    y = feature_map(x)
    assert y.dtype == dtype
    assert (y > 0).all()
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.where(x > 0, 1.0, x.exp()).to(dtype).detach())


def test_feature_map_has_its_gradient_and_leaves_its_input() -> None:
    x = torch.tensor([-30.0, -2.0, -0.1, 0.1, 2.0, 30.0], dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    assert torch.autograd.gradcheck(feature_map, (x,))
    assert torch.equal(x, before)
    with torch.no_grad():
        without_gradient = feature_map(x)
    assert torch.equal(feature_map(x), without_gradient)


def test_a_compiled_feature_map_has_the_same_gradient() -> None:
    x = torch.linspace(-20, 20, 41, requires_grad=True)
    (expected,) = torch.autograd.grad(feature_map(x).sum(), x)
    compiled = torch.compile(feature_map, backend="aot_eager")
    (actual,) = torch.autograd.grad(compiled(x).sum(), x)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("name", ["q", "k", "v"])
def test_numbers_that_are_not_finite_are_errors_where_nans_are_looked_for(name: str) -> None:
    given = dict(zip("qkv", inputs(2, 9), strict=True))
    given[name][1, 0, 4, 2:] = float("nan")
    assert not linear_attention(**given).isfinite().all()
    with (
        torch.autograd.set_detect_anomaly(True),
        pytest.raises(ValueError, match=rf"{name} must be finite, got nan at"),
    ):
        linear_attention(**given)
    with torch.autograd.set_detect_anomaly(True, check_nan=False):
        linear_attention(**given)
