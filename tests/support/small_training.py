"""Training small enough for a test: a corpus of the six shipped recordings, a model of a few thousand weights."""

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from phonestream.asr.corpora.corpus import load_cuts
from phonestream.asr.model.config import EncoderConfig, to_dict
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training.audio_cache import cached_corpus
from phonestream.asr.training.augment import Noises
from phonestream.asr.training.batches import Batch, Batches
from phonestream.asr.training.checkpoint import load_checkpoint
from phonestream.asr.training.config import AugmentConfig, TrainConfig
from phonestream.asr.training.teacher.rows import TeacherRows
from phonestream.asr.training.train import train

MODEL = EncoderConfig(
    mels=20, subsampling_width=16, width=16, layers=2, heads=2, head_width=8, feed_forward=32, convolution=3
)
CONFIG = TrainConfig(
    precision="float32",
    steps=6,
    batch_seconds=16.0,
    warmup_steps=2,
    cooldown_steps=2,
    evaluate_every=6,
    evaluate_recordings=2,
    model=MODEL,
    augment=AugmentConfig(speeds=(0.9, 1.1)),
)


def write_corpus(folder: Path, speech_dir: Path) -> Path:
    """A corpus in `folder` with the shipped recordings of dev to train on and those of test as dev."""
    (folder / "audio").symlink_to(speech_dir)
    header, *rows = (speech_dir / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    split, path = header.split("\t").index("split"), header.split("\t").index("path")
    lines = [header]
    for row in rows:
        values = row.split("\t")
        values[split] = {"dev": "train", "test": "dev"}[values[split]]
        values[path] = f"audio/{values[path]}"
        lines.append("\t".join(values))
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def batch_of(data: Path, config: TrainConfig) -> Batch:
    """The first step of a training on `data`, without noises."""
    corpus = cached_corpus(list(load_cuts(data, "train")), longest_seconds=35.0, report=lambda line: None)
    return Batches(corpus, Noises([], [], 0.0), config).batch(0)


def losses(run: Path) -> list[float]:
    """What `RUN/losses.tsv` has recorded, step by step."""
    lines = (run / "losses.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert [int(line.split("\t")[0]) for line in lines] == list(range(len(lines)))
    return [float(line.split("\t")[2]) for line in lines]


def stopped(training: Callable[[], bool], run: Path, steps: int) -> None:
    """Call `training` and ask it to stop, as Ctrl-C would, once `run` has recorded `steps` steps."""

    def ask() -> None:
        while not ((run / "losses.tsv").exists() and len(losses(run)) >= steps):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert not training(), "it was over before it could be stopped: make it longer"
    asking.join()


def check_resumes(
    config: TrainConfig,
    data: Path,
    folder: Path,
    teacher: Encoder | None = None,
    teacher_rows: TeacherRows | None = None,
) -> None:
    """Twelve steps of `config` stopped on the way and resumed give the losses of twelve in one go."""
    longer = dataclasses.replace(config, steps=12)
    whole, parts = folder / "whole", folder / "parts"
    taught = {"teacher": teacher, "teacher_rows": teacher_rows}
    train(longer, whole, data, **taught)
    stopped(lambda: train(longer, parts, data, **taught), parts, 3)
    assert 3 <= load_checkpoint(parts).step < 12
    train(longer, parts, data, resume=True, **taught)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-4)


def write_toml(path: Path, config: TrainConfig) -> Path:
    """`config` as a file."""
    tables = to_dict(config)
    nested = {name: tables.pop(name) for name in ("model", "augment")}
    lines = [f"{key} = {_toml(value)}" for key, value in tables.items()]
    for name, table in nested.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)
