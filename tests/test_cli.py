"""The command line as a person, a script and a pipeline meet it."""

import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from missing_modules import BLOCKING
from model_fixture import shipped_model
from rich.text import Text
from typer.testing import CliRunner

import phonestream
from phonestream.asr.training.process import SETTINGS
from phonestream.batch import task
from phonestream.cli import app, main
from phonestream.commands import progress
from phonestream.commands.command import MAY_BE_EMPTY, PRINT, WRITTEN
from phonestream.commands.output import WIDTH, printable
from phonestream.commands.shared_options import MAX_THREADS
from phonestream.errors import ConfigError
from phonestream.extras import missing_extra
from phonestream.streaming.model import MAX_THREADS as MODEL_THREADS

RATE = 16_000


@dataclass
class Result:
    status: int
    out: str  # decoded as file names are
    err: str

    @property
    def transcripts(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def phonestream_(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Result]:
    """Run a command in this process."""

    def run(*arguments: str | Path) -> Result:
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        assert isinstance(leaving.value.code, int)
        return Result(leaving.value.code, os.fsdecode(out), os.fsdecode(err))

    return run


@pytest.fixture
def hear(phonestream_: Callable[..., Result]) -> Callable[..., Result]:
    """`phonestream transcribe` with the shipped model."""
    return lambda *arguments: phonestream_("transcribe", "--model", shipped_model(), *arguments)


def process(*arguments: str | Path, code: str = "from phonestream.cli import main; main()") -> list[str]:
    """Command that runs the command line in a process of its own."""
    return [sys.executable, "-c", code, *map(str, arguments)]


def only_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text[:-1]


# What is printed


def test_json_is_one_line_for_each_input_in_order(
    hear: Callable[..., Result], recordings: list[Path]
) -> None:
    given_files = [recordings[1], recordings[0], recordings[1]]
    result = hear("--format", "json", *given_files)
    assert (result.status, result.err) == (0, "")
    assert [transcript["file"] for transcript in result.transcripts] == list(map(str, given_files))
    assert result.transcripts[0] == result.transcripts[2]
    for transcript, file in zip(result.transcripts, given_files, strict=True):
        assert list(transcript) == ["file", "seconds", "phones"]
        assert transcript["seconds"] == pytest.approx(soundfile.info(file).duration, abs=5e-4)
        assert transcript["phones"]
        ends = 0.0
        for phone in transcript["phones"]:
            assert list(phone) == ["symbol", "start", "end", "confidence", "word_start", "peak"]
            assert ends <= phone["start"] <= phone["end"] <= transcript["seconds"]
            assert 0 <= phone["confidence"] <= 1
            ends = phone["end"]


def test_the_result_is_the_python_api_s(hear: Callable[..., Result], recordings: list[Path]) -> None:
    samples, rate = soundfile.read(recordings[0], dtype="float32")
    expected = phonestream.Recognizer(shipped_model()).transcribe(samples, rate)
    (transcript,) = hear("--format", "json", recordings[0]).transcripts
    assert [phone["symbol"] for phone in transcript["phones"]] == [phone.symbol for phone in expected]


def test_text_has_a_heading_for_each_file_only_where_there_are_several(
    hear: Callable[..., Result], recordings: list[Path]
) -> None:
    alone = [hear(file).out for file in recordings[:2]]
    together = hear(*recordings[:2]).out
    assert together == "\n".join(f"{file}\n{text}" for file, text in zip(recordings[:2], alone, strict=True))
    assert re.fullmatch(r"( {2,}\d+\.\d\d  [A-Z]+( (\| )?[A-Z]+)*\n)+", alone[0]), alone[0]


def test_doubtful_phones_are_faint_on_a_terminal_alone(
    hear: Callable[..., Result], recordings: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = hear(recordings[0]).out
    assert "\x1b" not in plain
    monkeypatch.setattr("phonestream.commands.transcribe_options.styled", lambda: True)
    shown = hear(recordings[0]).out
    assert re.sub(r"\x1b\[2m([A-Z]+)\x1b\[22m", r"\1", shown) == plain != shown
    assert hear(recordings[0], "--output", tmp_path).status == 0
    assert (tmp_path / f"{recordings[0].stem}.txt").read_text() == plain


# Inputs that cannot be used


@pytest.fixture(scope="module")
def unusable(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that must each be refused, by what the error says."""
    folder = tmp_path_factory.mktemp("unusable")
    speech = soundfile.read(recordings[0], dtype="float32")[0]
    opus = recordings[0].read_bytes()
    soundfile.write(folder / "good.wav", speech, RATE)
    wav = (folder / "good.wav").read_bytes()
    soundfile.write(folder / "good.flac", speech, RATE)
    flac = (folder / "good.flac").read_bytes()
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("no audio\n" * 100)
    (folder / "half.wav").write_bytes(wav[: len(wav) // 2])
    (folder / "half.flac").write_bytes(flac[: len(flac) // 2])
    (folder / "half.opus").write_bytes(opus[: len(opus) // 2])
    (folder / "corrupt.opus").write_bytes(opus[:9000] + bytes(100) + opus[9100:])
    (folder / "no audio").mkdir()
    broken = np.concatenate([speech, speech, speech])
    broken[20 * RATE + 5] = np.nan
    soundfile.write(folder / "nan.wav", broken, RATE, subtype="FLOAT")
    broken[20 * RATE + 5] = np.inf
    soundfile.write(folder / "inf.wav", broken, RATE, subtype="FLOAT")
    soundfile.write(folder / "none.wav", speech[:0], RATE)
    soundfile.write(folder / "absurd.wav", speech, 2_000_000_000)
    soundfile.write(folder / "crowd.wav", np.zeros((100, 500), np.float32), RATE)
    return {
        "no such file": folder / "missing.wav",
        "is a folder": folder / "no audio",
        "is empty": folder / "empty.wav",
        "not audio of a kind": folder / "text.wav",
        "breaks off after 4.46 of 8.92 s": folder / "half.wav",
        "is damaged or breaks off after ": folder / "half.flac",
        "breaks off after ": folder / "half.opus",
        "is damaged": folder / "corrupt.opus",
        "from 20.00 s on: sample 5 of ": folder / "nan.wav",
        " is inf": folder / "inf.wav",
        "holds no samples": folder / "none.wav",
        "sample rate 2000000000": folder / "absurd.wav",
        "500 channels": folder / "crowd.wav",
    }


def test_each_unusable_file_is_one_line_and_costs_the_others_nothing(
    hear: Callable[..., Result], unusable: dict[str, Path], recordings: list[Path], tmp_path: Path
) -> None:
    good = recordings[0]
    expected = hear("--format", "json", good).out
    files = [good]
    for file in unusable.values():
        files += [file, good]
    result = hear("--format", "json", "--failures", tmp_path / "failures.jsonl", *files)
    assert result.status == 1
    assert result.out == expected * (len(unusable) + 1)
    complaints = result.err.splitlines()
    listed = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert [entry["file"] for entry in listed] == [str(file) for file in unusable.values()]
    assert [f"phonestream: {entry['reason']}" for entry in listed] == complaints
    assert len(complaints) == len(unusable)
    for complaint, (words, file) in zip(complaints, unusable.items(), strict=True):
        assert complaint.startswith(f"phonestream: {file}: ")
        assert words in complaint
        assert len(complaint.removeprefix(f"phonestream: {file}: ")) > len(words) + 5  # there is a remedy too


def test_text_goes_on_after_an_unusable_file(hear: Callable[..., Result], recordings: list[Path]) -> None:
    result = hear("missing.wav", "gone.wav", recordings[0], "--failures", "/dev/full", "--list", "gone.txt")
    assert result.status == 1
    assert result.out.startswith(f"{recordings[0]}\n  ")
    missing, full, gone, listing = result.err.splitlines()
    assert ("missing.wav" in missing, "gone.wav" in gone) == (True, True)
    assert listing.startswith("phonestream: gone.txt: the list cannot be read: ")
    assert full.startswith("phonestream: /dev/full: cannot be written: No space left on device; ")


@pytest.mark.parametrize(
    "name",
    [b"[red]bold[bold] [].wav", b":smile: \xc3\xbc.wav", b"\xff\xfe.wav", b"x" * 200 + b".wav"],
    ids=["markup", "emoji and umlaut", "not UTF-8", "long"],
)
def test_names_come_out_as_they_are(
    name: bytes, hear: Callable[..., Result], recordings: list[Path], tmp_path: Path
) -> None:
    good = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    missing = os.fsdecode(os.fsencode(tmp_path) + b"/missing " + name)
    Path(good).write_bytes(recordings[0].read_bytes())
    result = hear(good, missing)
    assert result.status == 1
    assert result.out.splitlines()[0] == good
    assert only_line(result.err) == f"phonestream: {missing}: no such file; check the name"
    result = hear("--format", "json", good)
    assert result.transcripts[0]["file"] == good


def test_a_name_cannot_break_lines_or_move_the_cursor(
    hear: Callable[..., Result], recordings: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "two\nlines \x1b[2J.wav"
    file.write_bytes(recordings[0].read_bytes())
    shown = printable(str(file))
    assert shown.endswith(r"two\nlines \x1b[2J.wav")
    result = hear(file, f"{file}.missing")
    assert result.out.splitlines()[0] == shown
    assert only_line(result.err).startswith(f"phonestream: {shown}.missing: ")


# Calls and models that cannot be used


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["transcribe"], "FILE"),
        (["transcribe", "--format", "xml", "a.wav"], "xml"),
        (["transcribe", "--threads", "0", "a.wav"], "threads"),
        (["transcribe", "--provider", "tpu", "a.wav"], "tpu"),
        (["transcribe", "--colour", "a.wav"], "--colour"),
        (["transcibe", "a.wav"], "transcribe"),
        (["train", "config.toml"], "--run"),
        (["train", "config.toml", "--run", "run", "--resume", "--initial", "model.onnx"], "--initial"),
        (["export", "run"], "--output"),
        (["export", "model.onnx", "--output", "new.onnx", "--int8"], "--int8"),
        (["prepare", "corpus"], "--output"),
        (["evaluate"], "MODEL_OR_RUN"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_one_line_and_status_2(
    arguments: list[str], words: str, phonestream_: Callable[..., Result]
) -> None:
    result = phonestream_(*arguments)
    assert (result.status, result.out) == (2, "")
    line = only_line(result.err)
    assert line.startswith("phonestream: ")
    assert words in line
    assert "--help" in line


def test_a_call_without_a_command_shows_what_there_is(phonestream_: Callable[..., Result]) -> None:
    result = phonestream_()
    assert (result.status, result.err) == (2, "")
    asked = phonestream_("--help")
    assert (asked.status, asked.err) == (0, "")
    for command in ("transcribe", "info", "prepare", "train", "evaluate", "export"):
        assert command in result.out
        assert command in asked.out


def test_version(phonestream_: Callable[..., Result]) -> None:
    result = phonestream_("--version")
    assert (result.status, result.out) == (0, f"phonestream {phonestream.__version__}\n")


@pytest.mark.parametrize("command", ["transcribe", "info", "evaluate"])
def test_a_model_that_cannot_be_used_is_one_line(
    command: str,
    phonestream_: Callable[..., Result],
    recordings: list[Path],
    tmp_path: Path,
    speech_dir: Path,
) -> None:
    rest = {"transcribe": [recordings[0], "--model"], "info": [], "evaluate": ["--data", speech_dir]}[command]
    (tmp_path / "text.onnx").write_text("no model")
    for model in (tmp_path / "missing.onnx", tmp_path / "text.onnx"):
        result = phonestream_(command, *rest, model)
        assert (result.status, result.out) == (1, "")
        assert only_line(result.err).startswith(f"phonestream: {model}: ")


def test_a_bug_is_shown_as_one(monkeypatch: pytest.MonkeyPatch, recordings: list[Path]) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(task, "run_task", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["transcribe", "--model", str(shipped_model()), str(recordings[0])])


# Processes: pipes, signals, what is installed


def test_a_reader_that_leaves_ends_it_quietly(recordings: list[Path], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.opus"
    os.mkfifo(pipe)
    command = process("transcribe", "--format", "json", "--model", shipped_model(), recordings[0], pipe)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()  # all that it heard in the first file
        running.stdout.close()
        pipe.write_bytes(recordings[1].read_bytes())  # only now can it hear the second
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_ctrl_c_ends_it_quietly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    command = process("transcribe", "--model", shipped_model(), pipe)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with running, pipe.open("wb"):  # opens when the other end does: it now waits for audio
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    assert (running.returncode, out, err) == (130, b"", b"")


def test_help_says_of_every_option_what_it_expects() -> None:
    for name, command in typer.main.get_command(app).commands.items():
        for option in command.get_params(typer.Context(command)):
            # Then its values are shown
            chosen = isinstance(option.default, Enum) or option.name in ("decoder", "encoding", "provider")
            assert option.param_type_name == "argument" or chosen or option.metavar is not None, (
                name,
                option,
            )
            text = option.help or ""
            assert Text.from_markup(text).plain == text.replace("\\[", "["), "brackets are taken for markup"
            assert ("-o" in option.opts) == ("--output" in option.opts), (name, option)
            assert ("-f" in option.opts) == ("--format" in option.opts), (name, option)
    for arguments in ([], *([name] for name in typer.main.get_command(app).commands)):
        page = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80"}).output
        assert "bool" not in page
        assert not re.search(r"-[a-z-]+…", page), "an option's name is cut"


def test_what_is_written_is_named_and_no_file_is_called_as_standard_output_is() -> None:
    for name, command in typer.main.get_command(app).commands.items():
        for option in command.params:
            if option.param_type_name == "argument" or option.opts[0].removeprefix("--") not in WRITTEN:
                continue
            call = partial(command.make_context, name, ["a.wav", option.opts[0], "-"])
            if option.opts[0] == "--output" and name in PRINT:
                assert call().params["output"] is None, name
            else:
                with pytest.raises(typer.BadParameter, match=r"^- is standard output") as refused:
                    call()
                assert refused.value.param is option, (name, option)


def test_the_shell_completes_commands_and_options() -> None:
    for words, expected in (
        ("phonestream tr", b"transcribe\ntrain"),
        ("phonestream models --f", b"--format"),
    ):
        variables = {"_PHONESTREAM_COMPLETE": "complete_bash", "COMP_WORDS": words}
        cword = str(len(words.split()) - 1)
        completed = subprocess.run(
            process(), env={**os.environ, **variables, "COMP_CWORD": cword}, capture_output=True
        )
        assert completed.stdout.strip() == expected


def test_models_are_listed(phonestream_: Callable[..., Result]) -> None:
    listed = phonestream_("models", "-f", "JSON").transcripts
    assert [facts["name"] for facts in listed] == list(phonestream.bundled_models())
    assert [line.split()[0] for line in phonestream_("models").out.splitlines()] == [
        facts["name"] for facts in listed
    ]


@pytest.mark.parametrize(
    "arguments",
    [("transcribe", "{audio}"), ("--version",), ("--help",), ("models", "--help"), ("info",)],
    ids=" ".join,
)
def test_standard_output_that_is_full_or_closed_is_one_line(
    arguments: tuple[str, ...], recordings: list[Path]
) -> None:
    command = process(*(argument.format(audio=recordings[0]) for argument in arguments))
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert "No space left" in only_line(result.stderr)
    closed = ["sh", "-c", '"$@" >&-', "sh", *command]
    result = subprocess.run(closed, capture_output=True, text=True)
    assert result.returncode == 1
    assert "standard output is closed" in only_line(result.stderr)


def test_no_name_is_empty() -> None:
    for name, command in typer.main.get_command(app).commands.items():
        wanted = ["x" for option in command.params if option.param_type_name == "argument"]
        for option in command.params:
            if option.name in MAY_BE_EMPTY or getattr(option, "is_flag", False):
                continue
            call = [option.opts[0], ""] if option.opts[0].startswith("-") else [""] * len(wanted)
            with pytest.raises(typer.BadParameter, match=r"^is empty; give [^ ]") as refused:
                command.make_context(name, [*call, *(wanted if call[0] else ())])
            assert refused.value.param is not None
            assert refused.value.param.name == option.name or not call[0], (name, option)


def test_no_number_is_beyond_what_a_library_takes() -> None:
    for name, command in typer.main.get_command(app).commands.items():
        given = []
        for option in command.params:
            if option.param_type_name == "argument" or option.required:
                given += ["x"] if option.param_type_name == "argument" else [option.opts[0], "x"]
        for option in command.params:
            if option.param_type_name == "argument" or option.is_flag:
                continue
            for value in ("inf", "nan", "1e300", str(10**30)):
                with suppress(typer.BadParameter):
                    taken = command.make_context(name, [*given, option.opts[0], value]).params[option.name]
                    assert not isinstance(taken, int | float), (name, option, taken)


def test_threads_and_processes_have_an_upper_limit(
    phonestream_: Callable[..., Result], recordings: list[Path]
) -> None:
    assert MAX_THREADS == MODEL_THREADS
    with pytest.raises(ConfigError, match="from 1 to 1024"):
        phonestream.Recognizer(threads=MAX_THREADS + 1)
    assert phonestream_("transcribe", "--threads", "100000", recordings[0]).status == 2
    many = phonestream_("transcribe", "--jobs", "100000", *recordings[:2])
    assert (many.status, many.out) == (1, "")
    assert "at most 1024" in only_line(many.err)


def test_a_pipe_is_heard_like_a_file(
    hear: Callable[..., Result], recordings: list[Path], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe.opus"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(recordings[0].read_bytes()))
    writer.start()
    result = hear(pipe)
    writer.join()
    assert result.out == hear(recordings[0]).out


@pytest.mark.parametrize(
    "arguments",
    [
        ("transcribe", "--list", "/dev/zero"),
        ("transcribe", "--list", "-"),
        ("spot", "{audio}", "--list", "/dev/zero"),
        ("spot", "{audio}", "--commands", "/dev/zero"),
        ("listen", "--commands", "/dev/zero"),
        ("align", "{audio}", "/dev/zero"),
        ("align", "{audio}", "-"),
        ("align", "{audio}", "--text", "yes", "--dictionary", "/dev/zero"),
        ("train", "/dev/zero", "--run", "{out}"),
        ("phone-lm", "--text", "/dev/zero", "--output", "{out}"),
    ],
    ids=" ".join,
)
def test_a_text_without_an_end_is_one_line(
    arguments: tuple[str, ...], recordings: list[Path], tmp_path: Path
) -> None:
    given = [argument.format(audio=recordings[0], out=tmp_path / "out") for argument in arguments]
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (4 << 30, 4 << 30))
    with open("/dev/zero", "rb") as zeros:
        result = subprocess.run(
            process(*given), stdin=zeros, capture_output=True, text=True, timeout=60, preexec_fn=limit
        )
    assert (result.returncode, result.stdout) == (1, "")
    assert re.search("is a device, not a file|is longer than [0-9]+ MiB", only_line(result.stderr))


def test_a_pipe_is_a_text_like_any_other(
    hear: Callable[..., Result],
    phonestream_: Callable[..., Result],
    recordings: list[Path],
    tmp_path: Path,
) -> None:
    pipe, out = tmp_path / "pipe", []
    os.mkfifo(pipe)
    for command, option, content in (
        ("transcribe", "--list", f"{recordings[0]}\n"),
        ("spot", "--list", "lamp\n"),
        ("spot", "--commands", "lamp\n"),
        ("align", "--dictionary", "yes Y EH S\n"),
    ):
        writer = threading.Thread(target=pipe.write_text, args=(content,))
        writer.start()
        rest = {
            "transcribe": (),
            "spot": (recordings[0],),
            "align": (recordings[0], "--text", "yes", "--no-refuse"),
        }
        out.append(phonestream_(command, "--model", shipped_model(), option, pipe, *rest[command]))
        writer.join()
    assert out[0].out == hear(recordings[0]).out
    assert [result.status for result in out[:3]] == [0, 0, 0]
    assert "cannot be read" not in out[3].err


HEAVY = ["torch", "torchaudio", "lhotse", "scipy", "onnx", "onnxscript", "matplotlib", "tensorboard", "jiwer"]


def test_transcribing_needs_no_extra(recordings: list[Path]) -> None:
    command = process(
        "transcribe",
        "--format",
        "json",
        "--model",
        shipped_model(),
        recordings[0],
        code=BLOCKING.format(absent=HEAVY),
    )
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(result.stdout)["phones"]


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["evaluate", "{model}"], "lhotse"),
        (["export", "run", "--output", "model.onnx"], "torch"),
        (["prepare", "{data}", "--output", "{out}"], "lhotse"),
        (["train", "{config}", "--run", "{out}", "--data", "{data}"], "torch"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_a_missing_extra_is_one_line_with_its_remedy(
    arguments: list[str], absent: str, speech_dir: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.touch()
    names = {"data": speech_dir, "config": config, "out": tmp_path / "out", "model": shipped_model()}
    filled = [text.format(**names) for text in arguments]
    command = process(*filled, code=BLOCKING.format(absent=[absent]))
    environment = os.environ | SETTINGS | {"PHONESTREAM_SPEECH": str(speech_dir)}  # so train need not restart
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    line = only_line(result.stderr)
    assert result.returncode == 1
    assert absent in line
    assert line.endswith("pip install 'phonestream[train]'")


def test_an_import_that_is_no_extra_of_ours_is_a_bug() -> None:
    assert missing_extra(ModuleNotFoundError(name="phonestream.asr.nothing")) is None
    assert missing_extra(ModuleNotFoundError(name="numqy")) is None
    assert missing_extra(ModuleNotFoundError(name="torch.nn")) == "train"


def test_help_waits_for_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from phonestream.cli import main\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    result = subprocess.run(process("--help", code=code), capture_output=True, text=True, check=True)
    assert not {"numpy", "onnxruntime", "soundfile", "torch"} & set(result.stderr.split())


# Other commands


def test_info_says_what_the_model_is(phonestream_: Callable[..., Result]) -> None:
    result = phonestream_("info", shipped_model(), "--format", "json")
    facts = json.loads(only_line(result.out))
    recognizer = phonestream.Recognizer(shipped_model())
    metadata = recognizer.metadata
    assert facts["name"] == metadata.name
    assert facts["licence"] == metadata.licence
    assert facts["training_data"] == metadata.training_data
    assert tuple(facts["phones"]) == metadata.phones
    assert (
        facts["look_ahead_ms"]
        == 1000 * metadata.look_ahead_frames * metadata.frame_samples / metadata.sample_rate
    )
    assert facts["file_mib"] == pytest.approx(shipped_model().stat().st_size / 2**20, abs=0.01)
    assert facts["sha256"] == recognizer.sha256
    assert 4 * 1024 * facts["state_kib"] > 0
    text = phonestream_("info", shipped_model()).out
    assert facts["sha256"] in text
    assert f"look-ahead     {facts['look_ahead_ms']:g} ms" in text
    assert all(len(line) <= WIDTH for line in text.splitlines())


# The bar


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Standard error is a terminal; call for what it has shown."""
    ours, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        patched.setenv("TERM", "xterm")
        yield lambda: _everything(ours)
    os.close(ours)


def _everything(terminal: int) -> str:
    """All that has been written to a terminal, of which one read gives but a part."""
    shown = b""
    while select.select([terminal], [], [], 0.5)[0]:
        shown += os.read(terminal, 65_536)
    return shown.decode()


def test_a_bar_is_shown_on_a_terminal_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    with terminal(monkeypatch) as seen:
        with progress.Bar("hearing") as bar:
            bar(1, 4)
            bar.hide()
            bar(2, 4)
        shown = seen()
    assert "hearing" in shown
    assert "50%" in shown
    assert shown.endswith("\x1b[2K")  # the line is erased


def test_there_is_no_bar_for_short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 1e9)
    with terminal(monkeypatch) as seen:
        with progress.Bar("hearing") as bar:
            bar(1, 4)
        print("nothing", file=sys.stderr, flush=True)
        assert seen() == "nothing\r\n"


def test_there_is_no_bar_where_nobody_watches(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    with progress.Bar("hearing") as bar:
        bar(1, 4)
    assert capfd.readouterr().err == ""
