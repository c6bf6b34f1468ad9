"""What a training run shows and keeps: a bar on a terminal, plain lines elsewhere, losses.tsv, dev.tsv, TensorBoard."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rich.progress
from rich.console import Console

from ...atomic import write_atomically
from ...errors import ConfigError, reason_of
from ..evaluation.score import PhoneErrors
from .losses import StepResult

LOSSES = "losses.tsv"
LOSS_COLUMNS = ("step", "epoch", "loss", "gradient_norm", "rate", "seconds")
DEV = "dev.tsv"
DEV_COLUMNS = ("step", "hours", "per", "substitutions", "insertions", "deletions")
LINE_EVERY = 60.0  # seconds between lines where there is no terminal


class Progress:
    """Reporter of one run. On a resumed run, rows beyond the checkpoint are cut off first.

    A silent one neither shows nor writes anything: of several processes one reports.
    """

    def __init__(self, run: Path, steps: int, *, silent: bool = False) -> None:
        self.run = run
        self.steps = steps
        self.per: float | None = None
        self._silent = silent
        self._console = Console(stderr=True, quiet=silent)
        self._bar: rich.progress.Progress | None = None
        self._writer: Any = None
        self._losses: Any = None
        self._dev: Any = None
        self._smooth: float | None = None

    def __enter__(self) -> "Progress":
        if self._console.is_terminal and not self._silent:
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.MofNCompleteColumn(),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task("preparing", total=None)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if self._bar:
            self._bar.stop()
        failed: list[ConfigError] = []
        for record in (self._writer, self._losses, self._dev):
            try:
                with self._writing():
                    if record is not None:
                        record.close()
            except ConfigError as error:
                failed.append(error)
        if failed and kind is None:  # else what went wrong before is told, mostly the same
            raise failed[0]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Around what writes records: a full disk is said in one line, and the checkpoint is still there."""
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"{self.run}: the run's records cannot be written: {reason_of(error)}; make room, then go on from the "
                "last checkpoint with --resume"
            ) from None

    def say(self, message: str) -> None:
        """One line for the person who watches."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def decoding(self, done: int, total: int) -> None:
        """Recordings decoded into the cache."""
        if self._bar:
            self._bar.update(self._task, description="decoding", completed=done, total=total)
        elif done % 1000 == 0 or done == total:
            self.say(f"decoded {done} of {total} recordings")

    def start(self, step: int, hours: float = 0.0) -> None:
        """Open the records at `step`, after `hours` of training."""
        if self._silent:
            return
        from torch.utils.tensorboard import SummaryWriter

        with self._writing():
            self._losses = _open_at(self.run / LOSSES, LOSS_COLUMNS, lambda row: row < step)
            self._dev = _open_at(self.run / DEV, DEV_COLUMNS, lambda row: row <= step)
            self._writer = SummaryWriter(str(self.run / "tensorboard"), purge_step=step)
        self._first, self._began, self._said = step, time.monotonic(), 0.0
        self._audio = 0.0
        self._hours_before = hours
        if self._bar:
            self._bar.update(self._task, description="training", completed=step, total=self.steps)

    @property
    def hours(self) -> float:
        """Of training, those before the run was resumed too."""
        return self._hours_before + (time.monotonic() - self._began) / 3600

    def step(self, step: int, epoch: float, result: StepResult, share: float, seconds: float) -> None:
        """Record a finished step: `share` of the peak learning rate, `seconds` of audio."""
        if self._silent:
            return
        loss, norm = result.loss, result.gradient_norm
        parts = {f"loss_{name}": value for name, value in result.parts.items()}
        scalars = {"loss": loss, **parts, "gradient_norm": norm, "rate": share, "epoch": epoch}
        with self._writing():
            self._losses.write(f"{step}\t{epoch:.4f}\t{loss!r}\t{norm:.6g}\t{share:.6g}\t{seconds:.2f}\n")
            self._losses.flush()
            for name, value in scalars.items():
                self._writer.add_scalar(f"train/{name}", value, step)
        self._smooth = loss if self._smooth is None else 0.98 * self._smooth + 0.02 * loss
        self._audio += seconds
        done, elapsed = step + 1 - self._first, time.monotonic() - self._began
        hours = elapsed / done * (self.steps - step - 1) / 3600
        pace = self._audio / elapsed
        text = f"loss {self._smooth:.3f}  epoch {epoch:.2f}  {pace:.0f} x real time  {hours:.2f} h left"
        if self.per is not None:
            text += f"  dev PER {self.per:.2f}"
        if self._bar:
            self._bar.update(self._task, completed=step + 1, description=text)
        elif elapsed - self._said > LINE_EVERY or step + 1 == self.steps:
            self._said = elapsed
            self.say(f"step {step + 1}/{self.steps}  {text}")

    def dev(self, step: int, errors: PhoneErrors) -> None:
        """Record a measurement on dev after `step` steps."""
        if self._silent:
            return
        self.per = 100 * errors.per
        with self._writing():
            self._dev.write(
                f"{step}\t{self.hours:.4f}\t{self.per:.4f}\t"
                f"{errors.substitutions}\t{errors.insertions}\t{errors.deletions}\n"
            )
            self._dev.flush()
            self._writer.add_scalar("dev/per", self.per, step)
        self.say(f"step {step}: dev PER {self.per:.2f} %")


def _open_at(path: Path, columns: tuple[str, ...], keep: Any) -> Any:
    """Open a table for appending, with only the rows whose step `keep` accepts: cut, or left as it is."""
    rows = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:] if path.exists() else []
    kept = [row for row in rows if row.endswith("\n") and keep(int(row.split("\t", 1)[0]))]
    write_atomically(path, "".join(["\t".join(columns) + "\n", *kept]).encode())
    return path.open("a", encoding="utf-8")
