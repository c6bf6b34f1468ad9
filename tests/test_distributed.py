"""Several processes learn what one would, can be stopped and go on as another number; half precision learns too."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import CONFIG, losses, stopped, write_toml

from phonestream.asr.corpora.corpus import load_cuts
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training.audio_cache import cached_corpus
from phonestream.asr.training.augment import Noises
from phonestream.asr.training.batches import Batches
from phonestream.asr.training.checkpoint import load_checkpoint
from phonestream.asr.training.distributed import Processes, init_processes
from phonestream.asr.training.train import DevSet, train
from phonestream.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


def torchrun(processes: int, *arguments: str) -> str:
    """What `phonestream train` says, started by torchrun with so many processes, which must succeed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += [str(processes), "-m", "phonestream", "--", "train", *arguments, "--threads", "1"]
    ended = subprocess.run(
        command, stderr=subprocess.PIPE, text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def test_two_processes_go_on_from_one_and_learn_the_same(small_corpus: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, steps=16, batch_seconds=20.0, evaluate_every=8, optimiser="muon")
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(config, alone, small_corpus)
    stopped(lambda: train(config, together, small_corpus), together, 3)
    assert 3 <= load_checkpoint(together).step < 16
    recipe = write_toml(tmp_path / "recipe.toml", config)
    said = torchrun(2, str(recipe), "--run", str(together), "--data", str(small_corpus), "--resume")
    assert said.count("step 16: dev PER") == 1
    assert losses(together) == pytest.approx(losses(alone), abs=1e-4)
    mine, theirs = load_checkpoint(alone), load_checkpoint(together)
    assert theirs.step == 16
    for name, weight in mine.averaged.items():
        torch.testing.assert_close(theirs.averaged[name], weight, atol=1e-4, rtol=0)
    rows = [(run / "dev.tsv").read_text("utf-8").splitlines() for run in (alone, together)]
    for one, two in zip(*rows, strict=True):
        assert [one.split("\t")[i] for i in (0, 3, 4, 5)] == [two.split("\t")[i] for i in (0, 3, 4, 5)]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_every_recording_of_a_step_is_learnt_once(count: int, small_corpus: Path) -> None:
    corpus = cached_corpus(
        list(load_cuts(small_corpus, "train")), longest_seconds=35.0, report=lambda line: None
    )
    config = dataclasses.replace(CONFIG, batch_seconds=20.0)
    noises = Noises([], [], 0.0)
    whole = Batches(corpus, noises, config).batch(3)
    shares = [Batches(corpus, noises, config, Processes(rank, count)).batch(3) for rank in range(count)]
    assert sum(share.seconds for share in shares) == pytest.approx(whole.seconds)
    assert all(len(share.rows) > 0 for share in shares)
    learnt = sorted(
        (int(share.phones[i]), share.audio[i, : share.rows[i] * 640].abs().sum().item())
        for share in shares
        for i in range(len(share.rows))
        if share.weight
    )
    expected = sorted(
        (int(whole.phones[i]), whole.audio[i, : whole.rows[i] * 640].abs().sum().item())
        for i in range(len(whole.rows))
    )
    np.testing.assert_allclose(learnt, expected, rtol=1e-5)


def test_dev_is_shared_out_too(small_corpus: Path) -> None:
    whole = DevSet(small_corpus, 0)
    shares = [DevSet(small_corpus, 0, Processes(rank, 2)) for rank in range(2)]
    assert sorted(map(tuple, shares[0].references + shares[1].references)) == sorted(
        map(tuple, whole.references)
    )


def test_half_told_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="is not: start with torchrun"), init_processes():
        pass
    monkeypatch.delenv("WORLD_SIZE")
    with init_processes() as processes:
        assert processes == Processes(0, 1)


def test_bfloat16_learns_what_float32_does_nearly(small_corpus: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, steps=10, learning_rate=5e-3, layer_drop=0.0)
    train(config, tmp_path / "wide", small_corpus)
    train(dataclasses.replace(config, precision="bfloat16"), tmp_path / "half", small_corpus)
    wide, half = losses(tmp_path / "wide"), losses(tmp_path / "half")
    assert half != wide
    assert half == pytest.approx(wide, rel=0.02)
    learnt = load_checkpoint(tmp_path / "half")
    assert {weight.dtype for weight in learnt.encoder.values()} == {torch.float32}


def test_in_bfloat16_sums_stay_float32() -> None:
    torch.manual_seed(0)
    encoder = Encoder(CONFIG.model)
    audio = torch.randn(2, 640 * 30) * 0.1
    expected, _ = encoder(audio)
    features = []
    encoder.frontend.register_forward_hook(lambda module, given, result: features.append(result))
    encoder(audio)
    encoder.precision = torch.bfloat16
    log_probs, state = encoder(audio)
    assert torch.equal(features[0], features[1])
    assert log_probs.dtype == torch.float32
    assert {state[name].dtype for name in ("s0", "z0", "s1", "z1")} == {torch.float32}
    assert 0 < (log_probs - expected).abs().max() < 0.1
    log_probs.sum().backward()
    assert {p.grad.dtype for p in encoder.parameters() if p.grad is not None} == {torch.float32}
