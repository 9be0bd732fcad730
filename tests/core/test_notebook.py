"""The notebook in `examples/`, executed as Jupyter does: databases and answers are tables, charts are Vega-Lite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from sweeplens.charts.rendering import can_render

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
VEGA_LITE = "application/vnd.vegalite.v5+json"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")  # of Jupyter's own packages
def test_a_notebook_shows_a_database_an_answer_and_charts(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # none is committed
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown: list[dict[str, Any]] = [
        out["data"] for cell in notebook.cells for out in cell.get("outputs", []) if "data" in out
    ]
    database, answer, ranking, curves, saved = shown
    assert "60 runs" in database["text/html"]
    assert "<table" in answer["text/html"]
    assert "of 60 runs" in answer["text/html"]
    for chart, title in ((ranking, "val/acc: 12 groups"), (curves, "val/loss over step")):
        spec = chart[VEGA_LITE]
        assert title in " ".join(spec["title"]["text"])
        assert any(layer["data"]["values"] for layer in spec["layer"])
        assert chart["text/plain"].startswith(title)
        assert ("image/png" in chart) == can_render()
    assert "parallel.html" in saved["text/plain"]
