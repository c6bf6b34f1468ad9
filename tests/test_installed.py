"""What a newcomer does in a clone works there: plain and editable installs; the distributions hold what they should."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = ("src", "asr", "kernels", "export", "streaming")
BUILD = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that an installation needs and README speaks of, without what was built here."""
    copy = tmp_path_factory.mktemp("clone") / "phonestream"
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
    for folder in (*FOLDERS, "tests/data/speech"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=unwanted)
    for file in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / file, copy)
    return copy


def readme_example() -> str:
    """README's only Python example."""
    [example] = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    return example


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints, in an environment that leads to no other installation."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    result = subprocess.run(command, cwd=folder, env=clean, text=True, capture_output=True)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("editable", [False, True], ids=["plain", "editable"])
def test_what_is_installed_in_a_clone_works_in_its_root(clone: Path, editable: bool, tmp_path: Path) -> None:
    """The folders of the sources lie beside the scripts that are run there, and must not shadow the package."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site_packages = tmp_path / "venv" / "lib" / version / "site-packages"
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages / "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    install = [sys.executable, "-m", "pip", "--python", python, "install", *BUILD, "--ignore-installed"]
    run(*install, *(["--editable"] if editable else []), ".", folder=clone)

    where = run(python, "-c", "import phonestream; print(phonestream.__file__)", folder=clone).strip()
    assert Path(where).is_relative_to(clone if editable else site_packages)
    run(python, "-c", "import phonestream; phonestream.Recognizer()", folder=clone)
    (clone / "example.py").write_text(readme_example(), encoding="utf-8")
    lines = run(python, "example.py", folder=clone).splitlines()
    assert len(lines) > 20
    assert all(re.fullmatch(r"\d+\.\d\d \d+\.\d\d [A-Z]+ [01]\.\d\d", line) for line in lines)
    project = PYPROJECT["project"]
    assert (
        run(python, "-m", "phonestream", "--version", folder=clone) == f"phonestream {project['version']}\n"
    )
    assert "transcribe" in run(python, "-m", "phonestream", "--help", folder=clone)
    command = python.with_name("phonestream")
    recording = "tests/data/speech/dev/260-123286-0000.opus"
    assert run(command, "transcribe", recording, folder=clone).split()


@pytest.mark.slow
def test_distributions_hold_what_belongs_and_nothing_stale(clone: Path, tmp_path: Path) -> None:
    """setuptools packs whatever an earlier build left in build/lib, unless it is emptied first as setup.py does."""
    for stale in ("build/lib/phonestream/stale.py", "tests/test_stale.py"):
        (clone / stale).parent.mkdir(parents=True, exist_ok=True)
        (clone / stale).write_text("", encoding="utf-8")
    direct = tmp_path / "direct"
    run(sys.executable, "-m", "pip", "wheel", *BUILD, "--wheel-dir", direct, ".", folder=clone)
    built = tmp_path / "built"  # the sdist, and of it a wheel
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, clone, folder=tmp_path)
    run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), folder=tmp_path)

    wheels = [next(folder.glob("*.whl")) for folder in (direct, built)]
    packed, of_sdist = (set(zipfile.ZipFile(wheel).namelist()) for wheel in wheels)
    assert packed == of_sdist
    expected = set()
    for package, folder in PYPROJECT["tool"]["setuptools"]["package-dir"].items():
        for module in (clone / folder).rglob("*.py"):
            expected.add(f"{package.replace('.', '/')}/{module.relative_to(clone / folder).as_posix()}")
    assert {name for name in packed if name.endswith(".py")} == expected
    models = {name.removeprefix("phonestream/models/") for name in packed if "/models/" in name}
    shipped = {file.name for file in (clone / "src/phonestream/models").iterdir() if file.is_file()}
    assert models == shipped >= {"default.onnx", "tiny.onnx", "default.lm", "default.md"}

    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "setup.py", "kernels/api.py"} <= sources
    assert not [name for name in sources if "stale" in name or name.startswith(("build/", "tests/"))]
