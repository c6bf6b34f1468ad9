"""What benchmarks on a split of the speech folder have in common: their options, the recordings, and the picture."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import tables

from phonestream.asr.corpora.corpus import load_cuts, speech_root, spread

if TYPE_CHECKING:
    from lhotse.cut import MonoCut
    from matplotlib.figure import Figure

PICTURES = Path(__file__).parent / "pictures"


def parser(description: str, split: str, picture: Path | None = None) -> argparse.ArgumentParser:
    """With `--model`, `--split` and `--record`; for those that draw with `--limit` and `--picture` too."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    made.add_argument("--split", default=split)
    tables.add_option(made)
    if picture is not None:
        made.add_argument("--limit", type=int, help="recordings at most, evenly spread over the split")
        made.add_argument("--picture", type=Path, default=picture)
    return made


def cuts(split: str, count: int | None = None) -> "list[MonoCut]":
    """Recordings of a split: all, or at most `count`, evenly spread over it."""
    found = list(load_cuts(speech_root(), split))
    return found if count is None else spread(found, count)


def save(figure: "Figure", path: Path) -> None:
    """Write a picture, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"\n{path}")
