"""Split files whose validation cases are also training cases are findings of the runs that use that file and fold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB

CASES = [f"case_{i:03d}" for i in range(40)]


def folds(odd: int | None = None) -> list[dict[str, list[object]]]:
    """Four folds of ten validation cases; in an odd one, three of them are also training cases."""
    parts: list[dict[str, list[object]]] = []
    for k in range(4):
        val = CASES[10 * k : 10 * k + 10]
        train = [c for c in CASES if c not in val] + (val[:3] if k == odd else [])
        parts.append({"train": list(train), "val": list(val)})
    return parts


def trained(root: Path, name: str, config: Mapping[str, object]) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    level = sum(map(ord, name)) % 31
    (folder / "metrics.csv").write_text(
        "step,val_dice\n" + "".join(f"{i},{0.5 + i / 100 + level / 1e3}\n" for i in range(12))
    )
    (folder / "config.json").write_text(json.dumps(config))


def found(root: Path) -> dict[str, str]:
    """Run -> evidence of its finding."""
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), root)
    table = db.diagnose().table.filter(finding="split_overlap")
    assert set(table["severity"]) <= {"high"}
    return dict(table.select("run_id", "evidence").iter_rows())


def saved(root: Path, name: str, value: object) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def sweep(root: Path, setting: str = "splits/splits_v1.json", **more: object) -> None:
    for fold in range(4):
        trained(root, f"runs/f{fold}", {"lr": 0.01, "data": {"splits_file": setting, "fold": fold}, **more})


TOLD = "splits/splits_v1.json fold 2: 3 of 10 validation cases are in train (case_020, case_021, case_022)"


def test_runs_of_the_fold_are_found_and_the_overview_says_it(tmp_path: Path) -> None:
    saved(tmp_path, "splits/splits_v1.json", folds(odd=2))
    saved(tmp_path, "splits/splits_v2.json", folds())
    sweep(tmp_path)
    trained(tmp_path, "runs/other", {"lr": 0.02, "data": {"splits_file": "splits/splits_v2.json", "fold": 2}})
    assert found(tmp_path) == {"runs/f2": TOLD}
    db = ExperimentDB(AnalysisConfig(cache="memory"), tmp_path)
    assert any(TOLD in text for text in db.overview().table["text"])
    assert db.list_runs(where="health = 'broken'").table["run_id"].to_list() == ["runs/f2"]


@pytest.mark.parametrize(
    ("value", "fold"),
    [
        ({f"fold_{k}": fold for k, fold in enumerate(folds(2))}, "fold_2"),
        ({str(k): fold for k, fold in enumerate(folds(2))}, "2"),
        ({"folds": folds(2)}, "2"),
        ([{"training": f["train"], "validation": f["val"]} for f in folds(2)], "2"),
        (
            [{"train": [{"image": c} for c in f["train"]], "val": [{"image": c} for c in f["val"]]} for f in folds(2)],
            "2",
        ),
    ],
    ids=["named folds", "numbered folds", "a list inside", "long names", "cases as objects"],
)
def test_folds_are_read_as_people_write_them(tmp_path: Path, value: object, fold: str) -> None:
    saved(tmp_path, "splits_final.json", value)
    sweep(tmp_path, "/data/nnUNet_preprocessed/splits_final.json")
    told = found(tmp_path)
    assert list(told) == ["runs/f2"]
    assert told["runs/f2"].startswith(f"splits_final.json fold {fold}: 3 of 10 validation cases are in train")


def test_the_path_of_a_run_may_name_its_fold(tmp_path: Path) -> None:
    saved(tmp_path, "splits.json", folds(odd=1))
    for fold in range(3):
        trained(tmp_path, f"runs/a/fold_{fold}", {"splits": "splits.json", "lr": 0.1})
    assert list(found(tmp_path)) == ["runs/a/fold_1"]


def test_test_cases_count_too_and_one_fold_needs_no_number(tmp_path: Path) -> None:
    saved(tmp_path, "data/split.json", {"train": CASES[:30], "val": CASES[30:35], "test": CASES[34:]})
    trained(tmp_path, "runs/a", {"split_file": "data/split.json"})
    trained(tmp_path, "runs/b", {"split_file": "none"})
    assert found(tmp_path) == {"runs/a": "data/split.json: 1 of 6 test cases is in val (case_034)"}


NOTHING = {
    "no overlap": (folds(), "splits.json"),
    "not named by a setting": (folds(2), "others.json"),
    "no splits": ({"train": "train.csv", "val": "val.csv"}, "splits.json"),
    "no JSON": ("{", "splits.json"),
}


@pytest.mark.parametrize(("value", "setting"), NOTHING.values(), ids=NOTHING)
def test_nothing_is_said_without_evidence(tmp_path: Path, value: object, setting: str) -> None:
    (tmp_path / "splits.json").write_text(value if isinstance(value, str) else json.dumps(value))
    sweep(tmp_path, setting)
    assert found(tmp_path) == {}


def test_of_two_files_of_one_name_the_setting_tells_which(tmp_path: Path) -> None:
    saved(tmp_path, "v1/splits.json", folds(odd=0))
    saved(tmp_path, "v2/splits.json", folds())
    for version in ("v1", "v2"):
        trained(tmp_path, f"runs/{version}", {"splits": f"data/{version}/splits.json", "fold": 0})
    assert list(found(tmp_path)) == ["runs/v1"]


def test_a_split_file_that_is_mended_ends_the_finding(tmp_path: Path) -> None:
    saved(tmp_path, "splits/splits_v1.json", folds(odd=2))
    sweep(tmp_path)
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), tmp_path)
    assert db.diagnose().table.filter(pl.col("finding") == "split_overlap").height == 1
    saved(tmp_path, "splits/splits_v1.json", folds())
    assert db.diagnose().table.filter(pl.col("finding") == "split_overlap").height == 0
