"""Print constraints.txt: exact versions, as installed here, of all that pyproject's extras bring.

Run it in an environment where the tests pass: .venv/bin/python scripts/constraints.py > constraints.txt
"""

from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# Exact versions of everything the extras bring: those of the last environment in which all tests passed,
# so that CI and a newcomer test the same thing. Users of the package are not bound to them; pyproject.toml
# has the ranges. To move to newer ones: install without this file, run the tests, then
#     .venv/bin/python scripts/constraints.py > constraints.txt
"""


def closure(package: str, extras: set[str]) -> dict[str, str]:
    """Name and version of every installed distribution that `package` with `extras` needs."""
    found: dict[str, str] = {}
    todo, seen = [(package, frozenset(extras))], set()
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        distribution = metadata.distribution(name)
        found[canonicalize_name(name)] = distribution.version
        for text in distribution.requires or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                todo.append((requirement.name, frozenset(requirement.extras)))
    del found[canonicalize_name(package)]
    return found


if __name__ == "__main__":
    extras = set(metadata.metadata("phonestream").get_all("Provides-Extra") or [])
    print(HEADER, end="")
    for name, version in sorted(closure("phonestream", extras).items()):
        if name != "pip":
            print(f"{name}=={version}")
