"""A folder through `phonestream align`: what others' readers find, whatever shares the work or stops it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from model_fixture import shipped_model
from praatio import textgrid as praat
from praatio.utilities.constants import Interval
from toy_model import levels, toy_model
from transcribing import tree

from phonestream.cli import main
from phonestream.errors import DataError
from phonestream.formats.textgrid_reader import read_tiers

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """`phonestream align` with the shipped model, in this process; its status and standard error."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as leaving:
            main(["align", "--hearings", "1", "--model", str(shipped_model()), *map(str, arguments)])
        assert isinstance(leaving.value.code, int)
        return leaving.value.code, capfd.readouterr().err

    return call


@pytest.fixture(scope="module")
def texts(speech_dir: Path) -> dict[Path, str]:
    """The shortest shipped recordings, and what is said in them."""
    lines = (speech_dir / "manifest.tsv").read_text("utf-8").splitlines()
    names = lines[0].split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]
    files = {speech_dir / row["path"]: row["text"] for row in rows}
    return {file: files[file] for file in sorted(files, key=lambda file: len(files[file]))[:2]}


def grid(path: Path) -> dict[str, list[Interval]]:
    """The tiers of a TextGrid as praatio reads them, in order."""
    tiers = praat.openTextgrid(str(path), includeEmptyIntervals=False).tiers
    return {tier.name: list(tier.entries) for tier in tiers}


def test_a_folder_is_aligned_with_the_transcripts_beside_its_recordings(
    run: Run, texts: dict[Path, str], tmp_path: Path
) -> None:
    (first, said), (second, other) = texts.items()
    corpus, output = tmp_path / "corpus", tmp_path / "aligned"
    (corpus / "deep").mkdir(parents=True)
    for name, file in (("a", first), ("deep/b", second), ("none", first), ("wrong", first)):
        shutil.copy(file, corpus / f"{name}{file.suffix}")
    (corpus / "a.TXT").write_text(f"“{said.upper()}!”", "utf-8")
    lines = [" ".join(other.split()[:3]), " ".join(other.split()[3:])]
    (corpus / "deep/b.lab").write_text("\n\n".join(lines), "utf-8")
    (corpus / "wrong.txt").write_text(other, "utf-8")

    list_of_failures = tmp_path / "failures.jsonl"
    status, err = run(corpus, "--output", output, "--jobs", "2", "--scores", "--failures", list_of_failures)
    assert status == 1
    failed = [json.loads(line) for line in list_of_failures.read_text().splitlines()]
    assert [Path(entry["file"]).stem for entry in failed] == ["none", "wrong"]
    assert all(f"phonestream: {entry['reason']}\n" in err for entry in failed)
    assert "none.opus: has no transcript; write what is said to none.txt" in err
    assert "wrong.opus: audio and transcript do not match" in err
    assert re.search(r"2 of 4 done, 0\.00\d h of audio in .*; 2 failed:", err)
    assert sorted(path.name for path in output.rglob("*")) == ["a.TextGrid", "b.TextGrid", "deep"]
    tiers = grid(output / "a.TextGrid")
    assert list(tiers) == ["words", "phones", "scores"]
    assert [score[:2] for score in tiers["scores"]] == [phone[:2] for phone in tiers["phones"]]
    parted = grid(output / "deep/b.TextGrid")
    assert list(parted) == ["utterances", "words", "phones", "scores"]
    assert [line.label for line in parted["utterances"]] == lines
    begins = [parted["words"][at].start for at in (0, 3)]
    assert [line.start for line in parted["utterances"]] == begins  # whole milliseconds both
    assert " ".join(word.label for word in tiers["words"]) == f"“{said.upper()}!”"
    assert tiers["words"][0].start == tiers["phones"][0].start

    before = {path: path.read_bytes() for path in output.rglob("*.TextGrid")}
    status, err = run(corpus, "--output", output)
    assert (status, "a.TextGrid and 1 more exist already; --resume" in err) == (1, True)
    (output / "a.TextGrid").unlink()
    (corpus / "none.opus").unlink()
    (corpus / "wrong.opus").unlink()
    status, err = run(corpus, "--output", output, "--resume", "--scores")
    assert status == 0
    assert re.fullmatch(r"phonestream: 1 of 1 done, 0\.00\d h of audio in .*; 1 done before\n", err)
    assert {path: path.read_bytes() for path in output.rglob("*.TextGrid")} == before


def test_a_dictionary_comes_through_a_pipe_to_all_processes(
    run: Run, texts: dict[Path, str], tmp_path: Path
) -> None:
    """It can be read once, and its name, as in `--dictionary <(…)`, means something in one process alone."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for file, said in texts.items():
        (corpus / file.name).write_bytes(file.read_bytes())
        (corpus / file.name).with_suffix(".txt").write_text(f"{said}", "utf-8")
    from_pipe, into = os.pipe()
    lines = "".join(f"{word} AA\n" for said in texts.values() for word in sorted({*said.lower().split()}))
    os.write(into, lines.encode())
    os.close(into)
    status, err = run(
        corpus, "--output", tmp_path / "out", "--dictionary", f"/dev/fd/{from_pipe}", "--jobs", "2",
        "--format", "json", "--no-refuse",
    )  # fmt: skip
    os.close(from_pipe)
    assert "cannot be read" not in err
    assert status in (0, 1)
    found = [json.loads(path.read_text("utf-8")) for path in sorted((tmp_path / "out").glob("*.json"))]
    assert len(found) == len(texts)
    assert {phone["symbol"] for one in found for word in one["words"] for phone in word["phones"]} == {"AA"}


def test_each_channel_is_aligned_with_its_tier(
    run: Run, texts: dict[Path, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two people on two channels: each one's words are where they are alone."""
    (first, said), (second, other) = texts.items()
    heard = [soundfile.read(file, dtype="float32") for file in (first, second)]
    count, rate = max(len(samples) for samples, _ in heard), heard[0][1]
    seconds = count / rate
    both = [np.pad(samples, (0, count - len(samples))) for samples, _ in heard]
    call = tmp_path / "call"
    call.mkdir()
    soundfile.write(call / "a.wav", np.stack(both, axis=1), rate)
    made = praat.Textgrid(0, seconds)
    for name, text in (("left", said), ("nobody", ""), ("right", " ".join(other.split()[:6]))):
        entries = [Interval(0, seconds if name == "left" else 3.0, text)] if text else []
        made.addTier(praat.IntervalTier(name, entries, 0, seconds))
    made.save(str(call / "a.TextGrid"), "long_textgrid", includeBlankSpaces=True)

    status, err = run(call, "--output", tmp_path / "mixed")
    assert (status, "say that each is of a channel or a speaker: --channel tiers" in err) == (1, True)
    run(call, "--output", tmp_path / "tiers", "--channel", "tiers")
    together = grid(tmp_path / "tiers/a.TextGrid")
    assert list(together) == ["words 1", "phones 1", "words 2", "phones 2"]
    assert [word.label for word in together["words 1"]] == said.split()
    assert [word.label for word in together["words 2"]] == other.split()[:6]
    run(call / "a.wav", "--text", said, "--channel", "1", "--output", tmp_path / "one.TextGrid")
    off = [
        abs(one.start - two.start)
        for one, two in zip(together["words 1"], grid(tmp_path / "one.TextGrid")["words"], strict=True)
    ]
    assert max(off) < 0.1

    made.removeTier("right")
    made.save(str(call / "a.TextGrid"), "long_textgrid", includeBlankSpaces=True)
    status, err = run(call / "a.wav", call / "a.TextGrid", "--channel", "tiers", "--format", "textgrid")
    assert (status, "a.wav: has 2 channels, and" in err and "1 tiers with text" in err) == (1, True)
    for arguments, message in (
        (["--channel", "tiers", "--format", "json"], "tiers are a TextGrid's"),
        (["--output", tmp_path / "x.TextGrid"], "is a file's name, and each recording of a folder"),
    ):
        status, err = run(call, "--output", tmp_path / "new", *arguments)
        assert (status, message in " ".join(err.replace("│", "").split())) == (2, True)
    assert not (tmp_path / "x.TextGrid").exists()


def test_utterances_of_a_textgrid_are_aligned_each_in_its_time(
    run: Run, texts: dict[Path, str], tmp_path: Path
) -> None:
    file, said = next(iter(texts.items()))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    shutil.copy(file, corpus / "a.opus")
    (corpus / "a.txt").write_text(said)
    status, err = run(corpus, "--output", tmp_path / "whole")
    assert status == 0
    assert re.fullmatch(r"phonestream: 1 of 1 done, 0\.00\d h of audio in .*\n", err)
    words = grid(tmp_path / "whole/a.TextGrid")["words"]
    half = len(words) // 2
    middle = (words[half - 1].end + words[half].start) / 2
    seconds = praat.openTextgrid(str(tmp_path / "whole/a.TextGrid"), False).maxTimestamp
    parts = [
        Interval(max(0, words[0].start - 0.2), middle, " ".join(word.label for word in words[:half])),
        Interval(middle, seconds, " ".join(word.label.upper() for word in words[half:])),
    ]
    made = praat.Textgrid(0, seconds)
    made.addTier(praat.IntervalTier("speaker", parts, 0, seconds))
    made.addTier(praat.IntervalTier("empty", [], 0, seconds))
    for name, form in (("long", "long_textgrid"), ("short", "short_textgrid")):
        (corpus / "a.txt").unlink(missing_ok=True)
        made.save(str(corpus / "a.TextGrid"), form, includeBlankSpaces=True)
        assert run(corpus, "--output", tmp_path / name)[0] == 0
        tiers = grid(tmp_path / name / "a.TextGrid")
        assert [line.label for line in tiers["utterances"]] == [part.label for part in parts]
        found = tiers["words"]
        assert [word.label for word in found] == " ".join(part.label for part in parts).split()
        off = [abs(one.start - two.start) for one, two in zip(found, words, strict=True)]
        assert max(off) < 0.1
        assert np.median(off) < 0.005

    status, err = run(corpus, "--output", corpus, "--overwrite")
    assert (status, "a.TextGrid: is read, and a result would be written to it" in err) == (1, True)
    made.addTier(praat.IntervalTier("another", parts, 0, seconds))
    made.save(str(corpus / "a.TextGrid"), "short_textgrid", includeBlankSpaces=True)
    status, err = run(corpus, "--output", tmp_path / "no")
    assert (status, "has 2 tiers of intervals with text ('speaker', 'another')" in err) == (1, True)
    status, err = run(corpus, "--output", tmp_path / "no", "--tier", "none")
    assert (status, "has no tiers 'none' with text ('speaker', 'another')" in err) == (1, True)
    assert run(corpus, "--output", tmp_path / "one", "--tier", "another")[0] == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "long")
    # Of a recording with one channel the tiers are speakers.
    assert run(corpus, "--output", tmp_path / "speakers", "--channel", "tiers")[0] == 0
    alone, each = grid(tmp_path / "one/a.TextGrid"), grid(tmp_path / "speakers/a.TextGrid")
    assert each == {
        f"{speaker} - {name}": entries
        for speaker in ("speaker", "another")
        for name, entries in alone.items()
    }
    for arguments, message in (
        (["--tier", "speaker", "--channel", "tiers"], "--tier: is one, and --channel tiers takes all"),
        (["--text", "yes", "--tier", "speaker"], "--tier: is of a TextGrid, and --text is none"),
    ):
        status, err = run(corpus / "a.opus", *arguments)
        assert (status, message in err) == (2, True)


def test_a_run_that_was_stopped_or_killed_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """Stopped by Ctrl-C after its first result, killed after another, both in two processes, then resumed in one."""
    toy, corpus = toy_model(tmp_path / "toy.onnx"), tmp_path / "corpus"
    corpus.mkdir()
    for number in range(8):
        phones = [1 + (number + step) % 3 for step in range(30 + number)]
        soundfile.write(corpus / f"{number:02}.wav", levels(*phones, samples=3200), 16_000, subtype="FLOAT")
        said = "\n".join("ABC"[phone - 1] for phone in phones)
        (corpus / f"{number:02}.txt").write_text(said)
    out = tmp_path / "out"
    options = ["align", *map(str, (corpus, "--model", toy, "--phonemes", "--time-shifts", 1, "--output"))]
    code = "from phonestream.cli import main; main()"
    arguments = [sys.executable, "-c", code, *options, out, "--jobs", "2", "--resume"]
    for stop in (signal.SIGINT, signal.SIGKILL):
        before = len(list(out.glob("*.TextGrid")))
        running = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
        while len(list(out.glob("*.TextGrid"))) == before and running.poll() is None:
            time.sleep(0.005)
        os.killpg(running.pid, stop)
        _, err = running.communicate()
        if stop is signal.SIGINT:
            told = r"phonestream: interrupted; \d+ of 8 done; the same command with --resume goes on\n"
            assert (running.returncode, bool(re.fullmatch(told, err))) == (130, True), err
    assert 2 <= len(list(out.glob("*.TextGrid"))) < 8
    for last in ([str(out), "--resume"], [str(tmp_path / "whole")]):
        with pytest.raises(SystemExit, match="0"):
            main([*options, *last])
    assert len(tree(out)) == 8
    assert tree(out) == tree(tmp_path / "whole")


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_textgrids_are_read_as_praatio_writes_them(tmp_path: Path, form: str, encoding: str) -> None:
    entries = [
        Interval(0.5, 1.25, 'say "so" [1]: 2'),
        Interval(1.25, 2, "!naïve! text = 3"),
        Interval(3, 9.5, "<exists> 1.5"),
    ]
    made = praat.Textgrid(0, 10)
    made.addTier(praat.IntervalTier('words "a" 7', entries, 0, 10))
    made.addTier(praat.PointTier("points", [(1, "x"), (2.5, "3 y")], 0, 10))
    made.addTier(praat.IntervalTier("none", [], 0, 10))
    path = tmp_path / "a.TextGrid"
    made.save(str(path), form, includeBlankSpaces=True)
    data = path.read_text("utf-8").encode(encoding)
    assert [(tier.name, [tuple(part) for part in tier.intervals]) for tier in read_tiers("a", data)] == [
        ('words "a" 7', [tuple(entry) for entry in entries]),
        ("none", []),
    ]
    for broken in (data[: len(data) // 2 // 2 * 2], b"words", b"", b"\xff\xfe1"):
        with pytest.raises(DataError, match=r"^a: is no"):
            read_tiers("a", broken)
