"""What a benchmark measured: Markdown while it runs, and JSON that results.py writes RESULTS.md from.

    options = parser.parse_args()                 # a parser to which `add_option` has given --record
    report = Report(options)
    report.note("40 recordings of test")
    table = report.table(("condition", ""), ("PER %", ".2f"))
    table.add("clean", 14.237)                    # printed at once; the number is kept as it is
    report.save()                                 # with --record: command, date, machine, model, notes, tables

A record is one file of benchmarks/measured/. It is of one run, and holds what a reader needs to judge it: the command,
the day, the machine and how busy it was when the run began, and the SHA-256 of the model file.
"""

import argparse
import datetime
import json
import math
import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

MEASURED = Path(__file__).parent / "measured"

Cell = str | int | float | None  # None: nothing was measured
Column = tuple[str, str]  # heading, and how `format` shows the column's numbers


@dataclass
class Table:
    """Numbers as they were measured, and how they are shown."""

    columns: tuple[Column, ...]
    rows: list[list[Cell]] = field(default_factory=list)
    title: str = ""
    shown: bool = True  # in RESULTS.md; others are kept in the record alone
    printing: bool = False

    def add(self, *cells: Cell) -> None:
        """A row; of a table that is being printed, at once.

        Raises:
            ValueError: it has not one cell a column.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns: {cells!r}")
        self.rows.append([_cell(cell) for cell in cells])
        if self.printing:
            print(self.line(self.rows[-1]), flush=True)

    def without_empty(self) -> Self:
        """Without the columns in which no row has anything."""
        kept = [at for at in range(len(self.columns)) if any(row[at] is not None for row in self.rows)]
        rows = [[row[at] for at in kept] for row in self.rows]
        return replace(self, columns=tuple(self.columns[at] for at in kept), rows=rows, printing=False)

    def header(self) -> str:
        """The two lines above the rows."""
        names = (name for name, _ in self.columns)
        return f"| {' | '.join(names)} |\n|{' --- |' * len(self.columns)}"

    def line(self, cells: Sequence[Cell]) -> str:
        """One row as Markdown."""
        shown = (formatted(cell, form) for cell, (_, form) in zip(cells, self.columns, strict=True))
        return f"| {' | '.join(shown)} |"

    def markdown(self) -> str:
        """All of it."""
        return "\n".join([self.header(), *map(self.line, self.rows)])

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        columns = tuple((name, form) for name, form in content["columns"])
        return cls(columns, content["rows"], content["title"], content["shown"])


def _cell(value: Any) -> Cell:
    """As JSON has it: plain numbers for numpy's, None for what is not a number."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def formatted(cell: Cell, form: str) -> str:
    """A cell as a page has it."""
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else format(cell, form)


@dataclass(frozen=True)
class Record:
    """One run of a benchmark."""

    command: str
    date: str  # year-month-day
    machine: str
    load: float | None  # processes that wanted to run, over the minute before; None: not known
    model: dict[str, str] | None  # name, version and sha256 of the file that was measured; None: of no model
    options: dict[str, Any]  # of the command
    notes: list[str]
    tables: list[Table]


def add_option(parser: argparse.ArgumentParser) -> None:
    """`--record [FILE]`."""
    parser.add_argument(
        "--record",
        nargs="?",
        const="",
        metavar="FILE",
        help="keep what is measured as JSON; without FILE in benchmarks/measured, for benchmarks/results.py",
    )


class Report:
    """What a run of a benchmark prints, kept for its record."""

    def __init__(self, options: argparse.Namespace, name: str = "") -> None:
        """`name` is the record's; without one it is the script's, with the split and the model that it measured."""
        self._options = options
        self._name = name or Path(sys.argv[0]).stem
        self._notes: list[str] = []
        self._tables: list[Table] = []
        self._load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None

    def note(self, text: str) -> None:
        """A paragraph."""
        print(f"\n{text}" if self._tables else f"{text}\n", flush=True)
        self._notes.append(text)

    def table(self, *columns: Column, title: str = "", shown: bool = True) -> Table:
        """A table whose rows are printed as they are added."""
        table = Table(columns, title=title, shown=shown, printing=True)
        if self._tables:
            print()
        print(*([f"{title}\n"] if title else []), table.header(), sep="\n", flush=True)
        self._tables.append(table)
        return table

    def save(self, measured: str | None = None) -> None:
        """Write the record that `--record` asks for.

        Args:
            measured: the model file or bundled model, where it is not the option `--model`.
        """
        if self._options.record is None:
            return
        options = {name: _plain(value) for name, value in vars(self._options).items() if name != "record"}
        model = measured or options.get("model")
        path = Path(self._options.record) if self._options.record else default_path(self._name, options)
        record = Record(
            command(sys.argv),
            datetime.datetime.now(datetime.UTC).date().isoformat(),
            machine(),
            None if self._load is None else round(self._load, 2),
            None if model is None else model_facts(str(model)),
            options,
            self._notes,
            self._tables,
        )
        write(record, path)
        print(f"\n{path}")


def default_path(name: str, options: dict[str, Any]) -> Path:
    """Where a run's record is kept: a file for each benchmark, split and model, that a later run replaces."""
    model = options.get("model")
    chosen = [options.get("split"), None if model in (None, "default") else Path(model).stem]
    names = [name, *(part for part in chosen if part)]
    return MEASURED / f"{'-'.join(names)}.json"


def command(arguments: Sequence[str]) -> str:
    """The call, as it would be typed in the repository's root; of absolute paths their last part."""
    script, *rest = arguments
    if "--record" in rest:
        at = rest.index("--record")
        given = at + 1 < len(rest) and not rest[at + 1].startswith("-")
        del rest[at : at + 2 if given else at + 1]
    rest = [Path(word).name if Path(word).is_absolute() else word for word in rest]
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *rest])


def machine() -> str:
    """Processor, cores, system and the versions that matter."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text("utf-8"))):
        processor = found[1]
    system = (
        platform.freedesktop_os_release()["PRETTY_NAME"]
        if Path("/etc/os-release").exists()
        else platform.system()
    )
    return (
        f"{processor}, {os.cpu_count()} cores, {system}, Python {platform.python_version()}, "
        f"onnxruntime {version('onnxruntime')}"
    )


def model_facts(model: str) -> dict[str, str]:
    """What a record says of the model file that it is of."""
    from phonestream import Recognizer

    recognizer = Recognizer(model)
    metadata = recognizer.metadata
    return {"name": metadata.name, "version": metadata.version, "sha256": recognizer.sha256}


def write(record: Record, path: Path) -> None:
    """All of the file or, if it cannot be written, the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(_json(record), encoding="utf-8")
    partial.replace(path)


def read(path: Path) -> Record:
    """A record.

    Raises:
        SystemExit: the file is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Record(**content | {"tables": [Table.from_json(table) for table in content["tables"]]})
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f"{path}: is not a benchmark's record ({error}); run the benchmark with --record"
        ) from None


def _json(record: Record) -> str:
    """JSON with a line for each row of a table, so that changes can be read."""
    head = {name: value for name, value in vars(record).items() if name != "tables"}
    tables = []
    for table in record.tables:
        rows = ",\n".join(f"  {_line(row)}" for row in table.rows)
        facts = (
            f'"title": {_line(table.title)}, "shown": {_line(table.shown)}, "columns": {_line(table.columns)}'
        )
        tables.append(f' {{{facts}, "rows": [\n{rows}\n ]}}')
    before = json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    return before + ',\n "tables": [\n' + ",\n".join(tables) + "\n ]\n}\n"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    return Path(value).name if isinstance(value, Path) else value
