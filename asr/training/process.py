"""Settings that must be made before torch is loaded: how glibc keeps memory, and how OpenMP threads wait.

glibc returns big freed blocks to the system, and every training step pays for the page faults again; idle OpenMP
threads spin and starve whatever shares their cores.
"""

import os
import sys

SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def restart_with_settings(arguments: list[str]) -> None:
    """Start `python -m phonestream ARGUMENTS` in this process's place with `SETTINGS`; return if they are made.

    With -P, lest a folder `phonestream` in the working folder (a clone's, say) be taken for the package.
    """
    _restart(["-P", "-m", "phonestream", *arguments])


def restart_script_with_settings() -> None:
    """The same for the script that is running, with the arguments that it was given."""
    _restart(sys.argv)


def _restart(arguments: list[str]) -> None:
    missing = {name: value for name, value in SETTINGS.items() if name not in os.environ}
    if missing and sys.platform == "linux" and sys.executable:
        os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **missing})
