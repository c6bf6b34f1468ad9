"""The command line in a process in which some modules cannot be imported."""

# For `python -c` after `BLOCKING.format(absent=["torch"])`; arguments follow as on a command line.
BLOCKING = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from phonestream.cli import main
main()
"""
