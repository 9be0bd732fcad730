"""A Spark cluster gives the same answers as this machine. Sail, which speaks Spark Connect without Java, is the cluster here."""

from __future__ import annotations

import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from support.engines import differences, points_everywhere, questions, sail
from support.stores import Runs

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.analyses import statistics_on_engine
from sweeplens.cancellation import StoppedError, cancellable
from sweeplens.engines import reductions as r
from sweeplens.engines.address import parse_address
from sweeplens.engines.polars_points import PolarsPoints
from sweeplens.engines.protocol import PointFiles, Points, StoredPoints
from sweeplens.engines.spark_points import SparkEngine, SparkPoints
from sweeplens.engines.spark_session import SparkConnection
from sweeplens.engines.spark_types import SparkFrame, SparkSession
from sweeplens.errors import EngineError, LimitError
from sweeplens.frames.points import reduce_series, select_points
from sweeplens.frames.reduction import rewound

POINTS = points_everywhere()
SERIES = reduce_series(POINTS)
STEPS = SERIES.filter(pl.col("metric") == "val/loss").select("run_id", best_step="min_step").drop_nulls()
SIZES = SERIES.select("run_id", "metric", k=pl.col("n") // 3).filter(pl.col("k") > 1)
KEYS = SERIES.select("run_id", "metric").filter(pl.col("run_id") != "b")

REDUCTIONS: dict[str, Callable[[Points], pl.DataFrame]] = {
    "LastK": lambda p: _stand(p).reduce(r.LastK(5)),
    "LastTenth": lambda p: _stand(p).reduce(r.LastTenth(3)),
    "TailMean": lambda p: _stand(p).reduce(r.TailMean(SIZES)),
    "AreaUnderCurve": lambda p: _stand(p).reduce(r.AreaUnderCurve()),
    "Fluctuation": lambda p: _stand(p).reduce(r.Fluctuation()),
    "LastUpToStep": lambda p: _stand(p).reduce(r.LastUpToStep(STEPS)),
    "AtStep": lambda p: _stand(p).reduce(r.AtStep(75)),
    "Crossing": lambda p: _loss(p).reduce(r.Crossing(0.9, below=True)),
    "BestStep": lambda p: p.select(metrics=["val/loss"]).last_writes().reduce(r.BestStep(higher=True)),
    "SecondsToStep": lambda p: p.reduce(r.SecondsToStep("train.acc", STEPS)),
    "EarlyStop": lambda p: _loss(p).reduce(r.EarlyStop(lower=True)),
    "WallSeconds": lambda p: p.reduce(r.WallSeconds()),
    "RunEnd": lambda p: _loss(p).on_time(p).reduce(r.RunEnd(lower=False)),
    "AtBudget": lambda p: _by_tokens(p).reduce(r.AtBudget(lower=True, budget=9000.0, level=0.95)),
    "LastUpToX": lambda p: _loss(p).finite().on_time().reduce(r.LastUpToX(101.5)),
    "MissingTimes": lambda p: p.select(metrics=["train.acc"]).reduce(r.MissingTimes()),
    "PointCount": lambda p: _by_tokens(p).within(640.0, 9000.0).reduce(r.PointCount()),
    "AxisRange": lambda p: _timed(p).reduce(r.AxisRange()),
    "FirstReturn": lambda p: p.of_series(KEYS).reduce(r.FirstReturn()),
}


@pytest.fixture(scope="module")
def engine() -> SparkEngine:
    return SparkEngine(SparkConnection(parse_address(sail())))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredPoints:
    """The same points in two files, one of which holds a run that was dropped, and in a frame that is not written."""
    folder = tmp_path_factory.mktemp("points")
    ghost = POINTS.filter(run_id="a").with_columns(run_id=pl.lit("ghost"))
    parts = POINTS.filter(pl.col("run_id") < "b"), pl.concat([POINTS.filter(run_id="b"), ghost])
    for name, part in zip("xy", parts, strict=True):
        part.with_columns(pl.col("seq").cast(pl.Int32)).write_parquet(folder / f"{name}.parquet")
    files = PointFiles((f"{folder}/x.parquet",)), PointFiles((f"{folder}/y.parquet",), frozenset({"ghost"}))
    return StoredPoints(files, (POINTS.filter(pl.col("run_id") > "b"),))


@pytest.fixture(scope="module")
def cluster(engine: SparkEngine, stored: StoredPoints) -> Points:
    held = engine.points(stored, pl.LazyFrame())  # nothing is there to fall back to
    assert isinstance(held, SparkPoints)
    return held


LOCAL = PolarsPoints(POINTS.lazy())


def _stand(points: Points) -> Points:
    return points.standing(rewound(SERIES))


def _loss(points: Points) -> Points:
    return _stand(points.select(metrics=["val/loss"]))


def _by_tokens(points: Points) -> Points:
    return _loss(points).finite().on_metric(points.select(metrics=["tokens"]).last_writes())


def _timed(points: Points) -> Points:
    return points.select(metrics=["train.acc"]).with_times_of(points.select(runs=["a", "b"])).on_time()


def _equal(one: pl.DataFrame, other: pl.DataFrame) -> None:
    order = [c for c in ("run_id", "metric", "curve", "stretch", "step", "seq") if c in one.columns]
    one, other = (f.sort(order) if order else f for f in (one, other))
    assert_frame_equal(one, other, check_dtypes=False, check_row_order=True, rel_tol=1e-9, abs_tol=1e-12)


def test_every_reduction_is_compared() -> None:
    assert set(REDUCTIONS) == {c.__name__ for c in r.PointReduction.__subclasses__()}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_gives_the_same_rows_from_both_engines(cluster: Points, name: str) -> None:
    found = REDUCTIONS[name](LOCAL)
    assert found.height
    _equal(found, REDUCTIONS[name](cluster))


SELECTIONS: dict[str, Callable[[Points], Points]] = {
    "all": lambda p: p,
    "runs": lambda p: p.select(runs=["a", "é'\"; --", "none"]),
    "no run": lambda p: p.select(runs=[]),
    "many runs": lambda p: p.select(runs=[*(f"r{i}" for i in range(12_000)), "b"]),
    "metrics and steps": lambda p: p.select(metrics=["train.acc"], step_min=20, step_max=90),
    "series": lambda p: p.of_series(KEYS),
    "last writes": _stand,
    "last writes of one metric": lambda p: p.select(metrics=["val/loss"]).last_writes(),
    "finite": lambda p: p.finite(),
    "borrowed times": lambda p: p.select(metrics=["train.acc"]).with_times_of(p),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_selection_fetches_the_same_points_from_both_engines(cluster: Points, name: str) -> None:
    columns = ["run_id", "metric", "step", "value", "wall_time", "seq"]
    here, there = (SELECTIONS[name](p).fetch(columns) for p in (LOCAL, cluster))
    assert here.schema == there.schema
    _equal(here, there)


GROUPS = pl.DataFrame({"run_id": ["a", "b", "c", "é'\"; --", "none"], "group": [0, 1, 1, 1, 2]})


@pytest.mark.parametrize(
    "how",
    [r.LastK(5), r.LastTenth(3), r.AreaUnderCurve(), r.AtStep(75), r.AtStep(75, reached=True)],
    ids=lambda h: type(h).__name__,
)
def test_statistics_of_groups_are_the_same_from_both_engines(cluster: Points, how: r.PointReduction) -> None:
    here, there = (_stand(p).reduce_by_group(how, GROUPS) for p in (LOCAL, cluster))
    order = ["group", "metric"]
    assert here.height >= 5
    assert here.columns == there.columns == [*order, "n", "mean", "std", "min", "q25", "median", "q75", "max"]
    assert_frame_equal(here.sort(order), there.sort(order), check_dtypes=False, rel_tol=1e-9, abs_tol=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.floats(allow_nan=True, width=32)), min_size=1, max_size=60),
    st.data(),
)
def test_statistics_of_groups_are_those_of_the_reduced_runs(
    logged: list[tuple[str, float]], data: st.DataObject
) -> None:
    points = pl.DataFrame(logged, schema={"run_id": pl.String, "value": pl.Float64}, orient="row").with_columns(
        metric=pl.lit("m"), step=pl.int_range(pl.len()), wall_time=None, seq=pl.int_range(pl.len(), dtype=pl.UInt32)
    )
    groups = pl.DataFrame({"run_id": list("abcd"), "group": [data.draw(st.integers(0, 1)) for _ in range(4)]})
    lazy = PolarsPoints(points.lazy())
    values = lazy.reduce(r.LastK(3)).filter(pl.col("value").is_finite()).join(groups, on="run_id")
    for row in lazy.reduce_by_group(r.LastK(3), groups).iter_rows(named=True):
        own = values.filter(group=row["group"])["value"]
        assert row["n"] == own.len()
        assert row["mean"] == pytest.approx(own.mean(), rel=1e-9)
        assert (row["min"], row["max"]) == (own.min(), own.max())
        assert row["min"] <= row["q25"] <= row["median"] <= row["q75"] <= row["max"]


@pytest.mark.parametrize("axis", ["step", "time", "tokens"])
def test_buckets_are_the_same_from_both_engines(cluster: Points, axis: str) -> None:
    curves = SERIES.filter(pl.col("metric") == "val/loss").select("run_id", "metric").with_row_index("curve")
    curves = curves.with_columns(start=pl.lit(-3.0), width=pl.lit(37.5 if axis != "tokens" else 2500.0))
    place = {"step": lambda p: _loss(p).on_step(), "time": lambda p: _loss(p).on_time(), "tokens": _by_tokens}[axis]
    here, there = (place(p).of_series(curves).bucket(curves) for p in (LOCAL, cluster))
    assert here.height > 10
    _equal(here, there)


def test_every_question_about_a_sweep_has_the_same_answer_from_both_engines(sweep: Path, tmp_path: Path) -> None:
    here = ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path)), sweep)
    here.load_experiments()
    there = ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path), engine=sail()), sweep)
    there.load_experiments()
    fixed, also = here.pinned(), there.pinned()
    told = {label: differences(ask, fixed, also) for label, ask in questions(here).items()}
    assert {label: found for label, found in told.items() if found} == {}


@pytest.mark.parametrize("reduce", ["last_tenth", "last_k:5", "auc", "at_step:common", "at_step:100"])
def test_a_summary_of_more_series_than_this_process_takes_is_grouped_by_the_cluster(
    reduce: str, sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hparams in ([], ["optim.lr"], ["optim.lr", "seed"]):
        here = ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path)), sweep)
        one = here.summarize(hparams, metrics=["val/acc", "train/loss"], reduce=reduce)
        monkeypatch.setattr(statistics_on_engine, "MOST_SERIES", 1)
        there = ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path), engine=sail()), sweep)
        other = there.summarize(hparams, metrics=["val/acc", "train/loss"], reduce=reduce)
        assert_frame_equal(one.table, other.table, check_dtypes=False, rel_tol=1e-9, abs_tol=1e-12)
        left = sum(part.n for part in one.basis.left_out if "not logged" not in part.reason)
        assert any(f"{left:,} of" in note for note in other.notes) or not left
        assert other.notes[: len(one.notes)] == one.notes


@pytest.fixture
def connection() -> SparkConnection:
    return SparkConnection(parse_address(sail()))


def test_an_answer_whose_rows_come_later_can_go_to_another_process(sweep: Path, tmp_path: Path) -> None:
    db = ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path), engine=sail()), sweep)
    answer = db.scan_curves(["val/acc"], x="wall_time", max_points=5)
    assert pickle.loads(pickle.dumps(answer)).whole().table.equals(answer.whole().table)  # noqa: S301


def test_more_points_than_this_process_takes_are_an_error_that_says_how_to_narrow(connection: SparkConnection) -> None:
    with pytest.raises(LimitError, match=r"more than 10 points.*fewer runs"):
        connection.collected(lambda s: s.sql("SELECT id FROM range(1000)"), most=10)
    assert connection.collected(lambda s: s.sql("SELECT id FROM range(10)"), most=10).height == 10


def test_a_cancelled_call_ends_at_once_and_the_cluster_stays_usable(connection: SparkConnection) -> None:
    connection.collected(lambda s: s.sql("SELECT 1 AS one"))  # the session is open
    began = time.monotonic()

    def stop() -> None:
        if time.monotonic() - began > 0.3:
            raise StoppedError("the client left")

    endless = "SELECT sum(a.id * b.id % 7) AS n FROM range(10000000) a CROSS JOIN range(10000000) b"
    with pytest.raises(StoppedError), cancellable(stop):
        connection.collected(lambda s: s.sql(endless))
    assert time.monotonic() - began < 2
    assert connection.collected(lambda s: s.sql("SELECT 2 AS two"))["two"].to_list() == [2]


def test_a_session_that_the_server_has_forgotten_is_opened_again(connection: SparkConnection) -> None:
    sessions: list[SparkSession] = []

    def forgotten_once(session: SparkSession) -> SparkFrame:
        sessions.append(session)
        if len(sessions) == 1:
            session.client.release_session()
            raise RuntimeError("[INVALID_HANDLE.SESSION_CLOSED] The handle is invalid. Session was closed.")
        return session.sql("SELECT 3 AS three")

    assert connection.collected(forgotten_once)["three"].to_list() == [3]
    assert sessions[0] is not sessions[1]


def test_files_that_the_cluster_cannot_read_are_an_error_that_says_where_to_put_them(
    engine: SparkEngine, tmp_path: Path
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no Parquet")
    points = engine.points(StoredPoints((PointFiles((f"{tmp_path}/x.parquet",)),)), POINTS.lazy())
    with pytest.raises(EngineError, match=r"could not answer.*ANALYSIS_CACHE_DIR"):
        select_points(points, runs=["a"]).reduce(r.AreaUnderCurve())


@pytest.mark.parametrize("folder", ["a*b", "a[b]c", "{a,b}"])
def test_a_path_that_spark_takes_for_a_pattern_is_read_by_this_machine(engine: SparkEngine, folder: str) -> None:
    points = engine.points(StoredPoints((PointFiles((f"/{folder}/x.parquet",)),)), POINTS.lazy())
    _equal(select_points(points).reduce(r.WallSeconds()), LOCAL.reduce(r.WallSeconds()))
    assert "for a pattern" in engine.warnings[0]
    engine.points(StoredPoints(), POINTS.lazy())
    assert engine.warnings == ()


def test_a_call_sees_one_version_while_runs_are_written_and_removed(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", 6, 30)
    db = ExperimentDB(
        AnalysisConfig(cache_dir=str(tmp_path / "cache"), engine=sail(), refresh_seconds=0), tmp_path / "runs"
    )
    before = db.pinned()
    first = before.query_metrics("loss")
    runs.append(0, 5)
    shutil.rmtree(tmp_path / "runs" / "run0003")
    after = db.query_metrics("loss")
    assert before.query_metrics("loss").equals(first)
    assert sorted(after["value"].to_list()) == [v for v in runs.values() if int(v) != 3]
    assert db.refresh().stored.frames  # the new lines are not written yet: they were sent along
