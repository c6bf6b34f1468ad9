"""URLs through fsspec wherever a name may stand: the same results as from and to a folder, whole or not at all."""

import gzip
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import soundfile
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st
from toy_model import levels, toy_model
from transcribing import Result, transcriber, tree

from phonestream.batch import remote
from phonestream.batch.entries import Failure, Source
from phonestream.batch.remote import Url, is_url, parse, strip_file_scheme
from phonestream.batch.sources import expand, read_list

RATE = 16_000


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model(tmp_path_factory.mktemp("toy") / "toy.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings of the toy's phones in a tree, and one that is damaged."""
    folder = tmp_path_factory.mktemp("corpus") / "speech"
    for number, name in enumerate(("a/1.wav", "a/2.flac", "b/deep/3.wav", "4.wav")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, levels(*range(1, 3 + number), samples=3200), RATE, subtype="PCM_16")
    (folder / "b/broken.wav").write_bytes((folder / "a/1.wav").read_bytes()[:5000])
    (folder / "a/notes.txt").write_text("no recording")
    (folder / ".hidden.wav").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def archive(folder: Path) -> str:
    """The same in a zip file, as the URL of a folder."""
    path = folder.parent / "corpus.zip"
    with zipfile.ZipFile(path, "w") as file:
        for one in sorted(folder.rglob("*")):
            file.write(one, one.relative_to(folder.parent))
    return f"zip://speech::file://{path}"


@pytest.fixture
def memory(folder: Path) -> Iterator[MemoryFileSystem]:
    """The same in memory://bucket/speech."""
    store = fsspec.filesystem("memory")
    store.put(str(folder), "/bucket/speech", recursive=True)
    yield store
    store.rm("/", recursive=True)
    store.store.clear()


@pytest.fixture
def transcribe(toy: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    return transcriber(toy, capfd)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.0)


def stems(*names: str, root: str | None = None) -> dict[str, str]:
    """Stem of each recording's URL."""
    return {entry.path: entry.stem for entry in expand(names, root=root) if isinstance(entry, Source)}


def reasons(*names: str, root: str | None = None) -> list[str]:
    return [entry.reason for entry in expand(names, root=root) if isinstance(entry, Failure)]


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://bucket/a.wav", True),
        ("zip://a.wav::s3://bucket/b.zip", True),
        ("simplecache::gs://bucket/a.wav", True),
        ("a.wav", False),
        ("C:/a.wav", False),
        ("c://a.wav", False),
        ("-", False),
        ("speech/s3:/a", False),
    ],
)
def test_what_is_a_url(name: str, expected: bool) -> None:
    assert is_url(name) is expected


def test_file_urls_are_paths() -> None:
    assert strip_file_scheme("file:///data/a b.wav") == "/data/a b.wav"
    assert strip_file_scheme("local://a.wav") == "a.wav"
    for name in ("a.wav", "s3://file/a.wav", "file:///a.zip::x", "-"):
        assert strip_file_scheme(name) == name


@given(st.from_regex(r"(zip|simplecache::s3|s3)://[a-c/*]{0,6}(::file:///a/b\.zip)?", fullmatch=True))
def test_a_url_is_its_parts(url: str) -> None:
    assert str(parse(url)) == url
    child = parse(url).child("x/y.wav")
    assert child.path.endswith("x/y.wav")
    assert (child.scheme, child.rest) == (parse(url).scheme, parse(url).rest)


def test_children() -> None:
    assert str(parse("s3://b/x/").child("y.wav")) == "s3://b/x/y.wav"
    assert str(parse("zip://::file:///a.zip").child("y.wav")) == "zip://y.wav::file:///a.zip"
    assert parse("memory:///a").child("b") == Url("memory", "/a/b", "")


# What URLs stand for


def test_a_folder_behind_a_url_is_searched_as_one_on_a_disk(
    folder: Path, archive: str, memory: MemoryFileSystem
) -> None:
    local = list(stems(str(folder)).values())
    assert local == ["4", "a/1", "a/2", "b/broken", "b/deep/3"]
    assert list(stems("memory://bucket/speech").values()) == local
    assert list(stems("memory://bucket/speech/").values()) == local
    assert list(stems(archive).values()) == local
    assert next(iter(stems(archive))) == archive.replace("speech", "speech/4.wav", 1)
    sizes = [entry.size for entry in expand([archive]) if isinstance(entry, Source)]
    assert sizes[0] == (folder / "4.wav").stat().st_size


def test_results_call_a_recording_by_a_name_that_ends_as_a_file_s() -> None:
    names = "zip://x/a.wav::s3://bucket/b.zip", "https://h/a.wav?signature=x/y", "s3://b/a.wav"
    assert [entry.name for entry in expand(names) if isinstance(entry, Source)] == [
        "zip://x/a.wav", "https://h/a.wav", "s3://b/a.wav"
    ]  # fmt: skip


def test_patterns(archive: str, memory: MemoryFileSystem) -> None:
    base = "memory://bucket/speech"
    assert stems(f"{base}/*/*.wav") == {f"{base}/a/1.wav": "a/1", f"{base}/b/broken.wav": "b/broken"}
    assert list(stems(f"{base}/**/[1-4].wav").values()) == ["4", "a/1", "b/deep/3"]
    assert list(stems(f"{base}/[ab]").values()) == ["a/1", "a/2", "b/broken", "b/deep/3"]
    assert list(stems(archive.replace("speech", "speech/a/*", 1)).values()) == ["1", "2", "notes.txt"]
    memory.pipe_file("/bucket/odd[1].wav", b"x")
    assert stems("memory://bucket/odd[1].wav") == {"memory://bucket/odd[1].wav": "odd[1]"}
    (reason,) = reasons("memory://bucket/speech/*.mp3")
    assert reason.startswith("memory://bucket/speech/*.mp3: no recording is called so")


def test_results_mirror_the_tree_below_a_root() -> None:
    assert stems("s3://b/x/a.wav", root="s3://b/") == {"s3://b/x/a.wav": "x/a"}
    assert stems("s3://b/x/a.wav") == {"s3://b/x/a.wav": "a"}
    assert stems("https://h/x/a.wav?key=1/2") == {"https://h/x/a.wav?key=1/2": "a"}
    for root in ("s3://other", "s3://b/xx", "gs://b", "/data"):
        (reason,) = reasons("s3://b/x/a.wav", root=root)
        assert reason == f"s3://b/x/a.wav: is not below {root}; give another --root"
    (reason,) = reasons("s3://b/x/../../a.wav", root="s3://b/x")
    assert "cannot name a result" in reason


def test_what_cannot_be_searched_is_named(tmp_path: Path, memory: MemoryFileSystem) -> None:
    (tmp_path / "torn.zip").write_bytes(b"PK\3\4 torn")
    memory.pipe_file("/empty/notes.txt", b"x")
    for name, why in (
        (f"zip://x::file://{tmp_path}/torn.zip", "cannot be searched: File is not a zip file"),
        ("nosuch://bucket/x", "cannot be searched: Protocol not known: nosuch"),
        ("memory://empty", "is a folder that holds no recordings"),
    ):
        (reason,) = reasons(name)
        assert reason.startswith(f"{name}: {why}")
        assert "\n" not in reason


def test_a_missing_package_is_told_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, transcribe: Callable[..., Result], memory: MemoryFileSystem
) -> None:
    for scheme, package in (("s3", "s3fs"), ("gs", "gcsfs"), ("hf", "huggingface_hub"), ("sftp", "paramiko")):
        monkeypatch.setitem(sys.modules, package, None)
        for arguments in (
            (f"{scheme}://bucket/a.wav",),
            (f"{scheme}://bucket/folder",),
            (f"{scheme}://bucket/cuts.jsonl",),
            ("--list", f"{scheme}://bucket/list"),
            ("--output", f"{scheme}://bucket/out", "memory://bucket/speech/4.wav"),
        ):
            result = transcribe(*arguments)
            (line,) = [line for line in result.err.splitlines() if "needs the package" in line]
            assert result.status == 1
            assert (
                f"{scheme}:// needs the package {package}, which is not installed; pip install {package}"
                in line
            )
            assert "credentials" not in line


def test_lists_and_manifests_may_lie_behind_urls(memory: MemoryFileSystem) -> None:
    row = {
        "id": "x/1",
        "sources": [{"type": "url", "channels": [0], "source": "memory://bucket/speech/a/1.wav"}],
    }
    memory.pipe_file("/lists/cuts.jsonl.gz", gzip.compress(json.dumps(row).encode()))
    memory.pipe_file("/lists/wav.scp", b"x/1 memory://bucket/speech/a/1.wav\n")
    memory.pipe_file("/lists/list", b"memory://bucket/speech/a/1.wav\n")
    for name in ("memory://lists/cuts.jsonl.gz", "memory://lists/wav.scp"):
        assert stems(name) == {"memory://bucket/speech/a/1.wav": "x/1"}
    assert read_list("memory://lists/list") == ["memory://bucket/speech/a/1.wav"]
    (reason,) = reasons("memory://lists/missing.scp")
    assert reason.startswith("memory://lists/missing.scp: the manifest cannot be read: ")


# Recordings from URLs, results to URLs


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_results_are_those_of_a_folder_on_a_disk(
    jobs: str, folder: Path, archive: str, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    options = "--format", "ctm,lab", "--posteriors", "--jobs", jobs, "--output"
    local = transcribe(*options, tmp_path / "local", folder)
    far = transcribe(*options, f"dir://far/x::file://{tmp_path}", archive)
    assert (local.status, far.status) == (1, 1)
    assert "broken.wav::file:///" in far.err
    assert "breaks off after" in far.err
    results = tree(tmp_path / "local")
    assert len(results) == 12
    assert tree(tmp_path / "far/x") == results
    assert not list(tmp_path.glob("far/x/.*"))
    assert tree(tmp_path / "local") == results
    again = transcribe(*options, f"file://{tmp_path}/again", f"file://{folder}")
    assert (again.status, tree(tmp_path / "again")) == (1, results)


def test_a_store_of_objects(
    folder: Path, memory: MemoryFileSystem, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    transcribe("--output", tmp_path, folder)
    url = "memory://out/x"
    assert transcribe("--output", url, "memory://bucket/speech").status == 1
    written = {name.removeprefix("/out/x/"): memory.cat_file(name) for name in memory.find("/out")}
    assert written == tree(tmp_path)
    refused = transcribe("--output", url, "memory://bucket/speech")
    assert refused.err.startswith(f"phonestream: {url}/4.txt and 3 more exist already; --resume ")
    memory.rm_file("/out/x/a/1.txt")
    resumed = transcribe("--output", url, "--resume", "memory://bucket/speech/a")
    assert "2 of 2 done" in resumed.err, "1.txt and 2.txt below x, not below x/a"
    resumed = transcribe("--output", url, "--resume", "memory://bucket/speech")
    assert "; 3 done before; 1 failed:" in resumed.err
    assert memory.cat_file("/out/x/a/1.txt") == (tmp_path / "a/1.txt").read_bytes()
    is_file = transcribe("--output", f"{url}/4.txt", "memory://bucket/speech")
    assert is_file.err == f"phonestream: {url}/4.txt: is not a folder; give --output another name\n"


def test_what_is_wrong_with_a_recording_begins_with_its_url(
    memory: MemoryFileSystem, transcribe: Callable[..., Result]
) -> None:
    memory.pipe_file("/bucket/empty.wav", b"")
    memory.pipe_file("/bucket/text.wav", b"no audio")
    names = [f"memory://bucket/{name}.wav" for name in ("missing", "empty", "text")]
    result = transcribe("--format", "json", *names, "memory://bucket/speech/4.wav")
    assert result.status == 1
    assert json.loads(result.out)["file"] == "memory://bucket/speech/4.wav"
    missing, empty, text = result.err.splitlines()
    assert missing == f"phonestream: {names[0]}: no such file; check the name"
    assert empty == f"phonestream: {names[1]}: is empty; record, copy or download it again"
    assert text.startswith(f"phonestream: {names[2]}: is not audio of a kind that can be read")


@pytest.mark.parametrize("output", ["nosuch://bucket", "zip://x::file://{}/made.zip"])
def test_an_output_that_cannot_be_is_refused_before_any_work(
    output: str, folder: Path, transcribe: Callable[..., Result], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as file:
        file.writestr("x/y", "z")
    result = transcribe("--output", output.format(tmp_path), folder)
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(f"phonestream: {output.format(tmp_path)}: ")


# A network that fails


class Shaky(MemoryFileSystem):
    """Memory behind a line that drops: every call of `puts` and `opens` fails until it has done so often enough."""

    protocol = "shaky"
    store: dict[str, Any] = {}  # noqa: RUF012 (as the class above has it)
    pseudo_dirs = [""]  # noqa: RUF012
    failures = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("shaky://", "memory://"))

    @classmethod
    def drop(cls) -> None:
        if cls.failures:
            cls.failures -= 1
            raise RuntimeError("connection reset\nby peer")

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode == "rb":
            self.drop()
        return super().open(path, mode, **options)

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        content = Path(lpath).read_bytes()
        if type(self).failures:
            self.pipe_file(rpath, content[: len(content) // 2])
        self.drop()
        self.pipe_file(rpath, content)


@pytest.fixture
def shaky() -> Iterator[type[Shaky]]:
    fsspec.register_implementation("shaky", Shaky, clobber=True)
    yield Shaky
    Shaky.store.clear()
    Shaky.pseudo_dirs[:] = [""]
    Shaky.failures = 0


def test_a_line_that_drops_is_tried_again(
    folder: Path, shaky: type[Shaky], transcribe: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fsspec.filesystem("shaky")
    store.pipe_file("/in/4.wav", (folder / "4.wav").read_bytes())
    shaky.failures = remote.TRIES - 1
    assert transcribe("--format", "json", "shaky://in/4.wav").status == 0
    assert shaky.failures == 0
    shaky.failures = remote.TRIES
    result = transcribe("--format", "json", "shaky://in/4.wav")
    assert result.err == (
        "phonestream: shaky://in/4.wav: cannot be read: connection reset; "
        "check the name, the network and the credentials\n"
    )


def test_half_a_result_never_has_its_name(
    folder: Path, shaky: type[Shaky], transcribe: Callable[..., Result]
) -> None:
    store = fsspec.filesystem("shaky")
    shaky.failures = remote.TRIES - 1
    assert transcribe("--output", "shaky://out", folder / "4.wav").status == 0
    whole = store.cat_file("/out/4.txt")
    assert store.find("/out") == ["/out/4.txt"]
    shaky.failures = remote.TRIES
    result = transcribe("--output", "shaky://out", folder / "a/1.wav", folder / "a/2.flac")
    assert re.search(
        r"1\.wav: its results|shaky://out/1\.txt: cannot be written: connection reset; ", result.err
    )
    assert "1 of 2 done" in result.err
    assert store.find("/out") == ["/out/2.txt", "/out/4.txt"]
    assert store.cat_file("/out/4.txt") == whole
