"""The most memory that a computation takes beyond what was there before it, measured in a fresh process. Linux only."""

import ctypes
import multiprocessing
import os
import re
from collections.abc import Callable
from pathlib import Path

from phonestream.asr.training.process import SETTINGS

STATUS = Path("/proc/self/status")


def peak_bytes(prepare: Callable[..., Callable[[], object]], *arguments: object) -> int:
    """Bytes by which a fresh process grows while it runs what `prepare(*arguments)` returns.

    glibc is left at its defaults, with which big blocks that are freed are given back at once, and what `prepare` freed
    is given back before.

    Args:
        prepare: a module's function, which makes all that is not to be counted; it should run the computation at a
            small size once, so that what is loaded once is loaded.
        arguments: for it; they are pickled.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch"])  # imported once, and as yet nothing computed with
    removed = {name: os.environ.pop(name) for name in SETTINGS if name in os.environ}
    try:
        with context.Pool(1) as pool:
            return int(pool.apply(_grown, (prepare, arguments)))
    finally:
        os.environ.update(removed)


def _grown(prepare: Callable[..., Callable[[], object]], arguments: tuple[object, ...]) -> int:
    run = prepare(*arguments)
    ctypes.CDLL(None).malloc_trim(0)
    # The peak that getrusage reports is inherited from the parent process; the kernel's can be set back (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident_peak()
    run()
    return _resident_peak() - before


def _resident_peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return 1024 * int(found[1])
