"""Confidences mean what they say once a temperature is fitted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from phonestream.asr.lexicon.phones import BLANK, PHONES
from phonestream.errors import DataError
from phonestream.export.temperature import fit_temperature


def recordings(temperature: float, count: int) -> tuple[list[NDArray[np.float32]], list[list[str]]]:
    """Recordings of one phone, each right with the probability that it has at `temperature`."""
    draws = np.random.default_rng(5)
    scores = draws.normal(0, 5, (count, len(PHONES) + 1))
    scores[:, BLANK] = -90
    log_probs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    true = np.exp(scores / temperature)
    true /= true.sum(axis=1, keepdims=True)
    said = [PHONES[draws.choice(len(PHONES) + 1, p=row) - 1] for row in true]
    return [row[None].astype(np.float32) for row in log_probs], [[phone] for phone in said]


@pytest.mark.parametrize("temperature", [0.6, 2.5])
def test_the_temperature_that_made_the_phones_is_found(temperature: float) -> None:
    assert fit_temperature(*recordings(temperature, 2000)) == pytest.approx(temperature, rel=0.15)


def test_it_needs_a_phone() -> None:
    blanks = np.full((7, len(PHONES) + 1), -9.0, np.float32)
    blanks[:, BLANK] = -0.01
    with pytest.raises(DataError, match="no phone is recognised in 2 recordings"):
        fit_temperature([blanks, blanks], [["AA"], ["B"]])
