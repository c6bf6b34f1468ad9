"""A picture of speech as it stands in a paper: waveform, spectrogram, phones and posteriors over one time axis."""

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import write_output
from ..errors import ConfigError, PhonestreamError, system_errors_as
from ..streaming.decode import Phone
from .document import Interval
from .phone_sets import rename
from .picture_spectrogram import spectrogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

SUFFIXES = (".png", ".svg", ".pdf")
INCHES_PER_SECOND, NARROWEST, WIDEST = 1.0, 6.5, 15.0  # the width, unless one is asked for
MARGINS = 0.95  # inches left and right of the panels together
LEFT = 0.75
FONT = 8.0  # points
LABELS = (9.0, 8.0, 7.0, 6.0)  # points, of phones: the largest in which they fit into MAX_LANES
MAX_LANES = 3  # rows over which labels that lie close are spread
GLYPH = 0.74  # width of a letter over its size, generously
SHOWN_POSTERIOR = 0.1  # a phone that never gets so likely has no row
INK, BLUE = "#222222", "#0060a8"
SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib and has every IPA letter
    "font.size": FONT,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.hashsalt": "phonestream",  # the same picture is the same bytes
}


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a recording and what was heard in it."""

    title: str
    samples: NDArray[np.float32]
    """[n], mono, from `start` on."""
    rate: int
    """Hz."""
    start: float
    """Seconds from the beginning of the recording, as are all times here."""
    phones: tuple[Phone, ...]
    """Those any part of which lies in the stretch, as the decoder gave them."""
    intervals: tuple[Interval, ...]
    """The same spread over the time that they take up, and no silences."""
    posteriors: NDArray[np.float32]
    """[rows, phones], probabilities."""
    symbols: tuple[str, ...]
    """Of the columns of `posteriors`."""
    first_row: float
    """When the first row begins."""
    row_seconds: float

    @property
    def end(self) -> float:
        return self.start + len(self.samples) / self.rate


def draw(excerpt: Excerpt, *, phone_set: str = "arpabet", width: float | None = None) -> "Figure":
    """Four panels above each other.

    Each phone is a bar over its interval, the more solid the surer the model was, with its symbol above.

    Args:
        phone_set: names of the phones, one of `PHONE_SETS`.
        width: inches; without it, one for each second, from 6.5 to 15.

    Raises:
        ConfigError: the set has no name for a phone.
    """
    from matplotlib.figure import Figure

    seconds = excerpt.end - excerpt.start
    if width is None:
        width = min(max(seconds * INCHES_PER_SECOND + MARGINS, NARROWEST), WIDEST)
    names = [rename(interval.symbol, phone_set) for interval in excerpt.intervals]
    size, lanes = _lay_out(excerpt, names, width - MARGINS)
    kept = _likely(excerpt)
    heights = [0.75, 1.9, 0.28 + (max(lanes, default=0) + 1) * size * 1.35 / 72, max(0.5, 0.125 * len(kept))]
    height = sum(heights) + 0.9
    with _style():
        figure = Figure(figsize=(width, height))
        panels = figure.subplots(
            4, 1, sharex=True,
            gridspec_kw={
                "height_ratios": heights, "hspace": 0.08, "left": LEFT / width,
                "right": 1 - (MARGINS - LEFT) / width, "bottom": 0.45 / height, "top": 1 - 0.3 / height,
            },
        )  # fmt: skip
        _waveform(panels[0], excerpt, columns=int(width * 200))
        _spectrogram(panels[1], excerpt, columns=int(width * 200))
        _phones(panels[2], excerpt, names, size, lanes)
        _posteriors(panels[3], excerpt, kept, phone_set)
        for panel in panels[:-1]:
            panel.tick_params(axis="x", bottom=False)
        panels[0].set_title(_printable(excerpt.title), fontsize=FONT, loc="left", pad=4, parse_math=False)
        panels[-1].set_xlim(excerpt.start, excerpt.end)
        panels[-1].set_xlabel("time (s)")
        figure.align_ylabels(panels)
        return figure


def save(figure: "Figure", path: Path, dpi: int) -> None:
    """Write a picture of the kind that the file's suffix says. The file is there whole or not at all.

    Raises:
        ConfigError: another suffix than .png, .svg and .pdf, or too many pixels.
        PhonestreamError: the file cannot be written.
    """
    check_suffix(path)
    kind = path.suffix.lower()[1:]
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    content = io.BytesIO()
    with _style():
        try:
            figure.savefig(content, format=kind, dpi=dpi, metadata=undated)
        except ValueError as error:  # matplotlib draws at most 2^16 pixels in either direction
            raise ConfigError(f"{path}: cannot be drawn at {dpi} dpi ({error}); give fewer") from None
    with system_errors_as(PhonestreamError, f"{path}: cannot be written", "give another --output"):
        write_output(path, content.getvalue())


def check_suffix(path: Path) -> None:
    """See that a picture can be of the kind that a file's name says.

    Raises:
        ConfigError: it cannot.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"{path}: a picture's name ends in one of {', '.join(SUFFIXES)}; give such an --output"
        )


def _style() -> AbstractContextManager[None]:
    """Our settings over matplotlib's own, whatever a user's matplotlibrc says; what draws on screens stays as it is."""
    from matplotlib import rc_context, rcParamsDefault

    settings: Any = {**rcParamsDefault}
    settings.pop("backend", None)
    return rc_context(settings | SETTINGS)


def _lay_out(excerpt: Excerpt, names: Sequence[str], width: float) -> tuple[float, list[int]]:
    """Size of the labels in points and the lane of each, counted from below, so that none covers another."""
    scale = width / (excerpt.end - excerpt.start)  # inches a second
    centres = [sum(_visible(excerpt, interval)) / 2 * scale for interval in excerpt.intervals]
    lanes: list[int] = []
    for size in LABELS:
        edges: list[float] = []  # of the last label in each lane
        lanes = []
        for centre, name in zip(centres, names, strict=True):
            half = (len(name) * GLYPH + 0.2) * size / 72 / 2
            lane = next((lane for lane, edge in enumerate(edges) if edge <= centre - half), len(edges))
            edges[lane : lane + 1] = [centre + half]
            lanes.append(lane)
        if len(edges) <= MAX_LANES:
            return size, lanes
    return LABELS[-1], lanes


def _likely(excerpt: Excerpt) -> list[int]:
    """Columns of the phones that are likely at some time."""
    if not len(excerpt.posteriors):
        return []
    return [int(column) for column in np.flatnonzero(excerpt.posteriors.max(axis=0) >= SHOWN_POSTERIOR)]


def _waveform(axes: "Axes", excerpt: Excerpt, columns: int) -> None:
    """The line through all samples or, where they lie closer than can be seen, the band that they fill."""
    samples = excerpt.samples
    peak = float(np.abs(samples).max()) or 1.0
    if len(samples) <= 4 * columns:
        times = excerpt.start + np.arange(len(samples)) / excerpt.rate
        axes.plot(times, samples, color=INK, linewidth=0.5)
    else:
        edges = np.arange(columns) * len(samples) // columns
        low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
        times = excerpt.start + edges / excerpt.rate
        axes.fill_between(times, low, high, color=INK, linewidth=0.3)
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.set_yticks([0], ["0"])
    axes.set_ylabel("amplitude")


def _spectrogram(axes: "Axes", excerpt: Excerpt, columns: int) -> None:
    level, top_hz = spectrogram(excerpt.samples, excerpt.rate, columns)
    axes.imshow(
        level, cmap="Greys", vmin=0, vmax=1, origin="lower", aspect="auto", interpolation="antialiased",
        extent=(excerpt.start, excerpt.end, 0, top_hz / 1000),
    )  # fmt: skip
    axes.set_ylabel("frequency (kHz)")
    # 0 is left out where it would touch the panel below
    axes.set_yticks([kilohertz for kilohertz in (1, 2, 4, 6, 8) if kilohertz <= top_hz / 1000])


def _phones(axes: "Axes", excerpt: Excerpt, names: Sequence[str], size: float, lanes: Sequence[int]) -> None:
    """Bars below, symbols above them; from a symbol that stands higher a line leads to its bar."""
    bar = 0.8  # height of a bar in lanes
    for interval, name, lane in zip(excerpt.intervals, names, lanes, strict=True):
        left, right = _visible(excerpt, interval)
        centre = (left + right) / 2
        axes.add_patch(_bar(left, right, bar, interval.confidence))
        if lane:
            axes.plot([centre, centre], [bar, bar + lane + 0.1], color="#bbbbbb", linewidth=0.5, zorder=1)
        text = axes.text(
            centre, bar + lane + 0.55, name, fontsize=size, ha="center", va="center",
            color=INK, parse_math=False,
        )  # fmt: skip
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.4})
    axes.set_ylim(0, bar + max(lanes, default=0) + 1.15)
    axes.set_yticks([])
    axes.set_ylabel("phones", labelpad=4)
    if not excerpt.intervals:
        axes.text(0.5, 0.5, "no phones", transform=axes.transAxes, ha="center", va="center", color="#777777")


def _visible(excerpt: Excerpt, interval: Interval) -> tuple[float, float]:
    """What of an interval lies in the stretch."""
    return max(interval.start, excerpt.start), min(interval.end, excerpt.end)


def _bar(left: float, right: float, height: float, confidence: float) -> "Rectangle":
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    return Rectangle(
        (left, 0), right - left, height, linewidth=0.6, edgecolor=INK, zorder=2,
        facecolor=(*to_rgb(BLUE), min(1.0, max(0.0, confidence))),
    )  # fmt: skip


def _posteriors(axes: "Axes", excerpt: Excerpt, kept: Sequence[int], phone_set: str) -> None:
    """A row for each likely phone, in the order in which they come, so that speech runs down the panel."""
    peaks = excerpt.posteriors.argmax(axis=0) if kept else np.empty(0)
    order = sorted(kept, key=lambda column: (peaks[column], column))
    axes.set_ylabel("posteriors")
    if not order:
        axes.set_yticks([])
        return
    until = excerpt.first_row + len(excerpt.posteriors) * excerpt.row_seconds
    axes.imshow(
        excerpt.posteriors[:, order].T, cmap="Blues", vmin=0, vmax=1, origin="upper", aspect="auto",
        interpolation="nearest", extent=(excerpt.first_row, until, len(order), 0),
    )  # fmt: skip
    axes.set_yticks(
        np.arange(len(order)) + 0.5,
        [rename(excerpt.symbols[column], phone_set) for column in order],
        fontsize=6.5,
    )
    axes.tick_params(axis="y", length=0, pad=2)
    axes.hlines(np.arange(1, len(order)), excerpt.start, excerpt.end, color="#e4e4e4", linewidth=0.3)


def _printable(title: str) -> str:
    """A file's name as text that any font can draw."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in title)
