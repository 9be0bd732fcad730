"""A name that needs double quotes and has none: it is understood where nothing else can be meant, else answered with the quotes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sweeplens import ExperimentDB
from sweeplens.errors import InputError, UnknownNameError

METRICS = ("val_acc", "val/acc", "loss", "lr-Adam", "lr/group_0")
NAMES = [
    *(f"{metric}.{statistic}" for metric in METRICS for statistic in ("last", "n_nan", "min_step", "last_tenth")),
    *("optim.lr", "optim.lr_max", "data/name", "metadata.host", "path.stage"),
]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    """Two runs with names of all kinds, in folders that say a setting, with metadata."""
    root = tmp_path_factory.mktemp("names")
    for seed in range(2):
        folder = root / f"stage={seed}" / f"run{seed}"
        folder.mkdir(parents=True)
        config = {"lr": 0.1, "optim": {"lr": 0.1, "lr_max": 1.0}, "data/name": "c10", "seed": seed}
        (folder / "config.json").write_text(json.dumps(config))
        lines = [json.dumps({"step": s, **dict.fromkeys(METRICS, s / 9)}) for s in range(9)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "metadata.json").write_text(json.dumps({"host": "node7"}))
    return ExperimentDB(base_path=root)


@pytest.fixture(scope="module")
def names(db: ExperimentDB) -> list[str]:
    """Those of the names that are columns here; nearly all."""
    columns = set(db.query_sql("SELECT * FROM runs LIMIT 1").table.columns)
    return [name for name in NAMES if name in columns or name.rpartition(".")[0] in METRICS]


def test_every_name_without_its_quotes_means_the_same_as_with_them_in_a_condition(
    db: ExperimentDB, names: list[str]
) -> None:
    assert len(names) >= len(NAMES) - 2
    for name in names:
        plain, quoted = (db.list_runs(where=f"seed > 0 AND {n} IS NOT NULL").table for n in (name, f'"{name}"'))
        assert plain.equals(quoted), name


def test_signs_between_columns_that_exist_stay_arithmetic(tmp_path: Path) -> None:
    for seed in (1, 2):
        folder = tmp_path / f"run{seed}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"a": 4 * seed, "b": 2, "a/b": 100, "seed": seed}))
        (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    db = ExperimentDB(base_path=tmp_path)
    assert db.list_runs(where="a/b < 3").table["run_id"].to_list() == ["run1"]
    assert db.list_runs(where='"a/b" < 3').table.height == 0


def test_every_name_without_its_quotes_is_answered_with_the_quoted_query(db: ExperimentDB, names: list[str]) -> None:
    for name in names:
        for query in (f"SELECT {name} FROM runs", f"SELECT r.seed FROM runs r WHERE r.{name} IS NOT NULL"):
            with pytest.raises(UnknownNameError) as error:
                db.query_sql(query)
            corrected = str(error.value).partition(" Write: ")[2]
            assert corrected == query.replace(name, f'"{name}"'), str(error.value)
            db.query_sql(corrected)


@pytest.mark.parametrize(
    ("condition", "corrected"),
    [
        ("val_acc > 0.5", '"val_acc.last" > 0.5'),
        ('"val_acc" > 0.5', '"val_acc.last" > 0.5'),
        ("val_acc > 0.5 AND loss < 2", '"val_acc.last" > 0.5 AND "loss.last" < 2'),
        ("name <> 'val/acc.last' AND val/acc > 0", "name <> 'val/acc.last' AND \"val/acc.last\" > 0"),
        ("optim.lr_max > 1 OR val_acc > 1", '"optim.lr_max" > 1 OR "val_acc.last" > 1'),
        ("lr-Adam > 0", '"lr-Adam.last" > 0'),
    ],
)
def test_all_names_of_a_condition_are_quoted_at_once(db: ExperimentDB, condition: str, corrected: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        db.list_runs(where=condition)
    assert str(error.value).endswith(f". Write: {corrected}")
    db.list_runs(where=corrected)


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ("val_acc.best > 0.9", "val_acc.max"),
        ("val/acc.best > 0.9", "val/acc.max"),
        ("val/ac.last > 0.9", "val/acc.last"),
        ("losss.last > 0.9", "loss.last"),
        ("optim.lr_maxx > 0.9", "optim.lr_max"),
        ("nothing.alike > 0.9", "optim.lr"),
    ],
)
def test_a_misspelt_name_without_quotes_is_answered_with_a_quoted_name(
    db: ExperimentDB, condition: str, shown: str
) -> None:
    with pytest.raises(InputError) as error:
        db.list_runs(where=condition)
    assert re.search(rf'double quotes, as in "{re.escape(shown)}"', str(error.value)), str(error.value)
    assert repr(condition.split()[0]) in str(error.value)


def test_a_text_of_a_query_without_quotes_gets_single_ones(db: ExperimentDB) -> None:
    with pytest.raises(InputError, match="single quotes, as in metric = 'val/acc'"):
        db.query_sql("SELECT value FROM points WHERE metric = val/acc")
