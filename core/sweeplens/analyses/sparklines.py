"""Curves as text: for each series a sparkline of all its points, then the downsampled points.

The sparkline has one character for each of up to 24 equal parts, by their mean; ``×`` where a value is not finite. A positive
curve that spans more than three powers of ten is drawn on a log scale and marked ``(log)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sweeplens.counting import count_of, share_of

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import ArrayLike, NDArray

    from sweeplens.answers import Answer

__all__ = ["WIDTH", "curve_lines", "is_log", "render_curves", "sparkline"]

WIDTH = 24
_SIGNS = np.array(list("▁▂▃▄▅▆▇█"))
_LOST = "×"
_SPAN = 1000.0


def sparkline(values: ArrayLike, width: int = WIDTH) -> str:
    """Returns at most ``width`` characters for these values, in order; empty without values."""
    v = np.asarray(values, dtype=np.float64)
    if not len(v):
        return ""
    edges = np.linspace(0, len(v), min(width, len(v)) + 1).astype(int)
    sizes = np.diff(edges)
    means = np.add.reduceat(np.where(np.isfinite(v), v, 0.0) / np.repeat(sizes, sizes), edges[:-1])
    whole = np.minimum.reduceat(np.isfinite(v), edges[:-1]).astype(bool)
    levels = _levels(means, whole, log=is_log(v))
    return "".join(_SIGNS[level] if ok else _LOST for level, ok in zip(levels, whole, strict=True))


def is_log(values: ArrayLike) -> bool:
    """Whether the finite values are positive and span more than three powers of ten."""
    v = np.asarray(values, dtype=np.float64)
    finite = v[np.isfinite(v)]
    return bool(len(finite)) and float(finite.min()) > 0 and float(finite.max()) > _SPAN * float(finite.min())


def _levels(means: NDArray[np.float64], whole: NDArray[np.bool_], *, log: bool) -> list[int]:
    """Returns 0 to 7 for each mean, from the least to the greatest; 3 if all are equal."""
    if not whole.any():
        return [0] * len(means)
    shown = np.log10(means, where=whole & (means > 0), out=np.zeros_like(means)) if log else means
    low, high = float(shown[whole].min()), float(shown[whole].max())
    if not high > low:
        return [3] * len(means)
    share = np.clip((shown / 2 - low / 2) / (high / 2 - low / 2), 0, 1)
    return [int(s) for s in np.where(whole, np.minimum(share * 8, 7), 0)]


def render_curves(answer: Answer) -> str:
    """Returns all curves of an answer of `curves` as text."""
    return "\n".join(curve_lines(answer))


def curve_lines(answer: Answer) -> list[str]:
    """Returns a line for each series: run, metric, sparkline, number of points; then ``x value`` of the points shown."""
    return [_line(*part, answer.tables.get("series")) for part in _parts(answer.table)]


def _parts(table: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    for (run, metric), part in table.group_by(["run_id", "metric"], maintain_order=True):
        yield str(run), str(metric), part


def _line(run: str, metric: str, part: pl.DataFrame, summary: pl.DataFrame | None) -> str:
    row = _summary_of(run, metric, summary)
    n = int(str(row.get("n", part.height)))
    spark = str(row.get("spark") or sparkline(part["value"].to_numpy()))
    log = row["log"] if "log" in row else is_log(part["value"].to_numpy())
    scale = " (log)" if log else ""
    count = count_of(n, "point") if part.height == n else f"{share_of(part.height, n, 'point')}"
    pairs = "; ".join(f"{_number(x)} {_number(v)}" for x, v in part.select("x", "value").iter_rows())
    return f"{run} {metric} {spark}{scale} {count}: {pairs}"


def _summary_of(run: str, metric: str, summary: pl.DataFrame | None) -> dict[str, object]:
    if summary is None:
        return {}
    rows = summary.filter((summary["run_id"] == run) & (summary["metric"] == metric))
    return rows.row(0, named=True) if rows.height else {}


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.5g}"
