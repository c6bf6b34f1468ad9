"""Link the folders as they are mounted when installed, for tools that read files instead of importing them.

`asr/` is `phonestream.asr` only by pyproject's package-dir table, of which type checkers and import-linter
know nothing. This makes build/mount/phonestream/ with a link for each module and folder; pyproject points
mypy there, and import-linter is run there. Prints how many modules there are.
"""

import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOUNT = ROOT / "build" / "mount"


def main() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    shutil.rmtree(MOUNT, ignore_errors=True)
    for package, folder in sorted(settings["package-dir"].items()):
        target = MOUNT / package.replace(".", "/")
        if "." in package:
            target.symlink_to(ROOT / folder, target_is_directory=True)
            continue
        target.mkdir(parents=True)  # a folder of its own: the others are mounted inside
        for entry in (ROOT / folder).iterdir():
            if entry.name != "__pycache__":
                (target / entry.name).symlink_to(entry)
    packages = [MOUNT / package.replace(".", "/") for package in settings["packages"]]
    print(sum(len(list(package.glob("*.py"))) for package in packages))


if __name__ == "__main__":
    main()
