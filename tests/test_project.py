"""The project's own files agree with each other, and its checks can fail."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import phonestream

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS: dict[str, str] = PYPROJECT["tool"]["setuptools"]["package-dir"]


def test_every_folder_of_modules_is_packaged() -> None:
    found = set()
    for package, folder in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inside = init.parent.relative_to(ROOT / folder)
            found.add(".".join((package, *inside.parts)))
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_module_says_why_it_exists() -> None:
    for folder in FOLDERS.values():
        for module in (ROOT / folder).rglob("*.py"):
            assert module.read_text(encoding="utf-8").lstrip().startswith('"""'), module


def test_the_version_is_the_same_everywhere() -> None:
    version = PYPROJECT["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == version
    assert phonestream.__version__ == version


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PYPROJECT['project']['version']}\n" in citation
    assert f"\nlicense: {PYPROJECT['project']['license']}\n" in citation


@pytest.mark.parametrize("command", ["ruff format --check", "ruff check", "mypy", "lint-imports --no-logo"])
def test_pre_commit_runs_what_scripts_test_runs_first(command: str) -> None:
    for file in ("scripts/test", ".pre-commit-config.yaml"):
        assert command in (ROOT / file).read_text(encoding="utf-8"), file


def test_the_licence_is_apache() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")[:200]
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    for pattern in PYPROJECT["project"]["license-files"]:
        assert list(ROOT.glob(pattern)), pattern


def test_constraints_pin_every_dependency_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    project = PYPROJECT["project"]
    texts = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for requirement in map(Requirement, texts):
        if requirement.name != "phonestream":
            assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_what_only_transcribes_needs_no_torch() -> None:
    core = [Requirement(text) for text in metadata.requires("phonestream") or [] if "extra ==" not in text]
    assert {requirement.name for requirement in core} == {
        "numpy", "onnxruntime", "rich", "safetensors", "soundfile", "typer",
    }  # fmt: skip


@pytest.fixture
def modules_only(tmp_path: Path) -> Path:
    """A copy of the project's modules, mounted for import-linter."""
    copy = tmp_path / "project"
    for folder in (*FOLDERS.values(), "scripts"):
        for module in (ROOT / folder).rglob("*.py"):
            target = copy / module.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(module, target)
    shutil.copy(ROOT / "pyproject.toml", copy)
    subprocess.run([sys.executable, "scripts/mount.py"], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    return copy


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    return subprocess.run(
        [*command, "--config", "../../pyproject.toml"],
        cwd=project / "build" / "mount",
        text=True,
        capture_output=True,
    )


def test_the_import_layers_hold(modules_only: Path) -> None:
    result = lint_imports(modules_only)
    assert result.returncode == 0, result.stdout + result.stderr


FORBIDDEN = [
    ("kernels/state.py", "from ..asr.lexicon import phones"),
    ("kernels/state.py", "from ..streaming import decode"),
    ("asr/lexicon/phones.py", "from ...streaming import decode"),
    ("asr/lexicon/phones.py", "import torch"),
    ("asr/align/score.py", "from ..model import config"),
    ("asr/align/score.py", "from ..training import config"),
    ("asr/align/score.py", "import onnx"),
    ("asr/phone_lm/estimate.py", "from ..evaluation import score"),
    ("asr/corpora/rows.py", "from ..training import config"),
    ("asr/model/blocks.py", "from ..training import config"),
    ("asr/training/train.py", "from ...export import exporter"),
    ("asr/evaluation/score.py", "from ...cli import main"),
    ("export/__init__.py", "from .. import cli"),
    ("streaming/decode.py", "from torch import nn"),
    ("streaming/decode.py", "from ..asr.align import score"),
    ("streaming/decode.py", "from ..formats import registry"),
    ("streaming/server/app.py", "from ...batch import task"),
    ("streaming/audio/containers/ogg.py", "import scipy"),
    ("streaming/audio/files.py", "from .. import stream"),
    ("streaming/stream.py", "def late(): import lhotse"),
    ("src/phonestream/__init__.py", "import torch"),
    ("src/phonestream/errors.py", "from .streaming import decode"),
    ("src/phonestream/formats/lab.py", "from ..batch import task"),
    ("src/phonestream/batch/task.py", "from ..commands import info"),
    ("src/phonestream/commands/transcribe.py", "import torch"),
]


def test_a_forbidden_import_is_found_in_every_folder(modules_only: Path) -> None:
    """All are planted at once, and every one is reported with its line."""
    places = set()
    for module, line in FORBIDDEN:
        file = modules_only / module
        with file.open("a", encoding="utf-8") as end:
            end.write(f"{line}\n")
        folder, package = next(
            (folder, package)
            for package, folder in reversed(FOLDERS.items())
            if module.startswith(f"{folder}/")
        )
        name = module.removeprefix(f"{folder}/").removesuffix(".py").replace("/", ".")
        number = len(file.read_text(encoding="utf-8").splitlines())
        places.add((f"{package}.{name}".removesuffix(".__init__"), number))
    result = lint_imports(modules_only)
    assert result.returncode == 1, result.stdout + result.stderr
    reported = re.findall(r"(\S+) -> \S+\s+\(([^)]*)\)", result.stdout)
    lines = {(name, int(number)) for name, found in reported for number in re.findall(r"\d+", found)}
    assert places <= lines, places - lines


SKIPPING = """
import pytest

def test_runs(): pass

{mark}
def test_skips(): pytest.skip("a reason")
"""


@pytest.mark.parametrize(
    ("mark", "ci", "status"),
    [
        ("", "true", pytest.ExitCode.TESTS_FAILED),
        ("@pytest.mark.gpu", "true", pytest.ExitCode.OK),
        ("", "", pytest.ExitCode.OK),
    ],
    ids=["a skip fails CI", "but not one that needs a GPU", "nor at home"],
)
def test_no_test_passes_by_not_running(mark: str, ci: str, status: int, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_skipping.py").write_text(SKIPPING.format(mark=mark), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "markers=gpu", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "CI": ci},
        text=True,
        capture_output=True,
    )
    assert result.returncode == status, result.stdout + result.stderr
    assert ("not allow" in result.stdout) == (status != pytest.ExitCode.OK)
