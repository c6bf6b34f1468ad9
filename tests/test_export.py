"""A model file computes what torch computes, describes itself, and gives its weights back."""

import dataclasses
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from exported import CONFIGS, DESCRIPTION, SMALL, export_small, make_encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_model import toy_model

from phonestream.asr.lexicon.phones import PHONES
from phonestream.asr.model.config import EncoderConfig, to_dict
from phonestream.asr.model.encoder import FRAME, Encoder
from phonestream.asr.training.checkpoint import Checkpoint, save_checkpoint
from phonestream.asr.training.config import TrainConfig
from phonestream.errors import ConfigError, ModelError
from phonestream.export import (
    Description,
    Summary,
    export,
    export_again,
    export_encoder,
    exporter,
    read_encoder,
    read_weights,
)
from phonestream.export.exporter import blend_weights
from phonestream.streaming.model import Model

TOLERANCE = 1e-4
FRAMES = 24


class Exported(NamedTuple):
    encoder: Encoder
    summary: Summary
    model: Model


@pytest.fixture(scope="module", params=CONFIGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    encoder, summary = export_small(request.param, path)
    return Exported(encoder, summary, Model(path))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "model.onnx"
    export_small("fixed decay", path)
    return path


def noise(streams: int, frames: int = FRAMES, seed: int = 1) -> NDArray[np.float32]:
    draws = np.random.default_rng(seed)
    loudness = 10 ** draws.uniform(-4, 0, (streams, frames, 1))
    return (draws.uniform(-1, 1, (streams, frames, FRAME)) * loudness).reshape(streams, -1).astype(np.float32)


@torch.inference_mode()
def torch_rows(encoder: Encoder, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    log_probs, _ = encoder(torch.from_numpy(audio))
    rows: NDArray[np.float32] = log_probs.numpy()
    return rows


def onnx_rows(model: Model, audio: NDArray[np.float32], cuts: list[int]) -> NDArray[np.float32]:
    """Rows of `audio` cut at the frames `cuts`, the state carried from each part to the next."""
    state = model.initial_state(len(audio))
    rows = []
    for part in np.split(audio, [cut * FRAME for cut in sorted(cuts)], axis=1):
        log_probs, state = model.run(part, state)
        rows.append(log_probs)
    return np.concatenate(rows, axis=1)


@settings(max_examples=25, deadline=None)
@given(cuts=st.sets(st.integers(1, FRAMES - 1)), streams=st.integers(1, 3), seed=st.integers(0, 9))
def test_any_chunking_and_batch_gives_torchs_rows(
    exported: Exported, cuts: set[int], streams: int, seed: int
) -> None:
    audio = noise(streams, seed=seed)
    rows = onnx_rows(exported.model, audio, list(cuts))
    np.testing.assert_allclose(rows, torch_rows(exported.encoder, audio), rtol=0, atol=TOLERANCE)


def test_a_frame_at_a_time_gives_torchs_rows(exported: Exported) -> None:
    audio = noise(2)
    rows = onnx_rows(exported.model, audio, list(range(1, FRAMES)))
    np.testing.assert_allclose(rows, torch_rows(exported.encoder, audio), rtol=0, atol=TOLERANCE)


def test_streams_can_leave_a_batch_and_join_another(exported: Exported) -> None:
    model, audio = exported.model, noise(3)
    half = FRAMES // 2 * FRAME
    _, pair = model.run(audio[:2, :half], model.initial_state(2))
    _, alone = model.run(audio[2:, :half], model.initial_state(1))
    joined = {name: np.concatenate([alone[name], pair[name][1:]]) for name in pair}
    rows, _ = model.run(audio[[2, 1], half:], joined)
    expected = torch_rows(exported.encoder, audio)[[2, 1], -rows.shape[1] :]
    np.testing.assert_allclose(rows, expected, rtol=0, atol=TOLERANCE)


def test_the_file_describes_itself(exported: Exported) -> None:
    metadata, config = exported.model.metadata, exported.encoder.config
    assert metadata == exported.summary.metadata
    assert (metadata.name, metadata.version) == ("test", "7")
    assert (metadata.licence, metadata.training_data) == ("CC0-1.0", "none")
    assert (metadata.phones, metadata.blank, metadata.sample_rate, metadata.frame_samples) == (
        PHONES,
        0,
        16000,
        640,
    )
    assert (metadata.rows_per_frame, metadata.look_ahead_frames) == (
        config.rows_per_frame,
        config.look_ahead_frames,
    )
    assert (metadata.time_offset_seconds, metadata.temperature) == (0.02, 1.0)
    states = exported.encoder.initial_state(1)
    assert [(spec.name, spec.sized(1)) for spec in metadata.states] == [
        (name, tuple(state.shape)) for name, state in states.items()
    ]


@pytest.mark.parametrize(
    ("decay", "shortest", "heads", "fading"),
    [
        ("fixed", 4.0, 6, 1),
        ("fixed", 1.0, 6, 2),
        ("fixed", 5.0, 6, 0),
        ("fixed", 4.0, 1, 0),
        ("learnt", 4.0, 6, 0),
    ],
)
def test_silence_leaves_heads_alone_that_forget_it(
    decay: Literal["fixed", "learnt"], shortest: float, heads: int, fading: int
) -> None:
    config = EncoderConfig(layers=2, heads=heads, decay=decay, shortest_half_life=shortest)
    rule = exporter.describe(Encoder(config), Description("test"), 1.0).silence
    assert rule is not None
    assert (rule.states, rule.fading_heads) == (("s0", "z0", "s1", "z1"), fading)


def test_the_summary_tells_what_was_written(exported: Exported) -> None:
    summary = exported.summary
    assert summary.size == summary.path.stat().st_size
    assert summary.largest_difference <= TOLERANCE
    assert "not fitted" in str(summary)
    assert list(summary.path.parent.iterdir()) == [summary.path], "nothing else is left in the folder"


def test_the_file_says_nothing_of_the_machine_that_made_it(written: Path) -> None:
    content = written.read_bytes()
    for trace in (b".py", b"site-packages", os.fsencode(Path.home()), os.fsencode(Path(__file__).parents[1])):
        assert trace not in content


def test_an_encoder_read_back_is_the_encoder_that_was_exported(exported: Exported) -> None:
    encoder = read_encoder(exported.summary.path)
    assert encoder.config == exported.encoder.config
    audio = noise(1)
    np.testing.assert_array_equal(torch_rows(encoder, audio), torch_rows(exported.encoder, audio))
    weights = read_weights(exported.summary.path)
    for name, weight in exported.encoder.state_dict().items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=0)


def test_a_run_is_exported_with_its_averaged_weights(tmp_path: Path) -> None:
    encoder, averaged = make_encoder(SMALL, seed=1), make_encoder(SMALL, seed=2)
    config = TrainConfig(name="small", model=SMALL)
    save_checkpoint(tmp_path, Checkpoint(300, config, "", encoder.state_dict(), averaged.state_dict(), []))
    summary = export(tmp_path, tmp_path / "model.onnx")
    assert (summary.metadata.name, summary.metadata.version) == ("small", "0.0.0+steps.300")
    torch.testing.assert_close(read_weights(summary.path), dict(averaged.state_dict()), rtol=0, atol=0)


def test_another_models_weights_are_blended_in(tmp_path: Path) -> None:
    first, second = make_encoder(SMALL, seed=1).state_dict(), make_encoder(SMALL, seed=2).state_dict()
    config = TrainConfig(name="small", model=SMALL)
    for name, state in (("first", first), ("second", second)):
        (tmp_path / name).mkdir()
        save_checkpoint(tmp_path / name, Checkpoint(300, config, "", state, state, []))
    before, path = tmp_path / "first.onnx", tmp_path / "blended.onnx"
    export(tmp_path / "first", before)
    export(tmp_path / "second", path, blend=before, blend_share=0.25)
    expected = {name: 0.25 * first[name] + 0.75 * second[name] for name in first}
    torch.testing.assert_close(read_weights(path), expected)
    with pytest.raises(ConfigError, match="blend share 2: give a number from 0 to 1"):
        export(tmp_path / "second", path, blend=before, blend_share=2)
    deeper = dataclasses.replace(SMALL, layers=SMALL.layers + 1)
    encoder = make_encoder(deeper, seed=3)
    more = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    blend_weights(encoder, before, 0.25)
    new = "blocks.1.mix_out.weight"  # of the block that the other model lacks, where it comes to add nothing
    torch.testing.assert_close(encoder.state_dict()[new], 0.75 * more[new])
    torch.testing.assert_close(
        encoder.state_dict()["head.bias"], 0.25 * first["head.bias"] + 0.75 * more["head.bias"]
    )
    wider = dataclasses.replace(SMALL, feed_forward=SMALL.feed_forward * 2)
    encoder = make_encoder(wider, seed=4)
    new = encoder.blocks[0].feed_out.weight[:, SMALL.feed_forward :].clone()
    blend_weights(encoder, before, 0.25)
    torch.testing.assert_close(encoder.blocks[0].feed_out.weight[:, SMALL.feed_forward :], 0.75 * new)
    for name, other in (
        ("wider", wider),
        ("deeper", deeper),
        ("slower", dataclasses.replace(SMALL, convolution=SMALL.convolution + 2)),
    ):
        state = make_encoder(other).state_dict()
        (tmp_path / name).mkdir()
        save_checkpoint(tmp_path / name, Checkpoint(1, TrainConfig(model=other), "", state, state, []))
        export(tmp_path / name, tmp_path / f"{name}.onnx")
        with pytest.raises(ConfigError, match="another shape than the run's"):
            export(tmp_path / "first", path, blend=tmp_path / f"{name}.onnx")


@pytest.mark.parametrize("int8", [False, True])
def test_a_model_file_is_written_anew_with_its_weights_and_metadata(tmp_path: Path, int8: bool) -> None:
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    export_small("fixed decay", before, int8=int8)
    model = onnx.load(before)
    model.metadata_props.add(key="note", value="mine")
    scales = [tensor for tensor in model.graph.initializer if tensor.name.endswith(".int8.scale")]
    for tensor in scales:  # not those that quantising anew would choose
        scale = onnx.numpy_helper.to_array(tensor) * np.float32(1.0000001)
        tensor.raw_data = scale.tobytes()
    onnx.save(model, before)
    summary = export_again(before, after)
    assert summary.int8 == int8
    assert "those of the file" in str(summary)
    written = onnx.load(after)
    assert {e.key: e.value for e in written.metadata_props} == {e.key: e.value for e in model.metadata_props}
    assert {t.name: t.raw_data for t in written.graph.initializer} == {
        t.name: t.raw_data for t in model.graph.initializer
    }


def test_a_model_file_with_other_states_is_not_written_anew(tmp_path: Path, written: Path) -> None:
    model = onnx.load(written)
    states = next(entry for entry in model.metadata_props if entry.key == "states")
    states.value = states.value.replace("audio_tail", "tail_of_audio")
    onnx.save(model, tmp_path / "before.onnx")
    with pytest.raises(ModelError, match=r"before\.onnx: its states are not those"):
        export_again(tmp_path / "before.onnx", tmp_path / "after.onnx")
    assert not (tmp_path / "after.onnx").exists()


@pytest.mark.parametrize("version", ["1.2.0", "0.10.3-rc.1", "2.0.0+steps.2200"])
def test_a_model_has_a_version_of_its_own(version: str, tmp_path: Path) -> None:
    state = make_encoder(SMALL).state_dict()
    save_checkpoint(tmp_path, Checkpoint(300, TrainConfig(name="small", model=SMALL), "", state, state, []))
    assert export(tmp_path, tmp_path / "model.onnx", version=version).metadata.version == version


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.0", "1.2.0\n", "01.2.0", "1.2.0-", "300 steps"])
def test_a_version_of_another_form_is_refused(version: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not of the form MAJOR\.MINOR\.PATCH: give one like 1\.2\.0"):
        export(tmp_path, tmp_path / "model.onnx", version=version)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint"):
        export(tmp_path, tmp_path / "model.onnx")


def test_an_attention_that_cannot_stream_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'softmax'.*linear-causal"):
        export_encoder(Encoder(replace(SMALL, attention="softmax")), tmp_path / "model.onnx", DESCRIPTION)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("output", [".", "nowhere/model.onnx"])
def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path, output: str) -> None:
    with pytest.raises(ModelError, match=r"is a folder|no folder"):
        export_encoder(Encoder(SMALL), tmp_path / output, DESCRIPTION)


def test_a_description_must_be_complete(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="licence"):
        export_encoder(Encoder(SMALL), tmp_path / "model.onnx", Description("test", licence=""))


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "model.onnx"
    output.write_bytes(b"before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match="No space left on device"):
        export_small("fixed decay", output)
    assert [(path, path.read_bytes()) for path in tmp_path.iterdir()] == [(output, b"before")]


@pytest.mark.parametrize("change", [1e-2, float("nan")])
def test_a_file_that_disagrees_with_torch_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: float
) -> None:
    fill = exporter.fill

    def wrong(graph: onnx.ModelProto, weights: dict[str, torch.Tensor]) -> onnx.ModelProto:
        return fill(graph, weights | {"head.bias": weights["head.bias"] + change * torch.arange(40)})

    monkeypatch.setattr(exporter, "fill", wrong)
    with pytest.raises(ModelError, match=r"does not agree with torch for 3 streams in chunks of .* frames"):
        export_small("fixed decay", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def damage(path: Path, target: Path, what: str) -> Path:
    """A copy of a model file with one thing wrong."""
    model = onnx.load(path)
    metadata = {entry.key: entry for entry in model.metadata_props}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    match what:
        case "no configuration":
            model.metadata_props.remove(metadata["encoder"])
        case "damaged configuration":
            metadata["encoder"].value = "{"
        case "unknown configuration":
            metadata["encoder"].value = json.dumps({"widht": 3})
        case "another configuration":
            metadata["encoder"].value = json.dumps(to_dict(replace(SMALL, width=33)))
        case "no weight":
            model.graph.initializer.remove(weights["head.weight"])
        case "another type":
            weights["head.weight"].data_type = onnx.TensorProto.INT32
        case "truncated weight":
            weights["head.weight"].raw_data = weights["head.weight"].raw_data[:-4]
    target.write_bytes(model.SerializeToString())
    return target


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no configuration", "'encoder' is missing"),
        ("damaged configuration", "'encoder' is damaged"),
        ("unknown configuration", "unknown key widht"),
        ("another configuration", "but its configuration says"),
        ("no weight", r"head\.weight is missing"),
        ("another type", r"head\.weight is int32"),
        ("truncated weight", r"head\.weight is damaged"),
    ],
)
def test_weights_are_not_read_from_a_damaged_file(
    tmp_path: Path, written: Path, what: str, message: str
) -> None:
    path = damage(written, tmp_path / "damaged.onnx", what)
    with pytest.raises(ModelError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_are_not_read_from_files_that_are_not_ours(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read_weights(tmp_path / "missing.onnx")
    text = tmp_path / "text.onnx"
    text.write_text("This is no model.")
    with pytest.raises(ModelError, match="not an ONNX file"):
        read_weights(text)
    with pytest.raises(ModelError, match="not a Phonestream model"):
        read_weights(toy_model(tmp_path / "foreign.onnx", metadata={}))
    with pytest.raises(ModelError, match="'encoder' is missing"):
        read_weights(toy_model(tmp_path / "toy.onnx"))


def test_a_model_that_cannot_be_written_says_how_much_room_it_needs(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(ModelError, match=r"could not be written: Is a directory; .* with 1 MiB of room"):
        exporter._write(tmp_path / "model.onnx", bytes(1000))
