"""A default installation answers everything; what an extra brings is named with the command that installs it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest
from support.sweep import write_sweep

from sweeplens import ExperimentDB
from sweeplens.extras import EXTRAS

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
_HIDDEN = "import sys; sys.modules.update(dict.fromkeys({packages!r})); "


def _without(packages: tuple[str, ...], code: str, *arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """A process in which these packages cannot be imported."""
    import os

    command = [sys.executable, "-c", _HIDDEN.format(packages=packages) + code, *arguments]
    environment = {**os.environ, "ANALYSIS_CACHE_DIR": str(cache)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)


def _command(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    code = "from sweeplens_mcp.cli import run; sys.exit(run())"
    return _without(tuple(EXTRAS), f"sys.argv[0] = 'sweeplens'; {code}", *arguments, cache=cache)


def test_each_extra_is_declared_and_all_has_every_one() -> None:
    declared = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    names = {extra.name for extra in EXTRAS.values()}
    assert names == set(declared) - {"all"}
    assert declared["all"] == [f"sweeplens[{','.join(sorted(names))}]"]


@pytest.mark.parametrize(
    ("origin", "receipt", "said"),
    [
        (
            '{"url": "file:///home/me/sweeplens", "dir_info": {}}',
            False,
            "pip install '.[charts]' in the checkout, or pip ",
        ),
        ('{"url": "file:///home/me/sweeplens", "dir_info": {}}', True, "uv tool install '.[charts]' in the checkout"),
        ("", False, "pip install 'sweeplens[charts]'"),
        ("", True, "uv tool install 'sweeplens[charts]'"),
    ],
)
def test_an_extra_is_added_as_the_package_was_installed(tmp_path: Path, origin: str, receipt: bool, said: str) -> None:
    record = tmp_path / "sweeplens-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: sweeplens\nVersion: 1.0\n")
    if origin:
        (record / "direct_url.json").write_text(origin)
    if receipt:
        (tmp_path / "uv-receipt.toml").touch()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from sweeplens.extras import not_installed; "
        "sys.prefix = sys.argv[1]; print(not_installed('vl_convert'))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert f"needs the package vl_convert: {said}" in shown


def test_a_default_installation_keeps_a_store_and_reads_it_again(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    first = _command("overview", "--root", str(sweep), cache=tmp_path / "cache")
    assert first.returncode == 0, first.stderr
    heads = list((tmp_path / "cache").rglob("HEAD"))
    assert len(heads) == 1
    again = _command("doctor", "--root", str(sweep), cache=tmp_path / "cache")
    assert "nothing is written yet" not in again.stdout
    assert "Read 8 runs" in again.stdout
    for extra in ("charts", "delta", "object-store", "pandas"):
        assert f"pip install 'sweeplens[{extra}]'" in again.stdout


def test_a_log_of_another_installation_does_not_stay_behind(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    code = (
        "from sweeplens import AnalysisConfig, ExperimentDB; "
        "db = ExperimentDB(AnalysisConfig(refresh_seconds=0), sys.argv[1]); print(db.load_experiments().n_runs)"
    )
    assert _without((), code, str(sweep), cache=tmp_path / "cache").stdout.strip() == "8"
    assert list((tmp_path / "cache").rglob("_delta_log/*.json"))
    for head in (tmp_path / "cache").rglob("HEAD"):
        head.unlink()  # so that the store is written again
    assert _without(("deltalake",), code, str(sweep), cache=tmp_path / "cache").stdout.strip() == "8"
    assert list((tmp_path / "cache").rglob("HEAD"))
    assert not list((tmp_path / "cache").rglob("_delta_log/*.json"))


def test_a_store_on_an_object_store_says_what_it_needs(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    code = (
        "from sweeplens import AnalysisConfig, ExperimentDB; "
        "print(ExperimentDB(AnalysisConfig(cache_dir='s3://bucket/x'), sys.argv[1]).list_runs().basis.warnings[0])"
    )
    said = _without(("obstore",), code, str(sweep), cache=tmp_path / "cache").stdout
    assert "pip install 'sweeplens[object-store]'" in said


def test_without_pandas_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    code = "from sweeplens import ExperimentDB; ExperimentDB(sys.argv[1]).list_runs().to_pandas()"
    done = _without(("pandas",), code, str(sweep), cache=tmp_path / "cache")
    assert "pip install 'sweeplens[pandas]'" in done.stderr.splitlines()[-1]


def test_a_pandas_frame_has_the_same_rows_and_kinds(sweep: Path) -> None:
    pd = pytest.importorskip("pandas")
    from sweeplens.pandas_frame import to_pandas

    db = ExperimentDB(sweep)
    answer = db.list_runs(sort="run_id")
    frame = answer.to_pandas()
    assert list(frame.columns) == answer.table.columns
    assert list(frame["run_id"]) == answer.table["run_id"].to_list()
    assert str(frame["updated_at"].dt.tz) == "UTC"
    assert frame["optim.lr"].sum() == pytest.approx(answer.table["optim.lr"].sum())
    odd = pl.DataFrame({"n": [1, None], "b": [True, None], "l": [[1], []], "t": ["x", None], "c": ["a", "b"]})
    other = to_pandas(odd.with_columns(pl.col("c").cast(pl.Categorical)))
    assert [str(other[c].dtype) for c in ("n", "b", "c")] == ["Int64", "boolean", "category"]
    assert pd.isna(other["n"][1])
    assert other["l"].to_list() == [[1], []]
    assert len(to_pandas(db.runs_df)) == 8
