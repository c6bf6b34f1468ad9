"""`phonestream transcribe --ray`: the results of a run on one machine, whatever the cluster does meanwhile."""

import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
import soundfile
from toy_model import levels, toy_model
from transcribing import Result, transcriber, tree

from phonestream.batch.output import Output
from phonestream.batch.ray_worker import TRIES, WorkerSpec, check_machine
from phonestream.batch.task import ModelSpec
from phonestream.errors import ConfigError

RATE = 16_000
CPUS = 3


class Cluster(NamedTuple):
    process: int
    address: str
    for_clients: str


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model(tmp_path_factory.mktemp("toy") / "toy.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of the toy's phones in a tree, some of them long, and one that is damaged."""
    folder = tmp_path_factory.mktemp("corpus") / "speech"
    for number in range(8):
        path = folder / "abc"[number % 3] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio = np.tile(levels(1, 2, 3 + number % 3, samples=6400), 100 if number > 3 else 1)
        soundfile.write(path, audio, RATE, subtype="PCM_16")
    (folder / "b/broken.wav").write_bytes((folder / "a/0.wav").read_bytes()[:5000])
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of CPUS workers, without the accounts that Ray keeps of its users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        process = subprocess.Popen(
            [sys.executable, Path(__file__).parent / "support" / "ray_cluster.py", str(CPUS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            lines = iter(process.stdout)
            yield Cluster(process.pid, *next(line for line in lines if "ray://" in line).split())
        finally:
            process.stdin.close()
            process.wait()


@pytest.fixture
def transcribe(toy: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    return transcriber(toy, capfd)


def timeless(err: str) -> str:
    """Standard error without what the clock has a say in."""
    return re.sub(r" of audio in .*?\)", "", err)


def workers(cluster: Cluster) -> list[psutil.Process]:
    """Processes of a cluster that decode, by the name that Ray gives them."""
    found = []
    for process in psutil.Process(cluster.process).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::MapWorker(Map(Transcriber))"):
                found.append(process)
    return found


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_worker_that_is_killed_in_mid_run_costs_nothing(
    cluster: Cluster, folder: Path, toy: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    options = "--format", "json,textgrid", "--posteriors", "--output"
    local = transcribe(*options, tmp_path / "local", folder)
    call = "transcribe", "--model", toy, "--ray", cluster.address, *options, "far", folder
    running = subprocess.Popen(
        [sys.executable, "-m", "phonestream", *map(str, call)],
        cwd=tmp_path,  # the workers were started elsewhere
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: list((tmp_path / "far").rglob("*.json")) or running.poll() is not None)
    victims = workers(cluster)
    victims[0].kill()
    _, err = running.communicate()
    assert len(tree(tmp_path / "local")) == 3 * 8
    assert tree(tmp_path / "far") == tree(tmp_path / "local")
    assert (len(victims), running.returncode, timeless(err)) == (CPUS, 1, timeless(local.err))


def test_a_client_outside_the_cluster_from_an_archive_to_a_url(
    cluster: Cluster, folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    """The file that is damaged and the one that is missing are named as a run on one machine names them."""
    archive = tmp_path / "speech.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.wav")):
            file.write(path, path.relative_to(folder))
    names = f"zip://::file://{archive}", tmp_path / "missing.wav"
    local = transcribe("--format", "ctm", "--output", f"dir://local::file://{tmp_path}", *names)
    far = transcribe(
        *("--ray", cluster.for_clients, "--jobs", "2", "--format", "ctm"),
        *("--output", f"dir://far::file://{tmp_path}", *names),
    )
    assert "missing.wav: no such file; check the name" in far.err
    assert (far.status, far.out, timeless(far.err)) == (1, "", timeless(local.err))
    assert len(tree(tmp_path / "far")) == 8
    assert tree(tmp_path / "far") == tree(tmp_path / "local")


def test_printed_results_come_in_order_and_ray_says_nothing(
    folder: Path, transcribe: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    local = transcribe("--format", "json", folder)
    assert transcribe("--ray", "local", "--jobs", "2", "--format", "json", folder) == local


def test_a_recording_that_kills_its_worker_each_time_is_a_failure_and_the_others_go_on(
    cluster: Cluster, folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)  # opening it, a worker waits for somebody who writes
    deaths = 0
    stop = threading.Event()

    def hunt() -> None:
        nonlocal deaths
        while not stop.is_set():
            time.sleep(0.02)
            try:
                end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads
                continue
            victims = workers(cluster)
            for worker in victims:
                worker.kill()
            psutil.wait_procs(victims)  # before the end is closed that it would read on from
            deaths += len(victims)
            os.close(end)

    hunter = threading.Thread(target=hunt)
    hunter.start()
    try:
        result = transcribe(
            *("--ray", cluster.address, "--jobs", "1", "--format", "json", "--output", tmp_path / "out"),
            *(folder / "a/0.wav", pipe, folder / "b/1.wav", folder / "c/2.wav"),
        )
    finally:
        stop.set()
        hunter.join()
    assert result.err.startswith(
        f"phonestream: {pipe}: the worker that decoded it died {TRIES} times; it may need more memory than there is\n"
    )
    assert (result.status, deaths) == (1, TRIES)
    assert sorted(tree(tmp_path / "out")) == ["0.json", "1.json", "2.json"]


def test_what_a_cluster_cannot_do_is_said_in_a_line(
    transcribe: Callable[..., Result], folder: Path, tmp_path: Path
) -> None:
    stdin = transcribe("--ray", "local", "-")
    assert stdin == Result(1, "", "phonestream: -: only this process can read it; leave out --ray\n")
    missing = transcribe("--ray", "local", "--model", "missing.onnx", folder)
    assert missing.err.startswith("phonestream: missing.onnx: no such model file")
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        nowhere = transcribe("--ray", address, "--output", tmp_path / "out", folder)
        assert nowhere == Result(
            1,
            "",
            f"phonestream: --ray {address}: no Ray cluster answers there: Connection refused; "
            "start one with: ray start --head\n",
        )
        assert tree(tmp_path / "out") == {}


def test_a_machine_that_is_not_fit_is_refused(tmp_path: Path) -> None:
    """One that has another release, or a folder of its own where the caller's should be."""
    from phonestream import __version__

    spec = WorkerSpec(b"", ModelSpec(), Output(str(tmp_path), "run"), str(tmp_path), "here", __version__)
    with pytest.raises(ConfigError, match="does not see this folder"):
        check_machine(spec)
    (tmp_path / ".phonestream/run").mkdir(parents=True)
    check_machine(spec)
    with pytest.raises(ConfigError, match="install one version everywhere"):
        check_machine(spec._replace(version="0.0"))
