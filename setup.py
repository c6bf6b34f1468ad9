"""What pyproject.toml cannot say: a wheel is built from the sources alone.

setuptools copies packages to build/lib, and packs all that lies there: also modules that an earlier build left and that
the sources have no more. So build/lib is emptied first.
"""

import shutil

from setuptools import setup
from setuptools.command.build import build


class CleanBuild(build):
    """`build`, which begins with an empty build/lib."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


setup(cmdclass={"build": CleanBuild})
