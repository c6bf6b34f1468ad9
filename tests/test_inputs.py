"""What can be named on the command line: files, folders, patterns, lists, manifests, raw samples, channels."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording, RecordingSet
from praatio.textgrid import openTextgrid
from toy_model import levels, toy_model

from phonestream.batch.entries import Entry, Failure, Source
from phonestream.batch.manifests import read_manifest
from phonestream.batch.sources import expand, read_list
from phonestream.batch.transcription import transcribe_source
from phonestream.cli import main
from phonestream.errors import AudioError, DataError
from phonestream.streaming.audio.files import AudioFile, open_audio
from phonestream.streaming.recognizer import Recognizer

RATE = 16_000


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model(tmp_path_factory.mktemp("toy") / "toy.onnx")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with corpus/ in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.wav", "a/2.FLAC", "a/1.wav", "a/deep/3.opus", "a/notes.txt", ".hidden/4.wav", "a/.5.wav"):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "corpus"


def paths(entries: list[Entry]) -> list[str]:
    assert all(isinstance(entry, Source) for entry in entries), entries
    return [entry.path for entry in entries if isinstance(entry, Source)]


def stems(*names: str, root: str | None = None) -> list[str]:
    return [entry.stem for entry in expand(names, root=root) if isinstance(entry, Source)]


def reasons(entries: list[Entry]) -> list[str]:
    return [entry.reason for entry in entries if isinstance(entry, Failure)]


@pytest.fixture
def transcribe(toy: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., list[dict]]:
    """The lines of JSON for some arguments, all of which must be heard."""

    def run(*arguments: str | Path) -> list[dict]:
        with pytest.raises(SystemExit) as leaving:
            main(["transcribe", "--model", str(toy), "-f", "JSON", *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        assert (leaving.value.code, err) == (0, b"")
        return [json.loads(line) for line in out.splitlines()]

    return run


def symbols(result: dict) -> str:
    return "".join(phone["symbol"] for phone in result["phones"])


# Names


def test_a_folder_stands_for_the_recordings_below_it_sorted(corpus: Path) -> None:
    assert paths(list(expand(["corpus"]))) == [
        "corpus/a/1.wav", "corpus/a/2.FLAC", "corpus/a/deep/3.opus", "corpus/b.wav"
    ]  # fmt: skip
    assert stems("corpus") == ["a/1", "a/2", "a/deep/3", "b"]
    assert stems("corpus/a/") == ["1", "2", "deep/3"]


def test_links_are_followed_but_never_round_and_round(corpus: Path) -> None:
    (corpus / "a/deep/loop").symlink_to(corpus)
    (corpus / "again").symlink_to(corpus / "a")
    assert stems("corpus") == ["a/1", "a/2", "a/deep/3", "again/1", "again/2", "again/deep/3", "b"]


def test_patterns_are_expanded_as_a_shell_would(corpus: Path) -> None:
    assert paths(list(expand(["corpus/a/*.wav", "corpus/b.*"]))) == ["corpus/a/1.wav", "corpus/b.wav"]
    assert stems("corpus/**/*.[wo]*") == ["a/1", "a/deep/3", "b"]
    (corpus / "odd[1].wav").touch()
    assert paths(list(expand(["corpus/odd[1].wav"]))) == ["corpus/odd[1].wav"]


def test_results_can_mirror_the_tree_below_any_folder(corpus: Path) -> None:
    assert stems("corpus/a/1.wav", "corpus/b.wav") == ["1", "b"]
    assert stems("corpus/a/1.wav", "corpus/a", root="corpus") == ["a/1", "a/1", "a/2", "a/deep/3"]
    assert stems(str(corpus / "a/1.wav"), root="corpus") == ["a/1"]
    (reason,) = reasons(list(expand(["corpus/b.wav"], root="corpus/a")))
    assert reason.startswith("corpus/b.wav: is not below corpus/a")


def test_folders_without_recordings_or_that_cannot_be_read_are_named(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (corpus / "a/empty").mkdir()
    (reason,) = reasons(list(expand(["corpus/a/empty"])))
    assert reason.startswith("corpus/a/empty: is a folder that holds no recordings")
    real = os.scandir

    def refuse(path: str) -> object:  # as root, who runs tests in containers, one may read everything
        if path.endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("os.scandir", refuse)
    entries = list(expand(["corpus"]))
    assert reasons(entries) == [
        "corpus/a/deep: the folder cannot be read: Permission denied; change its permissions"
    ]
    assert len(entries) == 4


@pytest.mark.parametrize(
    "content",
    [b"one.wav\ntwo words.wav\n", b"one.wav\r\n\r\ntwo words.wav", b"one.wav\0two words.wav\0"],
    ids=["lines", "Windows", "null characters"],
)
def test_lists(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(content)
    assert read_list(str(tmp_path / "list")) == ["one.wav", "two words.wav"]


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n\n")
    for name in ("empty", "missing", "."):
        with pytest.raises(DataError, match=re.escape(f"{tmp_path / name}: the list ")):
            read_list(str(tmp_path / name))


def test_a_list_on_standard_input_is_the_same_as_arguments(
    recordings: list[Path], transcribe: Callable[..., list[dict]], toy: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "phonestream",
        "transcribe",
        "--model",
        toy,
        "--format",
        "json",
        "--list",
        "-",
    ]
    listing = "".join(f"{path}\n" for path in recordings[:2])
    result = subprocess.run(command, input=listing, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in result.stdout.splitlines()] == transcribe(*recordings[:2])


# Manifests


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    """The toy's phones A, B, C, D on the left, and E on the right; 0.6 s each of the left."""
    left = levels(1, 2, 3, 4, samples=9600)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, np.full_like(left, 0.05)], axis=1), RATE, subtype="FLOAT")
    return path


def test_lhotse_cuts_are_heard_where_and_as_long_as_they_say(
    stereo: Path, tmp_path: Path, transcribe: Callable[..., list[dict]]
) -> None:
    recording = Recording.from_file(stereo, recording_id="talk")
    cuts = [
        MonoCut("second", start=0.6, duration=0.6, channel=0, recording=recording),
        MonoCut("right", start=0.0, duration=1.2, channel=1, recording=recording),
        MonoCut("last two", start=1.2, duration=1.2, channel=0, recording=recording),
    ]
    manifest = tmp_path / "cuts.jsonl.gz"
    CutSet(cuts).to_file(manifest)
    results = transcribe(manifest)
    assert [(result["file"], result["seconds"], symbols(result)) for result in results] == [
        ("second", 0.6, "B"),
        ("right", 1.2, "E"),
        ("last two", 1.2, "CD"),
    ]
    assert all(0 <= phone["end"] <= result["seconds"] for result in results for phone in result["phones"])


def test_lhotse_recordings_are_heard_whole(
    stereo: Path, tmp_path: Path, transcribe: Callable[..., list[dict]]
) -> None:
    RecordingSet([Recording.from_file(stereo, recording_id="talk/1")]).to_file(tmp_path / "recordings.jsonl")
    manifest = tmp_path / "recordings.jsonl"
    assert [entry.stem for entry in read_manifest(str(manifest)) if isinstance(entry, Source)] == ["talk/1"]
    first, second = transcribe("--channel", "each", manifest)
    assert (first["file"], first["channel"], symbols(first)) == ("talk/1", 1, "ABCD")
    assert (second["file"], second["channel"], symbols(second)) == ("talk/1", 2, "E")


def test_kaldi_s_wav_scp(stereo: Path, tmp_path: Path, transcribe: Callable[..., list[dict]]) -> None:
    (tmp_path / "wav.scp").write_text(f"utt1 {stereo}\nutt2\t{stereo} \n")
    assert [result["file"] for result in transcribe(tmp_path / "wav.scp")] == ["utt1", "utt2"]


GOOD = {"id": "a", "sampling_rate": 16000, "sources": [{"type": "file", "channels": [0], "source": "a.wav"}]}
CUT = {"id": "a", "type": "MonoCut", "start": 0, "duration": 1, "channel": 0, "recording": GOOD}
WRONG = {
    "is not JSON": "{",
    "is no object": "[1]",
    "is a MixedCut": json.dumps(CUT | {"type": "MixedCut"}),
    "has no 'sources'": json.dumps({"id": "a", "recording_id": "b", "start": 0, "duration": 1}),
    "without a recording": json.dumps({key: CUT[key] for key in CUT if key != "recording"}),
    "'start' -1": json.dumps(CUT | {"start": -1}),
    "'duration' 'long'": json.dumps(CUT | {"duration": "long"}),
    "'duration' 0": json.dumps(CUT | {"duration": 0}),
    "'channel' True": json.dumps(CUT | {"channel": True}),
    "no single file with its channel 1": json.dumps(CUT | {"channel": 1}),
    "transforms": json.dumps(GOOD | {"transforms": [{"name": "Speed"}]}),
    "of type 'command'": json.dumps(GOOD | {"sources": [{"type": "command", "source": "rm -rf /"}]}),
    "in 2 files": json.dumps(GOOD | {"sources": GOOD["sources"] * 2}),
    "'sources' 7": json.dumps(GOOD | {"sources": 7}),
    "'id' ''": json.dumps(GOOD | {"id": ""}),
    "below the output folder": json.dumps(GOOD | {"id": "../a"}),
}  # fmt: skip


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_a_row_that_is_wrong_is_named_with_its_number_and_costs_no_other(
    zipped: bool, tmp_path: Path
) -> None:
    lines = [json.dumps(GOOD)]
    for line in WRONG.values():
        lines += [line, json.dumps(GOOD)]
    content = "\n".join(lines).encode() + b"\n\xff\n"
    manifest = tmp_path / ("all.jsonl.gz" if zipped else "all.jsonl")
    manifest.write_bytes(gzip.compress(content) if zipped else content)
    entries = list(read_manifest(str(manifest)))
    assert sum(isinstance(entry, Source) for entry in entries) == len(WRONG) + 1
    found = reasons(entries)
    for number, (words, reason) in enumerate(zip([*WRONG, "not UTF-8"], found, strict=True), start=1):
        assert reason.startswith(f"{manifest}:{2 * number}: "), reason
        assert words in reason


def test_what_kaldi_would_run_is_not_run(tmp_path: Path) -> None:
    manifest = tmp_path / "wav.scp"
    manifest.write_text("a sph2pipe -f wav a.sph |\nb b.ark:15\nc\nd d.wav\n")
    entries = list(read_manifest(str(manifest)))
    assert isinstance(entries[3], Source)
    for number, (words, reason) in enumerate(
        zip(["is a command", "archive", "no path"], reasons(entries), strict=True), 1
    ):
        assert reason.startswith(f"{manifest}:{number}: ")
        assert words in reason


def test_manifests_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    whole = gzip.compress(b"\n".join([json.dumps(GOOD).encode()] * 5000))
    (tmp_path / "half.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jsonl.gz").write_text("text")
    for name in ("empty.jsonl", "half.jsonl.gz", "text.jsonl.gz", "missing.scp"):
        *_, reason = reasons(list(read_manifest(str(tmp_path / name))))
        assert reason.startswith(f"{tmp_path / name}: the manifest ")


def test_a_part_that_the_recording_does_not_have(stereo: Path, toy: Path) -> None:
    recognizer = Recognizer(toy)
    source = Source("x", str(stereo), "x", where="cuts.jsonl:7: ", start=1.5, seconds=1.5)
    with pytest.raises(
        AudioError, match=r"^cuts\.jsonl:7: .*: ends at 2\.40 s, and the row wants 1\.50 to 3\.00 s"
    ):
        transcribe_source(source, recognizer)
    with pytest.raises(AudioError, match="holds no samples from 9"):
        transcribe_source(Source("x", str(stereo), "x", start=9.0, seconds=1.0), recognizer)
    with pytest.raises(AudioError, match="has 2 channels, and the row wants number 3"):
        transcribe_source(Source("x", str(stereo), "x", columns=(2,)), recognizer)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_a_part_has_the_samples_of_the_whole(ending: str, recordings: list[Path], tmp_path: Path) -> None:
    samples, _ = soundfile.read(recordings[0], dtype="float32")
    soundfile.write(tmp_path / f"x.{ending}", samples, RATE)
    with AudioFile(tmp_path / f"x.{ending}") as audio:
        whole = np.concatenate(list(audio.blocks()))
        for start, stop in [(0, 10), (12_345, 12_346), (1, None), (len(whole) - 5, len(whole) + 5), (7, 7)]:
            part = np.concatenate([np.empty((0, 1), np.float32), *audio.blocks(start, stop)])
            np.testing.assert_array_equal(part, whole[start:stop])
        assert list(audio.blocks(len(whole) + 1)) == []


# Channels


def test_channels_are_mixed_chosen_or_each_on_its_own(
    stereo: Path, transcribe: Callable[..., list[dict]], tmp_path: Path
) -> None:
    left, right = transcribe("--channel", "each", stereo)
    assert list(left) == ["file", "channel", "seconds", "phones"]
    assert (symbols(left), symbols(right)) == ("ABCD", "E")
    assert transcribe("--channel", "2", stereo) == [right]
    mixed = tmp_path / "mixed.wav"
    soundfile.write(mixed, soundfile.read(stereo)[0].mean(axis=1), RATE, subtype="FLOAT")
    (expected,), (mix,) = transcribe(mixed), transcribe(stereo)
    assert mix == expected | {"file": str(stereo)}
    assert "channel" not in mix


def test_channels_are_tiers_of_one_textgrid(stereo: Path, toy: Path, tmp_path: Path) -> None:
    command = [
        "transcribe",
        "--model",
        str(toy),
        "--output",
        str(tmp_path / "out"),
        "-f",
        "TextGrid",
        str(stereo),
    ]
    for channel in ("each", "tiers"):
        with pytest.raises(SystemExit) as leaving:
            main([*command, "--channel", channel])
        assert leaving.value.code == 0
    together = openTextgrid(str(tmp_path / "out/stereo.TextGrid"), includeEmptyIntervals=True)
    assert together.tierNames == ("phones 1", "phones 2")
    for number in (1, 2):
        alone = openTextgrid(str(tmp_path / f"out/stereo.{number}.TextGrid"), includeEmptyIntervals=True)
        assert together.getTier(f"phones {number}").entries == alone.getTier("phones").entries
    with pytest.raises(SystemExit):
        main([*command, "--channel", "tiers", "-f", "csv"])


def test_a_channel_that_is_not_there_is_named(stereo: Path, toy: Path) -> None:
    with pytest.raises(AudioError, match="has 2 channels, and number 3 was asked for"):
        transcribe_source(Source("x", str(stereo), "x"), Recognizer(toy), channel=3)


# Standard input


def piped(toy: Path, data: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [
        sys.executable,
        "-m",
        "phonestream",
        "transcribe",
        "--model",
        str(toy),
        "--format",
        "json",
        *options,
    ]
    return subprocess.run(command, input=data, capture_output=True)


@pytest.mark.parametrize(("encoding", "scale", "kind"), [("s16le", 32768, "<i2"), ("f32le", 1, "<f4")])
def test_samples_without_a_header(encoding: str, scale: int, kind: str, toy: Path) -> None:
    audio = np.stack([levels(1, 2, 3, 4, samples=9600), levels(5, 5, 5, 5, samples=9600)], axis=1)
    data = (audio * scale).astype(kind).tobytes()
    result = piped(
        toy, data, "-", "--rate", "16000", "--encoding", encoding, "--channels", "2", "--channel", "each"
    )
    left, right = map(json.loads, result.stdout.splitlines())
    assert (left["file"], left["seconds"]) == ("-", 2.4)
    assert (symbols(left), symbols(right)) == ("ABCD", "E")


def test_standard_input_may_be_a_file_with_a_header(stereo: Path, toy: Path) -> None:
    (result,) = map(json.loads, piped(toy, stereo.read_bytes(), "-", "--channel", "1").stdout.splitlines())
    assert symbols(result) == "ABCD"


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "holds no samples"), (b"\0" * 5, "ends within a sample after 0.00 s")],
    ids=["nothing", "half a sample"],
)
def test_samples_that_are_not_whole_are_refused(data: bytes, words: str, toy: Path) -> None:
    result = piped(toy, data, "-", "--rate", "16000", "--channels", "2")
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(b"phonestream: -: ")
    assert words.encode() in result.stderr


def test_a_recording_is_opened_by_whichever_library_knows_it(recordings: list[Path]) -> None:
    audio = open_audio(recordings[0])
    assert isinstance(audio, AudioFile)
    audio.close()
