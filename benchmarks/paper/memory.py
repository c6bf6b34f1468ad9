"""The most memory that a computation takes beyond what was there before it, measured in a fresh process. Linux only."""

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_bytes(prepare: Callable[..., Callable[[], object]], *arguments: object) -> int:
    """Bytes by which a fresh process grows while it runs what `prepare(*arguments)` returns.

    Args:
        prepare: a module's function, which makes all that is not to be counted; it should run the computation at a
            small size once, so that what is loaded once is loaded.
        arguments: for it; they are pickled.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch"])  # imported once, and as yet nothing computed with
    with context.Pool(1) as pool:
        return int(pool.apply(_grown, (prepare, arguments)))


def _grown(prepare: Callable[..., Callable[[], object]], arguments: tuple[object, ...]) -> int:
    run = prepare(*arguments)
    # The peak that getrusage reports is inherited from the parent process; the kernel's can be set back (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident_peak()
    run()
    return _resident_peak() - before


def _resident_peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return 1024 * int(found[1])
