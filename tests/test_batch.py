"""A folder through `phonestream transcribe`: the same bytes whatever shares the work, stops it or goes wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from model_fixture import shipped_model
from safetensors import safe_open
from toy_model import levels, toy_model
from transcribing import Result, transcriber, tree

from phonestream.batch.entries import Source
from phonestream.batch.executor import in_order
from phonestream.batch.phone_array import PhoneArray
from phonestream.batch.processes import ProcessExecutor
from phonestream.batch.sources import expand
from phonestream.batch.task import ModelSpec, Settings, Task, run_task
from phonestream.formats.document import Document
from phonestream.formats.registry import FORMATS, Options
from phonestream.streaming.audio.files import AudioFile
from phonestream.streaming.decode import Phone
from phonestream.streaming.recognizer import Recognizer

RATE = 16_000


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model(tmp_path_factory.mktemp("toy") / "toy.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve recordings of the toy's phones in a tree, and one that is damaged."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(12):
        path = folder / "abc"[number % 3] / f"{number:02}.wav"
        path.parent.mkdir(exist_ok=True)
        phones = [1 + (number + step) % 5 for step in range(4 + number)]
        soundfile.write(path, levels(*phones, samples=3200), RATE, subtype="FLOAT")
    (folder / "b/broken.wav").write_bytes((folder / "b/01.wav").read_bytes()[:5000])
    return folder


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings that take the toy some time, the fourth much of it."""
    folder = tmp_path_factory.mktemp("long")
    for number in range(4):
        repeats = 400 if number == 3 else 2
        audio = np.tile(levels(1, 2, 3 + number % 3, samples=6400), repeats * 3)
        soundfile.write(folder / f"{number}.wav", audio, RATE, subtype="PCM_16")
    return folder


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "phonestream", "transcribe", *map(str, arguments)]


@pytest.fixture
def transcribe(toy: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    return transcriber(toy, capfd)


# Results do not depend on who works


def test_jobs_change_no_byte_and_no_order(
    folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    one = transcribe("--format", "json", folder)
    assert (one.status, len(one.out.splitlines())) == (1, 12)
    assert "broken.wav: breaks off" in one.err
    assert transcribe("--format", "json", "--jobs", "3", folder) == one
    formats = "--format", "textgrid,json", "--format", "csv", "--posteriors"
    for jobs in ("1", "2"):
        assert transcribe(*formats, "--jobs", jobs, "--output", tmp_path / jobs, folder).status == 1
    assert tree(tmp_path / "1") == tree(tmp_path / "2")
    assert sorted(tree(tmp_path / "1")) == sorted(
        f"{'abc'[number % 3]}/{number:02}.{ending}"
        for number in range(12)
        for ending in ("TextGrid", "json", "csv", "safetensors")
    )


def test_a_recording_s_bytes_are_those_it_has_alone(
    folder: Path, transcribe: Callable[..., Result], tmp_path: Path, toy: Path
) -> None:
    transcribe("--format", "srt", "--output", tmp_path, folder)
    (source,) = expand([str(folder / "c/05.wav")])
    assert isinstance(source, Source)
    (payload,) = run_task(Task(source, Settings(formats=("srt",))), Recognizer(toy)).payloads
    assert (payload.extension, payload.file.read()) == ("srt", (tmp_path / "c/05.srt").read_bytes())


def test_a_recording_of_silence_is_a_result_like_any_other(
    transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    assert (
        transcribe("--output", tmp_path, "--format", ",".join(FORMATS), tmp_path / "silence.wav").status == 0
    )
    assert json.loads((tmp_path / "silence.json").read_text())["phones"] == []
    for form in FORMATS.values():
        assert (tmp_path / f"silence.{form.extension}").exists()


def test_names_of_phones_are_as_asked_for(recordings: list[Path], transcribe: Callable[..., Result]) -> None:
    model = "--model", shipped_model()
    plain, ipa, shapes = (
        json.loads(transcribe(*model, "--format", "json", *options, recordings[0]).out)
        for options in ([], ["--phones", "ipa"], ["--visemes", "oculus"])
    )
    assert [phone["start"] for phone in ipa["phones"]] == [phone["start"] for phone in plain["phones"]]
    assert "ð" in {phone["symbol"] for phone in ipa["phones"]}
    assert shapes["visemes"][-1]["end"] == shapes["seconds"]


# Output folders


def test_two_inputs_for_one_output_are_refused_before_any_work(
    folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    twin = tmp_path / "00.flac"
    soundfile.write(twin, np.zeros(10), RATE)
    result = transcribe("--output", tmp_path / "out", folder / "a/00.wav", twin)
    assert result.status == 1
    assert f"{folder}/a/00.wav and {twin} would both be written to {tmp_path}/out/00.txt" in result.err
    beside = tmp_path / "00.wav"
    soundfile.write(beside, np.zeros(10), RATE)
    result = transcribe("--output", tmp_path / "out", tmp_path)
    assert f"{twin} and {beside} differ in their endings alone" in result.err
    result = transcribe("--output", tmp_path / "out", twin, twin)
    assert "is given twice" in result.err
    assert not (tmp_path / "out").exists()
    audacity = (
        tmp_path / "00.audacity.flac"
    )  # a.audacity.txt could be the text of one or the labels of the other
    soundfile.write(audacity, np.zeros(10), RATE)
    result = transcribe("--output", tmp_path / "out", "--format", "text,audacity", twin, audacity)
    assert "00.audacity.txt" in result.err


def test_a_file_is_what_would_be_printed_in_the_format_that_its_name_tells(
    folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    files = [folder / "a/00.wav", folder / "a/03.wav"]
    for form in FORMATS.values():
        if form.name in ("moho", "rhubarb"):  # mouth shapes, which the small model's phones have none of
            continue
        several = files if form.joins else files[:1]
        target = tmp_path / f"x.{form.extension.upper()}"
        assert transcribe("--output", target, *several).status == 0
        written, printed = target.read_text(), transcribe("--format", form.name, *several).out
        if form.name == "eaf":  # has the way from where it lies to the recording
            (way,) = re.findall(r' RELATIVE_MEDIA_URL="([^"]*)"', written)
            assert (tmp_path / way).samefile(files[0])
            written, printed = (
                re.sub(' RELATIVE_MEDIA_URL="[^"]*"', "", text) for text in (written, printed)
            )
        assert written == printed
    assert "exists already; --overwrite" in transcribe("--output", target, *files).err
    assert transcribe("--output", "-", *files).out == transcribe(*files).out
    before = tree(tmp_path)
    refused = transcribe("--output", tmp_path / "y.TextGrid", *files).err
    assert "y.TextGrid: is one file, and textgrid is a file for each recording; give a folder" in refused
    for options in (["y.TextGrid", *files], ["y.lab", "--resume", files[0]], ["y.csv", folder / "none.wav"]):
        assert transcribe("--output", tmp_path / options[0], *options[1:]).status != 0
    assert tree(tmp_path) == before


def test_what_exists_is_neither_replaced_nor_mixed_unasked(
    folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "03.txt").write_text("mine")
    result = transcribe("--output", tmp_path, folder / "a")
    assert (result.status, tree(tmp_path)) == (1, {"03.txt": b"mine"})
    assert result.err.startswith(f"phonestream: {tmp_path}/03.txt exists already; --resume ")
    assert transcribe("--output", tmp_path, "--resume", folder / "a").status == 0
    kept = tree(tmp_path)
    assert (len(kept), kept.pop("03.txt")) == (4, b"mine")
    assert transcribe("--output", tmp_path, "--overwrite", folder / "a").status == 0
    assert (tmp_path / "03.txt").read_bytes() != b"mine"
    assert kept.items() <= tree(tmp_path).items()


def test_a_recording_is_done_when_all_its_files_are_there(
    folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    options = "--format", "json,lab", "--resume", "--output", tmp_path / "out"
    first = transcribe(*options, folder / "a")
    assert first.status == 0
    assert "4 of 4 done" in first.err
    whole = tree(tmp_path / "out")
    (tmp_path / "out/06.lab").unlink()
    (tmp_path / "out/.phonestream").mkdir()
    (tmp_path / "out/.phonestream/tmp123").write_text("left by a run that was killed")
    second = transcribe(*options, folder / "a")
    assert "1 of 1 done" in second.err
    assert "3 done before" in second.err
    assert tree(tmp_path / "out") == whole
    assert not (tmp_path / "out/.phonestream").exists()


def test_each_channel_has_files_of_its_own(transcribe: Callable[..., Result], tmp_path: Path) -> None:
    left = levels(1, 2, samples=6400)
    soundfile.write(tmp_path / "two.wav", np.stack([left, left[::-1]], axis=1), RATE, subtype="FLOAT")
    options = "--channel", "each", "--format", "json", "--posteriors", "--output", tmp_path / "out"
    assert transcribe(*options, tmp_path / "two.wav").status == 0
    names = ["two.1.json", "two.1.safetensors", "two.2.json", "two.2.safetensors"]
    assert sorted(tree(tmp_path / "out")) == names
    assert [json.loads((tmp_path / "out" / name).read_text())["channel"] for name in names[::2]] == [1, 2]
    assert "1 done before" in transcribe(*options, "--resume", tmp_path / "two.wav").err


def test_an_output_that_cannot_be_written_costs_only_itself(
    folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b").touch()  # where a folder should be
    result = transcribe("--output", tmp_path / "out", folder)
    assert result.status == 1
    assert f"{tmp_path}/out/b/01.txt: cannot be written: " in result.err
    assert sorted(tree(tmp_path / "out")) == sorted(
        ["b", *(f"{'abc'[number % 3]}/{number:02}.txt" for number in range(12) if number % 3 != 1)]
    )
    result = transcribe("--output", tmp_path / "out/b", folder)
    assert result.err == f"phonestream: {tmp_path}/out/b: is not a folder; give --output another name\n"
    result = transcribe("--output", tmp_path / "out/b/c", folder)
    assert result.err.startswith(f"phonestream: {tmp_path}/out/b/c: cannot be made: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_full_disk_is_named_and_leaves_nothing_behind(
    jobs: str, folder: Path, long: Path, toy: Path, tmp_path: Path
) -> None:
    """A limit on the size of files fails as a full disk does, in the middle of a file."""
    call = command(
        "--model", toy, "--jobs", jobs, "--posteriors", "--format", "json", "--output", tmp_path / "out"
    )
    limited = (
        f"trap '' XFSZ; ulimit -f 2; exec {' '.join(call)} {folder}/a/00.wav {long}/1.wav {folder}/a/03.wav"
    )
    result = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert result.returncode == 1
    assert f"{long}/1.wav: its results cannot be written: File too large; make room" in result.stderr
    assert sorted(tree(tmp_path / "out")) == ["00.json", "00.safetensors", "03.json", "03.safetensors"]


def test_the_summary_has_hours_pace_and_each_failure_with_its_reason(
    folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    *_, line, reason = transcribe("--output", tmp_path, folder).err.splitlines()
    seconds = sum(0.2 * (4 + number) for number in range(12))
    assert re.fullmatch(
        rf"phonestream: 12 of 13 done, {seconds / 3600:.3f} h of audio in \d+\.\d s "
        r"\(real-time factor 0\.\d+, \d+ audio hours per hour\); 1 failed:",
        line,
    )
    assert re.fullmatch(r"phonestream:   .*/b/broken\.wav: breaks off after .*", reason)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "json,srt", "a.wav"], "--output"),
        (["--format", "srt", "a.wav", "b.wav"], "--output"),
        (["--posteriors", "a.wav"], "--output"),
        (["--resume", "a.wav"], "--output"),
        (["--output", "x", "--resume", "--overwrite", "a.wav"], "--overwrite"),
        (["--phones", "klingon", "a.wav"], "arpabet"),
        (["--visemes", "fish", "a.wav"], "oculus"),
        (["--visemes", "oculus", "--phones", "ipa", "a.wav"], "--phones"),
        (["--channel", "left", "a.wav"], "mix, each"),
        (["--channel", "0", "a.wav"], "mix, each"),
        (["--rate", "16000", "a.wav"], "give - as FILE"),
        (["--encoding", "f32le", "-"], "--rate"),
        (["--jobs", "0", "a.wav"], "jobs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_do_not_go_together(
    arguments: list[str], words: str, transcribe: Callable[..., Result]
) -> None:
    result = transcribe(*arguments)
    assert (result.status, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert words in result.err


# Killed


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_a_run_that_was_killed_goes_on_to_the_same_bytes_and_leaves_no_process(
    long: Path, toy: Path, tmp_path: Path
) -> None:
    options = "--model", toy, "--jobs", "2", "--format", "json,textgrid", "--posteriors", "--resume"
    subprocess.run(command(*options, "--output", tmp_path / "whole", long), check=True, capture_output=True)
    out = tmp_path / "out"
    running = subprocess.Popen(command(*options, "--output", out, long), stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(out.glob("*.json"))) >= 2)
    workers = children(running)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    psutil.wait_procs(workers, timeout=10)
    assert not [worker for worker in workers if worker.is_running()]
    before = {path: path.stat().st_mtime_ns for path in out.glob("[0-9].*")}
    assert len(before) < 12
    subprocess.run(command(*options, "--output", out, long), check=True, capture_output=True)
    assert tree(out) == tree(tmp_path / "whole")
    kept = [path for path, changed in before.items() if path.stat().st_mtime_ns == changed]
    assert len(kept) >= 6


def test_a_worker_that_is_killed_costs_nothing(long: Path, toy: Path, tmp_path: Path) -> None:
    arguments = command("--model", toy, "--jobs", "2", "--format", "json", "--output", tmp_path / "out", long)
    running = subprocess.Popen(arguments, stderr=subprocess.PIPE)
    wait_for(lambda: (tmp_path / "out/2.json").exists() or running.poll() is not None)
    hurt = False
    os.kill(running.pid, signal.SIGSTOP)  # so that no work moves to a worker that is about to be killed too
    for worker in children(running):
        if "resource_tracker" not in " ".join(worker.cmdline()):
            worker.kill()
            hurt = True
    os.kill(running.pid, signal.SIGCONT)
    _, err = running.communicate()
    assert (hurt, running.returncode, err.count(b"\n")) == (True, 0, 1), err
    assert sorted(tree(tmp_path / "out")) == ["0.json", "1.json", "2.json", "3.json"]


def test_a_recording_that_kills_its_worker_twice_is_a_failure_and_the_others_go_on(
    folder: Path, toy: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)  # opening it, a worker waits
    settings = Settings()
    tasks = [
        Task(Source(str(path), str(path), "x"), settings)
        for path in (folder / "a/00.wav", pipe, folder / "a/03.wav")
    ]
    executor = ProcessExecutor(2, ModelSpec(str(toy)), None)
    deaths = 0

    def kill(_: int, __: float, ___: float | None) -> None:
        raise AssertionError("a pipe that nobody writes to has no progress")

    with closing(in_order(executor.run(tasks, kill))) as results:
        assert next(results).failure is None
        stop = threading.Event()

        def hunt() -> None:
            nonlocal deaths
            while not stop.is_set():
                for worker in list(executor._workers):
                    if worker.task == 1 and worker.process.is_alive():
                        time.sleep(0.05)
                        worker.process.kill()
                        deaths += 1
                time.sleep(0.05)

        hunter = threading.Thread(target=hunt)
        hunter.start()
        failure = next(results).failure
        stop.set()
        hunter.join()
        assert failure == (
            f"{pipe}: the process that decoded it was killed by SIGKILL, twice; it may need more memory than there is"
        )
        assert next(results).failure is None


def test_a_death_before_a_recording_has_arrived_does_not_count_against_it(long: Path, toy: Path) -> None:
    tasks = [Task(Source(str(path), str(path), "x"), Settings()) for path in (long / "0.wav", long / "3.wav")]
    executor = ProcessExecutor(1, ModelSpec(str(toy)), None)
    with closing(in_order(executor.run(tasks, lambda *_: None))) as results:
        assert next(results).failure is None
        (idle,) = executor._workers
        os.kill(idle.process.pid, signal.SIGSTOP)  # so that the next task is sent to it and never taken

        def kill() -> None:
            wait_for(lambda: idle.task == 1)
            idle.process.kill()
            wait_for(lambda: any(worker.started for worker in executor._workers if worker is not idle))
            executor._workers[-1].process.kill()

        killing = threading.Thread(target=kill)
        killing.start()
        assert next(results).failure is None  # one death while it was heard; two would be a failure
        killing.join()


def test_ctrl_c_ends_all_processes_quietly(long: Path, toy: Path, tmp_path: Path) -> None:
    arguments = command("--model", toy, "--jobs", "2", "--format", "json", "--output", tmp_path / "out", long)
    running = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    wait_for(lambda: (tmp_path / "out/2.json").exists())
    workers = children(running)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, err = running.communicate()
    assert (running.returncode, out) == (130, b"")
    told = rb"phonestream: interrupted; [0-3] of 4 done; the same command with --resume goes on\n"
    assert re.fullmatch(told, err), err
    psutil.wait_procs(workers, timeout=10)
    assert not [worker for worker in workers if worker.is_running()]
    assert not (tmp_path / "out/.phonestream").exists()


def test_no_process_of_the_pool_hears_ctrl_c_not_even_the_first() -> None:
    script = """
import signal
from multiprocessing import get_context
from phonestream.batch.processes import interrupts_held
for _ in range(2):
    process = get_context("spawn").Process(target=signal.raise_signal, args=(signal.SIGINT,))
    with interrupts_held():
        process.start()
    process.join()
    print(process.exitcode)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("0\n0\n", "")


def test_a_model_that_cannot_be_used_is_said_once(folder: Path, transcribe: Callable[..., Result]) -> None:
    result = transcribe("--model", "missing.onnx", "--jobs", "2", folder)
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith("phonestream: missing.onnx: no such model file")


# Formats a part at a time


phones = st.lists(
    st.tuples(st.sampled_from(["B", "HH", "ZH"]), st.floats(0, 1), st.floats(0.01, 1), st.floats(0, 1)),
    max_size=60,
)


@given(phones, st.sampled_from(["text", "json"]), st.sampled_from(["arpabet", "ipa"]))
def test_columns_of_phones_are_written_as_a_list_of_them_is(
    drawn: list[tuple[str, float, float, float]], name: str, phone_set: str
) -> None:
    time, track, listed = 0.0, PhoneArray(), []
    for symbol, gap, length, confidence in drawn:
        listed.append(Phone(symbol, time + gap, time + gap + length, confidence))
        time += gap + length
    track.extend(listed)
    assert (len(track), list(track), track[1:4], [track[index] for index in range(len(track))]) == (
        len(listed), listed, listed[1:4], listed
    )  # fmt: skip
    options = Options(phone_set)
    expected = FORMATS[name].write(Document("a.wav", time, tuple(listed)), options)
    assert b"".join(FORMATS[name].chunks(Document("a.wav", time, track), options)) == expected


def test_posteriors_are_the_api_s_for_another_s_reader(
    recordings: list[Path], transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    model = shipped_model()
    assert transcribe("--model", model, "--posteriors", "--output", tmp_path, recordings[0]).status == 0
    recognizer = Recognizer(model)
    with AudioFile(recordings[0]) as audio:
        expected = recognizer.log_probs(np.concatenate(list(audio.blocks())), audio.sample_rate)
    with safe_open(tmp_path / f"{recordings[0].stem}.safetensors", framework="numpy") as file:
        assert list(file.keys()) == ["log_probs"]
        np.testing.assert_allclose(file.get_tensor("log_probs"), expected, atol=1e-4)
        facts = file.metadata()
    assert tuple(json.loads(facts["phones"])) == recognizer.phones
    assert (int(facts["blank"]), float(facts["row_seconds"])) == (
        recognizer.metadata.blank,
        recognizer.metadata.row_seconds,
    )
