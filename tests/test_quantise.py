"""int8 weights: small, close, and as indifferent to chunks and batches as float32."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exported import DESCRIPTION, SMALL, export_small, make_encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from small_training import CONFIG, write_toml

from phonestream.asr.lexicon.phones import BLANK
from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.model.encoder import FRAME, Encoder
from phonestream.asr.training.checkpoint import load_checkpoint, load_encoder
from phonestream.asr.training.process import SETTINGS
from phonestream.asr.training.train import train
from phonestream.cli import main
from phonestream.export import export_encoder, read_encoder, read_weights, rounded
from phonestream.export.graph import trace
from phonestream.export.quantise import HIGHEST_LEVEL, Int8, quantise, quantise_weights
from phonestream.streaming.model import Model

TOLERANCE = 1e-4
TIE = 2e-4  # the best two log-probabilities this close may be in either order
LARGEST_FILE = 8_000_000  # bytes, of the default configuration


class Exported(NamedTuple):
    path: Path
    encoder: Encoder  # with float32 weights
    model: Model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    encoder, summary = export_small("fixed decay", path, int8=True)
    assert summary.int8
    return Exported(path, encoder, Model(path))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    outputs=st.integers(1, 9),
    inputs=st.integers(1, 300),
    outlier=st.floats(1, 50),
)
def test_rounding_is_as_close_as_its_levels_allow(
    seed: int, outputs: int, inputs: int, outlier: float
) -> None:
    torch.manual_seed(seed)
    weight = torch.randn(outputs, inputs)
    weight[0, 0] *= outlier
    weight[-1] = weight[-1] if outputs < 3 else 0.0
    levels, scale = quantise(weight)
    assert levels.dtype == torch.int8
    assert levels.abs().max() <= HIGHEST_LEVEL
    assert scale.shape == (outputs, 1)
    error = levels * scale - weight
    unclipped = levels.abs() < HIGHEST_LEVEL
    assert (error.abs() <= 0.501 * scale)[unclipped].all()
    largest = weight.abs().amax(1, keepdim=True).clamp(min=1e-30) / HIGHEST_LEVEL
    plain = (weight / largest).round() * largest - weight
    assert (error.square().sum(1) <= plain.square().sum(1) * 1.001 + 1e-9).all(), (
        "clipping never makes it worse"
    )


def test_only_matrices_are_rounded() -> None:
    weights = quantise_weights(make_encoder(EncoderConfig(layers=1)).state_dict())
    names = {name for name, weight in weights.items() if isinstance(weight, Int8)}
    assert names == {
        *(f"blocks.0.{layer}.weight" for layer in ("mix_in", "mix_out", "feed_in", "feed_out")),
        *("subsampling.first.weight", "subsampling.second.weight", "head.weight"),
    }


def test_the_default_model_is_small() -> None:
    default = EncoderConfig()
    weights = quantise_weights(Encoder(default).state_dict())
    stored = sum(
        weight.levels.numel() + 4 * weight.scale.numel() if isinstance(weight, Int8) else 4 * weight.numel()
        for weight in weights.values()
    )
    graph = trace(SMALL)  # of the default's graph: all its constants, and one of its layers
    constants = sum(tensor.ByteSize() for tensor in graph.graph.initializer)
    nodes = (graph.ByteSize() - constants) * default.layers // SMALL.layers
    assert stored + constants + nodes <= LARGEST_FILE


def test_the_file_holds_the_rounded_encoder(exported: Exported) -> None:
    expected = rounded(exported.encoder).state_dict()
    torch.testing.assert_close(read_encoder(exported.path).state_dict(), expected, rtol=0, atol=0)
    assert any((expected[name] != weight).any() for name, weight in exported.encoder.state_dict().items())


@settings(max_examples=40, deadline=None)
@given(data=st.data(), frames=st.integers(1, 40), streams=st.integers(1, 4), seed=st.integers(0, 99))
def test_neither_chunks_nor_neighbours_change_a_phone(
    exported: Exported, data: st.DataObject, frames: int, streams: int, seed: int
) -> None:
    draws = np.random.default_rng(seed)
    audio = draws.uniform(-1, 1, (streams, frames * FRAME)) * 10 ** draws.uniform(-4, 0, (streams, 1))
    audio = audio.astype(np.float32)
    cuts = data.draw(st.sets(st.integers(1, frames - 1)) if frames > 1 else st.just(set()))
    state, parts = exported.model.initial_state(streams), []
    for part in np.split(audio, [cut * FRAME for cut in sorted(cuts)], axis=1):
        log_probs, state = exported.model.run(part, state)
        parts.append(log_probs)
    rows = np.concatenate(parts, axis=1)

    for stream in range(streams):  # each by itself, at once
        alone, _ = exported.model.run(audio[stream : stream + 1], exported.model.initial_state(1))
        np.testing.assert_allclose(rows[stream], alone[0], rtol=0, atol=TOLERANCE)
        best_two = np.sort(alone[0], axis=1)[:, -2:]
        decided = best_two[:, 1] - best_two[:, 0] > TIE
        assert (rows[stream].argmax(1) == alone[0].argmax(1))[decided].all()


def test_weights_are_unpacked_once_at_load(exported: Exported, tmp_path: Path) -> None:
    """Else every call would unpack them again, which takes longer than all the rest."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    onnxruntime.InferenceSession(exported.path, options, providers=["CPUExecutionProvider"])
    packed = onnx.TensorProto.INT8
    assert any(tensor.data_type == packed for tensor in onnx.load(exported.path).graph.initializer)
    loaded = onnx.load(tmp_path / "loaded.onnx").graph
    assert not any(tensor.data_type == packed for tensor in loaded.initializer)


def test_a_fitted_blank_penalty_is_in_the_file(
    tmp_path: Path, small_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phonestream.export.blank.fit_blank_penalty", lambda log_probs, references: 0.3)
    encoder = make_encoder(SMALL)
    with torch.no_grad():
        encoder.head.bias[BLANK] -= 3.0  # so that it says something
    learnt = encoder.head.bias.detach().clone()
    path = tmp_path / "model.onnx"
    summary = export_encoder(encoder, path, DESCRIPTION, int8=True, data=small_corpus)
    assert "blank penalty 0.3" in str(summary)
    written = read_encoder(path).head.bias.detach()
    assert written[BLANK].item() == pytest.approx(learnt[BLANK].item() - 0.3)
    assert torch.equal(written[1:], learnt[1:])
    assert torch.equal(encoder.head.bias, learnt), "the caller's encoder is not touched"


@pytest.mark.usefixtures("one_thread")
def test_a_model_file_or_a_run_is_where_training_starts(
    exported: Exported,
    small_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in SETTINGS.items():  # or the command would start itself again
        monkeypatch.setenv(name, value)
    still = dataclasses.replace(
        CONFIG,
        steps=1,
        learning_rate=1e-9,
        matrix_learning_rate=1e-9,
        warmup_steps=1,
        cooldown_steps=0,
        model=SMALL,
    )
    recipe = write_toml(tmp_path / "still.toml", still)
    first = tmp_path / "first"
    train(still, first, small_corpus)
    for origin, weights in (
        (exported.path, read_weights(exported.path)),
        (first, load_encoder(first).state_dict()),
    ):
        run = tmp_path / f"from-{origin.name}"
        command = ["train", str(recipe), "--run", str(run), "--data", str(small_corpus), "--threads", "1"]
        assert exit_code([*command, "--initial", str(origin)]) == 0
        learnt = load_checkpoint(run).encoder
        assert max((learnt[name] - weights[name]).abs().max() for name in weights) < 1e-6
        capfd.readouterr()
        assert exit_code([*command, "--initial", str(origin), "--resume"]) == 2
        assert "its own weights" in capfd.readouterr().err


def exit_code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert isinstance(leaving.value.code, int)
    return leaving.value.code
