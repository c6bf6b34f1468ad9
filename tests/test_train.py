"""Training can be stopped, killed and resumed without changing what is learnt, and refuses what does not fit."""

import csv
import dataclasses
import errno
import io
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from phonestream.asr.corpora.corpus import load_cuts, share_of_corpora
from phonestream.asr.model.config import EncoderConfig, to_dict
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training import checkpoint
from phonestream.asr.training.audio_cache import cached_corpus
from phonestream.asr.training.augment import Noises, noises_of
from phonestream.asr.training.batches import Batches, epoch_plan
from phonestream.asr.training.checkpoint import expand_weights, load_checkpoint, load_encoder, load_weights
from phonestream.asr.training.config import AugmentConfig, TrainConfig, load_recipe
from phonestream.asr.training.losses import StepResult
from phonestream.asr.training.optimisers import Muon, orthogonalise, schedule
from phonestream.asr.training.progress import Progress
from phonestream.asr.training.train import train, training_step
from phonestream.errors import ConfigError, DataError

TOML = """
name = "tiny"
steps = 24
batch_seconds = 16.0
precision = "float32"
optimiser = "muon"
warmup_steps = 4
cooldown_steps = 8
evaluate_every = 12
checkpoint_minutes = 0.0005
dropout = 0.1

[model]
mels = 20
subsampling_width = 16
width = 16
layers = 2
heads = 2
head_width = 8
feed_forward = 32
convolution = 3

[augment]
speeds = [0.9, 1.0, 1.1]
gain_db = [-10.0, 6.0]
noise_probability = 0.5
noise_dir = "noise"
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, speech_dir: Path) -> Path:
    """The six recordings as a corpus of four to train on and two to measure on, with one of them as 'noise'."""
    folder = tmp_path_factory.mktemp("corpus")
    with (speech_dir / "manifest.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    with (folder / "manifest.tsv").open("w", encoding="utf-8") as file:
        file.write("\t".join(rows[0]) + "\n")
        for index, row in enumerate(rows):
            name = Path(row["path"]).name
            shutil.copy(speech_dir / row["path"], folder / name)
            split = "train" if index < 4 else "dev"
            file.write("\t".join({**row, "split": split, "path": name}.values()) + "\n")
    (folder / "noise").mkdir()
    shutil.copy(speech_dir / rows[0]["path"], folder / "noise" / "0.opus")
    return folder


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


@pytest.fixture
def config(config_file: Path) -> TrainConfig:
    (config,) = load_recipe(config_file)
    return config


def losses(run: Path) -> dict[int, float]:
    lines = (run / "losses.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return {int(step): float(loss) for step, _, loss, *_ in (line.split("\t") for line in lines)}


def test_a_run_learns_and_records_what_it_did(config: TrainConfig, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(dataclasses.replace(config, steps=40, warmup_steps=5, matrix_learning_rate=0.02), run, data)
    recorded = losses(run)
    assert list(recorded) == list(range(40))
    assert np.mean([recorded[step] for step in range(35, 40)]) < 0.7 * recorded[0]
    assert {path.name for path in run.iterdir()} >= {
        "checkpoint.pt",
        "config.json",
        "losses.tsv",
        "dev.tsv",
        "tensorboard",
    }
    assert "torch" in (run / "config.json").read_text(encoding="utf-8")
    log_probs, _ = load_encoder(run)(torch.zeros(1, 6400))
    assert log_probs.shape == (1, 10, 40)


def test_resumed_after_kill_9_it_learns_the_same(
    config: TrainConfig, config_file: Path, data: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(config, whole, data)
    command = [sys.executable, "-m", "phonestream", "train", str(config_file), "--run", str(killed)]
    command += ["--data", str(data), "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (killed / "checkpoint.pt").exists() or len(losses(killed)) < 5:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
    stopped = load_checkpoint(killed)
    assert 0 < stopped.step < config.steps, "the run was over before it was killed: make it longer"
    subprocess.run([*command, "--resume"], check=True, stderr=subprocess.PIPE, timeout=300)
    assert load_checkpoint(killed).hours > stopped.hours > 0
    expected, resumed = losses(whole), losses(killed)
    assert resumed.keys() == expected.keys()
    # Sums may round a little differently in another process; another draw would show in the first decimal.
    assert max(abs(resumed[step] - expected[step]) for step in expected) <= 1e-5


def test_sigterm_stops_after_a_step_with_a_checkpoint(config_file: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config_file.write_text(TOML.replace("steps = 24", "steps = 100000"), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "phonestream",
        "train",
        str(config_file),
        "--run",
        str(run),
        "--data",
        str(data),
    ]
    with subprocess.Popen([*command, "--threads", "1"], stderr=subprocess.PIPE, text=True) as process:
        while not (run / "losses.tsv").exists() or len(losses(run)) < 3:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert load_checkpoint(run).step == len(losses(run))
    assert "--resume" in said
    assert "Traceback" not in said


def test_it_goes_on_only_with_what_it_began_with(config: TrainConfig, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(dataclasses.replace(config, steps=2), run, data)
    with pytest.raises(ConfigError, match="seed was 1, now 2"):
        train(dataclasses.replace(config, steps=2, seed=2), run, data, resume=True)
    with pytest.raises(ConfigError, match="holds a run already"):
        train(config, run, data)
    with pytest.raises(ConfigError, match=r"has no checkpoint\.pt"):
        train(config, tmp_path / "nothing", data, resume=True)
    other = tmp_path / "other"
    shutil.copytree(data, other)
    manifest = (other / "manifest.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    (other / "manifest.tsv").write_text("".join([manifest[0], *manifest[2:]]), encoding="utf-8")
    with pytest.raises(ConfigError, match="other data"):
        train(dataclasses.replace(config, steps=2), run, other, resume=True)


def test_warm_start_begins_with_the_weights_given(config: TrainConfig, data: Path, tmp_path: Path) -> None:
    weights = Encoder(config.model).state_dict()
    for weight in weights.values():
        weight.mul_(0.5)
    run = tmp_path / "run"
    train(
        dataclasses.replace(config, steps=1, learning_rate=1e-9, matrix_learning_rate=1e-9),
        run,
        data,
        initial=weights,
    )
    learnt = load_checkpoint(run).encoder
    assert max((learnt[name] - weights[name]).abs().max() for name in weights) < 1e-6
    wider = Encoder(dataclasses.replace(config.model, width=24)).state_dict()
    with pytest.raises(ConfigError, match="another configuration"):
        train(config, tmp_path / "wider", data, initial=wider)


def test_more_rows_a_frame_start_as_copies_that_say_the_same(config: TrainConfig) -> None:
    one = Encoder(config.model)
    two = Encoder(dataclasses.replace(config.model, rows_per_frame=2))
    load_weights(two, expand_weights(one.state_dict(), two), "one")
    audio = torch.randn(1, 640 * 20) * 0.1
    torch.testing.assert_close(two(audio)[0], one(audio)[0].repeat_interleave(2, dim=1))
    unfit = Encoder(dataclasses.replace(config.model, rows_per_frame=3))
    with pytest.raises(ConfigError, match=r"head\.bias"):
        load_weights(unfit, expand_weights(two.state_dict(), unfit), "two")


def test_where_nobody_speaks_nothing_is_to_be_said(config: TrainConfig, data: Path) -> None:
    noises = Noises([np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)], [], 0.0)
    silent = dataclasses.replace(config.augment, speechless_probability=1.0)
    corpus = cached_corpus(list(load_cuts(data, "train")), longest_seconds=35.0, report=lambda line: None)
    batch = Batches(corpus, noises, dataclasses.replace(config, augment=silent)).batch(0)
    assert batch.phones.tolist() == [0] * len(batch.phones)
    assert batch.audio.abs().amax(dim=1).min() > 0
    spoken = dataclasses.replace(config.augment, speechless_probability=0.0)
    lengths = Batches(corpus, noises, dataclasses.replace(config, augment=spoken)).batch(0).phones
    assert lengths.min() > 0
    loss, norm, _ = training_step(Encoder(config.model), batch, config, torch.device("cpu"))
    assert 0 < loss < math.inf
    assert 0 < norm < math.inf


def test_a_full_disk_leaves_the_checkpoint_before(
    config: TrainConfig, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train(dataclasses.replace(config, steps=2), run, data)
    before = load_checkpoint(run)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        checkpoint.save_checkpoint(run, dataclasses.replace(before, step=3))
    assert load_checkpoint(run).step == 2
    assert [path.name for path in run.glob("checkpoint*")] == ["checkpoint.pt"]


def test_decoded_audio_on_a_full_disk_says_where_it_would_be(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = list(load_cuts(data, "train"))

    def decode(cache: Path) -> None:
        monkeypatch.setenv("PHONESTREAM_CACHE", str(cache))
        cached_corpus(cuts, longest_seconds=35.0, report=lambda line: None)

    decode(tmp_path / "one")
    (made,) = (path for path in (tmp_path / "one").rglob("*") if path.is_file())
    partial = (
        tmp_path / "two" / made.relative_to(tmp_path / "one").with_name(f".{made.name}.{os.getpid()}.partial")
    )
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")
    with pytest.raises(
        DataError, match=r"could not be written to .*two.*: No space left on device; it needs"
    ):
        decode(tmp_path / "two")
    with pytest.raises(
        DataError, match=r"could not be written to /dev/null/cache.*: Not a directory; it needs"
    ):
        decode(Path("/dev/null/cache"))


def test_records_on_a_full_disk_are_one_line(tmp_path: Path) -> None:
    def fill(progress: Progress) -> None:
        progress.start(0)
        progress._losses.close()
        progress._losses = open("/dev/full", "a", encoding="utf-8")  # noqa: SIM115 - the run closes it
        progress.step(0, 0.0, StepResult(1.0, 1.0, {}), 1.0, 1.0)

    def run() -> None:
        with Progress(tmp_path, 2) as progress:
            fill(progress)

    says = f"{tmp_path}: the run's records cannot be written: No space left on device; make room, .*--resume"
    with pytest.raises(ConfigError, match=says):
        run()


def test_a_full_disk_leaves_the_records_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "losses.tsv"
    table.write_text("step\tepoch\n" + "".join(f"{step}\t0\n" for step in range(100)))
    before = table.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"), Progress(tmp_path, 200) as progress:
        progress.start(50)
    assert table.read_bytes() == before


def test_a_damaged_checkpoint_is_named(config: TrainConfig, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(dataclasses.replace(config, steps=1), run, data)
    path = run / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ConfigError, match=r"checkpoint\.pt: is damaged"):
        load_encoder(run)
    buffer = io.BytesIO()
    torch.save({"format": 99}, buffer)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ConfigError, match="not a checkpoint of format"):
        load_encoder(run)


def test_a_share_of_a_corpus_is_the_same_recordings_every_time(data: Path) -> None:
    cuts = list(load_cuts(data, "train"))
    corpus = cuts[0].supervisions[0].custom["corpus"]
    half = share_of_corpora(cuts, {corpus: 0.5})
    assert share_of_corpora(cuts[::-1], {corpus: 0.5}) == half[::-1]
    assert {cut.id for cut in half} <= {cut.id for cut in share_of_corpora(cuts, {corpus: 0.8})}
    assert share_of_corpora(cuts, {corpus: 1.0}) == share_of_corpora(cuts, {}) == cuts
    assert all(
        cut.supervisions[0].custom["corpus"] != corpus for cut in share_of_corpora(cuts, {corpus: 0.0})
    )
    with pytest.raises(ConfigError, match=f"corpus_shares has switchboard.*{corpus}"):
        share_of_corpora(cuts, {"switchboard": 0.5})


def test_a_corpus_without_recordings_short_enough(config: TrainConfig, data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no recording is left"):
        train(dataclasses.replace(config, longest_seconds=0.5), tmp_path / "run", data)


@pytest.mark.parametrize("seed", range(3))
def test_an_epoch_holds_every_recording_once_in_batches_of_like_length(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(8000, 500000, 300)
    plan = epoch_plan(lengths, 2_000_000, seed, epoch=4)
    assert sorted(index for batch in plan for index in batch) == list(range(300))
    assert all(len(batch) * max(lengths[batch]) <= 2_000_000 for batch in plan)
    assert sum(len(batch) * max(lengths[batch]) for batch in plan) < 1.25 * lengths.sum()
    assert (
        plan == epoch_plan(lengths, 2_000_000, seed, epoch=4) != epoch_plan(lengths, 2_000_000, seed, epoch=5)
    )


def test_a_step_is_a_function_of_its_number(config: TrainConfig, data: Path) -> None:
    corpus = cached_corpus(list(load_cuts(data, "train")), longest_seconds=30, report=print)
    assert (
        cached_corpus(list(load_cuts(data, "train")), longest_seconds=30, report=print).digest
        == corpus.digest
    )
    noises = noises_of(config.augment, data)
    forwards = {batch.step: batch for batch in Batches(corpus, noises, config).steps(0, 8)}
    backwards = Batches(corpus, noises, config)
    for step in reversed(range(8)):
        again = backwards.batch(step)
        assert torch.equal(again.audio, forwards[step].audio)
        assert torch.equal(again.mask, forwards[step].mask)
        assert torch.equal(again.targets, forwards[step].targets)
        assert again.audio.abs().max() <= 1
        assert len(again.targets) == again.phones.sum()


def test_schedule_rises_stays_and_falls_to_nothing() -> None:
    config = TrainConfig(steps=100, warmup_steps=10, cooldown_steps=40)
    shares = [schedule(step, config) for step in range(100)]
    assert shares[0] == 0.1
    assert shares[9:59] == [1.0] * 50
    assert shares[59:] == sorted(shares[59:], reverse=True)
    assert 0 < shares[99] < 0.03


def test_orthogonalise_gives_singular_values_near_one() -> None:
    matrices = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(0))
    for given in (matrices, matrices.mT):
        values = torch.linalg.svdvals(orthogonalise(given))
        assert values.min() > 0.6
        assert values.max() < 1.3
        torch.testing.assert_close(orthogonalise(given * 1e-4), orthogonalise(given), atol=1e-2, rtol=0)


def test_muon_descends() -> None:
    torch.manual_seed(0)
    target, weight = torch.randn(8, 12), torch.nn.Parameter(torch.zeros(8, 12))
    optimiser = Muon([weight], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        (weight - target).square().sum().backward()
        optimiser.step()
    assert (weight - target).abs().mean() < 0.2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("setps = 3", "unknown key setps"),
        ("[model]\nwidht = 3", r"unknown key model\.widht"),
        ('steps = "many"', "steps is 'many': expected int"),
        ("steps = 0", "steps is 0"),
        ('optimiser = "sgd"', "expected one of 'adamw', 'muon'"),
        ("betas = [0.9]", "expected a list of 2 numbers"),
        ("model = 3", "expected a table"),
        ("steps = ", "not valid TOML"),
        ("[augment]\nnoise_probability = 0.5", "noise_dir"),
        ("[augment]\nspeechless_probability = 0.1", "noise_dir"),
        ("[augment]\nspeechless_probability = 0.1\nmusic_share = 0.5", "noise_dir"),
        ("[augment]\nmusic_share = 1.5", r"augment\.music_share is 1\.5"),
        ("[augment]\nspeeds = []", "speeds"),
    ],
)
def test_a_wrong_configuration_names_the_key(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(path)
    assert str(path) in str(error.value)


def test_configurations_survive_plain_values(config: TrainConfig) -> None:
    from phonestream.asr.model.config import from_dict

    assert from_dict(TrainConfig, to_dict(config)) == config
    assert from_dict(EncoderConfig, to_dict(config.model)) == config.model
    assert from_dict(AugmentConfig, to_dict(config.augment)) == config.augment


@pytest.mark.parametrize("recipe", sorted(Path("recipes").glob("*.toml")), ids=lambda path: path.name)
def test_committed_recipes_are_valid(recipe: Path) -> None:
    assert load_recipe(recipe)


def test_weights_of_another_shape_are_refused_by_name() -> None:
    small, large = Encoder(EncoderConfig(layers=1)), Encoder(EncoderConfig(layers=2))
    with pytest.raises(ConfigError, match=r"blocks\.1\..* is missing"):
        load_weights(large, small.state_dict(), "small.onnx")


STUCK = """
import hashlib, os, signal, sys
from phonestream.asr.training.interrupt import StopOnSignal
with StopOnSignal():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes in C, as in a step that does not return
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_twice_it_stops_within_a_step(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # the first one asks for an end after the step
        process.send_signal(number)
        assert process.wait(20) == 128 + number


class Convolutions(TorchDispatchMode):
    """Keeps the type of what each convolution takes."""

    def __init__(self) -> None:
        super().__init__()
        self.types: list[torch.dtype] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "convolution" in str(function):
            self.types.append(args[0].dtype)
        return function(*args, **(kwargs or {}))


def test_no_convolution_is_computed_in_bfloat16_on_a_cpu(config: TrainConfig, data: Path) -> None:
    """oneDNN may not return from one: a run with `precision = "bfloat16"` hung in its first step."""
    corpus = cached_corpus(list(load_cuts(data, "train")), longest_seconds=35.0, report=lambda line: None)
    batch = Batches(corpus, noises_of(config.augment, data), config).batch(0)
    encoder = Encoder(config.model)
    encoder.precision = torch.bfloat16
    with Convolutions() as seen:
        training_step(encoder, batch, config, torch.device("cpu"))
    assert len(seen.types) > 2 * config.model.layers
    assert set(seen.types) == {torch.float32}
