"""Runs whose settings are not known are no repetitions of each other; names tell settings where nothing else does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.frames.path_settings import settings_in_name, with_path_settings
from sweeplens.frames.schemas import RUN_COLUMNS


def sweep(root: Path, names: Iterable[str], settings: dict[str, Any] | None = None) -> Path:
    """A log for each name, with its own level of accuracy."""
    for place, name in enumerate(names):
        folder = root / name
        folder.mkdir(parents=True)
        rows = ({"step": i, "val/acc": 0.5 + 0.02 * place + 0.001 * (i % 3)} for i in range(12))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if settings is not None:
            (folder / "config.json").write_text(json.dumps(settings))
    return root


def opened(root: Path, **settings: Any) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", **settings), base_path=root)


def spoken(answer: Any) -> str:
    return " ".join((*answer.notes, *answer.basis.warnings))


UNKNOWN = ("baseline", "bigger", "no-dropout", "warmup")


def test_nothing_is_pooled_or_tied_where_no_setting_is_known(tmp_path: Path) -> None:
    db = opened(sweep(tmp_path, UNKNOWN))
    ranked = db.rank("val/acc")
    assert ranked.table["run_id"].to_list() == ["warmup", "no-dropout", "bigger", "baseline"]
    assert ranked.table["n"].to_list() == [1] * 4
    assert ranked.table["tied"].to_list() == [None] * 4
    assert "settings of these 4 runs are unknown" in spoken(ranked)


def test_summaries_show_each_run_by_itself_where_no_setting_is_known(tmp_path: Path) -> None:
    answer = opened(sweep(tmp_path, UNKNOWN)).summarize(metrics=["val/acc"])
    assert answer.table["n"].to_list() == [1] * 4
    assert "are unknown" in spoken(answer)


def test_a_comparison_takes_no_seed_noise_from_runs_whose_settings_are_unknown(tmp_path: Path) -> None:
    verdict = opened(sweep(tmp_path, UNKNOWN)).compare("baseline", "bigger").table["verdict"][0]
    assert "seed noise is unknown" in verdict


def test_the_overview_says_which_runs_have_unknown_settings(tmp_path: Path) -> None:
    text = " ".join(map(str, opened(sweep(tmp_path, UNKNOWN)).overview().table.rows()))
    assert "no hyperparameters" in text
    assert "the only group" not in text


def test_a_few_runs_without_settings_stay_out_of_the_group_of_the_others(tmp_path: Path) -> None:
    sweep(tmp_path, ["a", "b", "c"], {"lr": 0.1})
    sweep(tmp_path, ["lost", "gone"])
    ranked = opened(tmp_path).rank("val/acc")
    assert ranked.table["n"].to_list() == [3]
    assert {r for entry in ranked.basis.left_out for r in entry.runs} == {"lost", "gone"}


def test_runs_with_unknown_settings_have_no_outliers(tmp_path: Path) -> None:
    sweep(tmp_path, ["a", "b"], {"lr": 0.1})
    sweep(tmp_path, [f"other{c}" for c in "abcdefgh"])
    found = opened(tmp_path).diagnose()
    assert "outlier" not in found.table["finding"].to_list()


def test_learning_rates_and_seeds_in_names_make_groups_with_a_note(tmp_path: Path) -> None:
    names = [f"lr{lr}_seed{s}" for lr in (0.1, 0.01, 0.001) for s in range(3)]
    db = opened(sweep(tmp_path, names))
    ranked = db.rank("val/acc")
    assert ranked.table.select("path.lr", "n").rows() == [(0.001, 3), (0.01, 3), (0.1, 3)]
    assert "read from the names of runs" in spoken(ranked)
    off = opened(tmp_path, names_as_settings=False)
    assert not [c for c in off.runs_df.columns if c.startswith("path.")]
    assert "are unknown" in spoken(off.rank("val/acc"))


NAMES: dict[str, dict[str, object]] = {
    "lr0.1_bs32_seed1": {"lr": "0.1", "bs": "32", "seed": "1", "name": ""},
    "lr=0.1,wd=0.01": {"lr": "0.1", "wd": "0.01", "name": ""},
    "weight_decay=0.1_batch_size=32": {"weight_decay": "0.1", "batch_size": "32", "name": ""},
    "weight_decay_0.01_seed_3": {"weight_decay": "0.01", "seed": "3", "name": ""},
    "lr-1e-3-bs-64": {"lr": "1e-3", "bs": "64", "name": ""},
    "adam/lr1e-3/seed_0.csv": {"lr": "1e-3", "seed": "0", "name": "adam"},
    "ppo/HopperEnv-v0_1": {"algo": "ppo", "env": "HopperEnv-v0", "run": "1", "name": ""},
    "CartPole-v1__dqn__2__1763632801": {"env": "CartPole-v1", "algo": "dqn", "seed": "2", "name": ""},
    "resnet50_lr0p1": {"resnet": "50", "lr": "0p1", "name": ""},
    "large_s3_2024-05-01_10-00-00": {"seed": "3", "name": "large"},
    "run3": {"name": ""},
    "version_7": {"name": ""},
    "alpha0.5-beta.9": {"alpha": "0.5", "beta": ".9", "name": ""},
}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_name_says(name: str) -> None:
    assert settings_in_name(name) == NAMES[name]


def test_words_that_differ_keep_runs_apart_though_their_seeds_are_the_same(tmp_path: Path) -> None:
    names = [f"{word}_seed{s}" for word in ("baseline", "big") for s in range(3)]
    ranked = opened(sweep(tmp_path, names)).rank("val/acc")
    assert dict(ranked.table.select("path.name", "n").rows()) == {"baseline": 3, "big": 3}


def test_counters_and_times_in_names_are_no_settings(tmp_path: Path) -> None:
    for name in ("exp", "run_", "version_"):
        sweep(tmp_path / name, [f"{name}{i}" for i in range(3)])
    sweep(tmp_path / "t", ["2024-05-01_10-00-00", "2024-05-02_10-00-00", "20240503-1"])
    assert not [c for c in opened(tmp_path).runs_df.columns if c.startswith("path.")]


def test_names_say_nothing_where_configurations_tell_runs_apart(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        sweep(tmp_path, [f"wd{lr}"], {"lr": lr})
    assert not [c for c in opened(tmp_path).runs_df.columns if c.startswith("path.")]


def test_the_seed_in_a_name_is_known_where_the_configurations_are_the_same(tmp_path: Path) -> None:
    sweep(tmp_path, ["a_seed1", "a_seed2"], {"lr": 0.1})
    runs = opened(tmp_path).runs_df
    assert runs.select("lr", "path.seed").rows() == [(0.1, 1), (0.1, 2)]


def test_a_run_that_appears_makes_names_regular(tmp_path: Path) -> None:
    root = tmp_path / "root"
    db = opened(sweep(root, ["lr0.1"]), refresh_seconds=0)
    assert "path.lr" not in db.runs_df.columns
    sweep(root, ["lr0.2"])
    assert db.runs_df["path.lr"].to_list() == [0.1, 0.2]
    assert db.query_sql('SELECT "path.lr" AS lr FROM runs ORDER BY lr').table["lr"].to_list() == [0.1, 0.2]


def frame(names: list[str]) -> pl.DataFrame:
    empty = {k: pl.Series(k, [None] * len(names), dtype=v) for k, v in RUN_COLUMNS.items()}
    lists = {"null_hparams": pl.Series([[] for _ in names], dtype=pl.List(pl.String))}
    return pl.DataFrame({**empty, "run_id": names, **lists})


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=12, unique=True))
def test_any_names_leave_the_runs_as_they_were(names: list[str]) -> None:
    runs = frame(names)
    after = with_path_settings(runs)
    assert after["run_id"].to_list() == names
    assert after.select(runs.columns).equals(runs)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.01, 1e-3, 5.0]), st.integers(0, 5)), min_size=4, max_size=20, unique=True
    )
)
def test_regular_names_are_read_back(pairs: list[tuple[float, int]]) -> None:
    after = with_path_settings(frame([f"lr{lr}_seed{seed}" for lr, seed in pairs]))
    for column, values in (("path.lr", [lr for lr, _ in pairs]), ("path.seed", [s for _, s in pairs])):
        if len(set(values)) > 1:
            assert after[column].to_list() == values


def test_the_work_grows_with_the_number_of_runs() -> None:
    def seconds(n: int) -> float:
        runs = frame([f"sweep/lr{i % 7}e-3_wd{i}_seed{i % 5}" for i in range(n)])
        began = time.perf_counter()
        with_path_settings(runs)
        return time.perf_counter() - began

    seconds(100)
    assert seconds(8000) < 25 * max(seconds(1000), 0.005)


def test_files_that_look_like_logs_and_are_not_read_are_named_in_every_answer(tmp_path: Path) -> None:
    sweep(tmp_path, ["a"], {"lr": 0.1})
    (tmp_path / "a" / "console.out").write_bytes(b"\0\1\2 no text at all")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "history.pkl").write_bytes(b"\x80\x04.")
    (tmp_path / "README.md").write_text("about")
    db = opened(tmp_path)
    for answer in (db.overview(), db.list_runs(), db.rank("val/acc"), db.get_run("a")):
        said = [w for w in answer.basis.warnings if "sweeplens doctor --files" in w]
        assert len(said) == 1
        assert "2 files look like logs and were not read (a/console.out, b/history.pkl)" in said[0]
