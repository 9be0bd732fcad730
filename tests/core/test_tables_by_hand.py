"""Tables as people and export buttons write them: separators, numbers, encodings, settings in columns, one value a row."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from support.reading import read_folder

from sweeplens import AnalysisConfig, ExperimentDB


def opened(root: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory"), base_path=root)


def written(root: Path, name: str, text: str, encoding: str = "utf-8") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)


def series(root: Path) -> dict[tuple[str, str], tuple[int, float, float]]:
    """(run, metric) -> count, first, last."""
    table = opened(root).series_df.select("run_id", "metric", "n", "first", "last")
    return {(r, m): (n, first, last) for r, m, n, first, last in table.rows()}


@pytest.mark.parametrize(
    "row",
    [
        "{i};{w},{f}",  # decimal commas between semicolons
        "{i}\t{w}.{f}",
        "   {i}      {w}.{f}  ",
        "{i} {w}.{f}",
        '"{i}","{w}.{f}"',
        "{i},\"tensor({w}.{f}, device='cuda:0')\"",
        "{i},[{w}.{f}]",
        "{i},{w}.{f}%",
    ],
)
def test_a_number_is_read_however_a_cell_says_it(tmp_path: Path, row: str) -> None:
    mark = ";" if ";" in row else "\t" if "\t" in row else "," if "," in row.replace("{w},{f}", "") else " "
    body = "".join(row.format(i=i, w=i + 1, f="25") + "\n" for i in range(6))
    written(tmp_path, "a/log.txt", f"epoch{mark}loss\n{body}")
    assert series(tmp_path) == {("a", "loss"): (6, 1.25, 6.25)}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_log_in_utf_16_is_read(tmp_path: Path, encoding: str) -> None:
    written(tmp_path, "c/metrics.csv", "step,loss\n" + "".join(f"{i},{i / 2}\n" for i in range(40)), encoding)
    written(
        tmp_path, "j/log.jsonl", "".join(json.dumps({"step": i, "loss": i / 2}) + "\n" for i in range(40)), encoding
    )
    assert series(tmp_path) == {("c", "loss"): (40, 0.0, 19.5), ("j", "loss"): (40, 0.0, 19.5)}


def test_a_table_in_windows_1252_keeps_its_names(tmp_path: Path) -> None:
    rows = "".join(f"{i};0,{i + 1};früh\n" for i in range(1, 6))
    written(tmp_path, "a/metrics.csv", f"Epoche;Präzision;Abschnitt\n{rows}", "cp1252")
    assert series(tmp_path) == {("a", "Präzision"): (5, 0.2, 0.6)}
    assert opened(tmp_path).series_df["first_step"].to_list() == [1]


def test_counts_in_pythons_groups_of_three_are_steps(tmp_path: Path) -> None:
    written(tmp_path, "a/log.csv", "step,loss\n" + "".join(f"{i * 1000:_},{i / 2}\n" for i in range(1, 1500, 250)))
    table = opened(tmp_path).series_df.select("metric", "n", "first_step", "last_step")
    assert table.rows() == [("loss", 6, 1000, 1_251_000)]


def test_settings_in_columns_are_hyperparameters_and_no_curves(tmp_path: Path) -> None:
    rows = [
        f"{r},{lr},{o},{s},{i},{1 / (i + 1)}\n"
        for r, lr, o, s in (("a", 0.1, "sgd", 0), ("b", 0.01, "adam", 1))
        for i in range(5)
    ]
    written(tmp_path, "all.csv", "run,lr,optimizer,seed,step,loss\n" + "".join(rows))
    runs = opened(tmp_path).runs_df.sort("run_id")
    assert runs.select("run_id", "lr", "optimizer", "seed").rows() == [("a", 0.1, "sgd", 0), ("b", 0.01, "adam", 1)]
    assert set(series(tmp_path)) == {("a", "loss"), ("b", "loss")}


def test_a_learning_rate_that_changes_stays_a_curve(tmp_path: Path) -> None:
    written(tmp_path, "a/log.csv", "step,lr,seed,loss\n" + "".join(f"{i},{0.1 / (i + 1)},3,{i}\n" for i in range(5)))
    assert set(series(tmp_path)) == {("a", "lr"), ("a", "loss")}
    assert opened(tmp_path).runs_df["seed"].to_list() == [3]


def test_a_column_that_could_not_be_read_is_named(tmp_path: Path) -> None:
    body = "".join(f"{i},{i / 2},0:00:{i:02},{i}.5it/s\n" for i in range(5))
    written(tmp_path, "a/log.csv", "step,loss,elapsed,speed\n" + body)
    written(
        tmp_path,
        "b/log.jsonl",
        "".join(json.dumps({"step": i, "loss": 1.0, "eta": f"0:0{i}:00"}) + "\n" for i in range(5)),
    )
    told = [reason.partition(":")[0] for reason in opened(tmp_path).problems["reason"]]
    assert sorted(told) == ["elapsed was not read", "eta was not read", "speed was not read"]


def test_a_metrics_csv_with_times_keeps_them(tmp_path: Path) -> None:
    written(
        tmp_path, "a/metrics.csv", "step,timestamp,loss\n" + "".join(f"{i},{1.7e9 + 10 * i},{i}\n" for i in range(5))
    )
    points = opened(tmp_path).query_metrics("loss")
    first, last = points["wall_time"].cast(pl.Int64).sort().gather([0, -1])
    assert last - first == 40_000_000
    assert opened(tmp_path).series_df["metric"].to_list() == ["loss"]


def test_a_row_of_another_width_is_a_problem_with_its_line_and_other_rows_stay(tmp_path: Path) -> None:
    written(tmp_path, "a/log.csv", "epoch,train_loss,val_loss,val_acc\n1,3,4,0.5\n2,2,0.6\n3,1,2,0.7,9\n4,1,1,0.8\n")
    assert series(tmp_path)["a", "val_loss"] == (2, 4.0, 1.0)
    assert opened(tmp_path).problems["line"].to_list() == [3, 4]


def test_one_value_a_row_is_read_under_its_name(tmp_path: Path) -> None:
    written(
        tmp_path,
        "a/log.csv",
        "step,metric,value\n" + "".join(f"{i},{m},{i + k}\n" for i in range(3) for k, m in enumerate(("loss", "acc"))),
    )
    written(
        tmp_path, "long.csv", "run,tag,step,value\n" + "".join(f"{r},loss,{i},{i}\n" for r in "xy" for i in range(4))
    )
    assert series(tmp_path) == {
        ("a", "loss"): (3, 0.0, 2.0), ("a", "acc"): (3, 1.0, 3.0), ("x", "loss"): (4, 0.0, 3.0), ("y", "loss"): (4, 0.0, 3.0),
    }  # fmt: skip


def test_charts_that_were_exported_metric_by_metric_are_the_same_runs(tmp_path: Path) -> None:
    for name, metric in (("one", "loss"), ("two", "val/acc"), ("two again", "val/acc")):
        names = [f'"{run} - {metric}{bound}"' for run in ("a-1", "b - 2") for bound in ("", "__MIN", "__MAX")]
        rows = "".join(f"{10 * i}," + ",".join([str(i)] * 6) + "\n" for i in range(4))
        written(tmp_path, f"{name}.csv", f'"Step",{",".join(names)}\n{rows}')
    assert series(tmp_path) == {(r, m): (4, 0.0, 3.0) for r in ("a-1", "b - 2") for m in ("loss", "val/acc")}
    assert opened(tmp_path).series_df["last_step"].unique().to_list() == [30]


def test_tensorboards_download_as_json_is_read_as_its_csv_is(tmp_path: Path) -> None:
    written(tmp_path, "run-x-tag-loss.json", json.dumps([[1.7e9 + i, i, i / 2] for i in range(4)]))
    written(tmp_path, "run-x-tag-acc.csv", "Wall time,Step,Value\n1700000000.5,0,0.25\n")
    assert series(tmp_path) == {("x", "loss"): (4, 0.0, 1.5), ("x", "acc"): (1, 0.25, 0.25)}


@pytest.mark.parametrize("orient", ["records", "index", "columns", "split", "list"])
def test_a_table_that_pandas_wrote_as_json_is_a_history(tmp_path: Path, orient: str) -> None:
    rows = [{"epoch": i + 1, "loss": i / 2} for i in range(5)]
    columns = {k: {str(i): r[k] for i, r in enumerate(rows)} for k in rows[0]}
    value = {
        "records": rows,
        "index": {str(i): r for i, r in enumerate(rows)},
        "columns": columns,
        "split": {"columns": list(rows[0]), "index": list(range(5)), "data": [list(r.values()) for r in rows]},
        "list": {k: list(v.values()) for k, v in columns.items()},
    }[orient]
    written(tmp_path, "a/metrics.json", json.dumps(value))
    assert series(tmp_path) == {("a", "loss"): (5, 0.0, 2.0)}
    assert opened(tmp_path).series_df.select(pl.col("first_step", "last_step")).row(0) == (1, 5)


def test_a_header_that_is_longer_than_what_is_looked_at_first_is_read(tmp_path: Path) -> None:
    names = ",".join(f"layer{i}/grad_norm" for i in range(300))
    rows = "".join(f"{s}," + ",".join(str(s + i / 1000) for i in range(300)) + "\n" for s in range(5))
    (tmp_path / "grads.csv").write_text(f"step,{names}\n{rows}")
    found = read_folder(tmp_path)
    (run,) = found.runs
    assert found.series(run, "layer7/grad_norm") == ([0, 1, 2, 3, 4], [0.007, 1.007, 2.007, 3.007, 4.007])


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("whole", ["object", "list"])
def test_runs_in_one_json_value_are_read_whatever_the_size_of_their_configuration(
    tmp_path: Path, whole: str, indent: int | None
) -> None:
    config = {"id2label": {str(i): f"class {i}" for i in range(600)}, "lr": 0.1}
    run = {"run_id": "one", "hyperparameters": config, "metrics": {"loss": [1.0, 0.5]}}
    value = run if whole == "object" else [run, {**run, "run_id": "two"}]
    written(tmp_path, "runs.json", json.dumps(value, indent=indent))
    assert opened(tmp_path).runs_df["run_id"].to_list() == (["one"] if whole == "object" else ["one", "two"])


@pytest.mark.parametrize("classes", [100, 1000, 6000])
def test_a_log_whose_first_line_is_a_long_configuration_is_read(tmp_path: Path, classes: int) -> None:
    config = {"id2label": {str(i): f"class {i}" for i in range(classes)}, "lr": 0.1}
    rows = "".join(json.dumps({"step": i, "loss": i / 2}) + "\n" for i in range(10))
    written(tmp_path, "steps/train.log.jsonl", json.dumps({"config": config}) + "\n" + rows)
    run = {"run_id": "whole", "hyperparameters": config, "metrics": {"loss": [1.0, 0.5]}}
    written(tmp_path, "runs/runs.jsonl", json.dumps(run) + "\n" + json.dumps({**run, "run_id": "other"}) + "\n")
    found = opened(tmp_path)
    assert dict(found.runs_df.select("run_id", "lr").iter_rows()) == {
        "steps/train.log.jsonl": 0.1,
        "whole": 0.1,
        "other": 0.1,
    }
    assert sorted(found.series_df["n"].to_list()) == [2, 2, 10]
