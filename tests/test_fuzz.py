"""Files, snapshots, manifests and connections changed at random: taken or refused. More: `benchmarks/fuzz.py`."""

import asyncio
from pathlib import Path

import fuzzing
import fuzzing_manifests
import fuzzing_snapshots
import httpx
import pytest
import soundfile
from fuzzing_websocket import conversations
from server_process import serving
from toy_model import toy_model

from phonestream import Recognizer

SPEECH = Path(__file__).parent / "data/speech/dev/260-123286-0000.opus"


def test_mutated_files_are_heard_whole_or_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mutated"
    contents = fuzzing.originals(tmp_path)
    heard = 0
    for number in range(400):
        data, least = fuzzing.mutated(contents, 1, number)
        path.write_bytes(data)
        heard += fuzzing.read(path, least)
    assert 0 < heard < 400
    assert "Traceback" not in capfd.readouterr().err


def test_mutated_snapshots_are_refused_or_resumed(tmp_path: Path) -> None:
    recognizer = Recognizer(toy_model(tmp_path / "toy.onnx"))
    snapshots = fuzzing_snapshots.originals(recognizer)
    taken = [
        fuzzing_snapshots.resume(recognizer, fuzzing_snapshots.mutated(snapshots, 1, number))
        for number in range(300)
    ]
    assert 0 < sum(taken) < len(taken)


def test_mutated_snapshots_with_keywords_and_commands_are_refused_or_resumed() -> None:
    recognizer = Recognizer("tiny")
    speech = soundfile.read(SPEECH, dtype="float32")[0]
    snapshots = fuzzing_snapshots.spotting(recognizer, speech[:60_000])
    taken = [
        fuzzing_snapshots.resume(
            recognizer, fuzzing_snapshots.mutated(snapshots, 2, number), **fuzzing_snapshots.SPOTTING
        )
        for number in range(200)
    ]
    assert 0 < sum(taken) < len(taken)


def test_rows_of_mutated_manifests_are_recordings_or_refused(tmp_path: Path) -> None:
    found = []
    for number in range(500):
        ending, data = fuzzing_manifests.mutated(1, number)
        path = tmp_path / f"manifest{ending}"
        path.write_bytes(data)
        found.append(fuzzing_manifests.read(path))
    recordings, refused = map(sum, zip(*found, strict=True))
    assert recordings
    assert refused


def test_whatever_is_said_is_answered_with_a_close(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(log=log, idle_seconds=2.0, opening_seconds=2.0) as server:
        codes = asyncio.run(conversations(server.ws, range(60), 1))
        assert httpx.get(f"{server.url}/health").status_code == 200
    assert log.read_text() == ""
    assert {1000, 4000} < set(codes)
