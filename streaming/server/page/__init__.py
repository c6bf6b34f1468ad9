"""The web page, served as it lies here."""

from importlib.resources import files
from pathlib import PurePath

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Media types of the page's files, by their endings."""


def contents() -> dict[str, bytes]:
    """The page's files by their names."""
    found = {
        entry.name: entry for entry in files(__package__).iterdir() if PurePath(entry.name).suffix in KINDS
    }
    return {name: found[name].read_bytes() for name in sorted(found)}
