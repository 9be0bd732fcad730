"""Text of some hundred and twenty tools and loops, read through folders: values, steps, runs and settings that must come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from support.printed_by_loops import PRINTED as LOOPS
from support.printed_by_others import PRINTED as OTHERS
from support.printed_by_tools import PRINTED as TOOLS
from support.reading import Found, read_folder

ALL: dict[str, Any] = {**TOOLS, **OTHERS, **LOOPS}


def written(root: Path, files: str | dict[str, str]) -> Found:
    for name, text in ({"run.log": files} if isinstance(files, str) else files).items():
        (root / name).write_text(text, encoding="utf-8")
    return read_folder(root)


def by_run(found: Found, wanted: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The wanted series by run; of the only run where no run is named."""
    if any(isinstance(v, dict) for v in wanted.values()):
        return wanted
    (run,) = found.runs
    return {run: wanted}


@pytest.mark.parametrize("tool", ALL)
def test_text_of_a_tool_is_read_value_by_value(tool: str, tmp_path: Path) -> None:
    files, wanted, *more = ALL[tool]
    found = written(tmp_path, files)
    for run, metrics in by_run(found, wanted).items():
        for metric, series in metrics.items():
            got = found.series(run, metric)
            assert got[0], sorted(found.metrics(run))
            steps, values = split_series(series)
            assert got[1] == pytest.approx(values, nan_ok=True), metric
            assert steps is None or got[0] == steps, metric
    check(found, more[0] if more else {})


def split_series(series: Any) -> tuple[list[int] | None, list[float]]:
    """Steps, which may be open, and values."""
    if not isinstance(series, tuple):
        return None, series
    steps, values = cast("tuple[list[int], list[float]]", series)
    return steps, values


def check(found: Found, wanted: dict[str, Any]) -> None:
    """Settings by run, ids of runs, the status of the last run."""
    for run, settings in wanted.get("hp", {}).items():
        assert {k: found.runs[run].hyperparameters.get(k) for k in settings} == settings
    assert set(found.runs) == set(wanted.get("runs", found.runs))
    assert "status" not in wanted or [r.status for r in found.runs.values()][-1] == wanted["status"]
