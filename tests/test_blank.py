"""Blank is lowered by as much as makes greedy decoding err least, and by nothing where nothing is gained."""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from small_training import MODEL

from phonestream.asr.lexicon.phones import BLANK, PHONES
from phonestream.asr.model.encoder import FRAME, Encoder
from phonestream.export.blank import PENALTIES, apply_blank_penalty, fit_blank_penalty


def recording(said: list[str], ahead: float) -> NDArray[np.float32]:
    """Each phone in a row of its own, in which blank is `ahead` of it, then a row of blank."""
    rows = np.full((2 * len(said), len(PHONES) + 1), -20.0, np.float32)
    rows[:, BLANK] = -0.5
    for index, symbol in enumerate(said):
        rows[2 * index, 1 + PHONES.index(symbol)] = -0.5 - ahead
    return rows


def test_phones_that_blank_hides_are_brought_out() -> None:
    said = [["AA", "B", "K"], ["S", "IY"]]
    assert fit_blank_penalty([recording(phones, 0.35) for phones in said], said) == 0.4


def test_phones_that_are_made_up_are_taken_back() -> None:
    assert fit_blank_penalty([recording(["AA", "B", "K"], -0.35)], [[]]) == -0.4


def test_blank_stays_where_nothing_is_gained() -> None:
    said = ["AA", "B", "K"]
    assert fit_blank_penalty([recording(said, -3.0)], [said]) == 0.0


def test_what_is_next_to_as_good_takes_the_smaller_penalty() -> None:
    said = ["AA"] * 300
    wrong = [["B"]] * 300  # errors that no penalty mends
    hidden = [recording(["K"], 0.95)]
    rows = [recording([symbol], -3.0) for symbol in said] + hidden
    assert fit_blank_penalty(rows, [*wrong, ["K"]]) == 0.0
    assert fit_blank_penalty(hidden, [["K"]]) == 1.0
    assert min(PENALTIES) < 0 < 1 < max(PENALTIES)


def test_every_row_of_a_frame_is_lowered_and_phones_keep_their_proportions() -> None:
    torch.manual_seed(0)
    encoder = Encoder(dataclasses.replace(MODEL, rows_per_frame=2)).eval()
    audio = 0.1 * torch.randn(1, 5 * FRAME)
    with torch.no_grad():
        before = encoder(audio)[0]
        apply_blank_penalty(encoder, 0.7)
        after = encoder(audio)[0]
    expected = before.clone()
    expected[..., BLANK] -= 0.7
    torch.testing.assert_close(after, expected.log_softmax(-1), atol=1e-5, rtol=0)
