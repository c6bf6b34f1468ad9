"""Pictures of an evaluation as SVG inside a page: their colours are the page's, in light and in dark."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from ..lexicon.phones import PHONES
from .reliability import Reliability

ORDER = (
    "P", "B", "T", "D", "K", "G", "CH", "JH", "F", "V", "TH", "DH", "S", "Z", "SH", "ZH", "HH", "M", "N", "NG",
    "L", "R", "W", "Y", "IY", "IH", "EY", "EH", "AE", "AA", "AO", "OW", "UH", "UW", "AH", "ER", "AY", "AW", "OY",
)  # fmt: skip
"""The phones by how they are made, so that those likely to be confused are neighbours."""
GAP = "\N{EN DASH}"  # the label of deletions and insertions
CELL = 16  # units of the picture, as are all lengths here
WIDTH, HEIGHT = 480, 260  # of diagrams
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 40


def confusion_matrix(table: NDArray[np.int64]) -> str:
    """`score.confusion_table` as a matrix: a row for each reference phone, in it what it was decoded as.

    A cell is the more solid the larger its share of the row, on a square-root scale, so that rare confusions show. The
    diagonal is in another colour, and each cell tells its count when pointed at.
    """
    index = [*(PHONES.index(phone) for phone in ORDER), len(PHONES)]
    names = [*ORDER, GAP]
    table = table[np.ix_(index, index)]
    margin, size = 34, CELL * len(names)
    parts = [_open(margin + size + 4, margin + size + 4, "Confusion matrix", "matrix")]
    for number, name in enumerate(names):
        at = margin + CELL * number + CELL / 2
        parts.append(_text(margin - 4, at + 3.5, name, "end"))
        parts.append(_text(at, margin - 5, name, "middle"))
    parts.append(_text(0, 10, "said \N{DOWNWARDS ARROW} heard \N{RIGHTWARDS ARROW}", "start"))
    for row, counts in enumerate(table.tolist()):
        total = sum(counts)
        for column, count in enumerate(counts):
            if count:
                tip = f"{count:,} of {total:,}: " + _cell_title(names, row, column)
                kind = "right" if row == column else "wrong"
                x, y = margin + CELL * column, margin + CELL * row
                parts.append(
                    f'<rect class="{kind}" x="{x}" y="{y}" width="{CELL}" height="{CELL}" '
                    f'fill-opacity="{max(0.04, (count / total) ** 0.5):.2f}"><title>{escape(tip)}</title></rect>'
                )
    parts.append(f'<rect class="frame" x="{margin}" y="{margin}" width="{size}" height="{size}"/>')
    edge = margin + CELL * len(ORDER)
    parts.append(f'<path class="frame" d="M{edge} {margin}v{size}M{margin} {edge}h{size}"/>')
    return "".join(parts) + "</svg>"


def _cell_title(names: Sequence[str], row: int, column: int) -> str:
    if row == len(ORDER):
        return f"insertions are {names[column]}"
    if column == len(ORDER):
        return f"{names[row]} deleted"
    return f"{names[row]} heard as {names[column]}"


def histogram(values: NDArray[np.float64], edges: NDArray[np.float64], title: str, unit: str) -> str:
    """How many of `values` lie between each two `edges`, evenly spaced; those beyond are in the outermost bars."""
    counts, _ = np.histogram(values.clip(edges[0], edges[-1]), edges)
    most = max(1, int(counts.max()))
    plot = _Plot(float(edges[0]), float(edges[-1]), 0.0, most * 1.05)
    parts = [
        _open(WIDTH, HEIGHT, title),
        plot.axes(unit, "count", _ticks(edges[0], edges[-1]), _ticks(0, most)),
    ]
    for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True):
        if count:
            left, right, top = plot.x(low), plot.x(high), plot.y(count)
            parts.append(
                f'<rect class="bar" x="{left + 0.5:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" '
                f'height="{plot.y(0) - top:.1f}"><title>{low:g} to {high:g} {escape(unit)}: {count:,}</title></rect>'
            )
    if len(values):
        middle = float(np.median(values))
        at = plot.x(min(max(middle, edges[0]), edges[-1]))
        parts.append(f'<path class="median" d="M{at:.1f} {TOP}V{plot.y(0):.1f}"/>')
        anchor = "start" if at < WIDTH / 2 else "end"
        parts.append(_text(at + (4 if anchor == "start" else -4), TOP + 10, f"median {middle:.3g}", anchor))
    return "".join(parts) + "</svg>"


def reliability_diagram(found: Reliability) -> str:
    """Share of phones that are right against confidence, a point for each bin; on the diagonal it is calibrated."""
    plot = _Plot(0.0, 1.0, 0.0, 1.0)
    ticks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    parts = [
        _open(WIDTH, HEIGHT, "Reliability diagram"),
        plot.axes("confidence", "share right", ticks, ticks),
    ]
    parts.append(f'<path class="ideal" d="M{plot.x(0)} {plot.y(0)}L{plot.x(1)} {plot.y(1)}"/>')
    points = [(plot.x(entry.confidence), plot.y(entry.right)) for entry in found.bins]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    parts.append(f'<path class="line" d="M{line}"/>' if points else "")
    for (x, y), entry in zip(points, found.bins, strict=True):
        tip = f"{entry.phones:,} phones: confidence {entry.confidence:.2f}, {entry.right:.1%} right"
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{tip}</title></circle>')
    return "".join(parts) + "</svg>"


class _Plot:
    """Where a value lies in a diagram of `WIDTH` by `HEIGHT`."""

    def __init__(self, left: float, right: float, bottom: float, top: float) -> None:
        self._left, self._right, self._bottom, self._top = left, right, bottom, top

    def x(self, value: float) -> float:
        return LEFT + (value - self._left) / (self._right - self._left) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self._bottom) / (self._top - self._bottom) * (HEIGHT - TOP - BOTTOM)

    def axes(self, below: str, beside: str, across: Sequence[float], up: Sequence[float]) -> str:
        parts = []
        for value in up:
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(_text(LEFT - 5, y + 4, f"{value:g}", "end"))
        parts += [_text(self.x(value), HEIGHT - BOTTOM + 14, f"{value:g}", "middle") for value in across]
        floor = HEIGHT - BOTTOM
        parts.append(f'<path class="frame" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>')
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, below, "middle"))
        middle = (TOP + floor) / 2
        turned = f'<g transform="translate(12 {middle}) rotate(-90)">{_text(0, 0, beside, "middle")}</g>'
        return "".join(parts) + turned


def _ticks(low: float, high: float) -> list[float]:
    """About five round values from `low` to `high`."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(float(power * factor) for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = int(np.ceil(low / step - 1e-9))
    return [round(number * step, 10) for number in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def _open(width: float, height: float, title: str, kind: str = "diagram") -> str:
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
