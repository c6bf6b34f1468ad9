"""What is promised of the bundled models: their size, their state, their delay, and whom to credit."""

from pathlib import Path

import pytest
from model_fixture import shipped_model

from phonestream import bundled_models
from phonestream.commands.info import describe

MEGABYTES = {"default": 8.0, "tiny": 2.0}  # at most


def test_there_are_a_default_and_a_tiny_one() -> None:
    assert set(bundled_models()) == set(MEGABYTES)


@pytest.mark.parametrize("name", MEGABYTES)
def test_a_bundled_model_keeps_within_its_budget(name: str) -> None:
    facts = describe(name)
    assert facts["name"] == name
    assert shipped_model(name).stat().st_size <= 1e6 * MEGABYTES[name]
    assert facts["state_kib"] + facts["silence_kib"] <= 384
    assert facts["look_ahead_ms"] <= 160


@pytest.mark.parametrize("name", MEGABYTES)
def test_it_says_what_it_was_trained_on_and_has_a_card(name: str) -> None:
    facts = describe(name)
    card = shipped_model(name).with_suffix(".md").read_text(encoding="utf-8")
    assert facts["licence"] == "Apache-2.0"
    for corpus in ("LibriSpeech", "speechocean762", "kathleen", "LJ Speech", "Speech Commands", "CMUdict"):
        assert corpus in facts["training_data"]
        assert corpus in card
    assert Path(shipped_model(name)).stem in card.splitlines()[0]
