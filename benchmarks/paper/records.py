"""What the four experiments share: their options, the file that a row is kept in as soon as it is measured, the table.

Rows of one file were measured with the same settings; what was measured with others is refused, not mixed in. So an
experiment that was stopped goes on where it stopped, and rows may be measured on different days: each has its date and
machine.
"""

import argparse
import datetime
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # where tables.py is

from tables import Table, machine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]


def parser(description: str) -> argparse.ArgumentParser:
    """With the options that all experiments have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--quick", action="store_true", help="a smoke test of seconds, whose figures mean nothing"
    )
    made.add_argument("--table", action="store_true", help="measure nothing; print what was measured before")
    made.add_argument(
        "--again", action="store_true", help="forget what was measured before; else only missing rows are"
    )
    made.add_argument("--output", type=Path, help="folder for rows and picture in place of the repository's")
    return made


@dataclass(frozen=True)
class Places:
    """Where an experiment keeps its rows and its picture."""

    rows: Path
    picture: Path


def places(name: str, options: argparse.Namespace) -> Places:
    """In `--output`; else in a temporary folder if `--quick`; else in the repository."""
    folder = options.output
    if folder is None and options.quick:
        folder = Path(tempfile.mkdtemp(prefix="phonestream-paper-"))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return Places(folder / f"{name}.json", folder / f"paper-{name}.png")
    return Places(HERE / "measured" / f"{name}.json", HERE.parent / "pictures" / f"paper-{name}.png")


class Record:
    """The rows of one file, each known by its values under `keys`. Several processes may add to it in turn.

    Raises:
        SystemExit: the file holds rows that were measured with other settings.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], keys: Sequence[str], *, again: bool = False
    ) -> None:
        self.path = path
        self.settings = json.loads(json.dumps(dict(settings)))
        self.keys = tuple(keys)
        if again:
            path.unlink(missing_ok=True)
        self._rows()

    def _rows(self) -> list[Row]:
        """What the file holds now."""
        if not self.path.exists():
            return []
        settings, rows = read(self.path)
        for name in sorted(settings.keys() | self.settings.keys()):
            then, now = settings.get(name), self.settings.get(name)
            if then != now:
                raise SystemExit(
                    f"{self.path}: its rows were measured with {name} = {then!r}, now it is {now!r}; "
                    "give --again to measure all rows anew, or another --output"
                )
        return rows

    def find(self, **key: Any) -> Row | None:
        """The row with these values, if it was measured."""
        return next((row for row in self._rows() if all(row[name] == key[name] for name in self.keys)), None)

    def add(self, row: Row) -> None:
        """Keep a row with the day and the machine, in the place of one with the same key."""
        row = row | {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "machine": machine()}
        kept = [old for old in self._rows() if any(old[name] != row[name] for name in self.keys)]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        text = json.dumps({"settings": self.settings, "rows": [*kept, row]}, indent=1)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(self.path)


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """Settings and rows of a file.

    Raises:
        SystemExit: there is none.
    """
    if not path.exists():
        raise SystemExit(f"{path}: nothing was measured yet; run without --table first")
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["settings"], found["rows"]


Cell = Callable[[Row], str]


def markdown(rows: Iterable[Row], columns: Mapping[str, Cell]) -> str:
    """A table with a line for each row. A cell whose figure the row lacks stays empty."""
    table = Table(tuple((name, "") for name in columns))
    for row in rows:
        table.add(*(_shown(cell, row) for cell in columns.values()))
    return table.markdown()


def _shown(cell: Cell, row: Row) -> str | None:
    try:
        return cell(row)
    except KeyError:
        return None


def save(figure: "Figure", path: Path) -> None:
    """Write a picture, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"\n{path}")
