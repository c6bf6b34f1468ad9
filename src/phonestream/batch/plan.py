"""Which files a run will write, decided before any work: no two inputs for one name, nothing overwritten unasked."""

import os
from collections.abc import Sequence
from enum import Enum

from ..errors import ConfigError
from .entries import Entry, Source, paths
from .inputs import check_not_read
from .output import Output
from .output_folder import output_folder
from .task import Settings


class Existing(Enum):
    """What to do about results that are there already."""

    refuse = "refuse"
    resume = "resume"
    overwrite = "overwrite"


def plan_outputs(
    entries: Sequence[Entry],
    settings: Settings,
    output: Output,
    existing: Existing,
    names: Sequence[str] = (),
) -> tuple[list[Entry], int]:
    """The entries that are left to do, and how many recordings are done already; makes the folder.

    A recording is done when each of its files exists: a file takes its name only when it is whole.

    Args:
        entries: from `sources.expand`.
        settings: what is wanted of each.
        output: where results are written.
        existing: what to do about results that are there.
        names: what else is read: manifests and lists.

    Raises:
        ConfigError: the output folder is a file or cannot be made, two recordings would be written to one file, a
            result would replace what is read, or results exist and are neither to be kept nor to be replaced.
    """
    folder = output_folder(output)
    folder.check()
    writers: dict[str, Source] = {}
    left: list[Entry] = []
    there: list[str] = []
    done = 0
    for entry in entries:
        if not isinstance(entry, Source):
            left.append(entry)
            continue
        files = [(entry.stem, settings.first_channel, extension) for extension in settings.extensions]
        for file in files:
            target = folder.target(*file)
            other = writers.setdefault(target, entry)
            if other is not entry:
                raise ConfigError(_both(other, entry, target))
        found = [folder.target(*file) for file in files if folder.exists(*file)]
        there += found
        if existing is Existing.resume and len(found) == len(files):
            done += 1
        else:
            left.append(entry)
    check_not_read(there, [*names, *paths(entries)], "give another --output or --format")
    if there and existing is Existing.refuse:
        others = f" and {len(there) - 1} more exist" if len(there) > 1 else " exists"
        raise ConfigError(
            f"{there[0]}{others} already; --resume keeps what is done and does the rest, --overwrite does all again"
        )
    if any(isinstance(entry, Source) for entry in left):
        folder.make()
    return left, done


def _both(one: Source, other: Source, target: str) -> str:
    first, second = f"{one.where}{one.path}", f"{other.where}{other.path}"
    if first == second:
        return f"{first} is given twice, and would be written to {target} twice; give it once"
    if one.where and other.where and one.name == other.name:
        return f"{first} and {second} have the same id, {one.name}; give each row one of its own"
    if os.path.splitext(one.path)[0] == os.path.splitext(other.path)[0]:
        return (
            f"{first} and {second} differ in their endings alone, and would both be written to {target}; "
            "rename one, or leave it out"
        )
    return (
        f"{first} and {second} would both be written to {target}; "
        "give the folder above them, or --root, so that results mirror the tree"
    )
