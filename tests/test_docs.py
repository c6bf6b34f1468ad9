"""What the documentation shows is what happens.

A block of ```python is run, those of a page one after the other in one namespace. In a block of ```console, each line
that begins with `$ ` is run by bash and must print the lines below it, where `…` stands for anything; a command with
nothing below it must succeed. All run in the repository's root. In blocks of ```sh, which install things or name what
only the reader has, nothing is run, but each call of phonestream must be one that the command line accepts.
"""

import inspect
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest
import soundfile
import typer

import phonestream
from phonestream import Recognizer, tile
from phonestream.cli import app
from phonestream.formats.document import Document
from phonestream.formats.registry import FORMATS, Options

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    where: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    content = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(content):
        indent, language, text = match.groups()
        line = content[: match.start()].count("\n") + 2
        text = re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
        found.append(Block(f"{page.relative_to(ROOT)}:{line}", language, text))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]


def named(language: str) -> list:
    return [pytest.param(block, id=block.where) for block in BLOCKS if block.language == language]


def commands(block: Block) -> list[tuple[str, str]]:
    """Command and expected output of each `$ ` in a console block."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert parts[0].strip() == "", f"{block.where}: output before the first command"
    found = []
    for part in parts[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n?", part)
        assert command is not None
        found.append((command[0].strip(), part[command.end() :].strip("\n")))
    return found


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text("utf-8")], ids=lambda page: page.name
)
def test_python_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    namespace: dict[str, object] = {"__name__": "documentation"}
    for block in blocks(page):
        if block.language == "python":
            exec(compile(block.text, block.where, "exec"), namespace)


@pytest.mark.parametrize("block", named("console"))
def test_commands_print_what_is_shown(block: Block) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command, shown in commands(block):
        result = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if shown:
            pattern = ".*".join(map(re.escape, shown.split("…")))
            assert re.fullmatch(pattern, result.stdout.strip("\n"), re.DOTALL), (
                f"$ {command}\n{result.stdout}"
            )
        else:
            assert result.returncode == 0, f"$ {command}\n{result.stdout}"


@pytest.mark.parametrize("block", named("sh"))
def test_calls_are_such_as_the_command_line_accepts(block: Block) -> None:
    group = typer.main.get_command(app)
    for line in block.text.replace("\\\n", " ").splitlines():
        call = re.search(r"(?:^|&& |; |/)phonestream ([a-z].*?)(?: && .*| \| .*| > .*)?$", line)
        if call:
            name, *arguments = shlex.split(call[1], comments=True)
            group.commands[name].make_context(name, arguments)


def test_examples_of_formats_are_what_is_written() -> None:
    """Each example of docs/formats.md is a stretch of the file, and what docs/microphone.md shows are lines of text.

    UPDATE_EXAMPLES=1 writes today's in their place.
    """
    page, microphone, recording = (
        ROOT / "docs/formats.md",
        ROOT / "docs/microphone.md",
        "tests/data/speech/test/1284-1180-0000.opus",
    )
    phones = Recognizer().transcribe_file(ROOT / recording)
    seconds = soundfile.info(ROOT / recording).duration
    document = Document(recording, seconds, phones, tile(phones, seconds))

    def written(section: re.Match[str]) -> str:
        """A section of the page, its example being the lines from where the first fits, whatever its numbers."""
        head, name, example, end = section.groups()
        lines = FORMATS[name].write(document, Options()).decode().splitlines(keepends=True)
        begin = re.escape(example.partition("\n")[0])
        fitting = [
            place
            for shape in (begin, re.sub(r"\d+", r"\\d+", begin))
            for place, line in enumerate(lines)
            if re.fullmatch(rf"\s*{shape}\s*", line)
        ]
        assert fitting, f"{name}: nothing like {example!r}"
        shown = "".join(lines[fitting[0] : fitting[0] + example.count("\n")])
        return head + (textwrap.dedent(shown) if name == "eaf" else shown) + end

    text = page.read_text("utf-8")
    sections = re.compile(
        r"(^\*\*(\w+)\*\*(?:(?!^\*\*).)*?^```(?:text|xml)\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL
    )
    examples = sections.sub(written, text)
    assert len(sections.findall(text)) == 9
    lines = iter(FORMATS["text"].write(document, Options("ipa")).decode().splitlines())
    heard = re.sub(
        r"^ +\d+\.\d\d  .*$", lambda _: next(lines), microphone.read_text("utf-8"), flags=re.MULTILINE
    )
    if os.environ.get("UPDATE_EXAMPLES"):
        page.write_text(examples, "utf-8")
        microphone.write_text(heard, "utf-8")
    assert (page.read_text("utf-8"), microphone.read_text("utf-8")) == (examples, heard)


def test_links_within_the_project_lead_somewhere() -> None:
    cards = [*(ROOT / "src/phonestream/models").glob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    for page in (*PAGES, ROOT / "ARCHITECTURE.md", *cards):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_site_and_public_names_in_its_reference() -> None:
    nav = re.findall(r"^ +- ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(nav) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
    named = re.findall(
        r"^::: phonestream\.(\w+)$", (ROOT / "docs/python.md").read_text("utf-8"), re.MULTILINE
    )
    named.remove("errors")  # a page of several
    kinds = {name for name, kind in vars(phonestream.errors).items() if isinstance(kind, type)}
    assert sorted([*named, *kinds]) == sorted({*phonestream.__all__} - {"__version__"})
    for name in named:  # an example outside of its section is no code in the reference
        before, prompt, _ = (inspect.getdoc(getattr(phonestream, name)) or "").partition(">>> ")
        assert not prompt or before.endswith("\n\nExamples:\n    "), name


def test_the_map_of_the_project_is_of_this_project() -> None:
    """Every path that ARCHITECTURE.md names is there, every package is in it, and it fits on a page."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w-]+/)+[\w.-]*)`", text)) | set(
        re.findall(r"(?:docs|benchmarks)/\w+\.\w+", text)
    )
    missing = [
        path
        for path in named
        if not any((ROOT / folder / path).exists() for folder in (".", "benchmarks", "tests"))
    ]
    assert missing == []
    folders = [ROOT / folder for folder in ("src/phonestream", "asr", "streaming")]
    packages = {init.parent for folder in folders for init in folder.glob("*/__init__.py")}
    for package in packages - {ROOT / "src/phonestream/models"}:
        assert f"`{package.relative_to(ROOT)}/`" in text, package
    assert len(text.splitlines()) <= 90


def test_the_blocks_are_found() -> None:
    assert {"python", "console", "sh"} <= {block.language for block in BLOCKS}
    fenced = sum(page.read_text(encoding="utf-8").count("```") for page in PAGES)
    assert fenced == 2 * len(BLOCKS), "a block that is not closed, or not understood here"
