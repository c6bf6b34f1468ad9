"""Which optional dependency a failed import belongs to, so that the error can say what to install."""

import re

_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+).*;.*\bextra\s*==\s*["'](?P<extra>[\w.-]+)""")


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Name of the extra that brings the module `error` lacks; None if no extra of ours names it."""
    from importlib import metadata  # which takes a while to load, and seldom is needed

    module = (error.name or "").partition(".")[0].lower()
    for requirement in metadata.requires("phonestream") or []:
        found = _REQUIREMENT.match(requirement)
        if found and found["name"].replace("-", "_").lower() == module != "phonestream":
            return found["extra"]
    return None
