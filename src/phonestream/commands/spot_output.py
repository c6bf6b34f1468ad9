"""How `phonestream spot` prints what it found: a function for each format, called for one recording at a time."""

import csv
import json
from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING

from .output import printable, write

if TYPE_CHECKING:
    from ..streaming.spotting.commands import CommandResult
    from ..streaming.spotting.spotter import Spotted

_WITHIN = "  (perhaps within a longer word)"


def keywords(form: str) -> "Callable[[str, float, Sequence[Spotted]], None]":
    """What prints a recording's name, its seconds and the keywords in it: as text, json or csv."""

    def text(name: str, seconds: float, found: "Sequence[Spotted]") -> None:
        for one in found:
            part = _WITHIN if one.word_boundary is False else ""
            write(
                f"{printable(name)}  {one.start:8.2f} - {one.end:.2f} s  {one.score:.3f}  {one.phrase}{part}"
            )

    def line(name: str, seconds: float, found: "Sequence[Spotted]") -> None:
        spotted = [
            {
                "phrase": one.phrase,
                "start": round(one.start, 3),
                "end": round(one.end, 3),
                "score": round(one.score, 4),
                "word_boundary": one.word_boundary,
            }
            for one in found
        ]
        _json({"file": name, "seconds": round(seconds, 3), "spotted": spotted})

    def rows(name: str, seconds: float, found: "Sequence[Spotted]") -> None:
        for one in found:
            alone = {True: "true", False: "false", None: ""}[one.word_boundary]
            _row([name, one.phrase, f"{one.start:.3f}", f"{one.end:.3f}", f"{one.score:.4f}", alone])

    if form == "csv":
        _row(["file", "phrase", "start", "end", "score", "word_boundary"])
    return {"text": text, "json": line, "csv": rows}[form]


def commands(form: str) -> "Callable[[str, float, CommandResult], None]":
    """What prints a recording's name, its seconds and what it was taken for: as text, json or csv."""

    def text(name: str, seconds: float, result: "CommandResult") -> None:
        said = result.command or f"none of the commands (nearest: {result.best})"
        write(f"{printable(name)}  {result.score:.3f}  {said}")

    def line(name: str, seconds: float, result: "CommandResult") -> None:
        score, second = round(result.score, 4), result.second
        _json(
            {"file": name, "command": result.command, "score": score, "second": second, "best": result.best}
        )

    def row(name: str, seconds: float, result: "CommandResult") -> None:
        _row([name, result.command or "", f"{result.score:.4f}", result.second or "", result.best])

    if form == "csv":
        _row(["file", "command", "score", "second", "best"])
    return {"text": text, "json": line, "csv": row}[form]


def _json(value: dict[str, object]) -> None:
    write(json.dumps(value, ensure_ascii=False))


def _row(values: Sequence[str]) -> None:
    line = StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    write(line.getvalue())
