"""Pictures of speech: what is drawn is what `transcribe` hears, where it hears it, whatever stretch is asked for."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from toy_model import levels, toy_model

import phonestream
from phonestream.asr.lexicon.phones import PHONES
from phonestream.cli import main
from phonestream.commands.plot import hear_excerpt
from phonestream.errors import AudioError, ConfigError
from phonestream.formats.document import Interval
from phonestream.formats.phone_sets import PHONE_SETS
from phonestream.formats.picture import LABELS, Excerpt, _lay_out, draw, save
from phonestream.formats.picture_spectrogram import spectrogram
from phonestream.formats.tiling import tile
from phonestream.streaming.decode import Phone

RATE = 16_000


@pytest.fixture(scope="module")
def recognizer() -> phonestream.Recognizer:
    return phonestream.Recognizer(shipped_model())


def plot(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["plot", *map(str, arguments)])
    assert isinstance(leaving.value.code, int)
    return leaving.value.code


def excerpt(phones: list[Phone], seconds: float = 2.0) -> Excerpt:
    rng = np.random.default_rng(1)
    return Excerpt(
        title="an $unusual^ name\n",
        samples=rng.normal(0, 0.1, int(seconds * RATE)).astype(np.float32),
        rate=RATE,
        start=0.0,
        phones=tuple(phones),
        intervals=tuple(Interval(*phone[:4]) for phone in phones),
        posteriors=rng.dirichlet(np.full(39, 0.05), int(seconds / 0.04)).astype(np.float32),
        symbols=PHONES,
        first_row=0.0,
        row_seconds=0.04,
    )


def test_a_stretch_holds_what_the_whole_recording_holds_there(recognizer, recordings: list[Path]):
    samples, rate = soundfile.read(recordings[0], dtype="float32")
    phones = recognizer.transcribe(samples, rate)
    rows = np.delete(np.exp(recognizer.log_probs(samples, rate)), recognizer.metadata.blank, axis=1)
    meta = recognizer.metadata
    for start, end in ((0.0, 8.92), (1.5, 3.25), (7.0, 20.0)):
        found, _, _ = hear_excerpt(recognizer, str(recordings[0]), start, end)
        until = min(end, len(samples) / rate)
        assert found.phones == tuple(p for p in phones if p.end > start and p.start < until)
        assert np.array_equal(found.samples, samples[round(start * rate) : round(until * rate)])
        tiled = [interval for interval in tile(phones, len(samples) / rate) if interval.symbol]
        assert list(found.intervals) == [p for p in tiled if p.end > start and p.start < until]
        first = round((found.first_row + meta.time_offset_seconds) / meta.row_seconds)
        assert found.first_row <= start + 1e-9 or first == 0
        assert np.allclose(found.posteriors, rows[first : first + len(found.posteriors)], atol=1e-4)
        last = found.first_row + len(found.posteriors) * meta.row_seconds
        assert last >= until - meta.row_seconds or first + len(found.posteriors) == len(rows)


def test_a_long_recording_is_drawn_in_part_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    toy = toy_model(tmp_path / "toy.onnx")
    soundfile.write(tmp_path / "long.wav", levels(*[0, 1, 0, 2] * 250), RATE)  # 40 s
    assert plot(tmp_path / "long.wav", "--model", toy) == 0
    out, err = capsys.readouterr()
    assert out.startswith("long.png: 0.00 to 10.00 s, ")
    assert "longer than 15 s, so the first 10 s are drawn" in err
    assert (tmp_path / "long.png").read_bytes().startswith(b"\x89PNG")

    assert plot(tmp_path / "long.wav", "--model", toy, "--start", "38", "--output", "end.svg") == 0
    out, err = capsys.readouterr()
    assert out.startswith("end.svg: 38.00 to 40.00 s, ")
    assert err == ""

    (tmp_path / "end.svg").write_text("mine")
    again = ("--model", toy, "--start", "38", "--output", "end.svg")
    assert plot(tmp_path / "long.wav", *again) == 1
    assert "end.svg: exists already; --overwrite replaces it" in capsys.readouterr().err
    assert (tmp_path / "end.svg").read_text() == "mine"
    assert plot(tmp_path / "long.wav", *again, "--overwrite") == 0
    assert "<svg" in (tmp_path / "end.svg").read_text("utf-8")
    capsys.readouterr()

    recognizer = phonestream.Recognizer(toy)
    assert hear_excerpt(recognizer, str(tmp_path / "long.wav"), 0, 1000)[0].end == 40.0
    soundfile.write(tmp_path / "longer.wav", np.zeros(70 * RATE), RATE)
    with pytest.raises(ConfigError, match="do not fit into a picture"):
        hear_excerpt(recognizer, str(tmp_path / "longer.wav"), 0, 1000)
    with pytest.raises(AudioError, match=r"ends at 40\.00 s; give a --start"):
        hear_excerpt(recognizer, str(tmp_path / "long.wav"), 40, None)


def test_the_picture_names_the_phones_in_the_asked_alphabet(
    recognizer, recordings: list[Path], tmp_path: Path
):
    found, _, _ = hear_excerpt(recognizer, str(recordings[1]), 0, None)
    for phone_set, names in PHONE_SETS.items():
        path = tmp_path / f"{phone_set}.svg"
        save(draw(found, phone_set=phone_set), path, 100)
        text = path.read_text("utf-8")
        ElementTree.fromstring(text)
        assert len(found.intervals) == len(found.phones)
        for phone in found.phones:  # matplotlib writes each text beside its outline
            assert f"<!-- {names[phone.symbol]} -->" in text


def test_the_same_picture_is_the_same_bytes(tmp_path: Path):
    phones = [Phone("AH", 0.1, 0.14, 0.9), Phone("T", 0.14, 0.2, 0.2)]
    for suffix in ("png", "svg", "pdf"):
        for name in ("a", "b"):
            save(draw(excerpt(phones)), tmp_path / f"{name}.{suffix}", 80)
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@given(st.lists(st.tuples(st.floats(0, 15), st.sampled_from(PHONES)), max_size=250).map(sorted))
@settings(deadline=None, max_examples=30)
def test_no_label_covers_another(spots: list[tuple[float, str]]):
    phones = [Phone(symbol, at, at, 0.5) for at, symbol in spots]
    size, lanes = _lay_out(excerpt(phones, 15.0), [symbol for _, symbol in spots], 14.0)
    assert size in LABELS
    reached: dict[int, float] = {}
    for (at, symbol), lane in zip(spots, lanes, strict=True):
        centre, half = at * 14 / 15, len(symbol) * 0.68 * size / 72 / 2
        assert centre - half >= reached.get(lane, -1.0)
        reached[lane] = centre + half


def test_awkward_sounds_can_be_drawn(tmp_path: Path):
    toy = toy_model(tmp_path / "toy.onnx")
    sounds = {
        "one": (np.full(1, 0.5), 16_000),
        "silence": (np.zeros(8000), 8_000),
        "stereo": (np.random.default_rng(1).normal(0, 0.1, (48_000, 2)), 96_000),
    }
    for name, (samples, rate) in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, rate)
        assert plot(tmp_path / f"{name}.wav", "--model", toy, "--output", tmp_path / f"{name}.png") == 0
    save(draw(excerpt([], 0.5)), tmp_path / "none.png", 50)


def test_a_tone_stands_at_its_time_and_frequency():
    times = np.arange(RATE) / RATE
    tone = np.where((times > 0.25) & (times < 0.5), np.sin(2 * np.pi * 3000 * times), 0).astype(np.float32)
    level, top = spectrogram(tone, RATE, 500)
    row, column = np.unravel_index(level.argmax(), level.shape)
    assert top == 8000
    assert abs(row / (len(level) - 1) * 8000 - 3000) < 100
    assert 0.25 < (column + 0.5) / level.shape[1] < 0.5
    assert level[:, : int(0.24 * level.shape[1])].max() == 0
    assert spectrogram(np.zeros(100, np.float32), RATE, 50)[0].max() == 0


def test_a_wrong_call_writes_nothing(
    recordings: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    toy = toy_model(tmp_path / "toy.onnx")
    calls: list[tuple[list[str | Path], int, str]] = [
        ([tmp_path / "none.wav"], 1, "no such file"),
        ([recordings[0], "--output", tmp_path / "a.txt"], 1, "ends in one of .png, .svg, .pdf"),
        ([recordings[0], "--output", tmp_path / "no" / "a.png"], 1, "cannot be written: No such file"),
        ([recordings[0], "--phones", "sampa"], 1, "unknown phone set 'sampa'"),
        ([recordings[0], "--start", "3", "--end", "2"], 2, "2 is not after --start 3"),
        ([recordings[0], "--start", "100"], 1, "give a --start before that"),
        ([recordings[0], "--start", "nan"], 2, "--start"),
    ]
    for arguments, status, message in calls:
        output = [] if "--output" in arguments else ["--output", tmp_path / "out.png"]
        assert plot(*arguments, *output, "--model", toy) == status
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
        assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.onnx"]


def test_without_matplotlib_the_extra_is_named(recordings: list[Path], tmp_path: Path):
    code = "import sys; sys.modules['matplotlib'] = None; from phonestream.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "plot", recordings[0]],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "pip install 'phonestream[" in result.stderr
    assert result.stderr.count("\n") == 1
