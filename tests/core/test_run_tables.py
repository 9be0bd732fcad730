"""Tables with one row a run: settings are hyperparameters, results are values; other tables are not taken for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.reading import Found, read_folder


def read(root: Path, name: str, text: str) -> Found:
    (root / name).write_text(text)
    return read_folder(root)


def test_a_table_of_results_by_hand_is_a_run_a_row_with_a_warning_that_names_the_columns(tmp_path: Path) -> None:
    rows = "".join(f"{lr},32,{s},{0.9 - lr},{lr}\n" for lr in (0.1, 0.01) for s in (0, 1))
    found = read(tmp_path, "results.csv", "lr,batch_size,seed,test_acc,test_loss\n" + rows)
    assert [*found.runs] == [f"results.csv/{i}" for i in range(4)]
    assert found.runs["results.csv/2"].hyperparameters == {"lr": 0.01, "batch_size": 32, "seed": 0}
    assert found.series("results.csv/3", "test_acc") == ([0], [0.89])
    (said,) = found.problems
    assert said.kind == "warning"
    assert "settings are lr, batch_size, seed, and results test_acc, test_loss" in said.reason


def test_the_run_table_of_wandb_has_names_states_and_steps(tmp_path: Path) -> None:
    text = (
        '"Name","State","User","Created","Runtime","Sweep","lr","seed","_step","val_acc"\n'
        '"a","finished","u","2024-01-01T10:00:00.000Z","100","","0.1","0","100","0.9"\n'
        '"b","crashed","u","2024-01-01T10:00:00.000Z","100","","0.01","1","50","0.8"\n'
    )
    found = read(tmp_path, "wandb_export_2024.csv", text)
    first, second = found.runs.values()
    assert [(r.name, r.status, r.hyperparameters) for r in (first, second)] == [
        ("a", "finished", {"lr": 0.1, "seed": 0}), ("b", "crashed", {"lr": 0.01, "seed": 1}),
    ]  # fmt: skip
    assert found.series(second.id, "val_acc") == ([50], [0.8])


def test_trials_of_optuna_in_a_data_frame_keep_their_states(tmp_path: Path) -> None:
    text = (
        ",number,value,datetime_start,duration,params_lr,params_opt,state\n"
        "0,0,0.5,2024-01-01,1,0.1,adam,COMPLETE\n1,1,,2024-01-01,1,0.01,sgd,PRUNED\n"
    )
    found = read(tmp_path, "trials.csv", text)
    assert [(r.status, r.hyperparameters) for r in found.runs.values()] == [
        ("finished", {"lr": 0.1, "opt": "adam"}), ("pruned", {"lr": 0.01, "opt": "sgd"}),
    ]  # fmt: skip
    assert found.series("trials.csv/0", "value") == ([0], [0.5])


def test_results_of_a_grid_search_of_scikit_learn(tmp_path: Path) -> None:
    text = (
        "mean_fit_time,param_C,param_kernel,params,split0_test_score,mean_test_score,rank_test_score\n"
        "0.1,1,rbf,\"{'C': 1, 'kernel': 'rbf'}\",0.9,0.91,1\n0.1,10,rbf,\"{'C': 10, 'kernel': 'rbf'}\",0.8,0.81,2\n"
    )
    found = read(tmp_path, "cv_results.csv", text)
    assert found.runs["cv_results.csv/1"].hyperparameters == {"C": 10, "kernel": "rbf"}
    assert found.series("cv_results.csv/0", "mean_test_score") == ([0], [0.91])


@pytest.mark.parametrize(
    "text",
    [
        "sepal_length,sepal_width,species\n5.1,3.5,setosa\n4.9,3.0,setosa\n",
        "epoch,lr,train_loss\n0,0.1,1\n1,0.1,0.5\n",
        "lr,test_acc\n0.1,0.5\n0.1,0.6\n0.1,0.7\n",
        "model,price,year\nA,100,2001\nB,200,2002\n",
    ],
)
def test_data_sets_logs_and_tables_with_equal_settings_are_no_tables_of_runs(text: str, tmp_path: Path) -> None:
    assert "run_table" not in {s.reader for s in read(tmp_path, "table.csv", text).sources}


def test_a_row_of_another_width_is_named_and_the_others_stay(tmp_path: Path) -> None:
    found = read(tmp_path, "results.csv", "lr,seed,test_acc\n0.1,0,0.5\n0.1,1\n0.01,0,0.7\n")
    assert [found.series(r, "test_acc")[1] for r in found.runs] == [[0.5], [0.7]]
    assert [p.line for p in found.problems if p.kind == "malformed"] == [3]


def test_a_table_of_metrics_by_run_has_its_runs_in_columns(tmp_path: Path) -> None:
    text = "Metric;small;large\nlr;0,1;0,01\nmodel;vit-s;vit-l\naccuracy;81,5%;\nval loss;0,52;0,41\n"
    found = read(tmp_path, "comparison.csv", text)
    assert {r.name: r.hyperparameters for r in found.runs.values()} == {
        "small": {"lr": 0.1, "model": "vit-s"}, "large": {"lr": 0.01, "model": "vit-l"},
    }  # fmt: skip
    assert found.series("comparison.csv/small", "accuracy") == ([0], [81.5])
    assert found.series("comparison.csv/large", "val loss") == ([0], [0.41])
    assert found.metrics("comparison.csv/large") == {"val loss"}


def test_columns_named_after_splits_are_one_run(tmp_path: Path) -> None:
    found = read(tmp_path, "final.csv", ",train,val,test\naccuracy,0.99,0.9,0.88\nloss,0.01,0.3,0.35\n")
    assert [*found.runs] == ["final.csv"]
    assert found.series("final.csv", "val/loss") == ([0], [0.3])


@pytest.mark.parametrize(
    "text",
    [
        "metric,mean,std\naccuracy,0.9,0.1\nloss,0.2,0.1\n",
        "metric,fold1,fold2\naccuracy,0.9,0.1\nloss,0.2,0.1\n",
        ",precision,recall,f1-score,support\naccuracy,0.9,0.1,0.3,100\nmacro avg,0.2,0.1,0.1,100\n",
        "metric,a,b\naccuracy,0.9,good\nloss,0.2,0.1\n",
        "name,age,height\nann,30,1.7\nbob,40,1.8\n",
    ],
)
def test_other_tables_with_names_in_front_are_not_runs_by_column(text: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(text)
    (tmp_path / "train.log").write_text("".join(f"epoch {e} loss 0.{e}\n" for e in range(5)))
    assert "metric_rows" not in {s.reader for s in read_folder(tmp_path).sources}


def test_lists_of_numbers_named_after_measures_are_the_series_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train_losses.json").write_text("[0.9, 0.8, NaN, 0.6]")
    (tmp_path / "run" / "val_acc.json").write_text("[\n  1,\n  2,\n  null,\n  4\n]\n")
    (tmp_path / "run" / "step_times.json").write_text("[0.1, 0.1, 0.1]")
    (tmp_path / "run" / "config.json").write_text('{"lr": 0.1}')
    found = read_folder(tmp_path / "run")
    (run,) = found.runs.values()
    assert run.hyperparameters == {"lr": 0.1}
    assert found.series(run.id, "val_acc") == ([0, 1, 3], [1, 2, 4])
    assert found.series(run.id, "train_losses")[0] == [0, 1, 2, 3]
    assert found.metrics(run.id) == {"train_losses", "val_acc"}
