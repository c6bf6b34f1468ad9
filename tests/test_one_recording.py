"""One recording never costs another, and what a person should know of one that is heard is told."""

import gzip
import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile
from toy_model import toy_model

from phonestream.batch.entries import Failure, Source
from phonestream.batch.manifests import read_manifest
from phonestream.batch.output import new_output
from phonestream.batch.output_folder import output_folder
from phonestream.batch.sources import expand
from phonestream.cli import main
from phonestream.errors import AudioError
from phonestream.streaming.audio.channels import MixLevel
from phonestream.streaming.audio.containers.magic import container_name
from phonestream.streaming.audio.files import open_audio

RATE = 16_000


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model(tmp_path_factory.mktemp("toy") / "toy.onnx")


def test_what_a_decoder_raises_is_one_line_and_the_others_are_heard(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.wav", "bad.wav", "c.wav"):
        soundfile.write(tmp_path / name, np.zeros(RATE), RATE)
    original = soundfile.SoundFile.read

    def read(self: soundfile.SoundFile, *arguments: object, **options: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 2:
            raise RecursionError("deep\nwithin")
        return original(self, *arguments, **options)

    calls: list[int] = []
    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    names = sorted(tmp_path.glob("*.wav"))
    status = run("transcribe", "--model", toy, "--decoder", "greedy", "--format", "json", *names)
    out, err = capfd.readouterr()
    assert status == 1
    assert len(out.splitlines()) == 2
    assert "bad.wav: cannot be read (RecursionError: deep within)" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("pattern", ["", "/*.wav", "/**/*.wav"])
def test_a_folder_with_pipes_and_links_to_themselves_is_searched_to_its_end(
    pattern: str, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "good.wav", np.zeros(RATE), RATE)
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "self.wav").symlink_to(tmp_path / "self.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "loop").symlink_to(tmp_path)
    entries = list(expand([f"{tmp_path}{pattern}"]))
    assert [entry.path for entry in entries if isinstance(entry, Source)] == [str(tmp_path / "good.wav")]
    reasons = [entry.reason for entry in entries if isinstance(entry, Failure)]
    assert [reason.partition(":")[0] for reason in reasons] == [
        str(tmp_path / name) for name in ("gone.wav", "pipe.wav", "self.wav")
    ]


@pytest.mark.parametrize("channels", ["[{}]", "[null]", '["0"]', "{}", "0", "[[0]]", "[true]"])
def test_a_row_with_channels_of_another_kind_is_that_row_s_failure(channels: str, tmp_path: Path) -> None:
    path = tmp_path / "cuts.jsonl"
    row = (
        '{"type": "MonoCut", "id": "a", "start": 0, "duration": 1, "channel": 0, "recording": '
        '{"id": "r", "sources": [{"type": "file", "channels": %s, "source": "a.wav"}]}}'
    )
    path.write_text(row % channels + "\n" + row % "[0]" + "\n")
    bad, good = read_manifest(str(path))
    assert isinstance(bad, Failure)
    assert bad.reason.startswith(f"{path}:1: ")
    assert isinstance(good, Source)


def test_an_id_within_the_folder_of_unfinished_results_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wav.scp"
    path.write_text(".phonestream/a a.wav\n./.phonestream/b a.wav\n")
    assert all(isinstance(entry, Failure) for entry in read_manifest(str(path)))


def test_dots_in_a_name_are_part_of_it(tmp_path: Path) -> None:
    """Only an ending that says the format goes, so that no two recordings have one result."""
    stems = {}
    for name in ("rec.2024.01.05", "rec.2024.01.06", "a.b.WAV", "c.opus", "d"):
        (entry,) = expand([str(tmp_path / name)])
        assert isinstance(entry, Source)
        stems[name] = entry.stem
    assert stems == {
        "rec.2024.01.05": "rec.2024.01.05", "rec.2024.01.06": "rec.2024.01.06", "a.b.WAV": "a.b", "c.opus": "c",
        "d": "d",
    }  # fmt: skip


@pytest.mark.parametrize("how", ["--overwrite", "--resume"])
def test_no_result_takes_the_place_of_what_is_read(
    how: str, toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    (tmp_path / "link").symlink_to(tmp_path)
    for listed, first in [("a.txt", "a.wav"), ("b.txt", "link/b.txt")]:
        target = tmp_path / listed
        target.write_text(str(tmp_path / "a.wav")) if listed == "a.txt" else soundfile.write(
            target, np.zeros(RATE), RATE, format="WAV"
        )
        before = target.read_bytes()
        names = ["--list", target] if listed == "a.txt" else [tmp_path / first, tmp_path / "link/b.wav"]
        assert run("transcribe", "--model", toy, how, "--output", tmp_path, *names) == 1
        assert "is read, and a result would be written to it" in capfd.readouterr().err
        assert target.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "transcribe a.wav --failures a.wav", "transcribe --list l.txt --output out --failures l.txt",
        "transcribe --list l.txt --output l.txt", "align a.wav a.txt --output a.txt",
        "align a.wav a.txt --output link.wav --format json", "spot a.wav --list l.txt --output l.txt --format csv",
        "spot --tune . --list l.txt --output l.txt", "spot --tune . --keyword yes --output a.txt",
    ],
)  # fmt: skip
def test_no_file_that_is_written_takes_the_place_of_what_is_read(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", np.zeros(RATE), RATE)
    Path("link.wav").symlink_to("a.wav")
    Path("a.txt").write_text("yes")
    Path("l.txt").write_text("a.wav")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    overwrite = ["--overwrite"] if "--output" in command else []
    assert run(*command.split(), *overwrite) == 1
    assert "is read, and a result would be written to it; give " in capfd.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_packed_row_without_end_needs_little_memory(tmp_path: Path) -> None:
    path, packed = tmp_path / "cuts.jsonl", tmp_path / "cuts.jsonl.gz"
    good = b'{"id": "a", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}]}\n'
    path.write_bytes(b" " * (48 << 20) + b"\n" + b"{}\n" * 5000 + good)
    with gzip.open(packed, "wb", 1) as file:
        file.writelines([good * 2, *(b" " * (1 << 20) for _ in range(20)), b"\n", good * 1000])
    tracemalloc.start()
    long, *wrong, entry, more = read_manifest(str(path))
    first, _, bomb = read_manifest(str(packed))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(long, Failure)
    assert long.reason.startswith(f"{path}:1: is longer than ")
    assert isinstance(entry, Source)
    assert isinstance(first, Source)
    assert isinstance(bomb, Failure)
    assert "it unpacks to more than 100 times its size" in bomb.reason
    assert isinstance(more, Failure)
    assert len(wrong) < 1000
    assert "more rows are wrong" in more.reason
    assert most < 24 << 20


def test_a_pattern_does_not_follow_links_round_and_round(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "x.wav", np.zeros(10), RATE)
        for other in ("a", "b"):
            (tmp_path / folder / f"to-{other}").symlink_to(tmp_path / other)
    found = [entry.path for entry in expand([str(tmp_path / "**/*.wav")]) if isinstance(entry, Source)]
    below = {str(Path(path).relative_to(tmp_path)) for path in found}
    assert below == {"a/x.wav", "b/x.wav", "a/to-b/x.wav", "b/to-a/x.wav"}


def test_a_name_that_no_file_can_have_is_its_row_s_failure(tmp_path: Path) -> None:
    path = tmp_path / "cuts.jsonl"
    row = '{"id": "%s", "sources": [{"type": "file", "channels": [0], "source": "%s"}]}\n'
    path.write_text(row % ("\\ud800", "a.wav") + row % ("a", "\\ud800.wav") + row % ("a", "\\udcff.wav"))
    one, other, good = read_manifest(str(path))
    assert isinstance(one, Failure)
    assert isinstance(other, Failure)
    assert isinstance(good, Source)
    assert (one.reason + other.reason).isascii()


def test_runs_into_one_folder_leave_each_other_s_unfinished_results_alone(toy: Path, tmp_path: Path) -> None:
    mine, other = new_output(str(tmp_path)), new_output(str(tmp_path))
    sink = output_folder(other).sink("a")
    sink.open(None, "txt").write(b"whole")
    output_folder(mine).sink("b").open(None, "txt")
    killed = Path(tmp_path, ".phonestream", f"{other.run.partition('-')[0]}-{2**22 + 1}-1700000000-0123abcd")
    killed.mkdir()
    output_folder(mine).clean()
    assert [path.name for path in (tmp_path / ".phonestream").iterdir()] == [other.run]
    sink.commit()
    output_folder(other).clean()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_container_where_bare_samples_are_expected_is_refused(toy: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros(RATE), RATE)
    flac = (tmp_path / "a.flac").read_bytes()
    for data, kind in [
        (flac, "FLAC"), (b"\x1aE\xdf\xa3" + bytes(100), "WebM or Matroska"), (b"OggS" + bytes(100), "Ogg"),
        (bytes(4) + b"ftypM4A " + bytes(100), "MP4"), (b"RIFF" + bytes(100), "WAV"), (bytes(100), None),
    ]:  # fmt: skip
        assert container_name(data) == kind
    command = [sys.executable, "-m", "phonestream", "transcribe", "--model", toy, "-", "--rate", "48000"]
    result = subprocess.run(command, input=flac, capture_output=True)
    assert result.returncode == 1
    assert b"is a FLAC" in result.stderr


def test_a_pipe_that_there_is_no_room_for_is_one_line(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=(bytes(60_000),))
    writer.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(AudioError) as caught:
            open_audio(pipe)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.join()
    assert str(caught.value).startswith(f"{pipe}: cannot be kept in ")
    assert "make room" in str(caught.value)


def run(*arguments: object) -> int:
    """The command line's exit status."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


def sine(frequency: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "told"),
    [
        (lambda a, b: [a, -a], True), (lambda a, b: [a, -0.98 * a], True), (lambda a, b: [a, -a, b, -b], True),
        (lambda a, b: [a, a], False), (lambda a, b: [a, b], False), (lambda a, b: [a, 0 * a], False),
        (lambda a, b: [a], False), (lambda a, b: [0 * a, 0 * a], False), (lambda a, b: [a, -a, b, b], False),
    ],
    ids=["inverted", "nearly", "four", "same", "unrelated", "one-silent", "mono", "silent", "half"],
)  # fmt: skip
def test_channels_that_cancel_are_told(
    channels: Callable[[np.ndarray, np.ndarray], list[np.ndarray]],
    told: bool,
    toy: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    samples = np.stack(channels(sine(300), sine(441)), axis=1)
    level = MixLevel()
    for piece in np.array_split(samples, 7):
        level = level.add(piece)
    assert level.cancelled is told
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert run("transcribe", "--model", toy, "--decoder", "greedy", tmp_path / "a.wav") == 0
    error = capfd.readouterr().err
    assert (f"{tmp_path / 'a.wav'}: its {samples.shape[1]} channels cancel" in error) is told


@pytest.mark.parametrize("command", ["align", "align-folder", "plot", "spot", "spot-tune", "spot-commands"])
def test_every_command_tells_what_a_person_should_know(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "in" / "a.wav"
    file.parent.mkdir()
    soundfile.write(file, np.stack([sine(300), -sine(300)], axis=1), RATE, subtype="FLOAT")
    file.with_suffix(".txt").write_text("yes")
    arguments = {
        "align": [file, "--text", "yes", "--no-refuse"],
        "align-folder": [file.parent, "--output", tmp_path / "out", "--no-refuse"],
        "plot": [file, "--output", tmp_path / "a.svg"],
        "spot": [file, "--keyword", "yes"],
        "spot-commands": ["--commands", file.with_suffix(".txt"), file],
        "spot-tune": ["--tune", file.parent, "--keyword", "yes"],
    }[command]
    run(command.partition("-")[0], *arguments)
    assert f"phonestream: {file}: its 2 channels cancel" in capfd.readouterr().err
