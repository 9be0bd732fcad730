"""The pictures of README and docs, from the demo's sweep: `make pictures` writes them again, each in light and in dark.

They show the sweep as `sweeplens demo` leaves it: its last run is still running, so tests of a ranking are stricter.

`structure.json` says what is in each (title, marks, fields, how many rows), so that a test notices when the pictures are no
longer what the code draws, on machines with other fonts too.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.charts import Chart
from sweeplens.demo_data import write_sweep

HERE = Path(__file__).parent
STRUCTURE = HERE / "structure.json"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MOST_BYTES = 100_000
PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "curves": ("curves", {"metrics": ["val/loss"], "hparams": ["optim.lr"]}),
    "ranking": ("ranking", {"metrics": ["val/acc"]}),
    "comparison": ("comparison", {"a": '"optim.lr" = 0.03', "b": '"optim.lr" = 0.01'}),
    "scatter": ("scatter", {"metrics": ["val/acc"]}),
    "parallel": ("parallel", {"metrics": ["val/acc"]}),
    "heatmap": ("heatmap", {"metrics": ["val/acc"]}),
    "importance": ("importance", {"metrics": ["val/acc"]}),
    "timeline": ("timeline", {}),
}


def charts() -> Iterator[tuple[str, Chart]]:
    """Each picture by its name."""
    with tempfile.TemporaryDirectory() as folder:
        write_sweep(Path(folder) / "sweep", now=NOW)
        live = max(0.0, (datetime.now(UTC) - NOW).total_seconds()) + 600  # of the last run alone
        config = AnalysisConfig(refresh_seconds=1e6, live_seconds=live, cache="memory")
        db = ExperimentDB(config, base_path=Path(folder) / "sweep")
        for name, (kind, options) in PICTURES.items():
            yield name, db.plot(kind, **options)


def structure(chart: Chart) -> dict[str, Any]:
    """What is in a chart, without its numbers."""
    panels = next((chart.spec[k] for k in ("concat", "hconcat", "vconcat") if k in chart.spec), [chart.spec])
    parts = [part for panel in panels for part in panel["layer"]]
    return {"title": chart.title, "layers": [_layer(part) for part in parts]}


def _layer(part: Mapping[str, Any]) -> dict[str, Any]:
    fields = {channel: e["field"] for channel, e in part["encoding"].items() if isinstance(e, dict) and "field" in e}
    return {"mark": part["mark"]["type"], "fields": fields, "rows": len(part["data"]["values"])}


def main() -> None:
    """Write all of them."""
    found: dict[str, Any] = {}
    for name, chart in charts():
        found[name] = structure(chart)
        for theme in ("light", "dark"):
            (HERE / f"{name}-{theme}.png").write_bytes(chart.png(theme, scale=2, most_bytes=MOST_BYTES))
    STRUCTURE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
