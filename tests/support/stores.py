"""Folders of small runs with known content, for tests of the store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.store import backend_for

__all__ = ["Runs", "child", "open_db", "place_of", "points_of", "size_of"]


class Runs:
    """Runs of JSON lines; every value that is written is another one, so that none can hide behind its double."""

    def __init__(self, root: Path, runs: int, steps: int = 0) -> None:
        self.root = root
        self.steps = [0] * runs
        for run in range(runs):
            self.begin(run, max(steps, 1))

    def begin(self, run: int, steps: int) -> None:
        """A run that is not there yet, or no more."""
        self.steps[run] = 0
        self._log(run).parent.mkdir(parents=True)
        (self._log(run).with_name("config.json")).write_text(json.dumps({"optim": {"lr": 0.1 / (1 + run % 3)}}))
        self.append(run, steps)

    def append(self, run: int, lines: int = 1, *, torn: bool = False) -> None:
        """More whole lines; ``torn``: and the first half of another, which the next call completes."""
        text = "".join(self._line(run, self.steps[run] + i) for i in range(lines))
        done = self._log(run).read_text().rpartition("\n")[2] if self._log(run).exists() else ""
        rest = self._line(run, self.steps[run] + lines)[:20] if torn else ""
        with self._log(run).open("a") as file:
            file.write(text[len(done) :] + rest)
        self.steps[run] += lines

    def values(self) -> list[float]:
        """The losses of all whole lines, sorted."""
        return sorted(_value(run, step) for run, steps in enumerate(self.steps) for step in range(steps))

    def _log(self, run: int) -> Path:
        return self.root / f"run{run:04d}" / "metrics.jsonl"

    def _line(self, run: int, step: int) -> str:
        return json.dumps({"step": step, "loss": _value(run, step), "val/acc": 1 / (1 + step)}) + "\n"


def _value(run: int, step: int) -> float:
    return run + step / 65536


def open_db(root: Path, cache_dir: Path | str, **options: Any) -> ExperimentDB:
    """A database as a new process would open it."""
    return ExperimentDB(AnalysisConfig(**{"cache_dir": str(cache_dir), "refresh_seconds": 0} | options), root)


def place_of(root: Path, cache: Path) -> Path:
    """Returns the path of the store of one root."""
    return backend_for(cache, [root])


def points_of(db: ExperimentDB, metric: str = "loss") -> list[float]:
    """All values of a metric as logged, sorted."""
    return db.lazy_query(raw=True).filter(pl.col("metric") == metric).collect()["value"].sort().to_list()


def size_of(place: Path) -> int:
    """The bytes below a folder."""
    return sum(p.stat().st_size for p in place.rglob("*") if p.is_file())


def child(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A Python process that talks over its pipes."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, text=True, encoding="utf-8", **pipes | options)
