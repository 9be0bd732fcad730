"""The library's nouns and verbs as scripts and notebooks use them: hyperparameters, runs, files to frames, groups, names."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sweeplens import AnalysisConfig, ExperimentDB, Hyperparameters, Run
from sweeplens.dataframes import (
    apply_display_names,
    find_varying_hparams,
    from_display_names,
    group_by_hparams,
    query_metrics,
    runs_to_dataframe,
    runs_to_metrics_df,
    summarize_by_hparams,
)
from sweeplens.errors import AmbiguousGoalError, InputError, RootError, UnknownNameError
from sweeplens.models import flatten, unflatten
from sweeplens.parsers import convert_legacy_format, load_runs_from_dir, parse_jsonl_file

KEYS = st.text(st.sampled_from("abé."), min_size=1, max_size=4)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.just([1, None])
)
CONFIGS = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda below: st.dictionaries(KEYS, below, max_size=3), max_leaves=8)
)


def leaves(nested: dict[str, Any]) -> int:
    """Values that are no mappings, or empty ones."""
    return sum(leaves(v) if isinstance(v, dict) and v else 1 for v in nested.values())  # pyright: ignore[reportUnknownArgumentType]


def runs() -> list[Run]:
    """Four runs: two learning rates, two seeds, a curve that falls further with the larger rate."""
    return [
        Run.model_validate(
            {
                "run_id": f"lr{lr}-s{seed}",
                "hyperparameters": {"optim": {"lr": lr, "name": "sgd"}, "seed": seed, "note": None},
                "metrics": {
                    "train/loss": [1.0, 1 - lr, 1 - 2 * lr],
                    "val/acc": [None, 0.5 + lr, 0.4 + lr + seed / 100],
                },
            }
        )
        for lr in (0.1, 0.2)
        for seed in (0, 1)
    ]


# ------------------------------------------------------------------ hyperparameters


@given(CONFIGS)
def test_flattening_keeps_every_value_whatever_the_keys(config: dict[str, object]) -> None:
    assert len(flatten(config)) == leaves(config)


@given(CONFIGS)
def test_flat_frames_survive_a_round_trip(config: dict[str, object]) -> None:
    flat = flatten(config)
    assert flatten(unflatten(flat)) == flat


def test_hyperparameters_are_reached_by_dotted_names_and_unknown_ones_come_with_the_nearest() -> None:
    known = Hyperparameters.model_validate({"optim": {"lr": 0.1, "betas": [0.9, 0.99]}, "größe": None})
    assert (known["optim.lr"], known["optim.betas"], known.get("größe", 1), known.get("x", 1)) == (
        0.1,
        [0.9, 0.99],
        None,
        1,
    )
    assert "größe" in known
    assert Hyperparameters.from_flat(known.flatten()) == known
    with pytest.raises(KeyError, match=r"Nearest: 'optim.lr'"):
        known["optim.lrr"]


def test_runs_and_hyperparameters_cannot_be_changed() -> None:
    run = runs()[0]
    with pytest.raises(ValidationError):
        run.run_id = "other"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError):
        run.hyperparameters.optim = 1  # pyright: ignore[reportAttributeAccessIssue]


# -------------------------------------------------------------------------------- runs


def test_a_run_knows_best_and_last_of_any_metric() -> None:
    run = Run(run_id="r", metrics={"train/loss": [2.0, 0.5, math.nan], "val/acc": [0.1, 0.9, 0.8], "x": [1.0]})
    assert (run.best_train_loss, run.best_val_acc, run.final_epoch) == (0.5, 0.9, 2)
    assert math.isnan(run.last("train/loss") or 0.0)
    assert run.best("x", goal="lower") == 1.0
    with pytest.raises(AmbiguousGoalError):
        run.best("x")
    with pytest.raises(UnknownNameError, match="Nearest: 'val/acc'"):
        run.last("val_acc")


def test_steps_that_do_not_fit_the_values_are_refused_with_both_counts() -> None:
    with pytest.raises(ValidationError, match="2 entries for 3 values"):
        Run(run_id="r", metrics={"loss": [1.0, 2.0, 3.0]}, steps={"loss": [0, 5]})


def test_a_legacy_run_keeps_its_steps_and_everything_that_has_no_field_of_its_own() -> None:
    old = {
        "name": "old",
        "config": {"lr": 0.1},
        "history": [{"step": 5, "loss": 2.0}, {"step": 10, "loss": 1.0}],
        "host": "a",
    }
    run = Run(**convert_legacy_format(old))
    assert (run.run_id, run.metrics, run.steps) == ("old", {"loss": [2.0, 1.0]}, {"loss": [5, 10]})
    assert run.metadata == {"name": "old", "host": "a"}
    with pytest.raises(InputError, match="needs 'run_id' or 'name'"):
        convert_legacy_format({"config": {}})


# ------------------------------------------------------------------------------- files


def test_a_file_of_lines_gives_its_objects_and_each_bad_line_with_place_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text('{"step": 0, "loss": NaN}\nnot json\n{"step": 1, "loss": 0.5}\n', encoding="utf-8")
    objects, problems = parse_jsonl_file(file)
    assert math.isnan(objects[0]["loss"])
    assert objects[1] == {"step": 1, "loss": 0.5}
    assert [(p.file, p.line, p.kind) for p in problems] == [(str(file), 2, "malformed")]
    with pytest.raises(RootError, match="No file"):
        parse_jsonl_file(tmp_path / "other.jsonl")


def test_runs_from_a_folder_say_what_the_database_says(sweep: Path) -> None:
    loaded = load_runs_from_dir(sweep)
    db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=sweep)
    assert [r.run_id for r in loaded] == db.runs_df["run_id"].to_list()
    points = runs_to_metrics_df(loaded).select("run_id", "metric", "step", "value").sort("run_id", "metric", "step")
    stored = (
        db.lazy_query(raw=True).select("run_id", "metric", "step", "value").sort("run_id", "metric", "step").collect()
    )
    assert points.equals(stored)


def test_lazy_and_eager_databases_give_equal_answers(sweep: Path) -> None:
    config = AnalysisConfig(cache="memory")
    lazy, eager = (ExperimentDB(config, base_path=sweep, lazy=kind) for kind in (True, False))
    assert lazy.lazy_query().collect().equals(eager.lazy_query().collect())
    assert lazy.runs_df.equals(eager.runs_df)
    assert lazy.summarize_metrics().equals(eager.summarize_metrics())
    streamed = pl.concat(lazy.stream_metrics())
    assert streamed.sort(streamed.columns).equals(eager.query_metrics().sort(streamed.columns))


# ------------------------------------------------------------------------------ frames


def test_text_hyperparameters_are_categoricals_and_none_differs_from_missing() -> None:
    table = runs_to_dataframe([*runs(), Run(run_id="bare")])
    assert table["optim.name"].dtype == pl.Categorical
    assert table["optim.lr"].dtype == pl.Float64
    assert table["null_hparams"].to_list() == [["note"]] * 4 + [[]]


def test_a_hyperparameter_named_like_a_column_of_ours_keeps_its_values() -> None:
    table = runs_to_dataframe([Run.model_validate({"run_id": "a", "hyperparameters": {"run_id": 7, "lr": 1}})])
    assert table["run_id"].to_list() == ["a"]
    assert table["hparam.run_id"].to_list() == [7]


def test_points_are_found_by_name_by_expression_and_by_step() -> None:
    points = runs_to_metrics_df(runs())
    assert query_metrics(points, "val/acc").height == 8
    assert query_metrics(points, "^train", ["lr0.1-s0"], (1, None))["value"].to_list() == pytest.approx([0.9, 0.8])
    assert query_metrics(points, ["loss$", "acc$"], step_range=(None, 0)).height == 4


def test_groups_hold_their_runs_and_seeds_are_no_groups() -> None:
    table = runs_to_dataframe(runs())
    assert find_varying_hparams(table) == ["optim.lr", "seed"]
    groups = group_by_hparams(table, ["optim.lr"])
    assert groups["n_runs"].to_list() == [2, 2]
    assert groups["run_ids"].to_list() == [["lr0.1-s0", "lr0.1-s1"], ["lr0.2-s0", "lr0.2-s1"]]
    with pytest.raises(InputError, match="find_varying_hparams"):
        group_by_hparams(table, [])


def test_each_run_counts_once_in_a_summary() -> None:
    table, points = runs_to_dataframe(runs()), runs_to_metrics_df(runs())
    summary = summarize_by_hparams(table, points, ["optim.lr"]).filter(pl.col("metric") == "val/acc")
    assert summary["n"].to_list() == [2, 2]
    assert summary["mean"].to_list() == pytest.approx([0.505, 0.605])
    best = summarize_by_hparams(table, points, ["optim.lr"], reduce="best").filter(pl.col("metric") == "train/loss")
    assert best["mean"].to_list() == pytest.approx([0.8, 0.6])


def test_names_for_people_and_the_way_back() -> None:
    table = pl.DataFrame({"optim.lr": [0.1], "metric": ["val/acc"]})
    shown = apply_display_names(table, {"val/acc": "Accuracy"}, {"optim.lr": "Learning rate"})
    assert shown.to_dicts() == [{"Learning rate": 0.1, "metric": "Accuracy"}]
    assert from_display_names(["Accuracy", "loss"], {"val/acc": "Accuracy"}) == ["val/acc", "loss"]


# ---------------------------------------------------------------------------- settings


def test_the_first_place_that_names_a_setting_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.sweeplens]\nlive_seconds = 1\nrefresh_seconds = 1\ncache = "memory"\n'
    )
    (tmp_path / "sweeplens.toml").write_text('live_seconds = 2\nrefresh_seconds = 2\n[metric_goals]\nx = "lower"\n')
    (tmp_path / ".env").write_text("ANALYSIS_LIVE_SECONDS=3\nOTHER=1\n")
    config = AnalysisConfig()
    assert (config.live_seconds, config.refresh_seconds, config.cache) == (3, 2, "memory")
    assert config.metric_goals == {"x": "lower"}
    monkeypatch.setenv("ANALYSIS_LIVE_SECONDS", "4")
    monkeypatch.setenv("ANALYSIS_METRIC_GOALS", json.dumps({"x": "higher"}))
    assert (AnalysisConfig().live_seconds, AnalysisConfig(live_seconds=5).live_seconds) == (4, 5)
    assert AnalysisConfig().metric_goals == {"x": "higher"}


@pytest.mark.parametrize(
    ("typed", "meant"), [("runs", "list_runs"), ("show", "get_run"), ("rankk", "rank"), ("sql", "query_sql")]
)
def test_an_attribute_that_does_not_exist_names_the_nearest_method(tmp_path: Path, typed: str, meant: str) -> None:
    db = ExperimentDB(base_path=tmp_path)
    with pytest.raises(AttributeError, match=f"no attribute {typed!r}. Nearest: {meant}") as error:
        getattr(db, typed)
    assert error.value.name == typed


def test_the_error_of_a_property_and_of_a_private_name_stays(tmp_path: Path) -> None:
    class Own(ExperimentDB):
        @property
        def broken(self) -> str:
            raise AttributeError("the cause")

    db = Own(base_path=tmp_path)
    with pytest.raises(AttributeError, match="the cause"):
        _ = db.broken
    assert not hasattr(db, "_ipython_display_")
