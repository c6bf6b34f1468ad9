"""Fixtures that all tests share, and the rule that no test passes by not running."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.register_assert_rewrite(
    "attention_cases", "browser", "exactness"
)  # so that their failures show values

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # in the background of a shell script; commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

SPEECH = Path(__file__).parent / "data" / "speech"

# Files that take longest, so that no worker of `pytest -n 2 --dist loadfile` is left with one when the other has none.
LONGEST = (
    "test_attention.py",
    "test_triton.py",
    "test_export.py",
    "test_ray.py",
    "test_train.py",
    "test_installed.py",
    "test_stages.py",
    "test_web.py",
    "test_web_commands.py",
    "test_server.py",
    "test_batch.py",
    "test_listen.py",
    "test_distributed.py",
    "test_quantise.py",
    "test_teacher.py",
    "test_page.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def speech_dir() -> Path:
    """The shipped recordings, with a manifest.tsv."""
    return SPEECH


@pytest.fixture(scope="session")
def recordings(speech_dir: Path) -> list[Path]:
    """The shipped recordings' audio files, sorted."""
    found = sorted(speech_dir.glob("*/*.opus"))
    assert found, f"no recordings in {speech_dir}"
    return found


@pytest.fixture(scope="module")
def recording(recordings: list[Path]) -> Path:
    """What is played to the `browser`."""
    return recordings[5]


@pytest.fixture(scope="module")
def browser(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """A browser whose microphone plays the recording."""
    from browser import chromium

    with chromium(recording, tmp_path_factory.mktemp("microphone")) as browser:
        yield browser


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory, speech_dir: Path) -> Path:
    """The shipped recordings as a corpus to train on and to measure on."""
    from small_training import write_corpus

    return write_corpus(tmp_path_factory.mktemp("corpus"), speech_dir)


@pytest.fixture
def one_thread(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Training on one thread, with decoded audio in a cache of this session's own."""
    import torch

    monkeypatch.setenv("PHONESTREAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With CI=true, a skip fails the session, but for tests marked `gpu`."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None:
        return
    skipped = [report.nodeid for report in reporter.stats.get("skipped", []) if "gpu" not in report.keywords]
    if skipped:
        reporter.section("skipped, which CI does not allow", red=True)
        for nodeid in skipped:
            reporter.write_line(nodeid)
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
