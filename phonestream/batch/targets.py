"""Which files a run will write, settled before any work: no two inputs for one name, nothing overwritten unasked."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from ..errors import ConfigError
from .sinks import target_path
from .sources import Entry, Source
from .work import Settings


class Existing(Enum):
    """What to do about results that are there already."""

    refuse = "refuse"
    resume = "resume"
    overwrite = "overwrite"


def settle(
    entries: Sequence[Entry], settings: Settings, folder: str, existing: Existing
) -> tuple[list[Entry], int]:
    """The entries that are left to do, and how many recordings are done already; makes the folder.

    A recording is done when each of its files exists: a file takes its name only when it is whole.

    Raises:
        ConfigError: `folder` is a file or cannot be made, two recordings would be written to one file, or
            results exist and are neither to be kept nor to be replaced.
    """
    if Path(folder).exists() and not Path(folder).is_dir():
        raise ConfigError(f"{folder}: is not a folder; give --output another name")
    writers: dict[Path, Source] = {}
    left: list[Entry] = []
    there: list[Path] = []
    done = 0
    for entry in entries:
        if not isinstance(entry, Source):
            left.append(entry)
            continue
        targets = [
            target_path(folder, entry.stem, settings.first_channel, extension)
            for extension in settings.extensions
        ]
        for target in targets:
            other = writers.setdefault(target, entry)
            if other is not entry:
                raise ConfigError(_both(other, entry, target))
        found = [target for target in targets if target.exists()]
        there += found
        if existing is Existing.resume and len(found) == len(targets):
            done += 1
        else:
            left.append(entry)
    if there and existing is Existing.refuse:
        others = f" and {len(there) - 1} more exist" if len(there) > 1 else " exists"
        raise ConfigError(
            f"{there[0]}{others} already; --resume keeps what is done and does the rest, --overwrite does all again"
        )
    if any(isinstance(entry, Source) for entry in left):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:  # better now than after hours of work
            raise ConfigError(
                f"{folder}: cannot be made: {error.strerror}; give --output another name"
            ) from None
    return left, done


def _both(one: Source, other: Source, target: Path) -> str:
    first, second = f"{one.where}{one.path}", f"{other.where}{other.path}"
    if first == second:
        return f"{first} is given twice, and would be written to {target} twice; give it once"
    return (
        f"{first} and {second} would both be written to {target}; "
        "give the folder above them, or --root, so that results mirror the tree"
    )
