"""Minimum Bayes risk training: where errors are laid, and that the estimate's gradient is the expectation's."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phonestream.asr.evaluation.score import phone_errors
from phonestream.asr.training import expected_errors
from phonestream.asr.training.expected_errors import expected_errors_loss, local_errors


def collapsed(path: list[int]) -> list[str]:
    return [str(label) for label, _ in itertools.groupby(path) if label]


@given(st.data())
def test_errors_of_a_path_add_up_to_its_edit_distance(data: st.DataObject) -> None:
    count, length = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12))
    labels = st.integers(0, 3)
    rows = np.array(data.draw(st.lists(st.integers(1, length), min_size=count, max_size=count)))
    paths = np.zeros((count, length), np.int64)
    for path, own in zip(paths, rows.tolist(), strict=True):
        path[:own] = data.draw(st.lists(labels, min_size=own, max_size=own))
    references = [np.array(data.draw(st.lists(st.integers(1, 3), max_size=6)), np.int64) for _ in paths]
    errors = local_errors(paths, references, rows)
    for path, reference, found in zip(paths.tolist(), references, errors, strict=True):
        assert found.sum() == phone_errors([str(label) for label in reference], collapsed(path)).total


def test_each_error_lies_where_it_happened() -> None:
    path = np.array([[0, 1, 1, 0, 2, 0, 0, 0, 0, 3, 0, 1]])
    errors = local_errors(path, [np.array([1, 4, 3])], np.array([12]))  # 2 for 4, and the last 1 was not said
    assert np.flatnonzero(errors[0]).tolist() == [4, 11]
    errors = local_errors(
        path, [np.array([1, 2, 1, 3, 1])], np.array([12])
    )  # a 1 is missing between rows 4 and 9
    assert np.flatnonzero(errors[0]).tolist() in ([6], [7])


def test_the_gradient_is_that_of_the_expected_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected_errors, "PATHS", 40000)
    torch.manual_seed(3)
    scores = torch.randn(1, 4, 3, dtype=torch.float64).requires_grad_()
    reference = torch.tensor([1, 2])
    loss = expected_errors_loss(scores.log_softmax(-1), reference, torch.tensor([4]), torch.tensor([2]))
    (got,) = torch.autograd.grad(loss, scores)
    policy = (expected_errors.SHARPNESS * scores.log_softmax(-1)).log_softmax(-1)
    expected = sum(
        policy[0, range(4), path].sum().exp() * phone_errors(["1", "2"], collapsed(list(path))).total
        for path in itertools.product(range(3), repeat=4)
    )
    (wanted,) = torch.autograd.grad(expected, scores)
    assert loss.item() == pytest.approx(expected.item(), rel=0.02)
    assert torch.allclose(got, wanted, atol=0.02)


def test_what_lies_behind_a_recording_is_neither_drawn_nor_taught() -> None:
    scores = torch.randn(2, 6, 4).requires_grad_()
    loss = expected_errors_loss(
        scores.log_softmax(-1), torch.tensor([1, 2, 3]), torch.tensor([6, 3]), torch.tensor([3, 0])
    )
    loss.backward()
    assert scores.grad is not None
    assert not scores.grad[1, 3:].any()
    assert scores.grad[0].any()
