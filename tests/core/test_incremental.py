"""Whatever happens to files, a database that followed it gives the frames of one that reads the final files fresh."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import RootError
from sweeplens.frames.schemas import SERIES_SCHEMA

RUNS = ("a", "b", "deep/a", "deep/er/c")
NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 7]))


def a_row(draw: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"step": draw(st.integers(0, 30))}
    for name in draw(st.sets(st.sampled_from(["loss", "val/acc", "lr"]), min_size=1)):
        row[name] = draw(NUMBERS)
    extra = draw(st.sampled_from(["", "", "", "run_id", "status", "note", "split", "null", "timestamp"]))
    values = {"run_id": "other", "status": "failed", "note": "a word", "split": "val", "null": None, "timestamp": 1.7e9}
    return {**row, extra: values[extra]} if extra else row


LINES = st.composite(
    lambda draw: "".join(
        draw(st.sampled_from(["broken {\n", "\n", "[1]\n"]))
        if draw(st.integers(0, 9)) == 0
        else json.dumps(a_row(draw)) + "\n"
        for _ in range(draw(st.integers(1, 5)))
    )
)()
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "append append append torn complete rewrite same_size truncate rename delete config object refresh restart "
                "many together together"
            ).split()
        ),
        st.sampled_from(RUNS),
        st.sampled_from(RUNS),
        LINES,
    ),
    min_size=2,
    max_size=14,
)


class Folder:
    """A folder of experiments to which things happen."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def act(self, action: str, run: str, other: str, lines: str) -> None:
        log = self.root / run / "metrics.jsonl"
        verbs: dict[str, Callable[[], None]] = {
            "append": lambda: self._append(log, lines),
            "many": lambda: self._append(log, "".join(f'{{"step": {i}, "loss": {i / 7}}}\n' for i in range(40, 300))),
            "together": lambda: self._grow_together(lines),
            "torn": lambda: self._append(log, lines[: max(1, len(lines) * 2 // 3)]),
            "complete": lambda: self._append(log, "\n"),
            "rewrite": lambda: self._write(log, lines),
            "same_size": lambda: self._other_digits(log),
            "truncate": lambda: self._truncate(log),
            "rename": lambda: self._rename(run, other),
            "delete": lambda: shutil.rmtree(self.root / run, ignore_errors=True),
            "config": lambda: self._write(
                log.with_name("config.json"), json.dumps({"lr": len(lines) / 100, "deep": {"n": 1}})
            ),
            "object": lambda: self._append(self.root / run / "runs.jsonl", self._object(lines)),
        }
        if action in verbs:
            verbs[action]()

    def _append(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)

    def _grow_together(self, lines: str) -> None:
        """Every log gets two rows that go on; one of them the given lines too, which may not."""
        for place, log in enumerate(sorted(self.root.rglob("metrics.jsonl"))):
            step = 1000 + log.stat().st_size
            on = (f'{{"step": {step + i}, "loss": {i / 7}, "new": {place}.5}}\n' for i in range(2))
            self._append(log, "".join(on) + lines * (place == 1))

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _object(self, lines: str) -> str:
        run = {
            "run_id": f"run{len(lines) % 3}",
            "hyperparameters": {"lr": len(lines)},
            "metrics": {"loss": [1.0, len(lines)]},
        }
        return json.dumps(run) + "\n"

    def _other_digits(self, log: Path) -> None:
        """Other content of the same size under the same time."""
        if log.exists():
            before = log.stat()
            log.write_bytes(log.read_bytes().translate(bytes.maketrans(b"123", b"231")))
            os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _truncate(self, path: Path) -> None:
        if path.exists():
            os.truncate(path, path.stat().st_size * 2 // 3)

    def _rename(self, run: str, other: str) -> None:
        home, target = self.root / run, self.root / other
        if home.exists() and not target.exists() and not other.startswith(run):
            target.parent.mkdir(parents=True, exist_ok=True)
            home.rename(target)


def frames(db: ExperimentDB) -> tuple[pl.DataFrame, ...] | None:
    """Runs, series, points and problems in an order that does not depend on the past; None without experiments."""
    try:
        view = db.view()
    except RootError:
        return None
    points = view.snapshot.points.collect().sort("run_id", "metric", "seq")
    runs = view.runs.select(sorted(view.runs.columns)).sort("run_id")
    return runs, view.series.sort("run_id", "metric"), points, db.problems.sort(pl.all())


def assert_equal_frames(mine: tuple[pl.DataFrame, ...] | None, fresh: tuple[pl.DataFrame, ...] | None) -> None:
    assert (mine is None) == (fresh is None)
    if mine is None or fresh is None:
        return
    for one, two in zip(mine, fresh, strict=True):
        assert_frame_equal(one, two, check_exact=False, rel_tol=1e-9, abs_tol=1e-6, categorical_as_str=True)
    exact = [c for c in SERIES_SCHEMA if c not in ("mean", "std")]
    assert_frame_equal(mine[1].select(exact), fresh[1].select(exact), check_exact=True)
    assert_frame_equal(mine[2], fresh[2], check_exact=True)


@pytest.mark.parametrize("cache", ["memory", "disk", "disk, written at every change"])
@settings(
    max_examples=int(os.environ.get("SWEEPLENS_EXAMPLES", "40")), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(actions=ACTIONS)
@example(
    actions=[
        ("torn", "a", "a", '{"step": 0, "loss": 0.5}' + 12 * " "),
        ("append", "a", "a", "broken {\n"),
    ]
)
@example(
    actions=[
        ("torn", "a", "a", '{"step": 0, "loss": 0.5}' + 12 * " "),
        ("complete", "a", "a", ""),
        ("append", "a", "a", "broken {\n"),
    ]
)
@example(
    actions=[
        ("append", "a", "a", '{"step": 0, "val/acc": 0.0, "loss": 0.0}\n'),
        ("truncate", "a", "a", ""),
        ("append", "a", "a", 'broken {\n{"step": 0, "loss": 0.0, "run_id": "other"}\n'),
    ]
)
@example(
    actions=[
        ("append", "a", "a", "broken {\n"),
        ("append", "a", "a", '{"step": 0, "loss": 0.0, "null": null}\n{"step": 20, "loss": 0.0, "note": "a word"}\n'),
        ("torn", "a", "a", '{"step": 40, "loss": 0.0, "run_id": "other"}\n{"step": 0, "loss": 0.0, "val/acc": 0.0}\n'),
    ]
)
def test_any_sequence_of_changes_gives_the_frames_of_a_fresh_read(
    cache: Any, actions: list[tuple[str, str, str, str]]
) -> None:
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        if cache not in ("memory", "disk"):
            patch.setattr("sweeplens.store.persistent.MUCH_ROWS", 0)
            patch.setattr("sweeplens.store.persistent.MUCH_SECONDS", 0.0)
        root = Path(home) / "logs"
        root.mkdir()
        folder = Folder(root)
        config = AnalysisConfig(
            cache=cache[:4] if cache != "memory" else cache,
            refresh_seconds=0,
            live_seconds=1e9,
            cache_dir=f"{home}/cache",
        )
        db = ExperimentDB(config, root)
        for action, *what in actions:
            folder.act(action, *what)
            if action == "restart":
                db = ExperimentDB(config, root)
            frames(db)
        fresh = ExperimentDB(config.model_copy(update={"cache": "memory"}), root)
        assert_equal_frames(frames(db), frames(fresh))
