"""What to run next: each kind of suggestion where it was planted, its detectable difference, and when nothing is worth it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import nct, t
from support.frames import points_of, runs_of, series_of
from support.planted import Row, database, run

from sweeplens.analyses.suggestions import detectable, suggest
from sweeplens.answers import Answer
from sweeplens.errors import InputError


def _ask(runs: Mapping[str, tuple[Mapping[str, object], float]], budget: int = 8) -> Answer:
    points = points_of({name: {"val/loss": [9.0, end]} for name, (_, end) in runs.items()})
    table = runs_of(points, {name: hparams for name, (hparams, _) in runs.items()})
    return suggest(table, series_of(points), points.lazy(), "val/loss", budget=budget, replicates=("seed",))


def _row(answer: Answer, reason: str) -> dict[str, object]:
    rows = [r for r in answer.table.to_dicts() if r["reason"] == reason]
    assert rows, (answer.table, answer.notes)
    return rows[0]


def _seeds(
    means: Mapping[tuple[tuple[str, object], ...], float], spread: float = 0.01, n: int = 3
) -> dict[str, tuple[dict[str, object], float]]:
    rng = np.random.default_rng(0)
    return {
        f"{i}-{s}": ({**dict(cell), "seed": s}, mean + spread * float(rng.normal()))
        for i, (cell, mean) in enumerate(means.items()) for s in range(n)
    }  # fmt: skip


@pytest.mark.parametrize(("n_a", "n_b", "degrees"), [(3, 3, 4), (5, 5, 8), (10, 4, 30), (2, 2, 2), (50, 50, 98)])
def test_the_detectable_difference_has_a_power_of_80_percent_by_noncentral_t(n_a: int, n_b: int, degrees: int) -> None:
    found = detectable(0.5, n_a, n_b, degrees)
    assert found is not None
    shift, limit = found / (0.5 * (1 / n_a + 1 / n_b) ** 0.5), t.ppf(0.975, degrees)
    assert nct.sf(limit, degrees, shift) == pytest.approx(0.8, abs=0.002)


def test_the_range_is_extended_if_the_best_is_at_its_end() -> None:
    answer = _ask(_seeds({(("optim.lr", lr),): 1 - 0.1 * i for i, lr in enumerate((0.001, 0.003, 0.01))}))
    row = _row(answer, "edge")
    words = [shlex.split(line) for line in row["settings"]]  # pyright: ignore[reportGeneralTypeIssues]
    assert [w[0] for w in words] == ["optim.lr=0.0333"] * 3
    assert [w[1] for w in words] == ["seed=3", "seed=4", "seed=5"]


def test_two_values_are_a_range_too_if_the_better_is_clearly_better() -> None:
    clear = _row(_ask(_seeds({(("lr", 0.001),): 1.0, (("lr", 0.01),): 0.8})), "edge")
    assert str(clear["settings"][0]).startswith("lr=0.1")  # pyright: ignore[reportIndexIssue]
    level = _ask(_seeds({(("lr", 0.001),): 1.0, (("lr", 0.01),): 1.001}, spread=0.1))
    switch = _ask(_seeds({(("use_ema", 0),): 1.0, (("use_ema", 1),): 0.8}))
    assert not {"edge"} & {*level.table["reason"], *switch.table["reason"]}


@pytest.mark.parametrize("dropout", [(0.3, 0.6, 0.9), (0.5, 0.75, 1.0)])
def test_a_share_is_not_extended_beyond_one(dropout: tuple[float, ...]) -> None:
    answer = _ask(_seeds({(("dropout", d),): 1 - 0.1 * i for i, d in enumerate(dropout)}))
    assert "edge" not in answer.table["reason"].to_list()


def test_perfectly_confounded_hyperparameters_get_a_cell_that_separates_them() -> None:
    answer = _ask(_seeds({(("lr", 0.1), ("wd", 0.0)): 0.5, (("lr", 0.2), ("wd", 0.1)): 0.9}))
    row = _row(answer, "confounded")
    assert str(row["settings"][0]).startswith("lr=0.1 wd=0.1 seed=3")  # pyright: ignore[reportIndexIssue]


def test_ties_get_seeds_on_both_sides_with_the_difference_that_they_could_detect() -> None:
    answer = _ask(_seeds({(("opt", "adam"),): 0.50, (("opt", "sgd"),): 0.505, (("opt", "lion"),): 0.9}, spread=0.005))
    row = _row(answer, "tie")
    assert row["n_runs"] == 8
    assert {line.split()[0] for line in row["settings"]} == {"opt=adam", "opt=sgd"}  # pyright: ignore[reportGeneralTypeIssues, reportAttributeAccessIssue]
    assert 0 < float(str(row["detectable"])) < 0.05


def test_without_repetitions_suggestions_repeat_the_best_settings() -> None:
    answer = _ask({f"r{i}": ({"opt": name}, 0.5 + 0.1 * i) for i, name in enumerate(("adam", "sgd", "lion"))})
    row = _row(answer, "repeat")
    assert row["settings"] == ["opt=adam (2 runs)"]
    assert row["detectable"] is None


def test_an_empty_cell_that_main_effects_praise_is_suggested() -> None:
    grid = {
        (("a", a), ("b", b)): 0.1 * ("xy".index(a) + "uv".index(b)) for a in "xy" for b in "uv" if (a, b) != ("x", "u")
    }
    row = _row(_ask(_seeds(grid, spread=0.001)), "empty_cell")
    assert str(row["settings"][0]).startswith("a=x b=u")  # pyright: ignore[reportIndexIssue]


def test_a_decided_sweep_needs_no_more_runs() -> None:
    answer = _ask(_seeds({(("opt", "adam"),): 0.5, (("opt", "sgd"),): 0.9}))
    assert answer.table.height == 0
    assert "Nothing is worth running with 8 more runs." in answer.notes


def test_settings_that_are_level_are_not_given_seeds_that_could_not_decide() -> None:
    runs = {
        f"{o}{s}": ({"opt": o, "seed": s}, 0.5 + 0.01 * (s - 2) + (1e-6 if o == "sgd" else 0))
        for o in ("adam", "sgd")
        for s in range(5)
    }
    answer = _ask(runs)
    assert "tie" not in answer.table["reason"].to_list()
    assert any("seeds would not decide it" in note for note in answer.notes)


@pytest.mark.parametrize("budget", [0, -3, 100_000])
def test_a_budget_that_is_none_is_refused(budget: int) -> None:
    with pytest.raises(InputError, match="1 to 200"):
        _ask(_seeds({(("opt", "adam"),): 0.5}), budget)


@pytest.mark.parametrize("budget", [1, 2, 5, 8, 30])
def test_no_more_runs_are_suggested_than_the_budget_pays_for(budget: int) -> None:
    answer = _ask(_seeds({(("lr", lr), ("opt", o)): 1 - lr for lr in (0.1, 0.2, 0.3) for o in ("a", "b")}), budget)
    assert answer.table["n_runs"].sum() <= budget


def test_a_note_says_that_no_run_has_the_metric() -> None:
    answer = _ask({"a": ({"lr": 1}, float("nan"))})
    assert answer.table.height == 0
    assert "nothing can be suggested" in answer.notes[0]


def test_runs_that_were_cut_off_or_copied_are_made_once_more_first_and_do_not_count_as_results(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    rows: list[Row] = []
    for wd in (0.0, 0.1, 0.3):
        for seed in (1, 2, 3):
            cut = wd == 0.3 and seed < 3
            curve = 3.3 - 0.1 * wd + 0.5 * np.exp(-np.arange(50) / 10) + rng.normal(0, 0.003, 50)
            values = list(curve[:35]) if cut else list(curve)
            rows.append(
                run(
                    f"{wd}-{seed}",
                    {"wd": wd, "seed": seed},
                    {"status": "killed" if cut else "finished"},
                    val_loss=values,
                )
            )
    rows.append(run("bad", {"wd": 0.0, "seed": 4}, {"status": "failed"}, val_loss=[3.5, 3.4, 3.4, math.nan]))
    copied = {**rows[1], "run_id": "0.1-2"}
    copied["hyperparameters"] = {"wd": 0.1, "seed": 2}
    copied["metrics"] = rows[3]["metrics"]  # that of wd 0.1, seed 1
    rows[4] = copied
    answer = database(tmp_path, rows).suggest("val/loss", 6)
    redo = answer.table.filter(reason="redo")
    settings = [s for cells in redo["settings"].to_list() for s in cells]
    assert sorted(settings) == ["wd=0.1 seed=2", "wd=0.3 seed=1", "wd=0.3 seed=2"]
    assert "killed at step 34 of 49" in redo["why"][0]
    assert "a copy of 0.1-1" in redo["why"].str.join("; ").item()
    assert answer.notes[0].startswith("Best so far: wd=0.3")  # by the run that ended, not by those that were cut off


def test_a_run_without_a_config_is_no_setting_and_one_that_broke_off_is_made_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    runs = [
        run(f"{lr}-{s}", {"lr": lr, "wd": 1e-3 * lr, "seed": s}, val_acc=[0.5, level + 0.01 * float(rng.normal())] * 10)
        for lr, level in ((0.1, 0.8), (0.2, 0.9), (0.3, 0.7))
        for s in range(4)
    ]
    short = run("short", {"lr": 0.2, "wd": 2e-4, "seed": 9}, {"note": "cut"}, val_acc=[0.5, 0.6])
    bare = run("bare", {}, val_acc=[0.5, 0.89] * 10)
    answer = database(tmp_path, [*runs, short, bare]).suggest("val/acc", budget=20)
    assert [r for entry in answer.basis.left_out for r in entry.runs] == ["bare", "short"]
    assert answer.table["reason"].to_list()[:2] == ["redo", "confounded"]
    assert not [why for why in answer.table["why"] if "null" in why]
