"""The demo sweep for tests of charts, and readers of specifications: layers, rows of a mark, nested objects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.charts import Chart
from sweeplens.demo_data import write_sweep

__all__ = ["demo_sweep", "layers", "parts", "rows"]


def demo_sweep(folder: Path) -> ExperimentDB:
    """Writes the demo sweep (60 runs: six learning rates by two batch sizes by seeds) and opens it."""
    write_sweep(folder, now=datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
    return ExperimentDB(AnalysisConfig(refresh_seconds=1e6, live_seconds=1e-3), base_path=folder)


def layers(chart: Chart) -> list[dict[str, Any]]:
    """Every layer of a chart, panels one after the other."""
    spec = chart.spec
    panels = next((spec[k] for k in ("concat", "hconcat", "vconcat") if k in spec), [spec])
    return [layer for panel in panels for layer in panel["layer"]]


def rows(chart: Chart, mark: str, *fields: str) -> list[dict[str, Any]]:
    """The rows of all layers of a mark that have these fields."""
    of_mark = [r for part in layers(chart) if part["mark"]["type"] == mark for r in part["data"]["values"]]
    return [r for r in of_mark if all(f in r for f in fields)]


def parts(value: object) -> Iterator[dict[str, Any]]:
    """Every object within a specification, data aside."""
    if isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key != "values":
                yield from parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner)
