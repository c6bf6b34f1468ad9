"""Writes RESULTS.md and COMPONENTS.md from what was measured, benchmarks/measured/*.json.

    python benchmarks/results.py            # after a benchmark with --record
    python benchmarks/results.py --check    # status 1 if the pages are not what the records give

A section stands in its page once it has a record. Of every run the page gives the command, the day, the machine and the
model file; a run of another file than the one that is bundled under that name is marked.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import tables
from results_sections import COMPONENTS, RESULTS, Section
from tables import MEASURED, Record, Table

HERE = Path(__file__).parent
DIGITS = 8  # of a SHA-256, where a page names a file for short
MARK = "**of another file**"
BUNDLED = ("default", "tiny")

WRITTEN = """\
Written by `python benchmarks/results.py` from the records in [measured](measured), not by hand; `--record` makes a
benchmark keep its record there. Times depend on the machine and on what else it does (the load is that at the start);
what stands in one table took turns in one run.
"""
RESULTS_HEAD = f"""\
# Results of the bundled models

{WRITTEN}
Settings were chosen on the `dev` splits of the folder `PHONESTREAM_SPEECH`; its `test` splits are only reported. Beside
it: [parts by themselves](COMPONENTS.md), [experiments of a paper](paper/RESULTS.md), [earlier models](HISTORY.md).
"""
COMPONENTS_HEAD = f"""\
# Results of parts by themselves

{WRITTEN}"""
PAGES = {
    HERE / "RESULTS.md": (RESULTS_HEAD, RESULTS),
    HERE / "COMPONENTS.md": (COMPONENTS_HEAD, COMPONENTS),
}


class Run(NamedTuple):
    """A record and what the page knows of it."""

    name: str
    record: Record
    another_file: bool


def bundled_sha256() -> dict[str, str]:
    """SHA-256 of each model that is bundled."""
    folder = files("phonestream.models")
    return {name: hashlib.sha256((folder / f"{name}.onnx").read_bytes()).hexdigest() for name in BUNDLED}


def runs(folder: Path, section: Section, bundled: dict[str, str]) -> list[Run]:
    """The records of a section, in the order of its patterns."""
    found = []
    for pattern in section.records:
        for path in sorted(folder.glob(f"{pattern}.json")):
            record = tables.read(path)
            model = record.model or {}
            another = bundled.get(model.get("name", ""), model.get("sha256")) != model.get("sha256")
            found.append(Run(path.stem, record, another))
    return found


def page(head: str, sections: Sequence[Section], folder: Path = MEASURED) -> str:
    """A page of those sections that have records in `folder`: what the page is, contents, files, machines, results."""
    bundled = bundled_sha256()
    present = [(section, found) for section in sections if (found := runs(folder, section, bundled))]
    everything = [run for _, found in present for run in found]
    machines = list(dict.fromkeys(run.record.machine for run in everything))
    links = " · ".join(f"[{section.title}](#{anchor(section.title)})" for section, _ in present)
    parts = [head, f"{links}\n", _files(everything, bundled), _machines(machines)]
    for section, found in present:
        parts.append("\n".join(_section(section, found, machines)))
    return "\n".join(part for part in parts if part)


def anchor(title: str) -> str:
    """GitHub's name of a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")


def _files(everything: Sequence[Run], bundled: dict[str, str]) -> str:
    table = Table((("file", ""), ("version", ""), ("SHA-256", ""), ("", "")))
    known = {run.record.model["sha256"]: run for run in everything if run.record.model}
    for sha256, run in known.items():
        model = run.record.model or {}
        place = "bundled" if sha256 in bundled.values() else MARK if run.another_file else "in the package"
        table.add(model["name"], model["version"], f"`{sha256}`", place)
    return f"{table.markdown()}\n" if table.rows else ""


def _machines(machines: Sequence[str]) -> str:
    table = Table((("machine", ""), ("", "")))
    for index, machine in enumerate(machines):
        table.add(letter(index), machine)
    return table.markdown() + "\n"


def letter(index: int) -> str:
    """A, B, C, …"""
    return chr(ord("A") + index)


def _section(section: Section, found: Sequence[Run], machines: Sequence[str]) -> Iterator[str]:
    yield f"## {section.title}\n"
    lines = [section.about] if section.about else []
    if section.join:
        yield "  \n".join([*lines, *(provenance(run, machines) for run in found)]) + "\n"
        yield from (f"{table.without_empty().markdown()}\n" for table in joined(section.join, found))
    else:
        for run in found:
            yield "  \n".join([*lines, provenance(run, machines)]) + "\n"
            lines = []
            for table in map(section.form, run.record.tables):
                if table.shown:
                    yield from [f"{table.title}\n"] if table.title else []
                    yield f"{table.without_empty().markdown()}\n"
    if section.picture:
        yield f"![{section.title}](pictures/{section.picture})\n"


def provenance(run: Run, machines: Sequence[str]) -> str:
    """One line: what was run, when, where, on which file, and its notes."""
    record = run.record
    where = f"machine {letter(machines.index(record.machine))}"
    facts = [f"`{record.command}`", record.date, where]
    if record.load is not None:
        facts.append(f"load {record.load:.1f}")
    if record.model:
        facts.append(f"{record.model['name']} `{record.model['sha256'][:DIGITS]}`")
    if run.another_file:
        facts.append(MARK)
    return ", ".join(facts) + "." + "".join(f" {note}" for note in record.notes)


def joined(option: str, found: Sequence[Run]) -> Iterator[Table]:
    """Tables of several runs below each other, each row led by the run's value of a command's option."""
    shown = [(run, [table for table in run.record.tables if table.shown]) for run in found]
    for index in range(max(len(of_run) for _, of_run in shown)):
        alike = [(run, of_run[index]) for run, of_run in shown if index < len(of_run)]
        for columns, group in groupby(alike, key=lambda pair: pair[1].columns):
            table = Table(((option, ""), *columns))
            for run, part in group:
                for row in part.rows:
                    table.add(str(run.record.options[option]), *row)
            yield table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; say whether the pages are up to date"
    )
    options = parser.parse_args()

    for path, (head, sections) in PAGES.items():
        content = page(head, sections)
        if not options.check:
            path.write_text(content, encoding="utf-8")
            print(f"{path}: {len(content.splitlines())} lines")
        elif path.read_text(encoding="utf-8") != content:
            sys.exit(f"{path}: is not what the records give; run python benchmarks/results.py")


if __name__ == "__main__":
    main()
