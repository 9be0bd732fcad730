"""Files read together as columns give what each of them gives when it is read row by row."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import FormatError
from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA, concat_points, empty_series
from sweeplens.readers.decoding.rows import RowReader
from sweeplens.readers.json import steps as json_steps
from sweeplens.readers.json.history import JsonHistory
from sweeplens.readers.json.steps import JsonSteps
from sweeplens.readers.protocol import Reading, Resume, Source
from sweeplens.sources.discover import discover
from sweeplens.store.blocks import STORED_POINTS
from sweeplens.store.merge import sequenced

NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([math.nan, math.inf, -math.inf, 0, -0.0, 5e-324]),
)
KEYS = st.sampled_from(
    ["loss", "val/acc", "epoch", "a b", 'quo"te', "", "präzision", "iter", "timestamp", "time", "run_id", "status"]
)
OTHERS = st.one_of(NUMBERS, NUMBERS, st.none(), st.booleans())
ROWS = st.dictionaries(KEYS, OTHERS, min_size=1, max_size=4)
TIMED = st.fixed_dictionaries({"timestamp": st.floats(1.6e9, 1.8e9), "loss": NUMBERS})
PLAIN = st.dictionaries(st.sampled_from(["loss", "val/acc", "epoch"]), NUMBERS, min_size=1)
TEXTS = st.sampled_from(
    ["train", "val", "a note", "0.5", "nan", "tensor(1.5)", "[2]", "3%", "ünd", "", "Infinity", "1/3", "1.2k"]
)
DATES = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(datetime.isoformat)
ZONES = st.sampled_from(["", "Z", "+02:00", "-05:30", " ", "x"])
TIMES = st.one_of(
    st.builds("{}{}".format, DATES, ZONES), st.sampled_from(["2024-02-30T00:00:00", "2024-01-01", "soon"])
)
SPLITS = st.fixed_dictionaries(
    {"loss": NUMBERS},
    optional={"split": st.sampled_from(["train", "val"]), "val/loss": NUMBERS, "time": st.floats(1.6e9, 1.8e9)},
)
SPOKEN = st.fixed_dictionaries(
    {"loss": NUMBERS},
    optional={"timestamp": TIMES, "note": TEXTS, "split": TEXTS, "tag": TEXTS, "host": TEXTS, "lr": NUMBERS},
)
STAMPED = st.fixed_dictionaries({"loss": NUMBERS}, optional={"timestamp": DATES, "date": DATES})
SOMETIMES = st.fixed_dictionaries(
    {"loss": NUMBERS}, optional={"timestamp": st.floats(1.6e9, 1.8e9), "time": st.floats(0, 1.8e9)}
)
SPARSE = st.dictionaries(st.sampled_from(["loss", "val/acc", "epoch", "is_best", "time"]), OTHERS, min_size=1)
JUNK = st.sampled_from(
    ["broken {", "", "   ", "[1, 2]", '{"step": 3, "loss": }', '{"step": 1, "loss": "text"}', '{"step": 2, "x": null}',
     '{"step": 3, "loss": -NaN}', '{"step": 3, "loss": Infinity5}', '{"step": NaN, "loss": 1}',
     '{"step": 4, "deep": {"a": 1}}', '{"loss": 1}', '{"step": 7, "loss": 1, "loss": 2}', '{"step": 5.0, "loss": true}']
)  # fmt: skip


@st.composite
def a_file(draw: Any) -> str:
    kind = draw(st.sampled_from([PLAIN, PLAIN, SPARSE, TIMED, ROWS, SPLITS, SPOKEN, STAMPED, SOMETIMES]))
    begin = draw(st.sampled_from([0, 0, 3_000, 6_000]))  # a file that is appended to another may go on behind it
    steps = [begin + s for s in draw(st.lists(st.integers(0, 1000), min_size=1, max_size=12))]
    steps = sorted(set(steps)) if draw(st.booleans()) else steps
    style = draw(st.sampled_from([None, (",", ":"), (" ,\t", " : ")]))
    lines = [json.dumps({"step": s, **draw(kind)}, separators=style, ensure_ascii=draw(st.booleans())) for s in steps]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        lines.insert(draw(st.integers(0, len(lines))), draw(JUNK))
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    return (
        draw(st.sampled_from(["", "", "", "\ufeff"]))
        + end.join(lines)
        + draw(st.sampled_from([end, end, "", f'{end}{{"step": 2000, "lo']))
    )


def _comparable(series: pl.DataFrame) -> pl.DataFrame:
    """Without the mean and deviation of numbers so large that their sums or squares are none."""
    huge = pl.max_horizontal(pl.col("min").abs(), pl.col("max").abs()) > 1e150
    return series.with_columns(pl.when(~huge).then(c).alias(c) for c in ("mean", "std"))


def together(root: Path, texts: Sequence[str]) -> int:
    """Write the files, read them both ways, compare; how many were read together."""
    for index, text in enumerate(texts):
        home = root / f"run{index:03}"
        home.mkdir(parents=True, exist_ok=True)
        (home / "metrics.jsonl").write_bytes(text.encode())
    reader = JsonSteps()
    sources = discover([root], [reader]).sources
    found = [reader.read_many(sources, {s.path: s.relative for s in sources})]
    points = concat_points(m.points.cast(POINTS_SCHEMA) for m in found)
    series = pl.concat([empty_series(), *(m.series for m in found)])
    readings = {path: reading for m in found for path, reading in m.readings.items()}
    for source in sources:
        together = readings.get(source.path)
        if together is None:
            continue
        alone = reader.read(source, None)
        assert together.runs == alone.runs
        assert together.problems == alone.problems
        assert together.resume == alone.resume
        mine, key = pl.col("run_id") == source.relative, ["metric", "seq"]
        exact = sequenced(alone.points)
        assert_frame_equal(points.filter(mine).sort(key), exact.sort(key), check_exact=True)
        together, alone = (_comparable(f.sort("metric")) for f in (series.filter(mine), reduce_series(exact)))
        assert_frame_equal(together, alone, rel_tol=1e-12)
    return len(readings)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(a_file(), min_size=1, max_size=5))
@example(texts=['{"step": 0, "loss": 0.5}\n', '{"step": 0, "timestamp": 1.7e9}\n'])
@example(texts=['{"step": 0, "loss": 0.5}\n', '{"step": 0, "timestamp": 0.0}\n', '{"step": 0, "run_id": 0.0}\n'])
@example(texts=['{"step": 0, "": 0.5}\n'])
@example(texts=['{"step": 0, "loss": 0.0}\n', '{"step": 0, "loss": 0.0, "timestamp": "soon"}\n'])
@example(texts=['{"step": 0, "loss": 1, "timestamp": 7443786055224664.0}\n'])
def test_files_read_together_are_as_if_read_alone(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    together(tmp_path_factory.mktemp("logs"), texts)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(a_file(), min_size=2, max_size=3))
def test_appended_rows_are_read_as_if_one_by_one(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    root, reader = tmp_path_factory.mktemp("logs"), JsonSteps()
    log = root / "run" / "metrics.jsonl"
    log.parent.mkdir()
    log.write_bytes(b'{"step": 0, "loss": 1}\n')
    ways: dict[int, Resume | None] = dict.fromkeys(
        (0, 1 << 40)
    )  # read further as columns wherever that can be, and never
    for text in ["", *texts]:
        with log.open("ab") as stream:
            stream.write(text.encode())
        (source,) = discover([root], [reader]).sources
        columns, rows = (_further(reader, source, resume, far) for far, resume in ways.items())
        assert columns.runs == rows.runs
        assert columns.problems == rows.problems
        assert columns.resume == rows.resume
        order = ["metric", "seq"]
        one, other = (sequenced(r.points).sort(order) for r in (columns, rows))
        assert_frame_equal(one, other, check_exact=True)
        ways = dict.fromkeys(ways, rows.resume)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_history_in_one_value_is_read_as_if_row_by_row(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    kind = data.draw(st.sampled_from([PLAIN, TIMED, ROWS, SPLITS, SPOKEN, STAMPED, SOMETIMES]))
    steps = sorted(data.draw(st.sets(st.integers(0, 1000), min_size=2, max_size=12)))
    rows = [{"step": step, **data.draw(kind)} for step in steps]
    root = tmp_path_factory.mktemp("logs")
    (root / "history.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    reader = JsonHistory()
    exact = RowReader("history.json")
    for row in rows:
        exact.add(dict(row))
    for source in discover([root], [reader]).sources:
        reading = reader.read(source, None)
        assert [r.non_scalar for r in reading.runs] == [r.non_scalar for r in exact.records()]
        assert [(r.created_at, r.updated_at) for r in reading.runs] == [
            (r.created_at, r.updated_at) for r in exact.records()
        ]
        key = ["run_id", "metric", "seq"]
        mine, expected = (sequenced(f).drop("run_id").sort(key[1:]) for f in (reading.points, exact.frame()))
        assert_frame_equal(mine, expected, check_exact=True)


def _further(reader: JsonSteps, source: Source, resume: Resume | None, far: int) -> Reading:
    """What was appended, or the whole where it changes what was said of the rows before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_steps, "MUCH_BYTES", far)
        try:
            return reader.read(source, resume)
        except FormatError:
            return reader.read(source, None)


def test_a_log_that_grew_by_much_is_read_further_as_columns(tmp_path: Path) -> None:
    log, reader = tmp_path / "run" / "metrics.jsonl", JsonSteps()
    log.parent.mkdir()
    rows = [
        json.dumps({"step": i, "loss": 1 / (i + 1), "val/acc": None if i % 2 else i / 9}) + "\n" for i in range(4000)
    ]
    log.write_text("".join(rows[:1000]) + rows[1000][:9])
    (source,) = discover([tmp_path], [reader]).sources
    first = reader.read(source, None)
    log.write_text("".join(rows))
    (source,) = discover([tmp_path], [reader]).sources
    assert first.resume is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowReader, "add", None)  # no row is looked at
        further = reader.read(source, first.resume)
    assert further.points.height == 3000 + 1500
    assert further.runs[0].non_scalar == {"val/acc": 2000}
    assert further.resume == Resume(log.stat().st_size, further.resume.state if further.resume else {}, 4000)


def test_clean_files_and_those_with_nan_torn_and_malformed_lines_are_read_together(tmp_path: Path) -> None:
    clean = "".join(
        json.dumps({"step": i, "loss": 1 / (i + 1), **({"val/acc": i / 9} if i % 4 == 3 else {})}) + "\n"
        for i in range(10)
    )
    words = clean.replace("0.5", "NaN").replace("0.25", "-Infinity")
    assert (
        together(
            tmp_path, [clean, words, clean + "gar{bage\n" + '{"step": 99, "loss": 2}\n', clean + '{"step": 10, "lo']
        )
        == 4
    )


def test_rows_padded_with_null_are_read_together_and_counted(tmp_path: Path) -> None:
    """As pandas writes the rows of a table in which validation is logged now and then."""
    rows = [
        {"step": i, "loss": 1 / (i + 1), "val/acc": i / 9 if i % 4 == 3 else None, "is_best": i % 4 == 3, "never": None}
        for i in range(20)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert together(tmp_path, [text, text.replace("null", "NaN")]) == 2
    db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=tmp_path)
    (counted,) = (row["metadata.non_scalar"] for row in db.runs_df.iter_rows(named=True) if row["run_id"] == "run000")
    assert json.loads(counted) == {"val/acc": 15, "is_best": 20, "never": 20}


def test_text_and_runs_that_share_a_file_are_left_to_the_exact_way(tmp_path: Path) -> None:
    row = '{"step": 1, "loss": 0.5}\n'
    odd = [
        '{"step": null, "loss": 1}',
        '{"step": 2, "note": "x"}',
        '{"step": 2, "run_id": 7, "loss": 1}',
        '{"loss": 3}',
    ]
    assert together(tmp_path, [row + o + "\n" + row for o in odd]) == 0


def test_files_whose_metrics_have_nothing_in_common_are_read_together_all_the_same(tmp_path: Path) -> None:
    """One table for all of them would be empty nearly everywhere."""
    for run in range(30):
        (tmp_path / f"run{run:02}").mkdir()
        rows = [{"step": i, **{f"of {run}/{k}": run + k / 64 for k in range(40)}} for i in range(400)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"run{run:02}" / "metrics.jsonl").write_text(text)
    reader = JsonSteps()
    sources = discover([tmp_path], [reader]).sources
    found = reader.read_many(sources, {s.path: s.relative for s in sources})
    assert len(found.readings) == 30
    assert found.points.height == 30 * 40 * 400
    means = found.points.group_by("run_id", "metric").agg(pl.col("value").unique())
    told = {(str(r), str(m)): v for r, m, v in means.iter_rows()}
    assert told == {(f"run{r:02}", f"of {r}/{k}"): [r + k / 64] for r in range(30) for k in range(40)}


def test_rows_of_thousands_of_metrics_are_read_together(tmp_path: Path) -> None:
    """As of a model with norms of every layer: the first row alone is a column for each."""
    rows = [{"step": i, **{f"layer{k}/norm": i + k / 64 for k in range(6000)}} for i in range(3)]
    assert together(tmp_path, ["".join(json.dumps(row) + "\n" for row in rows)]) == 1


def test_files_of_points_hold_plain_text_and_numbers_for_every_engine(tmp_path: Path) -> None:
    """Names are Enums on disk; readers of the file must not see that, and filters must find all rows."""
    rows = "".join(json.dumps({"step": i, **{f"m{k}": k + i / 7 for k in range(10)}}) + "\n" for i in range(1000))
    for run in range(31):
        home = tmp_path / "logs" / f"run{31 - run}"
        home.mkdir(parents=True)
        (home / "metrics.jsonl").write_text(rows)
    cache = tmp_path / "cache"
    db = ExperimentDB(AnalysisConfig(cache_dir=str(cache)), base_path=tmp_path / "logs")
    assert db.load_experiments().n_points == 310_000
    (file,) = cache.glob("stores/*/points/*.parquet")
    said = {name: dtype for name, dtype in STORED_POINTS.items() if name != "wall_time"}  # no row has one
    assert pl.read_parquet_schema(file) == said
    (delta,) = cache.glob("stores/*/points")
    one = pl.scan_delta(str(delta)).filter(pl.col("run_id") == "run9", pl.col("metric") == "m3").collect()
    assert one.schema == STORED_POINTS
    assert one.sort("step")["value"].to_list() == [3 + i / 7 for i in range(1000)]
