"""Ctrl-C and SIGTERM as a request that the training loop looks at between steps: a run ends with a checkpoint."""

import os
import signal
import socket
from collections.abc import Callable
from threading import Thread
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal:
    """While open, the first SIGINT or SIGTERM sets `requested`; a second one ends the process at once.

    Python runs signal handlers between bytecodes only, so a process inside a long call of C code would ignore the
    second signal, too. It is therefore counted in a thread, which reads the numbers that the interpreter writes to the
    wake-up descriptor as signals arrive. The process then exits with 128 + the signal's number, and no cleaning up: the
    last checkpoint is whole, since checkpoints are replaced, never rewritten.

    For the main thread, as everything that sets signal handlers.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: list[tuple[int, Callable[[int, FrameType | None], object] | int | None]] = []

    def __enter__(self) -> "StopOnSignal":
        def request(number: int, frame: FrameType | None) -> None:
            self.requested = True

        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._watcher = Thread(target=_exit_on_second, args=(self._receiver,), daemon=True)
        self._watcher.start()
        self._before = [(number, signal.signal(number, request)) for number in STOP_SIGNALS]
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._sender.close()  # ends the watcher
        self._watcher.join()
        self._receiver.close()


def _exit_on_second(signals: socket.socket) -> None:
    """Exit the process when `signals` has brought two stop signals; return when it is closed at the other end."""
    seen = 0
    while numbers := signals.recv(64):
        for number in numbers:
            seen += number in STOP_SIGNALS
            if seen == 2:
                os._exit(128 + number)
