"""The paper's experiments run, each by its command, and what they compare is what they say it is."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from phonestream.asr.model.blocks import Block
from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.model.encoder import FRAME
from phonestream.asr.training.process import SETTINGS
from phonestream.kernels import State

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "paper"))

import copy_task
import digits
import figure1
import generation
import lsh
import memory
import records
import speech
import speech_encoders
import transformer

SMALL = EncoderConfig(
    mels=20, subsampling_width=16, width=16, layers=2, heads=2, head_width=8, feed_forward=32, convolution=0
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs an experiment's smoke test and gives what it printed."""
    monkeypatch.setenv("PHONESTREAM_CACHE", str(tmp_path / "cache"))
    for name, value in SETTINGS.items():  # else speech.py starts itself again
        monkeypatch.setenv(name, value)

    def run(module: ModuleType, *arguments: str | Path) -> str:
        options = ["--quick", "--output", tmp_path / "out", *arguments]
        monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, options)])
        module.main()
        return capsys.readouterr().out

    return run


def printed_rows(text: str) -> list[list[str]]:
    """Cells of all lines of Markdown tables, headings left out."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    rules = [index for index, line in enumerate(cells) if set(line) == {"---"}]
    return [line for index, line in enumerate(cells) if index not in rules and index + 1 not in rules]


@pytest.fixture
def corpus(tmp_path: Path, speech_dir: Path) -> Path:
    """The shipped recordings with something to train on."""
    folder = tmp_path / "corpus"
    shutil.copytree(speech_dir, folder)
    with (folder / "manifest.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    rows[0]["split"] = "train"
    text = "\n".join("\t".join(line) for line in [list(rows[0]), *(row.values() for row in rows)])
    (folder / "manifest.tsv").write_text(text + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("experiment", "pictures", "expected"),
    [
        (figure1, ["figure1"], ["64"]),
        (copy_task, ["copy"], ["softmax", "linear", "lsh-1", "lsh-4"]),
        (generation, ["generation", "digits"], [*["784"] * 5, "linear", "softmax"]),
        (speech, ["speech"], [row.name for row in speech.contestants(1, 1, 8, 16)]),
    ],
    ids=["figure1", "copy_task", "generation", "speech"],
)
def test_an_experiment_measures_every_row_and_draws_it(
    experiment: ModuleType,
    pictures: list[str],
    expected: list[str],
    run: Callable[..., str],
    tmp_path: Path,
    corpus: Path,
) -> None:
    printed = run(experiment, *(["--data", corpus] if experiment is speech else []))
    assert [line[0] for line in printed_rows(printed)] == expected
    for picture in pictures:
        assert (tmp_path / "out" / f"paper-{picture}.png").stat().st_size > 5000
    assert printed_rows(run(experiment, "--table")) == printed_rows(printed)


def test_an_experiment_goes_on_where_it_was_stopped(run: Callable[..., str]) -> None:
    first = run(copy_task, "--rows", "softmax")
    second = run(copy_task)
    assert "softmax: step" not in second
    assert printed_rows(second)[0] == printed_rows(first)[0]
    assert "softmax: step" in run(copy_task, "--again", "--rows", "softmax")


def test_an_experiment_is_one_command() -> None:
    done = subprocess.run(
        [sys.executable, copy_task.__file__, "--quick"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line[0] for line in printed_rows(done.stdout)] == ["softmax", "linear", "lsh-1", "lsh-4"]


def test_rows_of_other_settings_are_refused_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    records.Record(path, {"steps": 1}, ["name"]).add({"name": "a"})
    with pytest.raises(SystemExit, match=r"rows\.json: its rows were measured with steps = 1, now it is 2"):
        records.Record(path, {"steps": 2}, ["name"])
    settings, [row] = records.read(path)
    assert (settings, row["name"]) == ({"steps": 1}, "a")
    assert row.keys() == {"name", "date", "machine"}
    assert records.Record(path, {"steps": 2}, ["name"], again=True).find(name="a") is None


def test_a_row_measured_anew_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    record = records.Record(tmp_path / "rows.json", {}, ["name", "length"])
    for row in ({"name": "a", "length": 1, "x": 1}, {"name": "a", "length": 2, "x": 2}):
        record.add(row)
    record.add({"name": "a", "length": 1, "x": 3})
    found = record.find(name="a", length=1)
    assert found is not None
    assert found["x"] == 3
    assert len(records.read(tmp_path / "rows.json")[1]) == 2


def test_two_processes_may_add_rows_in_turn(tmp_path: Path) -> None:
    one, other = (records.Record(tmp_path / "rows.json", {}, ["name"]) for _ in range(2))
    one.add({"name": "a"})
    other.add({"name": "b"})
    assert one.find(name="b") is not None
    assert other.find(name="a") is not None


def test_table_without_measurements_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing was measured yet"):
        records.read(tmp_path / "none.json")


def allocate(mebibytes: int) -> Callable[[], object]:
    """For `peak_bytes`."""
    return lambda: np.ones(mebibytes * 2**17).sum()


def test_peak_memory_is_what_the_computation_took() -> None:
    assert 98 <= memory.peak_bytes(allocate, 100) / 2**20 <= 110  # the kernel counts in batches of pages


@pytest.mark.parametrize("time", [1, 7, 16, 40])
@pytest.mark.parametrize("causal", [False, True])
def test_lsh_takes_any_length_and_heeds_none_beyond(time: int, causal: bool) -> None:
    attention = lsh.Lsh(2, causal=causal, bucket=4)
    q, v = torch.randn(2, 2, 3, time + 5, 8)
    heard = torch.tensor([time, max(1, time - 3)])

    def attend(v: Tensor) -> Tensor:
        torch.manual_seed(3)  # the hashes
        y: Tensor = attention(q, v, heard)
        return y

    y = attend(v)
    changed = v.clone()
    for row, length in zip(changed, heard, strict=True):
        row[:, length:] = 9.0
    assert y.shape == v.shape
    for before, after, length in zip(y, attend(changed), heard, strict=True):
        torch.testing.assert_close(after[:, :length], before[:, :length])


@pytest.mark.parametrize("kind", ["softmax", "linear", "lsh-1", "lsh-4"])
def test_a_symbol_does_not_see_later_ones(kind: transformer.Kind) -> None:
    model = transformer.Transformer(
        symbols=5, outputs=5, length=24, width=16, layers=2, heads=2, kind=kind, bucket=4
    )
    symbols = torch.randint(5, (2, 24))
    changed = symbols.clone()
    changed[:, 15:] = (symbols[:, 15:] + 1) % 5
    outputs = []
    for sequence in (symbols, changed):
        torch.manual_seed(4)
        outputs.append(model(sequence)[:, :15])
    if kind.startswith("lsh"):  # later symbols share the buckets, but the first cannot but see itself alone
        torch.testing.assert_close(outputs[0][:, 0], outputs[1][:, 0])
    else:
        torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("kind", ["softmax", "linear"])
@pytest.mark.parametrize("columns", [None, 5])
def test_drawn_one_by_one_or_at_once_is_the_same(kind: transformer.Kind, columns: int | None) -> None:
    model = transformer.Transformer(
        symbols=7, outputs=4, length=33, width=16, layers=2, heads=2, kind=kind, columns=columns
    )
    symbols = torch.randint(7, (3, 33))
    past = model.start(3)
    rows = []
    for position in range(33):
        logits, past = model.step(symbols[:, position], position, past)
        rows.append(logits)
    torch.testing.assert_close(torch.stack(rows, dim=1), model(symbols), atol=1e-5, rtol=1e-4)


def test_lsh_has_nothing_to_carry() -> None:
    model = transformer.Transformer(symbols=4, outputs=4, length=8, width=8, layers=1, heads=1, kind="lsh-1")
    with pytest.raises(ValueError, match="lsh-1 attention cannot go on"):
        model.start(1)


def test_forgetting_at_every_chunk_is_to_begin_anew() -> None:
    ours, forgetful = Block(SMALL), speech_encoders.ForgetfulBlock(SMALL, 7)
    forgetful.load_state_dict(ours.state_dict())
    zeros = State(torch.zeros(2, 2, 8, 8), torch.zeros(2, 2, 8))
    x = torch.randn(2, 17, SMALL.width)
    with torch.no_grad():
        anew = torch.cat([ours(part, zeros, None)[0] for part in x.split(7, dim=1)], dim=1)
        torch.testing.assert_close(forgetful(x, zeros, None)[0], anew)


def test_the_lstm_ends_where_a_recording_does() -> None:
    encoder = speech_encoders.bi_lstm(8)(SMALL).eval()
    audio = 0.1 * torch.randn(2, 20 * FRAME)
    frames = torch.tensor([20, 12])
    changed = audio.clone()
    changed[1, 12 * FRAME :] = 0.3
    outputs = []
    for batch in (audio, changed):
        with torch.no_grad():
            outputs.append(encoder(batch, frames=frames)[0])
    torch.testing.assert_close(outputs[0][0], outputs[1][0])
    torch.testing.assert_close(outputs[0][1, :12], outputs[1][1, :12])


def test_all_rows_of_speech_learn() -> None:
    builds = [speech_encoders.lsh(2), speech_encoders.forgetful(4), speech_encoders.bi_lstm(8)]
    for build in builds:
        encoder = build(SMALL)
        encoder(0.1 * torch.randn(2, 8 * FRAME), frames=torch.tensor([8, 5]))[0].sum().backward()
        learnt = {name for name, p in encoder.named_parameters() if p.grad is not None and p.grad.any()}
        assert any(name.startswith("blocks.0") for name in learnt)
        assert "subsampling.first.weight" in learnt


def test_digits_are_kept_apart_and_have_sixteen_levels() -> None:
    learnt, kept = digits.small_digits()
    assert len(learnt) + len(kept) == 1797
    rng = np.random.default_rng(1)
    for image in (digits.enlarge(kept[0], None), digits.enlarge(learnt[0], rng)):
        assert image.shape == (784,)
        assert image.min() == 0
        assert 10 < image.max() < digits.LEVELS


def test_an_untrained_model_needs_what_a_guess_needs() -> None:
    model = digits.build("linear", width=16, layers=1, heads=2)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    assert digits.bits(model, torch.randint(16, (3, 784))) == pytest.approx(4.0)
