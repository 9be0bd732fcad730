"""The step of each row is told from all rows: no value that was logged is hidden by another one without a word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from support.reading import read_folder

from sweeplens import AnalysisConfig, ExperimentDB

CASES = Path(__file__).parent.parent / "data" / "logs"


def lines(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def table(path: Path, header: str, rows: Iterable[Sequence[object]], between: str = ",") -> Path:
    """A table under a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "\n" + "".join(between.join(map(str, row)) + "\n" for row in rows))
    return path


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory"), base_path=root)


def told(root: Path, run: str, metric: str) -> dict[str, Any]:
    """What is known of one series."""
    series = opened(root).series_df.filter((pl.col("run_id") == run) & (pl.col("metric") == metric))
    return series.row(0, named=True)


def down(n: int) -> list[float]:
    """A loss that falls."""
    return [round(3 * 0.95**i, 6) for i in range(n)]


def test_the_only_axis_is_a_fraction_of_an_epoch_and_every_row_is_kept(tmp_path: Path) -> None:
    """As a callback of the Hugging Face Trainer writes it: some epochs are whole numbers, most are not."""
    for name, rows in (("json", 16), ("csv", 16)):
        epochs = [(i + 1) / 8 for i in range(rows)]
        if name == "json":
            lines(
                tmp_path / name / "log.jsonl", ({"epoch": e, "loss": v} for e, v in zip(epochs, down(16), strict=True))
            )
        else:
            table(tmp_path / name / "log.csv", "epoch,loss", zip(epochs, down(16), strict=True))
        found = told(tmp_path, name, "loss")
        assert (found["n"], found["n_logged"], found["rewinds"]) == (16, 16, 0)
        assert (found["first"], found["last"], found["last_step"]) == (3.0, down(16)[-1], 15)
        assert told(tmp_path, name, "epoch")["last"] == 2.0
    assert opened(tmp_path).curves(["loss"], x="epoch").table["x"].max() == 2.0


@pytest.mark.parametrize(
    "name",
    "current_steps train_step globalStep numUpdates iteration updates n_iter timesteps samples tokens images".split(),
)
def test_a_counter_is_the_axis_under_any_of_its_names_and_never_a_constant_one(tmp_path: Path, name: str) -> None:
    values = list(enumerate(down(20)))
    lines(
        tmp_path / "j" / "log.jsonl", ({name: 5 * i, "total_steps": 100, "epoch": i / 8, "loss": v} for i, v in values)
    )
    table(tmp_path / "c" / "log.csv", f"total_steps,epoch,{name},loss", ((100, i / 8, 5 * i, v) for i, v in values))
    for run in ("j", "c"):
        found = told(tmp_path, run, "loss")
        assert (found["n"], found["first_step"], found["last_step"], found["last"]) == (20, 0, 95, down(20)[-1])


@pytest.mark.parametrize("inner", ["step", "batch", "iter", "batch_idx"])
@pytest.mark.parametrize("begin", [0, 1])
def test_a_counter_that_begins_again_with_each_epoch_goes_on_over_the_epochs(
    tmp_path: Path, inner: str, begin: int
) -> None:
    rows = [(e, s + begin, v) for (e, s), v in zip(((e, s) for e in range(3) for s in range(5)), down(15), strict=True)]
    lines(tmp_path / "j" / "log.jsonl", ({"epoch": e, inner: s, "loss": v} for e, s, v in rows))
    table(tmp_path / "c" / "train_log.csv", f"epoch,{inner},loss", rows)
    for run in ("j", "c"):
        found = told(tmp_path, run, "loss")
        assert (found["n"], found["n_logged"], found["rewinds"], found["last"]) == (15, 15, 0, down(15)[-1])
        assert (found["first_step"], found["last_step"]) == (begin, 14 + begin)
    assert not opened(tmp_path).diagnose().table.filter(pl.col("finding") == "rewind").height


def test_without_an_epoch_beside_it_the_values_say_that_a_counter_began_again(tmp_path: Path) -> None:
    steps = [s for _ in range(4) for s in range(6)]
    table(tmp_path / "a" / "train.csv", "iter,loss", zip(steps, down(24), strict=True))
    assert told(tmp_path, "a", "loss")["n"] == 24


@pytest.mark.parametrize("far", [20, 5, 0])
def test_a_training_that_went_back_is_a_resume_and_its_last_values_count(tmp_path: Path, far: int) -> None:
    steps = [*range(30), *range(far, 60)]
    values = [round(3 * 0.97**s, 6) for s in steps]
    lines(tmp_path / "j" / "log.jsonl", ({"step": s, "loss": v} for s, v in zip(steps, values, strict=True)))
    table(tmp_path / "c" / "log.csv", "step,loss", zip(steps, values, strict=True))
    for run in ("j", "c"):
        found = told(tmp_path, run, "loss")
        assert (found["n"], found["n_logged"], found["rewinds"], found["last_step"]) == (60, 90 - far, 1, 59)
    assert not any("do not count" in w for w in opened(tmp_path).list_metrics().basis.warnings) or far < 20


def test_a_pause_says_that_a_training_went_back_where_values_say_nothing(tmp_path: Path) -> None:
    steps = [*range(10), *range(10)]
    rows = [{"step": s, "acc": 0.5 + (i % 3) / 100, "timestamp": 1.7e9 + i} for i, s in enumerate(steps)]
    lines(tmp_path / "on" / "log.jsonl", rows)
    lines(
        tmp_path / "away" / "log.jsonl",
        ({**r, "timestamp": r["timestamp"] + 9000 * (i > 9)} for i, r in enumerate(rows)),
    )
    assert (told(tmp_path, "on", "acc")["n"], told(tmp_path, "away", "acc")["n"]) == (20, 10)


def test_rows_that_all_stand_at_step_0_are_numbered_in_their_order(tmp_path: Path) -> None:
    lines(tmp_path / "j" / "log.jsonl", ({"step": 0, "loss": v} for v in down(6)))
    table(tmp_path / "c" / "log.csv", "step,loss", ((0, v) for v in down(6)))
    for run in ("j", "c"):
        found = told(tmp_path, run, "loss")
        assert (found["n"], found["last"], found["last_step"]) == (6, down(6)[-1], 5)


def mlflow_run(root: Path, run: str, values: Sequence[float]) -> None:
    """A run as MLflow's file store keeps it, each value logged without a step."""
    home = root / "mlruns" / "0" / (run * 32)
    for folder in ("metrics", "params", "tags"):
        (home / folder).mkdir(parents=True)
    said = {
        "run_id": run * 32,
        "experiment_id": "0",
        "status": "3",
        "lifecycle_stage": "active",
        "start_time": "1700000000000",
    }
    (home / "meta.yaml").write_text("".join(f"{k}: '{v}'\n" for k, v in said.items()))
    (home / "metrics" / "acc").write_text(
        "".join(f"{1700000000000 + 60_000 * i} {v} 0\n" for i, v in enumerate(values))
    )


def test_values_that_a_tracker_logged_without_a_step_are_numbered_and_grow(tmp_path: Path) -> None:
    mlflow_run(tmp_path, "a", [0.5, 0.7, 0.9, 0.8, 0.6])
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=tmp_path)
    assert db.series_df.select("n", "max", "last").row(0) == (5, 0.9, 0.6)
    acc = tmp_path / "mlruns" / "0" / ("a" * 32) / "metrics" / "acc"
    acc.write_text(acc.read_text() + "1700000360000 0.95 0\n")
    series = db.series_df.row(0, named=True)
    assert (series["n"], series["max"], series["last_step"]) == (6, 0.95, 5)


def test_a_step_that_is_text_is_read(tmp_path: Path) -> None:
    """As ms-swift writes ``global_step/max_steps``."""
    values = list(enumerate(down(8), 1))
    lines(
        tmp_path / "j" / "logging.jsonl",
        ({"loss": v, "epoch": i / 8, "global_step/max_steps": f"{5 * i}/50"} for i, v in values),
    )
    table(tmp_path / "c" / "log.csv", "step,loss", ((f"{5 * i}/50", v) for i, v in values))
    series = opened(tmp_path).series_df.filter(pl.col("metric") == "loss")
    assert series["n"].to_list() == [8, 8]
    assert series["last_step"].to_list() == [40, 40]


def test_rows_whose_numbers_all_lie_one_level_down_are_steps(tmp_path: Path) -> None:
    lines(
        tmp_path / "hand" / "metrics.jsonl",
        ({"step": i, "train": {"loss": 1 / (i + 1)}, "val": {"acc": i / 10}} for i in range(5)),
    )
    long = {f"actor/a_rather_long_name_{k}": 0.5 for k in range(200)}  # longer than what is looked at
    lines(
        tmp_path / "verl" / "metrics.jsonl", ({"step": i, "data": {"critic/score": i / 10, **long}} for i in range(5))
    )
    assert told(tmp_path, "hand", "train.loss")["last"] == 0.2
    assert told(tmp_path, "hand", "val.acc")["n"] == 5
    assert told(tmp_path, "verl", "critic/score")["last"] == 0.4


def test_numbers_in_quotes_and_in_the_clothes_of_a_framework_are_numbers(tmp_path: Path) -> None:
    forms = ['"{}"', '"{}"', "\"tensor({}, device='cuda:0')\"", "[{}]", '"np.float32({})"', '"[{}]"']
    rows = "".join(
        f'{{"epoch": 1, "num_updates": "{100 * i}", "loss": {form.format(i / 8)}}}\n' for i, form in enumerate(forms)
    )
    path = tmp_path / "run" / "train.jsonl"
    path.parent.mkdir()
    path.write_text(rows)
    found = told(tmp_path, "run", "loss")
    assert (found["n"], found["last"], found["last_step"]) == (6, 0.625, 500)


def test_one_value_a_line_with_its_name_is_read_as_that_metric(tmp_path: Path) -> None:
    rows = [
        {"name": n, "data": {"epoch": i / 5, "step": i, "value": i / 4, "timestamp": f"2024-06-01T10:{i:02}:00"}}
        for i in range(5)
        for n in ("loss", "acc")
    ]
    lines(tmp_path / "fms" / "training_logs.jsonl", rows)
    lines(
        tmp_path / "hand" / "log.jsonl",
        ({"tag": t, "value": i / 2, "step": i} for i in range(4) for t in ("loss", "acc")),
    )
    db = opened(tmp_path)
    found = {(r, m): (n, last) for r, m, n, last in db.series_df.select("run_id", "metric", "n", "last_step").rows()}
    assert found["fms/training_logs.jsonl", "loss"] == found["fms/training_logs.jsonl", "acc"] == (5, 4)
    assert found["hand", "acc"] == (4, 3)


def test_every_answer_warns_of_overwritten_values_without_a_resume(tmp_path: Path) -> None:
    rows = [{"step": i, "loss": v} for i, v in enumerate(down(20))]
    lines(tmp_path / "a" / "log.jsonl", [*rows[:10], {"step": 9, "loss": 9.0}, *rows[10:]])
    lines(tmp_path / "b" / "log.jsonl", rows)
    db = opened(tmp_path)
    told = "1 of 21 logged values do not count (loss of a)"
    for answer in (
        db.overview(),
        db.rank("loss", by="run"),
        db.curves(["loss"]),
        db.list_runs(),
        db.get_run("a"),
        db.query_sql("select 1"),
    ):
        assert any(w.startswith(told) for w in answer.basis.warnings), answer.basis
    assert not any("do not count" in w for w in db.get_run("b").basis.warnings)
    assert not any("do not count" in w for w in db.curves(["loss"], runs=["b"]).basis.warnings)


def test_an_axis_that_turns_out_otherwise_as_the_file_grows_is_judged_again(tmp_path: Path) -> None:
    for name in ("log.jsonl", "log.csv"):
        path = tmp_path / name.partition(".")[2] / name
        path.parent.mkdir()
        rows = [(e, s) for e in range(3) for s in range(400)]
        text = [
            json.dumps({"epoch": e, "step": s, "loss": e + s / 1000})
            if name == "log.jsonl"
            else f"{e},{s},{e + s / 1000}"
            for e, s in rows
        ]
        head = [] if name == "log.jsonl" else ["epoch,step,loss"]
        db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=path.parent)
        for end in (300, 500, 501, 1200):
            path.write_text("\n".join([*head, *text[:end], ""]))
            series = db.series_df.filter(pl.col("metric") == "loss").row(0, named=True)
            assert (series["n"], series["last_step"]) == (end, end - 1)


ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.floats(0, 1), st.booleans()), min_size=3, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, cut=st.integers(1, 29))
def test_a_log_that_grew_is_the_log_read_at_once(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, float, bool]], cut: int
) -> None:
    root = tmp_path_factory.mktemp("logs")
    text = [json.dumps({"epoch": e, "step": s, ("loss" if train else "val"): v}) for e, s, v, train in rows]
    path = root / "log.jsonl"
    path.write_text("".join(f"{line}\n" for line in text[:cut]))
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=root)
    assert db.series_df.height
    path.write_text("".join(f"{line}\n" for line in text))
    fresh = opened(root)
    assert_frame_equal(db.series_df.sort("metric"), fresh.series_df.sort("metric"), rel_tol=1e-12)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_a_table_and_json_lines_of_the_same_rows_give_the_same_points(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, float, bool]]
) -> None:
    root = tmp_path_factory.mktemp("logs")
    lines(root / "j" / "log.jsonl", ({"epoch": e, "step": s, "loss": v} for e, s, v, _ in rows))
    table(root / "c" / "log.csv", "epoch,step,loss", ((e, s, v) for e, s, v, _ in rows))
    found = read_folder(root)
    assert found.series("j", "loss") == found.series("c", "loss")


def test_small_handwritten_logs_give_the_logged_values(tmp_path: Path) -> None:
    shutil.copytree(CASES, tmp_path, dirs_exist_ok=True)
    series = opened(tmp_path).series_df
    wanted = json.loads((CASES / "wanted.json").read_text())
    found = {
        f"{r} {m}": [n, first, last]
        for r, m, n, first, last in series.select("run_id", "metric", "n", "first", "last").rows()
    }
    assert {k: found.get(k) for k in wanted} == wanted
