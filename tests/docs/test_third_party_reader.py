"""The example package adds a reader through its entry point: installed in name only, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "examples" / "third_party_reader"
BOOK = """#labbook 1
name baseline
set optim.lr 0.01
set model mlp
@10 loss=0.5 acc=0.7
nonsense here
@20 loss=nan
end failed
"""
ASK = """
import json, sys
from sweeplens import AnalysisConfig, ExperimentDB
db = ExperimentDB(AnalysisConfig(cache="memory"), base_path=sys.argv[1])
db.load_experiments()
run = db.runs_df.to_dicts()[0]
points = db.lazy_query(raw=True).collect()
print(json.dumps({
    "runs": db.runs_df["run_id"].to_list(), "format": run["format"], "name": run["name"], "status": run["status"],
    "lr": run["optim.lr"], "steps": points["step"].to_list(), "metrics": sorted(set(points["metric"].to_list())),
    "lines": db.problems["line"].to_list(),
}))
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder for sys.path with what an installer would put there beside the module."""
    about = tomllib.loads((PACKAGE / "pyproject.toml").read_text("utf-8"))["project"]
    site = tmp_path / "site"
    info = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    points = "".join(f"{k} = {v}\n" for k, v in about["entry-points"]["sweeplens.readers"].items())
    (info / "entry_points.txt").write_text(f"[sweeplens.readers]\n{points}")
    return site


def ask(folder: Path, *site: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, site))
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", ASK, str(folder)], env=env, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_package_with_an_entry_point_adds_a_format(tmp_path: Path, installed: Path) -> None:
    folder = tmp_path / "experiments" / "monday"
    folder.mkdir(parents=True)
    (folder / "a.labbook").write_text(BOOK)
    (folder / "b.labbook").write_text("not one of them\n")
    answer = ask(folder.parent, installed, PACKAGE)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {
        "runs": ["monday/a.labbook"], "format": "labbook", "name": "baseline", "status": "failed", "lr": 0.01,
        "steps": [10, 10, 20], "metrics": ["acc", "loss"], "lines": [6],
    }  # fmt: skip


def test_without_the_package_no_reader_accepts_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.labbook").write_text(BOOK)
    answer = ask(tmp_path)
    assert answer.returncode != 0
    assert "labbook" not in answer.stdout


def test_the_example_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGE))
    from labbook_reader import Labbook  # type: ignore[import-not-found]
    from support.reading import read_folder

    book = tmp_path / "a.labbook"
    book.write_text(BOOK.split("nonsense")[0] + "@15 lo")
    first = read_folder(tmp_path, [Labbook()]).readings[0]
    assert (first.points["step"].to_list(), first.runs[0].status) == ([10, 10], "running")
    book.write_text(BOOK)
    rest = Labbook().read(read_folder(tmp_path, [Labbook()]).sources[0], first.resume)
    assert (rest.points["step"].to_list(), rest.runs[0].status) == ([20], "failed")
    assert [(p.line, p.reason) for p in rest.problems] == [(6, "unknown word 'nonsense'")]
    assert rest.runs[0].hyperparameters == {"optim.lr": 0.01, "model": "mlp"}
