"""What "exact" means for a stream: log-probabilities to 1e-4, and the same phones."""

from collections.abc import Sequence

import numpy as np

from phonestream import Phone

TIE = 2e-4  # columns whose log-probabilities are closer may change places with the rounding


def assert_exact(
    rows: np.ndarray, reference: np.ndarray, phones: Sequence[Phone] = (), expected: Sequence[Phone] = ()
) -> None:
    """Rows agree to 1e-4 where log p > -15, and phones are equal where no two columns of a row tie."""
    assert rows.shape == reference.shape
    audible = reference > -15
    np.testing.assert_allclose(rows[audible], reference[audible], atol=1e-4, rtol=0)
    second, first = np.sort(reference, axis=1)[:, -2:].T
    tied = first - second <= TIE
    different = rows.argmax(axis=1) != reference.argmax(axis=1)
    assert not (different & ~tied).any()
    if tied.any():
        print(
            f"{tied.sum()} of {len(rows)} rows have two best columns within {TIE}; {different.sum()} differ"
        )
    else:
        assert [phone[:3] for phone in phones] == [phone[:3] for phone in expected]
        np.testing.assert_allclose(
            [phone.confidence for phone in phones], [phone.confidence for phone in expected], atol=1e-4
        )
