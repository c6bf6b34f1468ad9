"""The teacher's encoder is Whisper's, its head learns, and the rows that are written are the head's."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_whisper import HEADS, LAYERS, LONGEST, WIDTH, model_bytes, random_whisper, write_whisper
from torch import nn

from phonestream.asr.corpora.corpus import load_cuts
from phonestream.asr.lexicon.phones import BLANK, PHONES
from phonestream.asr.training.audio_cache import cached_corpus
from phonestream.asr.training.distillation import fingerprint
from phonestream.asr.training.distributed import SINGLE_PROCESS
from phonestream.asr.training.precision import DTYPES, choose_precision
from phonestream.asr.training.teacher.ctranslate2 import read_variables
from phonestream.asr.training.teacher.features import features_of, windows
from phonestream.asr.training.teacher.fit import collate, fit_head, head_log_probs
from phonestream.asr.training.teacher.head import Head, HeadConfig, load_head, save_head
from phonestream.asr.training.teacher.lead import measure_lead, spikes
from phonestream.asr.training.teacher.parts import RECORDINGS, remove_parts, rows_in_parts
from phonestream.asr.training.teacher.rows import load_rows, sparse_rows
from phonestream.asr.training.teacher.whisper import ROW, load_whisper, log_mel, mel_filters
from phonestream.cli import main
from phonestream.errors import DataError, ModelError

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = len(PHONES) + 1


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONESTREAM_CACHE", str(tmp_path / "cache"))


def test_a_model_is_read_as_it_was_written_whole_or_in_parts(tmp_path: Path) -> None:
    variables = random_whisper()
    for version in (4, 5, 6):
        found = read_variables(model_bytes(variables, version))
        assert found.keys() == variables.keys()
        for name, values in variables.items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)
    whole, parts = (
        load_whisper(write_whisper(tmp_path / str(count), parts=count)).state_dict() for count in (1, 12)
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_what_is_no_such_model_is_refused(tmp_path: Path) -> None:
    content = model_bytes(random_whisper())
    with pytest.raises(ModelError, match=r"has no model\.bin"):
        load_whisper(tmp_path)
    for size in (0, 3, 30, len(content) // 2, len(content) - 5):
        (tmp_path / "model.bin").write_bytes(content[:size])
        with pytest.raises(ModelError, match=r"model\.bin: is cut short in"):
            load_whisper(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"\1\0\0\0" + content)
    with pytest.raises(ModelError, match="its first number is 1"):
        load_whisper(tmp_path)
    quantised = random_whisper()
    quantised["encoder/layer_1/ffn/linear_0/weight"] = np.zeros((4 * WIDTH, WIDTH), np.int8)
    (tmp_path / "model.bin").write_bytes(model_bytes(quantised))
    with pytest.raises(ModelError, match="int8: take a model that is not quantised"):
        load_whisper(tmp_path)
    lacking = random_whisper()
    del lacking["encoder/conv1/weight"]
    (tmp_path / "model.bin").write_bytes(model_bytes(lacking))
    with pytest.raises(ModelError, match="is not a Whisper model"):
        load_whisper(tmp_path)


def test_the_encoder_is_torch_s_own_transformer_with_these_weights(tmp_path: Path) -> None:
    encoder = load_whisper(write_whisper(tmp_path / "whisper"))
    variables = {name: torch.from_numpy(v.astype(np.float32)) for name, v in random_whisper().items()}
    features = torch.randn(2, 80, 2 * 37)
    rows = encoder(features)
    assert [tuple(layer.shape) for layer in rows] == [(2, 37, WIDTH)] * (LAYERS + 1)
    x = rows[0]
    for layer in range(LAYERS):
        reference = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        ).eval()
        place = f"encoder/layer_{layer}"
        names = {
            "self_attn.in_proj_": f"{place}/self_attention/linear_0/",
            "self_attn.out_proj.": f"{place}/self_attention/linear_1/",
            "linear1.": f"{place}/ffn/linear_0/",
            "linear2.": f"{place}/ffn/linear_1/",
        }
        state = {
            ours + kind: variables[theirs + kind]
            for ours, theirs in names.items()
            for kind in ("weight", "bias")
        }
        for ours, theirs in (("norm1.", "self_attention"), ("norm2.", "ffn")):
            state[f"{ours}weight"] = variables[f"{place}/{theirs}/layer_norm/gamma"]
            state[f"{ours}bias"] = variables[f"{place}/{theirs}/layer_norm/beta"]
        reference.load_state_dict(state)
        with torch.no_grad():
            x = reference(x)
        if layer < LAYERS - 1:
            torch.testing.assert_close(rows[layer + 1], x, atol=1e-5, rtol=1e-5)
    assert len(encoder.positions) == LONGEST


def test_features_are_whisper_s() -> None:
    """Whisper's filters are librosa's: Slaney's scale and area normalisation, which torchaudio has, too."""
    expected = torchaudio.functional.melscale_fbanks(
        201, 0.0, 8000.0, 80, 16000, norm="slaney", mel_scale="slaney"
    )
    torch.testing.assert_close(mel_filters(), expected.T, atol=1e-6, rtol=1e-4)
    samples = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    features = log_mel(samples)
    assert features.shape == (80, 150)  # the recording and half a second
    assert features.max() - features.min() <= 2 + 1e-6  # eight decades, in quarters
    spectrogram = torchaudio.transforms.MelSpectrogram(
        16000, 400, hop_length=160, n_mels=80, norm="slaney", mel_scale="slaney"
    )
    padded = torch.nn.functional.pad(torch.from_numpy(samples), (0, 8000))
    power = spectrogram(padded)[:, :-1].clamp(min=1e-10).log10()
    torch.testing.assert_close(features, (power.clamp(min=power.max() - 8) + 4) / 4, atol=1e-4, rtol=1e-4)
    assert log_mel(np.zeros(30 * 16000, np.float32)).shape == (80, 3000)


@given(st.integers(1, 200 * 16000))
def test_windows_cover_every_row_once_and_each_within_thirty_seconds(samples: int) -> None:
    taken = []
    for first, begin, end in windows(samples):
        assert first % ROW == 0
        assert begin < end
        assert first <= begin * ROW
        assert end * ROW - first <= 29.5 * 16000
        taken += range(begin, end)
    assert taken == list(range(-(-samples // ROW)))


def test_a_head_s_rows_do_not_depend_on_what_they_are_batched_with() -> None:
    torch.manual_seed(0)
    head = Head(HeadConfig(layers=2, input_width=8, width=16, depth=2)).eval()
    rng = np.random.default_rng(0)
    recordings = [rng.standard_normal((rows, 2, 8)).astype(np.float16) for rows in (1, 6, 7, 20)]
    inputs, rows = collate(recordings)
    with torch.no_grad():
        together = head(inputs, rows)
    for recording, batched in zip(recordings, together.numpy(), strict=True):
        alone = head_log_probs(head, recording)
        assert alone.shape == (len(recording), LABELS)
        np.testing.assert_allclose(batched[: len(recording)], alone, atol=1e-4)


def test_a_head_learns_and_is_read_back_for_its_own_encoder_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shown = rng.standard_normal((LABELS, 3, 8))
    labels = [[int(label) for label in rng.permutation(np.arange(1, 7))[:4]] for _ in range(24)]
    features = []
    for spoken in labels:
        rows = np.concatenate([np.repeat(shown[[label, 0]], 4, axis=0) for label in spoken])
        features.append((rows + 0.1 * rng.standard_normal(rows.shape)).astype(np.float16))
    lines: list[str] = []
    head = fit_head(features, labels, passes=40, report=lines.append)
    assert "loss" in lines[-1]
    once, again = (fit_head(features, labels, passes=2) for _ in range(2))
    for one, other in zip(once.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    right = sum(
        [label for label, _ in spikes(head_log_probs(head, x))] == y
        for x, y in zip(features, labels, strict=True)
    )
    assert right > 18
    path = tmp_path / "head.safetensors"
    save_head(head, path, "these")
    np.testing.assert_array_equal(
        head_log_probs(load_head(path, "these"), features[0]), head_log_probs(head, features[0])
    )
    with pytest.raises(ModelError, match="belongs to other Whisper weights"):
        load_head(path, "others")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError, match="cannot be read as a teacher's head"):
        load_head(path, "these")


def test_a_head_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    head = Head(HeadConfig(layers=2, input_width=8, width=16, depth=2))
    with pytest.raises(
        ModelError, match=r"head: the head cannot be written: No space left on device; make room"
    ):
        save_head(head, tmp_path / "head", "these")
    assert not list(tmp_path.iterdir())


def test_the_lead_is_the_median_time_between_spikes() -> None:
    def rows(places: list[int], count: int) -> np.ndarray:
        log_probs = np.full((count, LABELS), -9.0, np.float32)
        log_probs[:, BLANK] = -0.1
        for index, place in enumerate(places):
            log_probs[place, 1 + index % 39] = 0.0
        return log_probs

    teacher = rows(list(range(0, 120, 3)), 130)
    student = rows([place // 2 + 2 for place in range(0, 120, 3)], 70)  # rows of 40 ms
    assert measure_lead([(teacher, student)], 0.02, 0.04) == pytest.approx(0.08, abs=0.011)
    with pytest.raises(DataError, match="agree on 0 phones"):
        measure_lead([(teacher, rows([], 70))], 0.02, 0.04)


def test_rows_that_were_stopped_go_on_where_they_were(tmp_path: Path) -> None:
    """To the same rows as at once; a damaged part, and those of another head, are made again."""
    ids = [f"r{index}" for index in range(2 * RECORDINGS + 3)]
    folder, made = tmp_path / "parts", []

    def log_probs(index: int, stop: int = len(ids)) -> NDArray[np.float32]:
        if index == stop:
            raise KeyboardInterrupt
        made.append(index)
        scores = np.random.default_rng(index).normal(0, 3, (index % 7, LABELS))
        return np.log(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)

    expected = [(name, sparse_rows(log_probs(index))) for index, name in enumerate(ids)]
    with pytest.raises(KeyboardInterrupt):
        list(rows_in_parts(folder, "a", ids, lambda index: log_probs(index, RECORDINGS + 5)))
    for key, damaged, first in (("a", False, RECORDINGS), ("a", True, 0), ("b", False, 0)):
        if damaged:
            for path in folder.glob("*.npz"):
                path.write_bytes(path.read_bytes()[:-50])
        made.clear()
        found = list(rows_in_parts(folder, key, ids, log_probs))
        assert made == list(range(first, len(ids)))
        for (name, ours), (theirs_name, theirs) in zip(found, expected, strict=True):
            assert (name, ours.count) == (theirs_name, theirs.count)
            np.testing.assert_array_equal(ours.at, theirs.at)
            np.testing.assert_array_equal(ours.labels, theirs.labels)
            np.testing.assert_array_equal(ours.levels, theirs.levels)
    remove_parts(folder)
    assert not folder.exists()


def test_the_command_writes_rows_that_are_the_head_s(
    small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way, with a random Whisper; called again it takes the head that is there."""
    whisper, rows = write_whisper(tmp_path / "whisper"), tmp_path / "rows.npz"
    head_path = tmp_path / "teacher-head.safetensors"
    arguments = ["teacher", str(whisper), "--data", str(small_corpus), "--output", str(rows)]
    arguments += ["--passes", "1", "--threads", "1", "--limit", "2"]
    kept = []
    for own in (["--lead", "0.08"], ["--student", "tiny"]):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *own])
        output = capsys.readouterr()
        if ended.value.code != 0:  # what has learnt nothing may agree with the student on too few phones
            assert own[0] == "--student"
            assert "too few to measure the teacher's lead" in output.err
        else:
            assert "rows of 2 recordings" in output.out
        kept.append(head_path.read_bytes())
    assert kept[0] == kept[1]

    found = load_rows(rows)
    encoder = load_whisper(whisper)
    head = load_head(head_path, fingerprint(encoder))
    precision = choose_precision(
        "auto", SINGLE_PROCESS
    )  # in which the command ran: a rounded tie is another label
    encoder = encoder.to(dtype=DTYPES[precision] or torch.float32)
    cuts = [cut for cut in load_cuts(small_corpus, "train") if cut.id in found]
    corpus = cached_corpus(cuts, longest_seconds=35.0, report=lambda line: None)  # rounded to 16 bits
    assert len(corpus.utterances) == 2
    for utterance in corpus.utterances:
        samples = corpus.audio(utterance)
        expected = np.exp(head_log_probs(head, features_of(encoder, samples)))
        dense = found.dense(utterance.id)
        assert dense.shape == expected.shape == (-(-len(samples) // ROW), LABELS)
        for ours, theirs in zip(dense, expected, strict=True):
            best = np.argsort(-theirs, kind="stable")[:4]
            np.testing.assert_allclose(ours[best], theirs[best] / theirs[best].sum(), atol=0.02)
